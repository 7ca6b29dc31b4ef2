//! The recent events, for subscribers that resume.
//!
//! Events are numbered in the order of the queue, and held until newer ones push them out of a bound. Clients know an
//! event by its id: its publisher's, or `<boot>-<number>`, unique over restarts and ordered within one. Pure: no clock,
//! no lock; the caller says the time, in milliseconds.
//!
//! The invariants: the held events are the newest, and their positions follow those of the events gone. Between two of
//! them events are missing only where a mark says so, and a client that reads across the mark is told of a gap.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::boot::Boot;
use super::queue::Message;
use super::runs::{EventKey, Place, Runs, Stamp};
use crate::config::Retention;
use crate::event::frame::Frame;
use crate::event::topic::FilterSet;

/// Estimated memory of an event besides its frame, its topics and its publisher's id, in bytes.
const EVENT_OVERHEAD: usize = 160;

/// Estimated memory of an id that a publisher gave besides its bytes: the allocation, and the entry of the index.
const ID_OVERHEAD: usize = 96;

/// Milliseconds by which a clock has to be put forward to count: less is its usual drift.
const LEAST_CORRECTION: u64 = 1000;

/// Id that asks for all held events.
const EARLIEST: &str = "earliest";

/// The recent events, oldest first.
#[derive(Debug)]
pub(super) struct History {
    retention: Retention,
    events: VecDeque<StoredEvent>,
    /// The runs of the held events and of the last one that went; the last run is this server's.
    runs: Runs,
    /// Number of events that are not held any more.
    pub(super) gone: u64,
    /// Number of events that came from earlier servers.
    pub(super) restored: u64,
    /// Set if the server gave the id of the last event that went: a client that has it misses nothing yet.
    has_gone_by_server_id: bool,
    /// Estimated memory of the held events, in bytes.
    cost: usize,
    /// Newest event of each id that a publisher gave.
    own_ids: HashMap<Arc<str>, u64>,
}

/// A held event.
#[derive(Clone, Debug)]
pub(super) struct StoredEvent {
    /// Milliseconds from its server's start to its publication.
    pub(super) uptime: u64,
    /// Id that its publisher gave it.
    pub(super) own_id: Option<Arc<str>>,
    pub(super) message: Message,
}

impl StoredEvent {
    fn cost(&self) -> usize {
        let id = self.own_id.as_ref().map_or(0, |id| ID_OVERHEAD + id.len());
        EVENT_OVERHEAD + id + self.message.topics.memory() + self.message.frame.as_bytes().len()
    }
}

/// A held event and its origin, for a log that writes it again.
#[derive(Debug)]
pub(super) struct HeldEvent {
    pub(super) stamp: Stamp,
    pub(super) is_behind_gap: bool,
    pub(super) event: StoredEvent,
}

/// Place in the history from which a client reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Position of the last event that the client has.
    pub(crate) after: u64,
    pub(crate) gap: Gap,
}

/// State of a client's knowledge about events that are missing behind its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// None are known to be missing.
    None,
    /// Some are missing, and the client has to be told.
    Due,
    /// The client was told.
    Told,
}

impl History {
    /// Makes an empty history of a server that starts now.
    pub(super) fn new(retention: Retention, started_at: u64) -> Self {
        let mut history = Self::of_earlier(retention);
        history.start(Boot::starting_at(started_at), started_at, false);
        history
    }

    /// Makes an empty history for the events of earlier servers. It takes new ones once it was [started](Self::start).
    pub(super) fn of_earlier(retention: Retention) -> Self {
        Self {
            retention,
            events: VecDeque::new(),
            runs: Runs::default(),
            gone: 0,
            restored: 0,
            has_gone_by_server_id: false,
            cost: 0,
            own_ids: HashMap::new(),
        }
    }

    /// Appends an event of an earlier server. Until the start its age does not count.
    pub(super) fn restore(&mut self, stamp: Stamp, is_behind_gap: bool, event: StoredEvent) {
        self.runs.extend(stamp, self.newest() + 1, is_behind_gap);
        self.restored += 1;
        self.keep(event);
    }

    /// Begins the run of this server. Its boot is made later than that of every earlier server.
    pub(super) fn start(&mut self, boot: Boot, started_at: u64, is_behind_gap: bool) {
        self.runs.start(boot, started_at, self.newest() + 1, is_behind_gap);
        self.expire(started_at);
    }

    /// Moves the start of a server forward, if its clock turns out to have been behind.
    pub(super) fn correct_start(&mut self, boot: Boot, started_at: u64) {
        self.runs.correct_start(boot, started_at);
    }

    /// The same for this server, if its clock was behind by a second or more.
    pub(super) fn correct_own_start(&mut self, started_at: u64) {
        let own = self.runs.own();
        if started_at >= own.started_at.saturating_add(LEAST_CORRECTION) {
            self.runs.correct_start(own.boot, started_at);
        }
    }

    /// Time in Unix milliseconds, this long after the start of this server.
    pub(super) fn time_at(&self, uptime: u64) -> u64 {
        self.runs.own().started_at.saturating_add(uptime)
    }

    /// Number of held events, their estimated memory in bytes, and the age of the oldest in milliseconds.
    pub(super) fn stats(&self, now: u64) -> (usize, usize, Option<u64>) {
        let oldest = self.events.front().map(|oldest| self.age(oldest, now));
        (self.events.len(), self.cost, oldest)
    }

    /// Number of events of this server so far.
    pub(super) fn position(&self) -> u64 {
        self.newest() - self.restored
    }

    /// Id of the next event, unless its publisher gives one.
    pub(super) fn next_id(&self) -> String {
        self.runs.id_at(self.newest() + 1).unwrap_or_default()
    }

    /// Place of the next event, published this long after the start.
    pub(super) fn next_place(&self, uptime: u64) -> Place {
        let newest = self.newest();
        let stamp = Stamp { uptime, number: self.position() + 1, ..self.runs.own() };
        Place { stamp, is_behind_gap: self.runs.has_gap_before(newest + 1), newest }
    }

    /// Position of the newest event, those of earlier servers included.
    pub(super) fn newest(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    /// Origin of the newest event, if it is held.
    pub(super) fn last_stamp(&self) -> Option<Stamp> {
        self.events.back().and_then(|newest| self.runs.stamp_at(self.newest(), newest.uptime))
    }

    /// Appends an event of this server and drops those over the bounds at this time.
    pub(super) fn push(&mut self, event: StoredEvent, now: u64) {
        self.keep(event);
        self.expire(now);
    }

    /// Counts an event that is not kept.
    pub(super) fn count_unkept(&mut self) {
        self.gone += 1;
    }

    fn keep(&mut self, event: StoredEvent) {
        if let Some(id) = &event.own_id {
            self.own_ids.insert(Arc::clone(id), self.newest() + 1);
        }
        self.cost += event.cost();
        self.events.push_back(event);
        while self.events.len() > self.retention.events || self.cost > self.retention.bytes {
            self.pop();
        }
    }

    /// Drops the events that are too old at this time.
    pub(super) fn expire(&mut self, now: u64) {
        let most = u64::try_from(self.retention.age.as_millis()).unwrap_or(u64::MAX);
        while self.events.front().is_some_and(|oldest| self.age(oldest, now) > most) {
            self.pop();
        }
    }

    /// Age of the oldest event, in milliseconds; 0 if its server's clock was ahead of this one's.
    fn age(&self, oldest: &StoredEvent, now: u64) -> u64 {
        let published_at = self.runs.stamp_at(self.gone + 1, oldest.uptime).map_or(now, |stamp| stamp.time());
        now.saturating_sub(published_at)
    }

    fn pop(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.gone += 1;
        self.cost -= oldest.cost();
        if let Some(id) = &oldest.own_id {
            if self.own_ids.get(id) == Some(&self.gone) {
                self.own_ids.remove(id);
            }
        }
        self.has_gone_by_server_id = oldest.own_id.is_none();
        self.runs.forget_before(self.gone);
    }

    /// Finds the place behind the event with this id, the last one that a client has.
    pub(super) fn resume(&self, id: &str) -> Cursor {
        if id == EARLIEST {
            return Cursor { after: self.gone, gap: Gap::Told };
        }
        match self.own_ids.get(id).copied().or_else(|| self.position_of(id)) {
            Some(after) => Cursor { after, gap: Gap::None },
            None => Cursor { after: self.gone, gap: Gap::Due },
        }
    }

    /// Position of the event with this id if a server gave it, and it is held or the last that went.
    fn position_of(&self, id: &str) -> Option<u64> {
        let (boot, number) = Boot::parse(id)?;
        let position = self.runs.position_of(EventKey { boot, number }, self.newest())?;
        let is_known = match self.held(position) {
            Some(event) => event.own_id.is_none(),
            None => position == self.gone && self.has_gone_by_server_id,
        };
        is_known.then_some(position)
    }

    fn held(&self, position: u64) -> Option<&StoredEvent> {
        let index = position.checked_sub(self.gone + 1)?;
        self.events.get(usize::try_from(index).ok()?)
    }

    /// Appends the frames behind the cursor that match, up to the event `last` and until `most` bytes are there. A
    /// frame that does not fit is the last one, and returned without a copy.
    ///
    /// Moves the cursor behind them. Stops before a gap that is due: where events are missing, or where the next ones
    /// have gone meanwhile.
    pub(super) fn read(
        &self,
        cursor: &mut Cursor,
        last: u64,
        filters: &FilterSet,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Option<Frame> {
        if cursor.after < self.gone {
            *cursor = Cursor { after: self.gone, gap: Gap::Due };
        }
        loop {
            if cursor.gap == Gap::None && self.runs.has_gap_before(cursor.after + 1) {
                cursor.gap = Gap::Due;
            }
            if cursor.gap == Gap::Due || cursor.after >= last || out.len() >= most {
                return None;
            }
            let StoredEvent { message, .. } = self.held(cursor.after + 1)?;
            *cursor = Cursor { after: cursor.after + 1, gap: Gap::None };
            if filters.matches(&message.topics) {
                if out.len() + message.frame.as_bytes().len() > most {
                    return Some(message.frame.clone());
                }
                out.extend_from_slice(message.frame.as_bytes());
            }
        }
    }

    /// Id of the oldest held event.
    pub(super) fn oldest_id(&self) -> Option<String> {
        self.id_of(self.gone + 1)
    }

    /// Id of the first event behind `after` that matches.
    pub(super) fn first_id(&self, after: u64, filters: &FilterSet) -> Option<String> {
        let mut behind = (after.max(self.gone) + 1..).map_while(|position| Some((position, self.held(position)?)));
        let (position, _) = behind.find(|(_, event)| filters.matches(&event.message.topics))?;
        self.id_of(position)
    }

    fn id_of(&self, position: u64) -> Option<String> {
        match &self.held(position)?.own_id {
            Some(id) => Some(id.to_string()),
            None => self.runs.id_at(position),
        }
    }

    /// The held events behind a position with their origin, until so many bytes are there, and the position of the last
    /// of them.
    pub(super) fn held_behind(&self, position: u64, most: usize) -> (Vec<HeldEvent>, u64) {
        let (mut held, mut last, mut bytes) = (Vec::new(), position.max(self.gone), 0);
        while bytes < most {
            let position = last + 1;
            let Some(event) = self.held(position).cloned() else { break };
            let Some(stamp) = self.runs.stamp_at(position, event.uptime) else { break };
            bytes += event.cost();
            held.push(HeldEvent { stamp, is_behind_gap: self.runs.has_gap_before(position), event });
            last = position;
        }
        (held, last)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::event::topic::Topics;

    const BOUNDS: Retention = Retention { events: 3, bytes: usize::MAX, age: Duration::MAX };

    fn event(uptime: u64, text: &str, own_id: Option<&str>, topics: &[&str]) -> StoredEvent {
        let topics = Topics::parse(topics.iter().copied()).expect("topics");
        StoredEvent { uptime, own_id: own_id.map(Arc::from), message: Message { frame: Frame::message(text), topics } }
    }

    fn push(history: &mut History, at: u64, text: &str, own_id: Option<&str>, topics: &[&str]) {
        history.push(event(at, text, own_id, topics), at);
    }

    /// Restores events of a server, each with its number as its data.
    fn restore(history: &mut History, boot: u128, started_at: u64, numbers: &[u64], is_behind_gap: bool) {
        for (index, number) in numbers.iter().enumerate() {
            let stamp = Stamp { boot: Boot::from_number(boot), started_at, uptime: *number, number: *number };
            let event = event(*number, &format!("{boot}-{number}"), None, &[]);
            history.restore(stamp, is_behind_gap && index == 0, event);
        }
    }

    /// An empty history of the server with boot 7, which started at time 0.
    fn empty(bounds: Retention) -> History {
        let mut history = History::of_earlier(bounds);
        history.start(Boot::from_number(7), 0, false);
        history
    }

    fn with(bounds: Retention, texts: &[&str]) -> History {
        let mut history = empty(bounds);
        texts.iter().for_each(|text| push(&mut history, 0, text, None, &[]));
        history
    }

    fn filter_set(filters: &[&str]) -> FilterSet {
        FilterSet::parse(filters.iter().copied()).expect("filters")
    }

    fn read(history: &History, cursor: &mut Cursor, filters: &[&str]) -> String {
        let mut out = Vec::new();
        loop {
            assert!(history.read(cursor, u64::MAX, &filter_set(filters), usize::MAX, &mut out).is_none());
            if cursor.gap != Gap::Due {
                return String::from_utf8(out).expect("text").replace("data: ", "").replace("\n\n", " ");
            }
            out.extend_from_slice(b"gap ");
            cursor.gap = Gap::Told;
        }
    }

    fn resumed(history: &History, id: &str) -> (String, bool) {
        let mut cursor = history.resume(id);
        let has_gap = cursor.gap == Gap::Due;
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
            ("7-0", "gap 2 3 4 ", true),
            ("7-5", "gap 2 3 4 ", true),
            ("6-3", "gap 2 3 4 ", true),
            ("7-03", "gap 2 3 4 ", true),
            ("", "gap 2 3 4 ", true),
            ("x", "gap 2 3 4 ", true),
        ] {
            assert_eq!(resumed(&history, id), (expected.to_owned(), has_gap), "for {id:?}");
        }
        assert_eq!((history.oldest_id(), history.next_id()), (Some("7-2".to_owned()), "7-5".to_owned()));
    }

    #[test]
    fn an_id_given_twice_names_the_newest_event() {
        let mut history = with(BOUNDS, &["1"]);
        push(&mut history, 0, "2", Some("a"), &[]);
        push(&mut history, 0, "3", Some("a"), &[]);
        assert_eq!(resumed(&history, "a"), (String::new(), false));
        assert_eq!(resumed(&history, "7-2"), ("gap 1 2 3 ".to_owned(), true), "that event has its publisher's id");
        push(&mut history, 0, "4", None, &[]);
        push(&mut history, 0, "5", None, &[]);
        assert_eq!(resumed(&history, "a"), ("4 5 ".to_owned(), false));
        push(&mut history, 0, "6", None, &[]);
        assert_eq!(resumed(&history, "a"), ("gap 4 5 6 ".to_owned(), true), "it is gone");
        assert!(history.own_ids.is_empty());
    }

    #[test]
    fn each_bound_holds() {
        let cost = with(BOUNDS, &["1"]).cost;
        let few_bytes = with(Retention { bytes: 2 * cost, ..BOUNDS }, &["1", "2", "3"]);
        assert_eq!((few_bytes.oldest_id(), few_bytes.cost), (Some("7-2".to_owned()), 2 * cost));
        let mut short = empty(Retention { age: Duration::from_millis(10), ..BOUNDS });
        push(&mut short, 0, "1", None, &[]);
        push(&mut short, 5, "2", None, &[]);
        short.expire(10);
        assert_eq!(short.oldest_id(), Some("7-1".to_owned()));
        short.expire(11);
        assert_eq!(short.oldest_id(), Some("7-2".to_owned()));
        short.expire(1000);
        assert_eq!((short.oldest_id(), short.cost), (None, 0));
        assert_eq!(resumed(&short, "7-2"), (String::new(), false), "nothing is missing behind the last");
    }

    #[test]
    fn an_overtaken_cursor_has_a_gap() {
        let mut history = with(BOUNDS, &["1", "2", "3"]);
        let mut cursor = history.resume("7-1");
        (4..=6).for_each(|number| push(&mut history, 0, &number.to_string(), None, &[]));
        assert_eq!(read(&history, &mut cursor, &[]), "gap 4 5 6 ");
        assert_eq!(cursor, Cursor { after: 6, gap: Gap::None });
        assert_eq!(history.first_id(4, &filter_set(&[])), Some("7-5".to_owned()));
    }

    /// Servers 3, 5 and 5 again after a loss came before server 7. What 3 published last is lost as well.
    fn after_losses(bounds: Retention) -> History {
        let mut history = History::of_earlier(bounds);
        restore(&mut history, 3, 100, &[1, 2], false);
        restore(&mut history, 5, 200, &[1, 2], true);
        restore(&mut history, 5, 200, &[6], true);
        history.start(Boot::from_number(7), 300, true);
        history
    }

    #[test]
    fn a_client_is_told_of_each_gap_that_it_reads_across() {
        let mut history = after_losses(Retention { events: 9, ..BOUNDS });
        let rest = "gap 5-1 5-2 gap 5-6 gap ";
        for (id, expected) in [
            ("earliest", format!("3-1 3-2 {rest}")),
            ("3-1", format!("3-2 {rest}")),
            ("3-2", rest.to_owned()),
            ("5-2", "gap 5-6 gap ".to_owned()),
            ("5-6", "gap ".to_owned()),
            ("5-3", format!("gap 3-1 3-2 {rest}")),
            ("3-3", format!("gap 3-1 3-2 {rest}")),
            ("7-1", format!("gap 3-1 3-2 {rest}")),
        ] {
            assert_eq!(resumed(&history, id).0, expected, "for {id}");
        }
        assert_eq!((history.restored, history.position()), (5, 0));
        push(&mut history, 0, "7-1", None, &[]);
        assert_eq!(resumed(&history, "5-6"), ("gap 7-1 ".to_owned(), false));
        assert_eq!(resumed(&history, "7-1"), (String::new(), false));
        assert_eq!(history.runs.len(), 4);
    }

    #[test]
    fn runs_go_with_their_events() {
        let mut history = after_losses(Retention { events: 2, ..BOUNDS });
        assert_eq!(resumed(&history, "5-1"), ("5-2 gap 5-6 gap ".to_owned(), false), "the last that went");
        (1..=3).for_each(|number| push(&mut history, 0, &format!("7-{number}"), None, &[]));
        assert_eq!(history.runs.len(), 1, "only this server's");
        assert_eq!(resumed(&history, "earliest"), ("7-2 7-3 ".to_owned(), false));
        let (held, last) = history.held_behind(0, 1);
        assert_eq!((held.len(), last, held[0].stamp.number), (1, history.gone + 1, 2));
    }

    #[test]
    fn what_is_written_again_is_what_was_restored() {
        let history = after_losses(Retention { events: 9, ..BOUNDS });
        let mut again = History::of_earlier(history.retention);
        let (held, last) = history.held_behind(0, usize::MAX);
        for HeldEvent { stamp, is_behind_gap, event } in held {
            again.restore(stamp, is_behind_gap, event);
        }
        again.start(Boot::from_number(7), 300, true);
        assert_eq!(last, 5);
        assert_eq!(format!("{again:?}"), format!("{history:?}"));
    }

    /// A server whose clock was far behind, and one whose clock was ahead, came before.
    #[test]
    fn ages_follow_a_clock_that_is_put_forward() {
        let mut history = History::of_earlier(Retention { age: Duration::from_millis(50), ..BOUNDS });
        restore(&mut history, 3, 100, &[1], false);
        history.correct_start(Boot::from_number(3), 990);
        restore(&mut history, 5, 2000, &[1], false);
        history.start(Boot::from_number(7), 1000, false);
        assert_eq!(history.stats(1000), (2, history.cost, Some(9)), "it was corrected before its age counted");
        history.expire(1042);
        assert_eq!(history.oldest_id(), Some("5-1".to_owned()));
        push(&mut history, 60, "x", None, &[]);
        history.correct_start(Boot::from_number(7), 5000);
        history.expire(5110);
        assert_eq!(history.oldest_id(), Some("7-1".to_owned()), "its age is counted from the corrected start");
        history.expire(5111);
        assert_eq!(history.oldest_id(), None);
    }

    #[test]
    fn boots_grow_even_if_the_clock_goes_back() {
        let mut history = History::of_earlier(BOUNDS);
        let earlier = Boot::starting_at(2000);
        history.restore(Stamp { boot: earlier, number: 1, ..Stamp::default() }, false, event(0, "x", None, &[]));
        history.start(Boot::starting_at(1000), 1000, false);
        assert!(history.next_place(0).stamp.boot > earlier);
        assert_eq!(history.next_id(), history.next_place(0).stamp.boot.id(1));
    }

    #[test]
    fn topics_and_ids_are_counted() {
        let long = "t".repeat(200);
        let topics: Vec<_> = (0..16).map(|number| format!("{long}{number}")).collect();
        let topics: Vec<_> = topics.iter().map(String::as_str).collect();
        let (plain, full) = (event(0, "x", None, &[]).cost(), event(0, "x", Some(&long), &topics).cost());
        assert!(full - plain > 17 * 200 + 16 * 16, "{plain} and {full}");
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
            let mut history = empty(Retention { events: most, ..BOUNDS });
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
            prop_assert_eq!(cursor.gap == Gap::Due, behind.is_none() && !is_last_gone);
            cursor.gap = Gap::Told;
            let mut read = Vec::new();
            loop {
                let (before, mut out) = (cursor, Vec::new());
                let long = history.read(&mut cursor, history.newest(), &filter_set(&filters), portion, &mut out);
                read.extend(out);
                read.extend(long.iter().flat_map(|frame| frame.as_bytes()));
                if cursor == before {
                    break;
                }
            }
            prop_assert_eq!(String::from_utf8(read).expect("text"), expected);
        }
    }
}
