//! Publishing into a file: one thread that writes events before anybody gets them.
//!
//! Where the history has a file, a message is numbered, encoded and written on this thread, in the order in which
//! messages come to it, and only then handed to the channel. Messages that wait leave in one write, and in one sync
//! where each has to be on the disk. What cannot be written is not published, and its publisher is told.

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
use crate::hub::Archive;
use crate::sys::{Throttle, lock};

/// How long an event may be in the system's memory alone, where not each has to be on the disk before it goes out.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// How many messages are written at once.
const MOST_AT_ONCE: usize = 256;

/// A message that is to be written and published.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) fields: Fields,
    pub(crate) data: String,
    pub(crate) topics: Topics,
}

/// Why a message was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// The server has stopped: nobody would get it.
    Closed,
    /// There is no room for it on the disk.
    NoSpace,
    /// It could not be written.
    NotWritten,
}

/// Hands a frame to the channel, for whom it is, with what the message has claimed.
type Deliver<C> = Box<dyn Fn(Frame, Topics, C) -> Result<(), PublishError> + Send>;

struct Job<C> {
    draft: Draft,
    permits: C,
    reply: Sender<Result<String, PublishError>>,
}

/// The thread, and the way to it. It ends when this is closed, or dropped, with all that was sent to it written.
#[derive(Debug)]
pub(crate) struct LogWriter<C> {
    /// Nothing any more once it is closed.
    requests: Mutex<Option<SyncSender<Job<C>>>>,
    /// Closed when nothing more is handed to the channel.
    delivered: channel::Receiver<()>,
    /// Closed at the thread's end, when its file is free.
    ended: channel::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<C: Send + 'static> LogWriter<C> {
    /// Starts the thread. No more than `queue` messages may be under way, so that there is room for each.
    pub(crate) fn start(
        journal: Journal,
        archive: Arc<Archive>,
        sync: HistorySync,
        queue: usize,
        deliver: Deliver<C>,
    ) -> io::Result<Self> {
        let (requests, waiting) = mpsc::sync_channel(queue);
        let mut writer = Writer {
            journal,
            archive,
            sync,
            deliver,
            released: 0,
            unsynced_since: None,
            warnings: Throttle::default(),
        };
        writer.release();
        let (delivering, delivered) = channel::bounded(1);
        let (running, ended) = channel::bounded(1);
        let thread = thread::Builder::new().name("smolcast-history".into()).spawn(move || {
            let _running = running;
            writer.run(&waiting, delivering);
        })?;
        Ok(Self { requests: Mutex::new(Some(requests)), delivered, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Has a message written and published; returns its id.
    ///
    /// Not cancel safe: a message whose publishing is dropped may still be published.
    pub(crate) async fn publish(&self, draft: Draft, permits: C) -> Result<String, PublishError> {
        let (reply, answer) = channel::bounded(1);
        let request = Job { draft, permits, reply };
        let sent = lock(&self.requests).as_ref().map(|requests| requests.try_send(request));
        match sent {
            Some(Ok(())) => answer.recv().await.unwrap_or(Err(PublishError::Closed)),
            Some(Err(_)) | None => Err(PublishError::Closed),
        }
    }
}

impl<C> LogWriter<C> {
    /// Takes nothing more.
    pub(crate) fn close(&self) {
        *lock(&self.requests) = None;
    }

    /// Returns when all that was taken is written and handed to the channel, once this is closed.
    pub(crate) async fn delivered(&self) {
        // Nothing is ever sent.
        let _ = self.delivered.recv().await;
    }

    /// Returns when the thread has all on the disk and ends, once this is closed.
    pub(crate) async fn ended(&self) {
        let _ = self.ended.recv().await;
    }

    /// Takes nothing more, and returns when the thread has ended.
    pub(crate) fn join(&self) {
        self.close();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

impl<C> Drop for LogWriter<C> {
    fn drop(&mut self) {
        self.join();
    }
}

/// What the thread has.
struct Writer<C> {
    journal: Journal,
    archive: Arc<Archive>,
    sync: HistorySync,
    deliver: Deliver<C>,
    /// How many events the journal need not hold any more.
    released: u64,
    /// Since when something is written and not synced.
    unsynced_since: Option<Instant>,
    warnings: Throttle,
}

impl<C> Writer<C> {
    fn run(mut self, waiting: &Receiver<Job<C>>, delivering: Sender<()>) {
        while let Some(first) = self.next(waiting) {
            let mut requests = vec![first];
            while requests.len() < MOST_AT_ONCE {
                let Ok(request) = waiting.try_recv() else { break };
                requests.push(request);
            }
            if !self.publish(requests) {
                break;
            }
        }
        drop(delivering);
        self.sync_now();
    }

    /// The next message; syncs when it is time to, and ends when there are no more.
    fn next(&mut self, waiting: &Receiver<Job<C>>) -> Option<Job<C>> {
        while let Some(since) = self.unsynced_since {
            match waiting.recv_timeout(SYNC_INTERVAL.saturating_sub(since.elapsed())) {
                Ok(request) => {
                    if since.elapsed() >= SYNC_INTERVAL {
                        self.sync_now();
                    }
                    return Some(request);
                }
                Err(RecvTimeoutError::Timeout) => self.sync_now(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        waiting.recv().ok()
    }

    /// Writes messages and publishes them, all of them or none. Returns whether there is still somebody to publish to:
    /// where there is not, the numbers of these would be given once more.
    fn publish(&mut self, requests: Vec<Job<C>>) -> bool {
        let (at, boot, first) = self.archive.next_place();
        let records: Vec<_> = requests
            .iter()
            .zip(first..)
            .map(|(request, number)| {
                let Draft { fields, data, topics } = &request.draft;
                let topics = topics.iter().map(str::to_owned).collect();
                let mut record = Record { at, boot, number, own_id: fields.id.clone(), topics, frame: Arc::from([]) };
                record.frame = Frame::with_fields(fields, Some(&record.id()), data).into_bytes();
                record
            })
            .collect();
        let written = self.write(&records);
        let mut is_open = true;
        for (record, Job { draft, permits, reply }) in records.into_iter().zip(requests) {
            let (id, is_own, topics) = (record.id(), record.own_id.is_some(), draft.topics);
            let send = |frame| (self.deliver)(frame, topics.clone(), permits);
            let frame = Frame::encoded(record.frame);
            let published = written.and_then(|()| self.archive.append(id.clone(), is_own, &topics, frame, send));
            is_open &= published != Err(PublishError::Closed);
            // A publisher that is gone does not want to know.
            let _ = reply.try_send(published.map(|()| id));
        }
        self.release();
        is_open
    }

    /// Lets the journal go of what the history has let go of.
    fn release(&mut self) {
        let gone = self.archive.gone();
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
