//! The recent events, for those who come back.
//!
//! Events are numbered as they were accepted, and held until newer ones push them out of a bound. An event is known to
//! clients by its id, which is its publisher's or the server's own, `<boot>-<number>`: unique over restarts, and
//! ordered within one. Pure: no clock and no lock; times are milliseconds that the caller counts.

use std::collections::{HashMap, VecDeque};

use crate::config::Retention;
use crate::event::frame::Frame;
use crate::event::topic::{FilterSet, Topics};

/// About what an event costs in memory besides its frame and its id.
const EVENT_OVERHEAD: usize = 160;

/// What a client asks for who wants all that is held.
const EARLIEST: &str = "earliest";

/// The recent events, oldest first.
#[derive(Debug)]
pub(crate) struct History {
    retention: Retention,
    boot: u64,
    events: VecDeque<StoredEvent>,
    /// How many events have come and gone.
    gone: u64,
    /// How many were there before this server's first.
    restored: u64,
    /// The id of the last one that went, if it was the server's: behind it nothing is missing yet.
    last_gone: Option<String>,
    /// What the events cost in memory.
    cost: usize,
    /// The newest event of each id that a publisher or an earlier server gave.
    known_ids: HashMap<String, u64>,
}

#[derive(Debug)]
struct StoredEvent {
    at: u64,
    id: String,
    is_own: bool,
    topics: Topics,
    frame: Frame,
}

impl StoredEvent {
    fn cost(&self) -> usize {
        EVENT_OVERHEAD + 2 * self.id.len() + self.frame.as_bytes().len()
    }
}

/// An event of an earlier server.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) at: u64,
    pub(crate) id: String,
    pub(crate) is_own: bool,
    pub(crate) topics: Topics,
    pub(crate) frame: Frame,
}

/// Where a stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The number of the last event that the client has.
    pub(crate) after: u64,
    /// Whether events are missing before what follows.
    pub(crate) has_gap: bool,
}

impl History {
    /// A history of nothing, of a server that started at `boot`, in Unix milliseconds.
    pub(crate) fn new(retention: Retention, boot: u64) -> Self {
        let (events, known_ids) = (VecDeque::new(), HashMap::new());
        Self { retention, boot, events, gone: 0, restored: 0, last_gone: None, cost: 0, known_ids }
    }

    /// How many events are held.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// What they cost in memory.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// When the oldest of them was published.
    pub(crate) fn oldest_at(&self) -> Option<u64> {
        self.events.front().map(|oldest| oldest.at)
    }

    /// How many events have come and gone.
    pub(crate) fn gone(&self) -> u64 {
        self.gone
    }

    /// The number of the newest event; they count from 1.
    pub(crate) fn newest(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    /// The id that the next event gets, if its publisher gives it none.
    pub(crate) fn next_id(&self) -> String {
        format!("{}-{}", self.boot, self.next_number())
    }

    /// The start of this server, and the number that its next event gets; its own count from 1.
    pub(crate) fn next_place(&self) -> (u64, u64) {
        (self.boot, self.next_number())
    }

    fn next_number(&self) -> u64 {
        self.newest() - self.restored + 1
    }

    /// How many events were there before this server's first.
    pub(crate) fn restored(&self) -> u64 {
        self.restored
    }

    /// Appends an event of an earlier server, which started at `boot`. This one has started later, whatever clocks say:
    /// no id is given twice.
    pub(crate) fn restore(&mut self, boot: u64, event: Restored) {
        let Restored { at, id, is_own, topics, frame } = event;
        self.known_ids.insert(id.clone(), self.newest() + 1);
        self.boot = self.boot.max(boot.saturating_add(1));
        self.restored += 1;
        self.keep(StoredEvent { at, id, is_own, topics, frame });
    }

    /// Appends an event at a time, and lets go of what is over the bounds.
    pub(crate) fn push(&mut self, at: u64, id: String, is_own: bool, topics: Topics, frame: Frame) {
        if is_own {
            self.known_ids.insert(id.clone(), self.newest() + 1);
        }
        self.keep(StoredEvent { at, id, is_own, topics, frame });
    }

    fn keep(&mut self, held: StoredEvent) {
        let now = held.at;
        self.cost += held.cost();
        self.events.push_back(held);
        self.expire(now);
    }

    /// Lets go of what is over the bounds at this time.
    pub(crate) fn expire(&mut self, now: u64) {
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

    /// Where a client goes on that has the event with this id.
    pub(crate) fn resume(&self, id: &str) -> Cursor {
        if id == EARLIEST {
            return Cursor { after: self.gone, has_gap: false };
        }
        let known = self.known_ids.get(id).copied();
        match known.or_else(|| self.number_of(id)) {
            Some(after) => Cursor { after, has_gap: false },
            None => Cursor { after: self.gone, has_gap: self.last_gone.as_deref() != Some(id) },
        }
    }

    /// The number of a held event by an id of this server's.
    fn number_of(&self, id: &str) -> Option<u64> {
        let number: u64 = id.strip_prefix(&format!("{}-", self.boot))?.parse().ok()?;
        let number = number.checked_add(self.restored)?;
        let held = self.held(number)?;
        (!held.is_own && held.id == id).then_some(number)
    }

    fn held(&self, number: u64) -> Option<&StoredEvent> {
        let index = number.checked_sub(self.gone + 1)?;
        self.events.get(usize::try_from(index).ok()?)
    }

    /// Appends the frames behind `cursor` that are for this interest, up to the event `last` and until `most` bytes are
    /// there. Moves the cursor behind them; it says so where events have gone that it had yet to read.
    pub(crate) fn read(&self, cursor: &mut Cursor, last: u64, filters: &FilterSet, most: usize, out: &mut Vec<u8>) {
        if cursor.after < self.gone {
            *cursor = Cursor { after: self.gone, has_gap: true };
            return;
        }
        while cursor.after < last && out.len() < most {
            let Some(held) = self.held(cursor.after + 1) else { return };
            if filters.matches(&held.topics) {
                out.extend_from_slice(held.frame.as_bytes());
            }
            cursor.after += 1;
        }
    }

    /// The id of the oldest event that is held.
    pub(crate) fn oldest_id(&self) -> Option<&str> {
        self.events.front().map(|held| &*held.id)
    }

    /// The id of the first event behind `after` that is for this interest.
    pub(crate) fn first_id(&self, after: u64, filters: &FilterSet) -> Option<&str> {
        let skip = usize::try_from(after.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        let mut events = self.events.iter().skip(skip);
        events.find(|held| filters.matches(&held.topics)).map(|held| &*held.id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Retention = Retention { events: 3, bytes: usize::MAX, age: Duration::MAX };

    fn push(history: &mut History, at: u64, text: &str, own_id: Option<&str>, topics: &[&str]) {
        let id = own_id.map_or_else(|| history.next_id(), str::to_owned);
        let topics = Topics::parse(topics.iter().copied()).expect("topics");
        history.push(at, id, own_id.is_some(), topics, Frame::message(text));
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
    fn who_comes_back_gets_what_is_behind_its_id_or_all_behind_a_gap() {
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
    fn a_publishers_id_is_the_events_id_and_the_newest_of_it_counts() {
        let mut history = with(BOUNDS, &["1"]);
        push(&mut history, 0, "2", Some("a"), &[]);
        push(&mut history, 0, "3", Some("a"), &[]);
        assert_eq!(resumed(&history, "a"), (String::new(), false));
        assert_eq!(resumed(&history, "7-2"), ("1 2 3 ".to_owned(), true), "that event has no such id");
        push(&mut history, 0, "4", None, &[]);
        push(&mut history, 0, "5", None, &[]);
        assert_eq!(resumed(&history, "a"), ("4 5 ".to_owned(), false));
        push(&mut history, 0, "6", None, &[]);
        assert_eq!(resumed(&history, "a"), ("4 5 6 ".to_owned(), true), "it went");
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
    fn a_cursor_that_the_history_overtakes_has_a_gap() {
        let mut history = with(BOUNDS, &["1", "2", "3"]);
        let mut cursor = history.resume("7-1");
        (4..=6).for_each(|number| push(&mut history, 0, &number.to_string(), None, &[]));
        assert_eq!(read(&history, &mut cursor, &[]), "");
        assert_eq!(cursor, Cursor { after: 3, has_gap: true });
        assert_eq!(read(&history, &mut cursor, &[]), "4 5 6 ");
        assert_eq!(history.first_id(4, &filter_set(&[])), Some("7-5"));
    }

    proptest! {
        /// Against a plain list, for any topics, bounds, resume point and portions.
        #[test]
        fn what_is_read_is_what_a_list_says(
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
