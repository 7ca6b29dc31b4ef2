//! The newest event of each topic, for streams that skip (`slow=latest`).
//!
//! Broadcasts are a topic of their own. Skipping itself is in `slow.rs` and `connection/stream.rs`.
//!
//! Invariant: topics and bytes are bounded. With too many, the oldest events go first, and no stream that skips gets
//! them.

use std::collections::{BTreeMap, HashMap};

use crate::event::frame::Frame;
use crate::event::topic::{FilterSet, Topics};

/// The bound on topics.
const MOST_TOPICS: usize = 1024;

/// The newest events, by topic and by age.
#[derive(Debug)]
pub(super) struct Latest {
    /// The number of each topic's newest event, with `None` as the topic of broadcasts.
    newest: HashMap<Option<Box<str>>, u64>,
    /// The events that are the newest of a topic, by number: the oldest first.
    events: BTreeMap<u64, LatestEvent>,
    /// The number of the last event.
    count: u64,
    bytes: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct LatestEvent {
    topics: Topics,
    frame: Frame,
    /// The number of topics of which it is the newest.
    newest_of: usize,
}

impl Latest {
    /// Keeps at most `most_bytes`, or one event.
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { newest: HashMap::new(), events: BTreeMap::new(), count: 0, bytes: 0, most_bytes }
    }

    /// Records an event as the newest of its topics.
    pub(super) fn record(&mut self, topics: &Topics, frame: &Frame) {
        self.count += 1;
        let names: Vec<_> = match topics.is_empty() {
            true => vec![None],
            false => topics.iter().map(|topic| Some(Box::from(topic))).collect(),
        };
        let newest_of = names.len();
        for name in names {
            if let Some(before) = self.newest.insert(name, self.count) {
                self.forget_topic_of(before);
            }
        }
        self.bytes += frame.as_bytes().len();
        self.events.insert(self.count, LatestEvent { topics: topics.clone(), frame: frame.clone(), newest_of });
        while self.events.len() > 1 && (self.newest.len() > MOST_TOPICS || self.bytes > self.most_bytes) {
            self.forget_oldest();
        }
    }

    /// Counts a topic less of which the event is the newest, and forgets it after the last.
    fn forget_topic_of(&mut self, number: u64) {
        let Some(event) = self.events.get_mut(&number) else { return };
        event.newest_of -= 1;
        if event.newest_of == 0 {
            self.bytes -= event.frame.as_bytes().len();
            self.events.remove(&number);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((number, event)) = self.events.pop_first() else { return };
        self.bytes -= event.frame.as_bytes().len();
        self.newest.retain(|_, newest| *newest != number);
    }

    /// The newest event of each topic that matches, and of broadcasts, each once and in order.
    pub(super) fn matching(&self, filters: &FilterSet) -> Vec<u8> {
        let matching = self.events.values().filter(|event| filters.matches(&event.topics));
        matching.flat_map(|event| event.frame.as_bytes()).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(most_bytes: usize, events: &[(&str, &[&str])]) -> Latest {
        let mut latest = Latest::new(most_bytes);
        for (text, topics) in events {
            latest.record(&Topics::parse(topics.iter().copied()).expect("topics"), &Frame::message(text));
        }
        latest
    }

    fn of(latest: &Latest, filters: &[&str]) -> String {
        let bytes = latest.matching(&FilterSet::parse(filters.iter().copied()).expect("filters"));
        String::from_utf8(bytes).expect("text").replace("data: ", "").replace("\n\n", " ")
    }

    #[test]
    fn newest_of_each_topic_comes_once_and_in_order() {
        let events: [(&str, &[&str]); 7] =
            [("1", &["a"]), ("2", &[]), ("3", &["a", "b"]), ("4", &["c"]), ("5", &[]), ("6", &["b"]), ("7", &["d"])];
        let latest = recorded(usize::MAX, &events);
        assert_eq!(of(&latest, &["#"]), "3 4 5 6 7 ");
        assert_eq!(of(&latest, &["a", "b"]), "3 5 6 ");
        assert_eq!(of(&latest, &[]), "5 ");
    }

    #[test]
    fn topics_and_bytes_are_bounded() {
        let length = Frame::message("1").as_bytes().len();
        let latest = recorded(2 * length, &[("1", &["a"]), ("2", &["b"]), ("3", &["c"])]);
        assert_eq!((of(&latest, &["#"]), latest.bytes, latest.newest.len()), ("2 3 ".into(), 2 * length, 2));
        let mut latest = Latest::new(usize::MAX);
        for number in 0..2 * MOST_TOPICS {
            let topic = number.to_string();
            latest.record(&Topics::parse([&*topic]).expect("a topic"), &Frame::message("x"));
        }
        assert_eq!((latest.newest.len(), latest.events.len()), (MOST_TOPICS, MOST_TOPICS));
    }
}
