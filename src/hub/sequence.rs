//! The one order of all messages: number, id, history and queue, under one lock.
//!
//! A message gets all four in [`Sequence::commit`], however it was published. So numbers follow the order of the queue,
//! and a client that resumes goes from history to live events without a gap. The lock is held for a memory operation,
//! never across a wait or a write to disk. Subscribers that resume read the history under it, a portion at a time.
//!
//! Room in the queue is the budget's concern, and writing to disk is the log's.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::budget::Permit;
use super::history::{Cursor, Gap, HeldEvent, History, StoredEvent};
use super::queue::{Message, QueueSender, Queued};
use super::runs::Place;
use super::{Draft, PublishError};
use crate::event::frame::{self, Frame};
use crate::event::topic::FilterSet;
use crate::metrics::Metrics;
use crate::sys::{lock, unix_millis};

/// Bytes of history that are copied for a subscriber at once. A longer event is sent from the history itself, so a
/// subscriber that reads slowly costs no more than this.
const PORTION_BYTES: usize = 16 * 1024;

/// The order of a server's messages.
#[derive(Debug)]
pub(crate) struct Sequence {
    /// Counts every message. It stays empty unless `keeps_history`.
    history: Mutex<History>,
    /// Without a history, events have no ids of the server's.
    keeps_history: bool,
    /// Written to under the lock of `history`.
    queue: QueueSender,
    /// Start of this server. Time goes on from there, so that it never goes back.
    start: Instant,
    metrics: Metrics,
}

impl Sequence {
    /// Starts the sequence behind the events of earlier servers that `history` holds.
    pub(super) fn new(history: Option<History>, queue: QueueSender, metrics: Metrics) -> Self {
        let keeps_history = history.is_some();
        let history = history.unwrap_or_else(|| History::new(Default::default(), 0));
        Self { history: Mutex::new(history), keeps_history, queue, start: Instant::now(), metrics }
    }

    /// Number of messages committed so far: a new stream begins behind them.
    pub(super) fn position(&self) -> u64 {
        lock(&self.history).position()
    }

    pub(super) fn keeps_history(&self) -> bool {
        self.keeps_history
    }

    /// Encodes a message, keeps it and queues it. Returns the event's id, if there is a history.
    ///
    /// # Errors
    ///
    /// `Duplicate` if the history holds another event with the id, and `Stopped` if the queue is closed.
    pub(super) fn commit(&self, draft: Draft<'_>, permit: Permit) -> Result<Option<String>, PublishError> {
        let Draft { fields, data, topics } = draft;
        let encode = |id: Option<&str>| Message { frame: Frame::with_fields(fields, id, data), topics: topics.clone() };
        if !self.keeps_history {
            // Nothing in the frame depends on the number, so it is encoded outside the lock.
            let queued = Queued::new(encode(None), permit);
            let mut history = lock(&self.history);
            self.queue.push(queued)?;
            history.count_unkept();
            self.metrics.message_accepted();
            return Ok(None);
        }
        let mut history = lock(&self.history);
        let uptime = self.uptime();
        if let Some(id) = &fields.id {
            let now = history.time_at(uptime);
            history.expire(now);
            if history.is_taken(id) {
                return Err(PublishError::Duplicate);
            }
        }
        let id = fields.id.clone().unwrap_or_else(|| history.next_id());
        let own_id = fields.id.as_deref().map(Arc::from);
        let event = StoredEvent { uptime, own_id, message: encode(Some(&id)) };
        self.append(&mut history, event, permit)?;
        Ok(Some(id))
    }

    /// Says for each of these ids if the history holds another event with it.
    pub(super) fn are_taken<'i>(&self, ids: impl Iterator<Item = Option<&'i str>>) -> Vec<bool> {
        let (history, _) = self.at_present();
        ids.map(|id| id.is_some_and(|id| history.is_taken(id))).collect()
    }

    /// Keeps and queues messages that the log has written under the next numbers. Returns the number of them that were
    /// queued, less than all if the queue is closed, and the number of events that the history has dropped so far.
    pub(super) fn commit_written(&self, events: impl Iterator<Item = (StoredEvent, Permit)>) -> (usize, u64) {
        let mut history = lock(&self.history);
        let queued = events.map_while(|(event, permit)| self.append(&mut history, event, permit).ok()).count();
        (queued, history.gone)
    }

    /// An event that the queue rejects is not kept, and the next one gets its number.
    fn append(&self, history: &mut History, event: StoredEvent, permit: Permit) -> Result<(), PublishError> {
        self.queue.push(Queued::new(event.message.clone(), permit))?;
        let now = history.time_at(event.uptime);
        history.push(event, now);
        self.metrics.message_accepted();
        Ok(())
    }

    /// Rejects further messages. Those in the queue are still delivered.
    pub(super) fn close(&self) {
        self.queue.close();
    }

    /// Place of the next event, for the log's records.
    pub(super) fn next_place(&self) -> Place {
        lock(&self.history).next_place(self.uptime())
    }

    /// Drops the events that are too old. Returns the number of events that the history held once and does not any
    /// more, so that the log may release them.
    pub(super) fn expire(&self) -> u64 {
        self.at_present().0.gone
    }

    /// The next held events behind a position, until so many bytes are there, and the position of the last of them.
    pub(super) fn held_behind(&self, position: u64, most: usize) -> (Vec<HeldEvent>, u64) {
        lock(&self.history).held_behind(position, most)
    }

    /// Follows the wall clock if that was put forward, so that ages stay right: a clock may be wrong at the start.
    pub(super) fn correct_clock(&self, now: SystemTime) {
        let mut history = lock(&self.history);
        history.correct_own_start(unix_millis(now).saturating_sub(self.uptime()));
    }

    /// Milliseconds since the start.
    fn uptime(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The history without events that are too old, and the time in Unix milliseconds.
    fn at_present(&self) -> (MutexGuard<'_, History>, u64) {
        let mut history = lock(&self.history);
        let now = history.time_at(self.uptime());
        history.expire(now);
        (history, now)
    }

    /// Number of events that came from earlier servers.
    pub(crate) fn restored(&self) -> u64 {
        lock(&self.history).restored
    }

    /// Finds the place behind the event with this id, the last one that a client has.
    pub(crate) fn resume(&self, id: &str) -> Cursor {
        self.at_present().0.resume(id)
    }

    /// Reads the next events behind the cursor, up to the event `last`, and moves the cursor behind them.
    ///
    /// Appends them to `out`, or returns the last of them if it is too long for a copy. A `gap` event precedes them if
    /// events are missing there; it names `requested`, the id that the client sent, and has the id of a client that
    /// was told. Nothing is read if the cursor is at `last`.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        last: u64,
        filters: &FilterSet,
        requested: &str,
        out: &mut Vec<u8>,
    ) -> Option<Frame> {
        let history = lock(&self.history);
        let most = out.len() + PORTION_BYTES;
        loop {
            if cursor.gap == Gap::Due {
                cursor.gap = Gap::Told;
                let (first, oldest) = (history.first_id(cursor.after, filters), history.oldest_id());
                let id = history.covering_id(cursor.after);
                let gap = frame::gap(Some(&id), Some(requested), first.as_deref(), oldest.as_deref());
                out.extend_from_slice(gap.as_bytes());
            }
            let long = history.read(cursor, last, filters, most, out);
            if long.is_some() || cursor.gap != Gap::Due {
                return long;
            }
        }
    }

    /// Id of a client that has the first events of this server, so many, and all before them.
    pub(crate) fn covering_id(&self, events: u64) -> String {
        let history = lock(&self.history);
        history.covering_id(history.restored + events)
    }

    /// Number of held events, their bytes, and the age of the oldest.
    pub(crate) fn held(&self) -> (usize, usize, Option<Duration>) {
        let (history, now) = self.at_present();
        let (events, bytes, age) = history.stats(now);
        (events, bytes, age.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use smol::block_on;

    use super::*;
    use crate::config::{Limits, Retention};
    use crate::event::frame::Fields;
    use crate::event::topic::Topics;
    use crate::hub::budget::Budget;
    use crate::hub::queue::{QueueReceiver, queue};

    /// A sequence with a history, and the budget and the one receiver that go with it.
    struct Fixture {
        sequence: Sequence,
        budget: Arc<Budget>,
        receiver: QueueReceiver,
    }

    impl Fixture {
        fn new(retention: Retention) -> Self {
            let (limits, metrics) = (Limits::default(), Metrics::default());
            let (sender, mut receivers) = queue(limits.publish_queue, 1);
            let history = History::new(retention, unix_millis(SystemTime::now()));
            let sequence = Sequence::new(Some(history), sender, metrics.clone());
            Self { sequence, budget: Budget::new(&limits, 1, metrics), receiver: receivers.remove(0) }
        }

        fn commit(&self, own_id: Option<&str>, data: &str) -> Result<Option<String>, PublishError> {
            let fields = Fields { id: own_id.map(str::to_owned), ..Fields::default() };
            let permit = block_on(self.budget.reserve(data.len())).expect("the budget is open");
            self.sequence.commit(Draft::new(&fields, data, &Topics::none()), permit)
        }

        fn committed(&self, own_id: Option<&str>, data: &str) -> String {
            self.commit(own_id, data).expect("the queue is open").expect("there is a history")
        }

        fn read(&self, id: &str, last: u64) -> String {
            let mut cursor = self.sequence.resume(id);
            let mut read = Vec::new();
            assert!(self.sequence.read(&mut cursor, last, &FilterSet::default(), id, &mut read).is_none());
            String::from_utf8(read).expect("text")
        }
    }

    #[test]
    fn numbers_follow_the_order_of_the_queue() {
        let mut fixture = Fixture::new(Retention::default());
        let first = fixture.committed(None, "a");
        assert!(first.ends_with("-1"), "{first}");
        assert_eq!(fixture.committed(Some("own"), "b"), "own");
        assert_eq!(fixture.sequence.position(), 2);
        assert_eq!(fixture.read(&first, 2), "id: own\ndata: b\n\n");
        assert_eq!(fixture.read("own", 2), "", "nothing is behind the last");
        let mut queued = || String::from_utf8(fixture.receiver.take_waiting()?.frame.as_bytes().to_vec()).ok();
        assert_eq!(queued(), Some(format!("id: {first}\ndata: a\n\n")));
        assert_eq!((queued(), queued()), (Some("id: own\ndata: b\n\n".to_owned()), None));
    }

    #[test]
    fn a_message_that_is_not_queued_is_not_kept() {
        let fixture = Fixture::new(Retention::default());
        let first = fixture.committed(None, "a");
        fixture.sequence.close();
        assert_eq!(fixture.commit(None, "x"), Err(PublishError::Stopped));
        assert_eq!((fixture.sequence.position(), fixture.sequence.held().0), (1, 1));
        assert_eq!(fixture.read(&first, 2), "");
    }

    #[test]
    fn a_gap_is_told_before_what_follows_it() {
        let fixture = Fixture::new(Retention { events: 1, ..Retention::default() });
        let data = "{\"requested\":\"\\\"x\\u000a\",\"resumed_from\":null,\"oldest\":null}";
        let start = fixture.sequence.covering_id(0);
        assert_eq!(fixture.read("\"x\n", 0), format!("event: gap\nid: {start}\ndata: {data}\n\n"));
        assert_eq!(fixture.read(&start, 0), "", "it is told once");
        fixture.committed(Some("1"), "a");
        fixture.committed(Some("2"), "b");
        let found =
            "event: gap\nid: 1\ndata: {\"requested\":\"\\\"x\\u000a\",\"resumed_from\":\"2\",\"oldest\":\"2\"}\n\n";
        assert_eq!(fixture.read("\"x\n", 2), format!("{found}id: 2\ndata: b\n\n"));
        assert_eq!(fixture.read("1", 2), "id: 2\ndata: b\n\n", "it is told once");
    }

    #[test]
    fn an_id_names_one_event() {
        let fixture = Fixture::new(Retention { events: 2, ..Retention::default() });
        let first = fixture.committed(None, "a");
        fixture.committed(Some("own"), "b");
        let next = format!("{}3", first.strip_suffix('1').expect("the first"));
        for id in ["own", &first, &next] {
            assert_eq!(fixture.commit(Some(id), "x"), Err(PublishError::Duplicate), "{id}");
        }
        assert_eq!(fixture.committed(None, "c"), next, "no number is lost");
        fixture.committed(None, "d");
        assert_eq!(fixture.commit(Some("own"), "x"), Err(PublishError::Duplicate), "clients resume from the last gone");
        fixture.committed(None, "e");
        assert_eq!(fixture.committed(Some("own"), "f"), "own", "it is gone");
    }

    #[test]
    fn an_id_that_is_too_old_is_free() {
        let fixture = Fixture::new(Retention { age: Duration::ZERO, ..Retention::default() });
        fixture.committed(Some("own"), "a");
        fixture.committed(None, "b");
        // The clock has to go on by a millisecond, and one more event goes.
        while fixture.sequence.held().0 > 0 {}
        assert!(fixture.sequence.resume("own").gap == Gap::Due);
        assert_eq!(fixture.committed(Some("own"), "c"), "own");
    }
}
