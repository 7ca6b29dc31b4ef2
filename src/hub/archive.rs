//! The history of a server, shared by its shards: who publishes appends to it, who comes back reads.
//!
//! An event gets its number, its id and its place in the channel under one lock, so that numbers follow the one order
//! of all messages. Streams read under the same lock, a portion at a time; no stream that is not coming back takes it.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::history::{Cursor, History, Restored};
use crate::config::Retention;
use crate::event::frame::Frame;
use crate::event::json;
use crate::event::topic::{FilterSet, Topics};
use crate::sys::lock;

/// How much a stream that comes back is sent at once.
const PORTION_BYTES: usize = 64 * 1024;

/// The history, and the time in which it counts ages.
#[derive(Debug)]
pub(crate) struct Archive {
    history: Mutex<History>,
    start: Instant,
    /// The same moment by the wall clock, in Unix milliseconds. From then on only time that passes counts.
    started_at: u64,
}

impl Archive {
    /// An empty archive of a server that starts now.
    pub(crate) fn new(retention: Retention) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let started_at = u64::try_from(since).unwrap_or(u64::MAX);
        Self { history: Mutex::new(History::new(retention, started_at)), start: Instant::now(), started_at }
    }

    /// Keeps an event of an earlier server, behind those that were restored before.
    pub(crate) fn restore(&self, boot: u64, event: Restored) {
        lock(&self.history).restore(boot, event);
    }

    /// How many events were restored.
    pub(crate) fn restored(&self) -> u64 {
        lock(&self.history).restored()
    }

    /// How many events have come and gone, the restored ones included.
    pub(crate) fn gone(&self) -> u64 {
        lock(&self.history).gone()
    }

    /// The time, this server's start, and the number that its next event gets.
    pub(crate) fn next_place(&self) -> (u64, u64, u64) {
        let (boot, number) = lock(&self.history).next_place();
        (self.now(), boot, number)
    }

    /// Has `send` put an event into the channel, and keeps it.
    pub(crate) fn append<E>(
        &self,
        id: String,
        is_own: bool,
        topics: &Topics,
        frame: Frame,
        send: impl FnOnce(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        self.append_to(&mut lock(&self.history), id, is_own, topics, frame, send)
    }

    /// Encodes an event with its id, has `send` put it into the channel, and keeps it. Returns the id, or what `send`
    /// failed with: then nothing was kept, and the next event gets that number.
    pub(crate) fn accept<E>(
        &self,
        own_id: Option<&str>,
        topics: &Topics,
        encode: impl FnOnce(&str) -> Frame,
        send: impl FnOnce(Frame) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut history = lock(&self.history);
        let id = own_id.map_or_else(|| history.next_id(), str::to_owned);
        let frame = encode(&id);
        self.append_to(&mut history, id.clone(), own_id.is_some(), topics, frame, send)?;
        Ok(id)
    }

    fn append_to<E>(
        &self,
        history: &mut History,
        id: String,
        is_own: bool,
        topics: &Topics,
        frame: Frame,
        send: impl FnOnce(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        send(frame.clone())?;
        history.push(self.now(), id, is_own, topics.clone(), frame);
        Ok(())
    }

    /// Where a stream goes on whose client has the event with this id, and what tells it of a gap.
    pub(crate) fn resume(&self, id: &str) -> Cursor {
        let mut history = lock(&self.history);
        history.expire(self.now());
        history.resume(id)
    }

    /// The next events behind the cursor, up to the event `last`, and moves it behind them. Where events are missing
    /// before them an event says so, to a client that asked for `requested`; nothing where the cursor is at `last`.
    pub(crate) fn read(&self, cursor: &mut Cursor, last: u64, filters: &FilterSet, requested: &str) -> Vec<u8> {
        let history = lock(&self.history);
        let mut out = Vec::new();
        loop {
            if std::mem::take(&mut cursor.has_gap) {
                out.extend_from_slice(gap(&history, cursor.after, filters, requested).as_bytes());
            }
            history.read(cursor, last, filters, PORTION_BYTES, &mut out);
            if !cursor.has_gap {
                return out;
            }
        }
    }

    /// What is held now: so many events and bytes, the oldest of them so old.
    pub(crate) fn held(&self) -> (usize, usize, Option<Duration>) {
        let mut history = lock(&self.history);
        let now = self.now();
        history.expire(now);
        let age = history.oldest_at().map(|at| Duration::from_millis(now.saturating_sub(at)));
        (history.events(), history.cost(), age)
    }

    fn now(&self) -> u64 {
        self.started_at.saturating_add(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// The event that tells a client that some are missing.
fn gap(history: &History, after: u64, filters: &FilterSet, requested: &str) -> String {
    let id = |id: Option<&str>| id.map_or_else(|| "null".to_owned(), json::string);
    format!(
        "event: gap\ndata: {{\"requested\":{},\"resumed_from\":{},\"oldest\":{}}}\n\n",
        json::string(requested),
        id(history.first_id(after, filters)),
        id(history.oldest_id()),
    )
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn accept(archive: &Archive, own_id: Option<&str>, text: &str) -> String {
        let encode = |id: &str| Frame::message(&format!("{id} {text}"));
        archive.accept(own_id, &Topics::none(), encode, |_| Ok::<_, Infallible>(())).expect("it is sent")
    }

    #[test]
    fn what_was_not_sent_was_not_accepted() {
        let archive = Archive::new(Retention::default());
        let refused = archive.accept(None, &Topics::none(), |_| Frame::message("x"), |_| Err(()));
        assert_eq!(refused, Err(()));
        let first = accept(&archive, None, "a");
        assert!(first.ends_with("-1"), "{first}");
        let second = accept(&archive, Some("own"), "b");
        assert_eq!(second, "own");
        let mut cursor = archive.resume(&first);
        let read = archive.read(&mut cursor, 2, &FilterSet::default(), &first);
        assert_eq!(String::from_utf8_lossy(&read), "data: own b\n\n");
        assert!(archive.read(&mut cursor, 2, &FilterSet::default(), &first).is_empty());
    }

    #[test]
    fn a_gap_is_told_before_what_follows_it() {
        let archive = Archive::new(Retention { events: 1, ..Retention::default() });
        let read = |archive: &Archive, last| {
            let mut cursor = archive.resume("\"x\n");
            String::from_utf8(archive.read(&mut cursor, last, &FilterSet::default(), "\"x\n")).expect("text")
        };
        let nothing = "event: gap\ndata: {\"requested\":\"\\\"x\\u000a\",\"resumed_from\":null,\"oldest\":null}\n\n";
        assert_eq!(read(&archive, 0), nothing);
        accept(&archive, Some("1"), "a");
        accept(&archive, Some("2"), "b");
        let found = "event: gap\ndata: {\"requested\":\"\\\"x\\u000a\",\"resumed_from\":\"2\",\"oldest\":\"2\"}\n\n";
        assert_eq!(read(&archive, 2), format!("{found}data: 2 b\n\n"));
    }
}
