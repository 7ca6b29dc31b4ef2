//! Where messages are accepted: one channel, in one order, to every shard.
//!
//! A message that [`Hub::publish`] has accepted is in the channel for each shard, in the same order for all. The
//! channel never overflows: where it is full, by number or by bytes, the publisher waits, and shards empty it without
//! waiting for any stream. Nothing here knows of streams. This is the only module that uses async-broadcast.

mod archive;
mod budget;
mod history;
mod log;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_broadcast::{Receiver, Sender};

pub(crate) use self::archive::Archive;
use self::budget::{ByteBudget, Permit};
pub(crate) use self::history::Restored;
use self::log::{Draft, LogWriter};
pub(crate) use self::log::{Journal, PublishError, Record};
use crate::config::{HistorySync, Limits};
use crate::event::frame::{Fields, Frame};
use crate::event::topic::Topics;
use crate::metrics::Metrics;

/// What was accepted.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) frame: Frame,
    /// Whom it is for.
    pub(crate) topics: Topics,
}

/// What the channel carries: a message, and where there is an archive its slot until the last shard has taken it.
type Queued = (Message, InFlight, Option<Arc<Permit>>);

/// Held by each shard until it has written the message.
#[derive(Clone, Debug)]
pub(crate) struct InFlight(Arc<InFlightPermit>);

/// What a message takes of the quota while it is under way, and since when it is.
#[derive(Debug)]
struct InFlightPermit {
    _bytes: Permit,
    since: Instant,
}

impl InFlight {
    /// This shard has written the message; returns how long it was under way if it is the last one.
    pub(crate) fn end(self, now: Instant) -> Option<Duration> {
        Arc::into_inner(self.0).map(|reserved| now.saturating_duration_since(reserved.since))
    }
}

/// What a message has claimed that waits for its turn, where there is an archive.
#[derive(Debug)]
struct Permits {
    bytes: InFlightPermit,
    slot: Permit,
}

/// The sending side, shared by every publisher.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    sender: Sender<Queued>,
    budget: ByteBudget,
    archive: Option<Arc<Retained>>,
    metrics: Metrics,
}

/// What is kept of what is published, and how.
pub(crate) struct HistorySetup {
    pub(crate) archive: Archive,
    /// The file, where there is one.
    pub(crate) journal: Option<(Journal, HistorySync)>,
}

/// An archive, and the slots of the channel: who has one finds room there, without waiting under the archive's lock.
#[derive(Debug)]
struct Retained {
    archive: Arc<Archive>,
    log_writer: Option<LogWriter<Permits>>,
    slots: ByteBudget,
}

impl Hub {
    /// A hub, and an intake for each of so many shards. When the last intake is dropped, the hub closes.
    ///
    /// # Errors
    ///
    /// When the thread that writes the history's file cannot be started.
    pub(crate) fn new(
        limits: &Limits,
        kept: Option<HistorySetup>,
        shards: usize,
        metrics: Metrics,
    ) -> io::Result<(Self, Vec<QueueReceiver>)> {
        let (sender, receiver) = async_broadcast::broadcast(limits.publish_queue);
        // All of them listen before the first message can be accepted, so that each gets every one.
        let mut receivers: Vec<_> = (1..shards).map(|_| receiver.new_receiver()).collect();
        receivers.push(receiver);
        let receivers = receivers.into_iter().map(|receiver| QueueReceiver { receiver, taken: 0 }).collect();
        let mut hub = Self { sender, budget: ByteBudget::new(limits.publish_queue_bytes), archive: None, metrics };
        if let Some(HistorySetup { archive, journal }) = kept {
            let archive = Arc::new(archive);
            let log_writer = journal.map(|(journal, sync)| {
                let to = hub.clone();
                let deliver = move |frame, topics, permits| to.deliver(frame, topics, permits);
                LogWriter::start(journal, Arc::clone(&archive), sync, limits.publish_queue, Box::new(deliver))
            });
            let (log_writer, slots) = (log_writer.transpose()?, ByteBudget::new(limits.publish_queue));
            hub.archive = Some(Arc::new(Retained { archive, log_writer, slots }));
        }
        Ok((hub, receivers))
    }

    /// Accepts a message: when this returns, every shard has it in order. Waits while the channel is full; only then
    /// is the message encoded, with its id where it gets one, so that who waits holds no more than what it was sent.
    /// Returns the id.
    ///
    /// Cancel safe: a publish that is dropped before it returns was not accepted. Where the history has a file it may
    /// have been.
    pub(crate) async fn publish(
        &self,
        fields: &Fields,
        data: &str,
        topics: &Topics,
    ) -> Result<Option<String>, PublishError> {
        let since = Instant::now();
        let bytes = InFlightPermit { _bytes: self.reserve(Frame::size(fields, data)).await, since };
        let Some(Retained { archive, log_writer, slots }) = self.archive.as_deref() else {
            let message = Message { frame: Frame::with_fields(fields, None, data), topics: topics.clone() };
            let carried = (message, InFlight(Arc::new(bytes)), None);
            self.sender.broadcast_direct(carried).await.map_err(|_| PublishError::Closed)?;
            self.metrics.message_accepted();
            return Ok(None);
        };
        let permits = Permits { bytes, slot: slots.reserve(1).await };
        if let Some(log_writer) = log_writer {
            let draft = Draft { fields: fields.clone(), data: data.to_owned(), topics: topics.clone() };
            return log_writer.publish(draft, permits).await.map(Some);
        }
        let encode = |id: &str| Frame::with_fields(fields, Some(id), data);
        let send = |frame| self.deliver(frame, topics.clone(), permits);
        archive.accept(fields.id.as_deref(), topics, encode, send).map(Some)
    }

    /// Puts into the channel what has a slot there.
    fn deliver(&self, frame: Frame, topics: Topics, permits: Permits) -> Result<(), PublishError> {
        let Permits { bytes, slot } = permits;
        let carried = (Message { frame, topics }, InFlight(Arc::new(bytes)), Some(Arc::new(slot)));
        self.sender.try_broadcast(carried).map_err(|_| PublishError::Closed)?;
        self.metrics.message_accepted();
        Ok(())
    }

    async fn reserve(&self, size: usize) -> Permit {
        match self.budget.try_reserve(size) {
            Some(reserve) => reserve,
            None => {
                self.metrics.publish_delayed();
                self.budget.reserve(size).await
            }
        }
    }

    /// What was published, if it is kept.
    pub(crate) fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref().map(|archived| &*archived.archive)
    }

    /// The number of messages whose publishers may know that they were accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.metrics.messages()
    }

    /// Has the history's file take nothing more; returns when all that it took is in the channel, for which it has to
    /// be written.
    pub(crate) async fn settle(&self) {
        if let Some(log_writer) = self.log_writer() {
            log_writer.close();
            log_writer.delivered().await;
        }
    }

    /// Accepts nothing more; what is in the channel is still delivered. Waits for nothing: what is yet to be written is
    /// not published any more.
    pub(crate) fn close(&self) {
        if let Some(log_writer) = self.log_writer() {
            log_writer.close();
        }
        self.sender.close();
    }

    /// Returns when the history's file has everything on its disk, once this is closed.
    pub(crate) async fn recorded(&self) {
        if let Some(log_writer) = self.log_writer() {
            log_writer.ended().await;
        }
    }

    /// The end of it, where this waits for the disk as long as that takes: the thread that writes the history is gone
    /// then and its file free, whoever still has a publisher.
    pub(crate) fn end(&self) {
        self.close();
        if let Some(log_writer) = self.log_writer() {
            log_writer.join();
        }
    }

    fn log_writer(&self) -> Option<&LogWriter<Permits>> {
        self.archive.as_ref()?.log_writer.as_ref()
    }
}

/// The receiving side, one for each shard.
#[derive(Debug)]
pub(crate) struct QueueReceiver {
    receiver: Receiver<Queued>,
    /// The number of messages taken so far.
    taken: u64,
}

impl QueueReceiver {
    /// The next message; `None` once the hub is closed and all it had accepted is taken.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Message, InFlight)>> {
        loop {
            match ready!(Pin::new(&mut self.receiver).poll_recv(cx)) {
                Some(Ok(carried)) => return Poll::Ready(Some(self.take(carried))),
                // The channel is not allowed to overflow, so nothing was skipped.
                Some(Err(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// The next message if it is there already.
    pub(crate) fn take_waiting(&mut self) -> Option<(Message, InFlight)> {
        let carried = self.receiver.try_recv().ok()?;
        Some(self.take(carried))
    }

    /// Whether a message is there already.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// The number of messages taken so far, of those that the hub has accepted since it began.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    fn take(&mut self, (message, in_flight, _slot): Queued) -> (Message, InFlight) {
        self.taken += 1;
        (message, in_flight)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::task::Waker;

    use smol::channel::{self, Receiver as Gate};
    use smol::future::{block_on, or};

    use super::*;
    use crate::config::Retention;
    use crate::hub::log::Storage;
    use crate::hub::log::tests::Folder;

    /// A disk that takes each write only when it is let.
    struct Hanging {
        file: File,
        gate: Gate<()>,
    }

    impl Storage for Hanging {
        fn file(&self) -> &File {
            &self.file
        }

        fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            // It takes everything once nobody holds it up any more.
            let _ = self.gate.recv_blocking();
            self.file.write_all_at(bytes, offset)
        }
    }

    fn is_pending(future: Pin<&mut impl Future>) -> bool {
        future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    #[track_caller]
    fn in_time<T>(future: impl Future<Output = T>) -> T {
        let some = async { Some(future.await) };
        let none = async {
            smol::Timer::after(Duration::from_secs(20)).await;
            None
        };
        block_on(or(some, none)).expect("it is still pending")
    }

    /// The streams of a server whose disk hangs end in their time, and its file has what was written in the end.
    #[test]
    fn a_disk_that_hangs_holds_up_no_end_but_that_of_its_thread() {
        let folder = Folder::new();
        let open = || Journal::open(&folder.file(), drop).expect("a file of its own");
        let (mut journal, _) = open();
        let (release, gate) = channel::bounded(2);
        journal.put_on(|file| Hanging { file, gate });
        let kept = HistorySetup {
            archive: Archive::new(Retention::default()),
            journal: Some((journal, HistorySync::Interval)),
        };
        let (hub, mut receivers) =
            Hub::new(&Limits::default(), Some(kept), 1, Metrics::default()).expect("a thread can be started");
        let (fields, topics) = (Fields::default(), Topics::none());
        let publish = || hub.publish(&fields, "x", &topics);
        release.try_send(()).expect("there is room");
        let id = in_time(publish()).expect("it is written");
        let mut held_up = Box::pin(publish());
        assert!(is_pending(held_up.as_mut()));
        let mut settled = Box::pin(hub.settle());
        assert!(is_pending(settled.as_mut()), "what was taken is not in the channel");
        assert!(in_time(publish()).is_err(), "nothing more is taken");
        hub.close();
        let mut next = || in_time(std::future::poll_fn(|cx| receivers[0].poll_next(cx)));
        assert!(next().is_some() && next().is_none(), "the one that was written, and the end");
        assert!(is_pending(Box::pin(hub.recorded()).as_mut()));
        drop(release);
        assert_eq!(in_time(held_up), Err(PublishError::Closed));
        in_time(async { (settled.await, hub.recorded().await) });
        let (_, found) = open();
        assert_eq!((id.is_some(), found.records), (true, 2), "what was written is in it");
    }
}
