//! The newest event of each topic, for streams that would rather skip than end.
//!
//! Broadcasts are a topic of their own. What is kept is bounded: where there are too many topics, or their events are
//! too large, those that were published longest ago go first, and who skips does not see them.

use std::collections::{BTreeMap, HashMap};

use crate::event::frame::Frame;
use crate::event::topic::{FilterSet, Topics};

/// The most topics whose newest events are kept.
const MOST_TOPICS: usize = 1024;

/// The newest events, by topic and by age.
#[derive(Debug)]
pub(crate) struct Latest {
    /// The number of each topic's newest event; that of broadcasts is under no topic.
    newest: HashMap<Option<Box<str>>, u64>,
    /// The events that are some topic's newest, oldest first, with how many topics that is.
    events: BTreeMap<u64, LatestEvent>,
    count: u64,
    bytes: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct LatestEvent {
    topics: Topics,
    frame: Frame,
    newest_of: usize,
}

impl Latest {
    /// Keeps no more than so many bytes, or one event.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { newest: HashMap::new(), events: BTreeMap::new(), count: 0, bytes: 0, most_bytes }
    }

    /// Takes note of the newest event.
    pub(crate) fn note(&mut self, topics: &Topics, frame: &Frame) {
        self.count += 1;
        let names: Vec<_> = match topics.is_empty() {
            true => vec![None],
            false => topics.iter().map(|topic| Some(Box::from(topic))).collect(),
        };
        let newest_of = names.len();
        for name in names {
            if let Some(before) = self.newest.insert(name, self.count) {
                self.forget_one(before);
            }
        }
        self.bytes += frame.as_bytes().len();
        self.events.insert(self.count, LatestEvent { topics: topics.clone(), frame: frame.clone(), newest_of });
        while self.events.len() > 1 && (self.newest.len() > MOST_TOPICS || self.bytes > self.most_bytes) {
            self.forget_oldest();
        }
    }

    /// The event is the newest of one topic less.
    fn forget_one(&mut self, number: u64) {
        let Some(kept) = self.events.get_mut(&number) else { return };
        kept.newest_of -= 1;
        if kept.newest_of == 0 {
            self.bytes -= kept.frame.as_bytes().len();
            self.events.remove(&number);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((number, kept)) = self.events.pop_first() else { return };
        self.bytes -= kept.frame.as_bytes().len();
        self.newest.retain(|_, newest| *newest != number);
    }

    /// The newest event of each topic that is asked for, and of broadcasts, each once and in order.
    pub(crate) fn for_interest(&self, filters: &FilterSet) -> Vec<u8> {
        let wanted = self.events.values().filter(|kept| filters.matches(&kept.topics));
        wanted.flat_map(|kept| kept.frame.as_bytes()).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(most_bytes: usize, events: &[(&str, &[&str])]) -> Latest {
        let mut latest = Latest::new(most_bytes);
        for (text, topics) in events {
            latest.note(&Topics::parse(topics.iter().copied()).expect("topics"), &Frame::message(text));
        }
        latest
    }

    fn of(latest: &Latest, filters: &[&str]) -> String {
        let bytes = latest.for_interest(&FilterSet::parse(filters.iter().copied()).expect("filters"));
        String::from_utf8(bytes).expect("text").replace("data: ", "").replace("\n\n", " ")
    }

    #[test]
    fn the_newest_of_each_topic_comes_once_and_in_order() {
        let events: [(&str, &[&str]); 7] =
            [("1", &["a"]), ("2", &[]), ("3", &["a", "b"]), ("4", &["c"]), ("5", &[]), ("6", &["b"]), ("7", &["d"])];
        let latest = noted(usize::MAX, &events);
        assert_eq!(of(&latest, &["#"]), "3 4 5 6 7 ");
        assert_eq!(of(&latest, &["a", "b"]), "3 5 6 ");
        assert_eq!(of(&latest, &[]), "5 ");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let length = Frame::message("1").as_bytes().len();
        let latest = noted(2 * length, &[("1", &["a"]), ("2", &["b"]), ("3", &["c"])]);
        assert_eq!((of(&latest, &["#"]), latest.bytes, latest.newest.len()), ("2 3 ".into(), 2 * length, 2));
        let mut latest = Latest::new(usize::MAX);
        for number in 0..2 * MOST_TOPICS {
            let topic = number.to_string();
            latest.note(&Topics::parse([&*topic]).expect("a topic"), &Frame::message("x"));
        }
        assert_eq!((latest.newest.len(), latest.events.len()), (MOST_TOPICS, MOST_TOPICS));
    }
}
