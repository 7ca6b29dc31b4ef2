//! The recent events, for subscribers that resume.
//!
//! Events are numbered in the order of the queue, and held until newer ones push them out of a bound. Clients know an
//! event by its id: its publisher's, or `<boot>-<number>`, unique over restarts and ordered within one. Pure: no clock,
//! no lock; the caller says the time, in milliseconds.
//!
//! The invariant: the held events are the newest, without a gap, and their numbers follow those of the events gone.

use std::collections::{HashMap, VecDeque};

use super::queue::Message;
use crate::config::Retention;
use crate::event::topic::FilterSet;

/// Estimated memory of an event besides its frame and its id, in bytes.
const EVENT_OVERHEAD: usize = 160;

/// Id that asks for all held events.
const EARLIEST: &str = "earliest";

/// The recent events, oldest first.
#[derive(Debug)]
pub(super) struct History {
    retention: Retention,
    /// Start of this server, in Unix milliseconds: the first part of the ids that it gives.
    boot: u64,
    events: VecDeque<StoredEvent>,
    /// Number of events that are not held any more.
    pub(super) gone: u64,
    /// Number of events that came from earlier servers.
    pub(super) restored: u64,
    /// Id of the last event that went, if the server gave it: a client that has it misses nothing yet.
    last_gone: Option<String>,
    /// Estimated memory of the held events, in bytes.
    cost: usize,
    /// Newest event of each id that a publisher or an earlier server gave.
    known_ids: HashMap<String, u64>,
}

/// A held event.
#[derive(Debug)]
pub(super) struct StoredEvent {
    /// Time of its publication, in Unix milliseconds.
    pub(super) at: u64,
    pub(super) id: String,
    /// Set if the publisher gave the id.
    pub(super) is_own: bool,
    pub(super) message: Message,
}

impl StoredEvent {
    fn cost(&self) -> usize {
        EVENT_OVERHEAD + 2 * self.id.len() + self.message.frame.as_bytes().len()
    }
}

/// Place in the history from which a client reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Number of the last event that the client has.
    pub(crate) after: u64,
    /// Set if events are missing behind that one.
    pub(crate) has_gap: bool,
}

impl History {
    /// Makes an empty history of a server that started at `boot`, in Unix milliseconds.
    pub(super) fn new(retention: Retention, boot: u64) -> Self {
        let (events, known_ids) = (VecDeque::new(), HashMap::new());
        Self { retention, boot, events, gone: 0, restored: 0, last_gone: None, cost: 0, known_ids }
    }

    /// Number of held events, their estimated memory in bytes, and the time of the oldest.
    pub(super) fn stats(&self) -> (usize, usize, Option<u64>) {
        (self.events.len(), self.cost, self.events.front().map(|oldest| oldest.at))
    }

    /// Number of events of this server so far.
    pub(super) fn position(&self) -> u64 {
        self.newest() - self.restored
    }

    /// Id of the next event, unless its publisher gives one.
    pub(super) fn next_id(&self) -> String {
        let (boot, number) = self.next_place();
        server_id(boot, number)
    }

    /// Start of this server, and number of its next event; its own count from 1.
    pub(super) fn next_place(&self) -> (u64, u64) {
        (self.boot, self.position() + 1)
    }

    /// Number of the newest event, those of earlier servers included.
    fn newest(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    /// Appends an event of an earlier server, which started at `boot`.
    ///
    /// This server's own start moves behind that if the wall clock went back meanwhile, so that no id is given twice.
    pub(super) fn restore(&mut self, boot: u64, event: StoredEvent) {
        self.known_ids.insert(event.id.clone(), self.newest() + 1);
        self.boot = self.boot.max(boot.saturating_add(1));
        self.restored += 1;
        self.keep(event);
    }

    /// Appends an event and drops those over the bounds.
    pub(super) fn push(&mut self, event: StoredEvent) {
        if event.is_own {
            self.known_ids.insert(event.id.clone(), self.newest() + 1);
        }
        self.keep(event);
    }

    /// Counts an event that is not kept.
    pub(super) fn count_unkept(&mut self) {
        self.gone += 1;
    }

    fn keep(&mut self, event: StoredEvent) {
        let now = event.at;
        self.cost += event.cost();
        self.events.push_back(event);
        self.expire(now);
    }

    /// Drops the events over the bounds at this time.
    pub(super) fn expire(&mut self, now: u64) {
        let age = u64::try_from(self.retention.age.as_millis()).unwrap_or(u64::MAX);
        while let Some(oldest) = self.events.front() {
            let is_old = now.saturating_sub(oldest.at) > age;
            if !is_old && self.events.len() <= self.retention.events && self.cost <= self.retention.bytes {
                break;
            }
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.gone += 1;
        self.cost -= oldest.cost();
        if self.known_ids.get(&oldest.id) == Some(&self.gone) {
            self.known_ids.remove(&oldest.id);
        }
        self.last_gone = (!oldest.is_own).then_some(oldest.id);
    }

    /// Finds the place behind the event with this id, the last one that a client has.
    pub(super) fn resume(&self, id: &str) -> Cursor {
        if id == EARLIEST {
            return Cursor { after: self.gone, has_gap: false };
        }
        let known = self.known_ids.get(id).copied();
        match known.or_else(|| self.number_of(id)) {
            Some(after) => Cursor { after, has_gap: false },
            None => Cursor { after: self.gone, has_gap: self.last_gone.as_deref() != Some(id) },
        }
    }

    /// Number of the held event with this id, if this server gave it.
    fn number_of(&self, id: &str) -> Option<u64> {
        let number: u64 = id.strip_prefix(&format!("{}-", self.boot))?.parse().ok()?;
        let number = number.checked_add(self.restored)?;
        let event = self.held(number)?;
        (!event.is_own && event.id == id).then_some(number)
    }

    fn held(&self, number: u64) -> Option<&StoredEvent> {
        let index = number.checked_sub(self.gone + 1)?;
        self.events.get(usize::try_from(index).ok()?)
    }

    /// Appends the frames behind the cursor that match, up to the event `last` and until `most` bytes are there.
    ///
    /// Moves the cursor behind them. Reads nothing but notes a gap if the next events have gone meanwhile.
    pub(super) fn read(&self, cursor: &mut Cursor, last: u64, filters: &FilterSet, most: usize, out: &mut Vec<u8>) {
        if cursor.after < self.gone {
            *cursor = Cursor { after: self.gone, has_gap: true };
            return;
        }
        while cursor.after < last && out.len() < most {
            let Some(StoredEvent { message, .. }) = self.held(cursor.after + 1) else { return };
            if filters.matches(&message.topics) {
                out.extend_from_slice(message.frame.as_bytes());
            }
            cursor.after += 1;
        }
    }

    /// Id of the oldest held event.
    pub(super) fn oldest_id(&self) -> Option<&str> {
        self.events.front().map(|event| &*event.id)
    }

    /// Id of the first event behind `after` that matches.
    pub(super) fn first_id(&self, after: u64, filters: &FilterSet) -> Option<&str> {
        let skip = usize::try_from(after.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let mut events = self.events.iter().skip(skip);
        events.find(|event| filters.matches(&event.message.topics)).map(|event| &*event.id)
    }
}

/// Id that a server gives an event: its start, and the event's number since then.
pub(super) fn server_id(boot: u64, number: u64) -> String {
    format!("{boot}-{number}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::frame::Frame;
    use crate::event::topic::Topics;

    const BOUNDS: Retention = Retention { events: 3, bytes: usize::MAX, age: Duration::MAX };

    fn push(history: &mut History, at: u64, text: &str, own_id: Option<&str>, topics: &[&str]) {
        let id = own_id.map_or_else(|| history.next_id(), str::to_owned);
        let topics = Topics::parse(topics.iter().copied()).expect("topics");
        let message = Message { frame: Frame::message(text), topics };
        history.push(StoredEvent { at, id, is_own: own_id.is_some(), message });
    }

    fn with(bounds: Retention, texts: &[&str]) -> History {
        let mut history = History::new(bounds, 7);
        texts.iter().for_each(|text| push(&mut history, 0, text, None, &[]));
        history
    }

    fn filter_set(filters: &[&str]) -> FilterSet {
        FilterSet::parse(filters.iter().copied()).expect("filters")
    }

    fn read(history: &History, cursor: &mut Cursor, filters: &[&str]) -> String {
        let mut out = Vec::new();
        history.read(cursor, u64::MAX, &filter_set(filters), usize::MAX, &mut out);
        String::from_utf8(out).expect("text").replace("data: ", "").replace("\n\n", " ")
    }

    fn resumed(history: &History, id: &str) -> (String, bool) {
        let mut cursor = history.resume(id);
        let has_gap = cursor.has_gap;
        (read(history, &mut cursor, &[]), has_gap)
    }

    #[test]
    fn a_client_resumes_behind_its_id_or_behind_a_gap() {
        let history = with(BOUNDS, &["1", "2", "3", "4"]);
        for (id, expected, has_gap) in [
            ("7-4", "", false),
            ("7-3", "4 ", false),
            ("7-2", "3 4 ", false),
            ("7-1", "2 3 4 ", false),
            ("earliest", "2 3 4 ", false),
            ("7-0", "2 3 4 ", true),
            ("7-5", "2 3 4 ", true),
            ("6-3", "2 3 4 ", true),
            ("7-03", "2 3 4 ", true),
            ("", "2 3 4 ", true),
            ("x", "2 3 4 ", true),
        ] {
            assert_eq!(resumed(&history, id), (expected.to_owned(), has_gap), "for {id:?}");
        }
        assert_eq!((history.oldest_id(), history.next_id()), (Some("7-2"), "7-5".to_owned()));
    }

    #[test]
    fn an_id_given_twice_names_the_newest_event() {
        let mut history = with(BOUNDS, &["1"]);
        push(&mut history, 0, "2", Some("a"), &[]);
        push(&mut history, 0, "3", Some("a"), &[]);
        assert_eq!(resumed(&history, "a"), (String::new(), false));
        assert_eq!(resumed(&history, "7-2"), ("1 2 3 ".to_owned(), true), "that event has its publisher's id");
        push(&mut history, 0, "4", None, &[]);
        push(&mut history, 0, "5", None, &[]);
        assert_eq!(resumed(&history, "a"), ("4 5 ".to_owned(), false));
        push(&mut history, 0, "6", None, &[]);
        assert_eq!(resumed(&history, "a"), ("4 5 6 ".to_owned(), true), "it is gone");
        assert!(history.known_ids.is_empty());
    }

    #[test]
    fn each_bound_holds() {
        let cost = with(BOUNDS, &["1"]).cost;
        let few_bytes = with(Retention { bytes: 2 * cost, ..BOUNDS }, &["1", "2", "3"]);
        assert_eq!((few_bytes.oldest_id(), few_bytes.cost), (Some("7-2"), 2 * cost));
        let mut short = History::new(Retention { age: Duration::from_millis(10), ..BOUNDS }, 7);
        push(&mut short, 0, "1", None, &[]);
        push(&mut short, 5, "2", None, &[]);
        short.expire(10);
        assert_eq!(short.oldest_id(), Some("7-1"));
        short.expire(11);
        assert_eq!(short.oldest_id(), Some("7-2"));
        short.expire(1000);
        assert_eq!((short.oldest_id(), short.cost), (None, 0));
        assert_eq!(resumed(&short, "7-2"), (String::new(), false), "nothing is missing behind the last");
    }

    #[test]
    fn an_overtaken_cursor_has_a_gap() {
        let mut history = with(BOUNDS, &["1", "2", "3"]);
        let mut cursor = history.resume("7-1");
        (4..=6).for_each(|number| push(&mut history, 0, &number.to_string(), None, &[]));
        assert_eq!(read(&history, &mut cursor, &[]), "");
        assert_eq!(cursor, Cursor { after: 3, has_gap: true });
        assert_eq!(read(&history, &mut cursor, &[]), "4 5 6 ");
        assert_eq!(history.first_id(4, &filter_set(&[])), Some("7-5"));
    }

    proptest! {
        /// Compares with a plain list, for any topics, bounds, resume point and portions.
        #[test]
        fn reads_agree_with_a_list(
            topics in prop::collection::vec(0_usize..3, 1..20),
            own in prop::collection::vec(any::<bool>(), 20),
            most in 1_usize..25,
            filters in prop::sample::subsequence(vec!["a", "b"], 0..=2),
            resume in 0_usize..22,
            portion in 1_usize..40,
        ) {
            let mut history = History::new(Retention { events: most, ..BOUNDS }, 7);
            let mut all = Vec::new();
            for (number, topic) in topics.iter().enumerate() {
                let id = if own[number] { format!("own{number}") } else { history.next_id() };
                let topics: &[&str] = [&[][..], &["a"], &["b"]][*topic];
                push(&mut history, 0, &number.to_string(), own[number].then_some(&id), topics);
                all.push((id, number, topics.first().is_none_or(|topic| filters.contains(topic))));
            }
            let held = &all[all.len().saturating_sub(most)..];
            let id = all.get(resume).map_or("none".to_owned(), |(id, ..)| id.clone());
            let behind = held.iter().position(|(held, ..)| *held == id).map(|index| index + 1);
            let expected: String = held[behind.unwrap_or(0)..]
                .iter()
                .filter(|(.., wanted)| *wanted)
                .map(|(_, number, _)| format!("data: {number}\n\n"))
                .collect();

            let mut cursor = history.resume(&id);
            let is_last_gone = resume + most + 1 == all.len() && !own[resume.min(19)];
            prop_assert_eq!(cursor.has_gap, behind.is_none() && !is_last_gone);
            let mut read = Vec::new();
            loop {
                let (before, mut out) = (cursor, Vec::new());
                history.read(&mut cursor, history.newest(), &filter_set(&filters), portion, &mut out);
                read.extend(out);
                if cursor == before {
                    break;
                }
            }
            prop_assert_eq!(String::from_utf8(read).expect("text"), expected);
        }
    }
}
