//! The log's thread: writes messages before anyone gets them.
//!
//! It numbers, encodes and writes messages in the order in which they come, and only then commits them to the sequence.
//! Messages that wait leave in one write, and in one sync if each has to be on disk. The publisher of a message that
//! cannot be written gets the error, and the message is not published. With [`HistorySync::Interval`] a thread of its
//! own syncs, and nobody waits for it.
//!
//! Twice a second the thread looks after the log: that its files are there, that the oldest go, and that the clock is
//! right.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use smol::channel;

use super::is_full;
use super::item::{self, Record};
use super::jobs::{Content, Inbox, Job, Outcome, Replies};
use super::journal::{Journal, Mark, SyncOutcome, SyncRequest};
use crate::config::HistorySync;
use crate::event::frame::Frame;
use crate::hub::budget::Permit;
use crate::hub::history::StoredEvent;
use crate::hub::queue::Message;
use crate::hub::runs::{EventKey, Stamp};
use crate::hub::{Draft, PublishError, Sequence};
use crate::sys::{Throttle, lock};

/// Longest time that an event is in the system's memory alone, with [`HistorySync::Interval`].
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Time between two looks after the log. With the time that they take, a file that is lost is noticed within a second.
const CARE_INTERVAL: Duration = Duration::from_millis(500);

/// Memory that the buffer for encoding keeps between two writes, in bytes.
const MOST_KEPT: usize = 1 << 20;

/// Handle on the thread, which ends when this is closed or dropped and all messages are written.
#[derive(Debug)]
pub(in crate::hub) struct LogWriter {
    inbox: Arc<Inbox>,
    /// Closed when nothing more is committed.
    committed: channel::Receiver<()>,
    /// Closed at the thread's end, when its folder is free.
    ended: channel::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl LogWriter {
    /// Starts the thread.
    pub(in crate::hub) fn start(journal: Journal, sequence: Arc<Sequence>, sync: HistorySync) -> io::Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let syncer = match sync {
            HistorySync::Always => None,
            HistorySync::Interval => Some(Syncer::start(Arc::clone(&inbox))?),
        };
        let (committing, committed) = channel::bounded::<()>(1);
        let (running, ended) = channel::bounded::<()>(1);
        let writer = Writer::new(journal, sequence, syncer);
        let of_thread = Arc::clone(&inbox);
        let thread = thread::Builder::new().name("smolcast-history".into()).spawn(move || {
            // Closed last: the folder is free then.
            let _running = running;
            let mut writer = writer;
            let closing = CloseOnDrop(&of_thread);
            writer.run(&of_thread);
            drop((closing, committing));
            writer.end(&of_thread);
        })?;
        Ok(Self { inbox, committed, ended, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a message to the thread, which writes and commits it once it is awake; the outcome comes by `replies`.
    ///
    /// # Errors
    ///
    /// `Stopped` if it is closed, and `NotWritten` for a message above the longest item.
    pub(in crate::hub) fn submit(
        &self,
        draft: Draft<'_>,
        permit: Permit,
        replies: &Replies,
    ) -> Result<(), PublishError> {
        let Draft { fields, data, topics } = draft;
        if !item::fits(Frame::size(fields, data) + topics.memory()) {
            return Err(PublishError::NotWritten);
        }
        self.inbox.add(|| Job::new(draft, permit, replies))
    }

    /// Has the thread write what it was handed.
    pub(in crate::hub) fn wake(&self) {
        self.inbox.wake();
    }

    /// Rejects further messages.
    pub(in crate::hub) fn close(&self) {
        self.inbox.close();
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

/// Rejects the messages that are left when the thread ends, even by a panic: their publishers wait for an outcome.
struct CloseOnDrop<'i>(&'i Inbox);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
        drop(self.0.take_jobs());
    }
}

/// A thread that syncs files, so that nobody waits for it.
pub(super) struct Syncer {
    requests: mpsc::Sender<SyncRequest>,
    is_busy: bool,
    thread: JoinHandle<()>,
}

impl Syncer {
    fn start(inbox: Arc<Inbox>) -> io::Result<Self> {
        let (requests, waiting) = mpsc::channel::<SyncRequest>();
        let thread = thread::Builder::new().name("smolcast-sync".into()).spawn(move || {
            for request in waiting {
                inbox.add_synced(request.carry_out());
            }
        })?;
        Ok(Self { requests, is_busy: false, thread })
    }

    fn end(self) {
        drop(self.requests);
        // The panic hook has reported a thread that panicked.
        let _ = self.thread.join();
    }
}

/// State of the thread.
pub(super) struct Writer {
    pub(super) journal: Journal,
    sequence: Arc<Sequence>,
    /// `None` if each write is synced.
    syncer: Option<Syncer>,
    /// First part of the ids that this server gives.
    id_prefix: String,
    /// Time of the oldest write that no sync was requested for.
    unsynced_since: Option<Instant>,
    last_care: Instant,
    /// Number of the last event in the note of progress.
    noted: u64,
    warnings: Throttle,
    /// For files that others take away again and again.
    losses: Throttle,
    items: Vec<u8>,
}

impl Writer {
    pub(super) fn new(journal: Journal, sequence: Arc<Sequence>, syncer: Option<Syncer>) -> Self {
        let id_prefix = format!("{}-", sequence.next_place().stamp.boot);
        let (last_care, warnings, losses) = (Instant::now(), Throttle::default(), Throttle::default());
        let (unsynced_since, noted, items) = (None, 0, Vec::new());
        Self { journal, sequence, syncer, id_prefix, unsynced_since, last_care, noted, warnings, losses, items }
    }

    /// Publishes messages until the inbox is closed and empty, or nothing can be published any more.
    fn run(&mut self, inbox: &Inbox) {
        loop {
            let Content { jobs, synced, is_closed, .. } = inbox.take(self.next_deadline());
            if let Some(outcome) = synced {
                self.note_synced(outcome);
            }
            if jobs.is_empty() && is_closed || !self.publish(jobs) {
                return;
            }
            let now = Instant::now();
            if now.saturating_duration_since(self.last_care) >= CARE_INTERVAL {
                self.last_care = now;
                self.look_after();
            }
            self.request_sync(now);
        }
    }

    fn next_deadline(&self) -> Instant {
        let care = self.last_care + CARE_INTERVAL;
        let is_idle = self.syncer.as_ref().is_some_and(|syncer| !syncer.is_busy);
        let sync = self.unsynced_since.filter(|_| is_idle).map(|since| since + SYNC_INTERVAL);
        sync.map_or(care, |sync| sync.min(care))
    }

    /// Writes messages, all of them or none, and commits them. Duplicates are not written and get no number. Returns
    /// false once the sequence is closed: the next messages would get the numbers of these.
    pub(super) fn publish(&mut self, jobs: Vec<Job>) -> bool {
        if jobs.is_empty() {
            return true;
        }
        let was_sound = self.journal.is_sound();
        let fates = self.fates(&jobs);
        let to_write = jobs.iter().zip(&fates).filter(|(_, fate)| fate.is_to_be_written()).map(|(job, _)| job);
        let written = self.write(&to_write.collect::<Vec<_>>());
        let (permits, replies): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.permit, job.reply)).unzip();
        let replies = replies.into_iter().zip(&fates);
        match written {
            Ok(Written { events, mut ids, ends, before }) => {
                let permits = permits.into_iter().zip(&fates).filter(|(_, fate)| fate.is_to_be_written());
                let (count, messages) = (events.len(), events.into_iter().zip(permits.map(|(permit, _)| permit)));
                let (committed, gone) = self.sequence.commit_written(messages);
                if committed < count {
                    self.take_back(before, committed, &ends);
                }
                ids.truncate(committed);
                let mut outcome = |index| ids.get_mut(index).map(|id| Some(mem::take(id))).ok_or(PublishError::Stopped);
                replies.for_each(|(reply, fate)| reply.send(fate.outcome(&mut outcome)));
                if let Err(error) = self.journal.release(gone) {
                    self.warn(format_args!("cannot delete what the history has dropped: {error}"));
                }
                committed == count
            }
            Err(error) => {
                drop(permits);
                let outcome = self.explain(&error);
                // What was refused is declared void at once, if that is possible, and not only before the next message.
                if was_sound {
                    let _ = self.renew();
                }
                replies.for_each(|(reply, fate)| reply.send(fate.outcome(|_| Err(outcome))));
                true
            }
        }
    }

    /// Finds the messages whose id another event has: one in the history, or one before them in the same write.
    fn fates(&self, jobs: &[Job]) -> Vec<Fate> {
        let taken = self.sequence.are_taken(jobs.iter().map(|job| job.fields.id.as_deref()));
        let (mut count, mut of_ids) = (0, HashMap::new());
        let fate = |(job, is_taken): (&'_ Job, bool)| {
            if is_taken {
                return Fate::Duplicate;
            }
            let index = count;
            let first = job.fields.id.clone().map_or(index, |id| *of_ids.entry(id).or_insert(index));
            if first < index {
                return Fate::DuplicateOf(first);
            }
            count += 1;
            Fate::Written(index)
        };
        jobs.iter().zip(taken).map(fate).collect()
    }

    /// Encodes messages with the next numbers of the sequence, to which nobody else commits, and writes them.
    fn write(&mut self, jobs: &[&Job]) -> io::Result<Written> {
        self.renew()?;
        let place = self.sequence.next_place();
        let mut written = Written::default();
        self.items.clear();
        for (Job { fields, data, topics, .. }, index) in jobs.iter().zip(1..) {
            let stamp = Stamp { number: place.stamp.number + index - 1, ..place.stamp };
            let own_id = fields.id.as_deref();
            let id = own_id.map_or_else(|| format!("{}{}", self.id_prefix, stamp.number), str::to_owned);
            let frame = Frame::with_fields(fields, Some(&id), data);
            let record = Record {
                stamp,
                is_behind_gap: index == 1 && place.is_behind_gap,
                has_successor: index < jobs.len() as u64,
                own_id,
                topics: topics.clone(),
                frame: frame.as_bytes(),
            };
            record.encode(&mut self.items)?;
            let Record { topics, .. } = record;
            let message = Message { frame, topics };
            written.events.push(StoredEvent { uptime: stamp.uptime, own_id: own_id.map(Arc::from), message });
            written.ids.push(id);
            written.ends.push((stamp.key(), self.items.len() as u64));
        }
        if let Some((last, _)) = written.ends.last() {
            written.before = self.journal.append(&self.items, *last, place.newest + jobs.len() as u64)?;
            if self.syncer.is_some() {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
        }
        self.items.clear();
        self.items.shrink_to(MOST_KEPT);
        Ok(written)
    }

    /// Takes back what was written behind the first messages of a write, which the sequence did not take any more.
    /// Their publishers get an error, so no later server may publish them.
    fn take_back(&mut self, before: Mark, committed: usize, ends: &[(EventKey, u64)]) {
        let mark = match committed.checked_sub(1).and_then(|last| ends.get(last)) {
            Some((last, bytes)) => before.advanced(*last, committed as u64, *bytes),
            None => before,
        };
        self.journal.take_back(mark);
        if let Err(error) = self.renew() {
            self.explain(&error);
        }
    }

    /// Makes the journal sound again after a failure.
    fn renew(&mut self) -> io::Result<()> {
        if self.journal.is_sound() {
            return Ok(());
        }
        let place = self.sequence.next_place();
        self.journal.renew(&place, |position, most| self.sequence.held_behind(position, most))?;
        (self.unsynced_since, self.noted) = (None, place.progress().number);
        log::warn!("the history in {} can be written again", self.journal.path().display());
        Ok(())
    }

    /// Looks after the log.
    pub(super) fn look_after(&mut self) {
        self.sequence.correct_clock(SystemTime::now());
        let gone = self.sequence.expire();
        match self.journal.check() {
            Ok(None) => {}
            Ok(Some(_)) if !self.losses.permits(Instant::now()) => {}
            Ok(Some(lost)) => {
                let path = self.journal.path().display();
                log::error!("history in {path}: {lost}; writing all of it anew from memory");
            }
            Err(error) => self.warn(format_args!("cannot look after the history: {error}")),
        }
        if let Err(error) = self.renew() {
            self.explain(&error);
        } else if let Err(error) = self.journal.release(gone).and_then(|()| self.note()) {
            self.warn(format_args!("cannot look after the history: {error}"));
        }
    }

    /// Notes progress, if there was any.
    fn note(&mut self) -> io::Result<()> {
        let progress = self.sequence.next_place().progress();
        if progress.number != self.noted {
            self.journal.note(&progress)?;
            self.noted = progress.number;
        }
        Ok(())
    }

    fn request_sync(&mut self, now: Instant) {
        let Some(syncer) = &mut self.syncer else { return };
        let is_due = self.unsynced_since.is_some_and(|since| now.saturating_duration_since(since) >= SYNC_INTERVAL);
        if syncer.is_busy || !is_due {
            return;
        }
        match self.journal.sync_request() {
            Ok(Some(request)) => {
                // The thread ends only after this one.
                syncer.is_busy = syncer.requests.send(request).is_ok();
                self.unsynced_since = None;
            }
            Ok(None) => self.unsynced_since = None,
            Err(error) => {
                self.unsynced_since = Some(now);
                self.warn(format_args!("cannot sync the history, trying again: {error}"));
            }
        }
    }

    pub(super) fn note_synced(&mut self, outcome: SyncOutcome) {
        if let Some(syncer) = &mut self.syncer {
            syncer.is_busy = false;
        }
        if let Err(error) = self.journal.synced(outcome) {
            self.warn(format_args!("a sync of the history failed, so its end is written again: {error}"));
            if let Err(error) = self.renew() {
                self.explain(&error);
            }
        }
    }

    /// Says why publishing fails, in the log and to publishers.
    fn explain(&mut self, error: &io::Error) -> PublishError {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull => "; make room on its disk",
            io::ErrorKind::QuotaExceeded => "; raise the quota of its user",
            io::ErrorKind::FileTooLarge => "; raise the limit of file sizes (ulimit -f, LimitFSIZE=)",
            _ => "",
        };
        let failure = "cannot write the history, so publishing fails until that works again";
        self.warn(format_args!("{failure}: {error}{advice}"));
        if is_full(error) { PublishError::NoSpace } else { PublishError::NotWritten }
    }

    fn warn(&mut self, line: std::fmt::Arguments<'_>) {
        if self.warnings.permits(Instant::now()) {
            log::error!("{}: {line}", self.journal.path().display());
        }
    }

    /// Has everything on the disk, however long that takes, and notes that nothing is missing.
    pub(super) fn end(&mut self, inbox: &Inbox) {
        if let Some(syncer) = mem::take(&mut self.syncer) {
            syncer.end();
        }
        if let Some(outcome) = inbox.take_synced() {
            self.note_synced(outcome);
        }
        let place = self.sequence.next_place();
        let mut end = || self.renew().and_then(|()| self.journal.end_with(&place));
        // After a sync that failed, a new segment may still take what it had.
        if let Err(error) = end().or_else(|_| end()) {
            let path = self.journal.path().display();
            log::error!("{path}: cannot write the end of the history, so its last events may be lost: {error}");
        }
    }
}

/// The place of a message in a write.
enum Fate {
    /// Index in the write.
    Written(usize),
    /// None: the history holds another event with its id.
    Duplicate,
    /// None: the message with this index in the write has the same id.
    DuplicateOf(usize),
}

impl Fate {
    fn is_to_be_written(&self) -> bool {
        matches!(self, Self::Written(_))
    }

    /// The outcome for the publisher, from those of the messages in the write. A duplicate of a message that was not
    /// published gets the same error.
    fn outcome(&self, of_write: impl FnOnce(usize) -> Outcome) -> Outcome {
        match self {
            Self::Written(index) => of_write(*index),
            Self::Duplicate => Err(PublishError::Duplicate),
            Self::DuplicateOf(index) => of_write(*index).and(Err(PublishError::Duplicate)),
        }
    }
}

/// Messages that were written.
#[derive(Default)]
struct Written {
    events: Vec<StoredEvent>,
    ids: Vec<String>,
    /// The events, and where each ends among the bytes of the write.
    ends: Vec<(EventKey, u64)>,
    /// End of the log before them.
    before: Mark,
}
