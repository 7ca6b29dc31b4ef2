//! The log's thread: writes messages before anyone gets them.
//!
//! It numbers, encodes and writes messages in the order in which they come, and only then commits them to the sequence.
//! Messages that wait leave in one write, and in one sync if each has to be on disk. The publisher of a
//! message that cannot be written gets the error, and the message is not published.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use smol::channel::{self, Sender};

use super::{Journal, Record};
use crate::config::HistorySync;
use crate::event::frame::{Fields, Frame};
use crate::event::topic::Topics;
use crate::hub::budget::Permit;
use crate::hub::{Draft, PublishError, Sequence};
use crate::sys::{Throttle, lock};

/// Longest time that an event is in the system's memory alone, with [`HistorySync::Interval`].
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Most messages in one write.
const MOST_AT_ONCE: usize = 256;

/// A message on its way to the thread, and the way back for its id.
struct Job {
    fields: Fields,
    data: String,
    topics: Topics,
    permit: Permit,
    reply: Sender<Result<String, PublishError>>,
}

/// Handle on the thread, which ends when this is closed or dropped and all messages are written.
#[derive(Debug)]
pub(in crate::hub) struct LogWriter {
    /// `None` once it is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    /// Closed when nothing more is committed.
    committed: channel::Receiver<()>,
    /// Closed at the thread's end, when its file is free.
    ended: channel::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LogWriter {
    /// Starts the thread. At most `queue` messages have a permit at one time, so each finds room on the way to it.
    pub(in crate::hub) fn start(
        journal: Journal,
        sequence: Arc<Sequence>,
        sync: HistorySync,
        queue: usize,
    ) -> io::Result<Self> {
        let (jobs, waiting) = mpsc::sync_channel(queue);
        let mut writer =
            Writer { journal, sequence, sync, released: 0, unsynced_since: None, warnings: Throttle::default() };
        writer.release();
        let (committing, committed) = channel::bounded(1);
        let (running, ended) = channel::bounded(1);
        let thread = thread::Builder::new().name("smolcast-history".into()).spawn(move || {
            let _running = running;
            writer.run(&waiting, committing);
        })?;
        Ok(Self { jobs: Mutex::new(Some(jobs)), committed, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a message to the thread, which writes and commits it; returns its id.
    ///
    /// Not cancel safe: the message may still be published.
    pub(in crate::hub) async fn commit(&self, draft: Draft<'_>, permit: Permit) -> Result<String, PublishError> {
        let Draft { fields, data, topics } = draft;
        let (reply, committed) = channel::bounded(1);
        let job = Job { fields: fields.clone(), data: data.to_owned(), topics: topics.clone(), permit, reply };
        let is_sent = lock(&self.jobs).as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        if is_sent { committed.recv().await.unwrap_or(Err(PublishError::Stopped)) } else { Err(PublishError::Stopped) }
    }

    /// Rejects further messages.
    pub(in crate::hub) fn close(&self) {
        *lock(&self.jobs) = None;
    }

    /// Returns once all messages that it took are committed, if it is closed.
    pub(in crate::hub) async fn all_committed(&self) {
        // Nothing is ever sent.
        let _ = self.committed.recv().await;
    }

    /// Returns once the thread has everything on disk and ends, if it is closed.
    pub(in crate::hub) async fn ended(&self) {
        let _ = self.ended.recv().await;
    }

    /// Closes it and joins the thread.
    pub(in crate::hub) fn join(&self) {
        self.close();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // The panic hook has reported a thread that panicked.
            let _ = thread.join();
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.join();
    }
}

/// State of the thread.
struct Writer {
    journal: Journal,
    sequence: Arc<Sequence>,
    sync: HistorySync,
    /// Number of events that the journal has released.
    released: u64,
    /// Time of the oldest write that is not synced.
    unsynced_since: Option<Instant>,
    warnings: Throttle,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Job>, committing: Sender<()>) {
        while let Some(first) = self.next(waiting) {
            let mut jobs = vec![first];
            while jobs.len() < MOST_AT_ONCE {
                let Ok(job) = waiting.try_recv() else { break };
                jobs.push(job);
            }
            if !self.publish(jobs) {
                break;
            }
        }
        drop(committing);
        self.sync_now();
    }

    /// Waits for the next message, and syncs in time meanwhile; `None` once it is closed and empty.
    fn next(&mut self, waiting: &Receiver<Job>) -> Option<Job> {
        while let Some(since) = self.unsynced_since {
            match waiting.recv_timeout(SYNC_INTERVAL.saturating_sub(since.elapsed())) {
                Ok(job) => {
                    if since.elapsed() >= SYNC_INTERVAL {
                        self.sync_now();
                    }
                    return Some(job);
                }
                Err(RecvTimeoutError::Timeout) => self.sync_now(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        waiting.recv().ok()
    }

    /// Writes messages, all of them or none, and commits them. Returns false once the sequence is closed: the next
    /// messages would get the numbers of these.
    fn publish(&mut self, jobs: Vec<Job>) -> bool {
        let records = self.number(&jobs);
        let written = self.write(&records);
        let mut is_open = true;
        for (record, Job { topics, permit, reply, .. }) in records.into_iter().zip(jobs) {
            let committed = written.and_then(|()| self.sequence.commit_written(record, topics, permit));
            is_open &= committed != Err(PublishError::Stopped);
            // A cancelled publisher has dropped the other end.
            let _ = reply.try_send(committed);
        }
        self.release();
        is_open
    }

    /// Encodes messages with the next numbers of the sequence, to which nobody else commits.
    fn number(&self, jobs: &[Job]) -> Vec<Record> {
        let (at, boot, first) = self.sequence.next_place();
        let record = |(Job { fields, data, topics, .. }, number): (&Job, u64)| {
            let topics = topics.iter().map(str::to_owned).collect();
            let mut record = Record { at, boot, number, own_id: fields.id.clone(), topics, frame: Arc::from([]) };
            record.frame = Frame::with_fields(fields, Some(&record.id()), data).into_bytes();
            record
        };
        jobs.iter().zip(first..).map(record).collect()
    }

    /// Releases the journal's records of events that the history has dropped.
    fn release(&mut self) {
        let gone = self.sequence.gone();
        self.journal.release(usize::try_from(gone - self.released).unwrap_or(usize::MAX));
        self.released = gone;
    }

    fn write(&mut self, records: &[Record]) -> Result<(), PublishError> {
        let written = self.journal.append_all(records).and_then(|()| match self.sync {
            HistorySync::Always => self.journal.sync(),
            HistorySync::Interval => {
                self.unsynced_since.get_or_insert_with(Instant::now);
                Ok(())
            }
        });
        written.map_err(|error| {
            self.warn(&error);
            let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if is_full { PublishError::NoSpace } else { PublishError::NotWritten }
        })
    }

    fn sync_now(&mut self) {
        if self.unsynced_since.take().is_some() {
            if let Err(error) = self.journal.sync() {
                self.warn(&error);
            }
        }
    }

    fn warn(&mut self, error: &io::Error) {
        if self.warnings.permits(Instant::now()) {
            log::error!("cannot write the history file, so nothing is published until that works again: {error}");
        }
    }
}
