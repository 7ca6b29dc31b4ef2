//! Topics of messages, filters of streams, and the match between them.
//!
//! A topic is one of MQTT (3.1.1, section 4.7): levels between slashes, any of them possibly empty, compared byte by
//! byte. In a filter, `+` matches one level, and a last level `#` matches the rest and its parent. Pure: authorization
//! and transport are for other rooms. Invariant: parsed sets are valid, sorted and free of duplicates, so that equal
//! sets are equal values.

mod filter;
mod index;
mod map;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use filter::{Filter, InvalidFilter};
use index::Index;
pub(crate) use map::TopicMap;

/// Most bytes of a topic or filter.
const MOST_TOPIC_BYTES: usize = 256;

/// Most levels of a topic or filter; each costs a node of the index.
const MOST_LEVELS: usize = 32;

/// Most different topics of one message.
const MOST_TOPICS_OF_A_MESSAGE: usize = 16;

/// Estimated memory of a set, and of each of its texts, besides their bytes: the allocation and the reference.
const SET_OVERHEAD: usize = 32;
const TEXT_OVERHEAD: usize = 32;

/// Estimated memory of a filter set in a map, and of each of its filters: two nodes of the index and what leads to
/// them. The bytes of a filter are in the set and in the index.
const SET_IN_MAP: usize = 256;
const FILTER_IN_INDEX: usize = 512;
const FILTER_COPIES: usize = 2;

/// Most different filters of one stream.
const MOST_TOPICS_OF_A_STREAM: usize = 64;

const SEPARATOR: char = '/';
const ANY_LEVEL: &str = "+";
const ANY_REST: &str = "#";
const WILDCARDS: [char; 2] = ['+', '#'];

/// First character that hides a topic from filters that begin with a wildcard (MQTT, 4.7.2).
const HIDDEN: char = '$';

/// Topics of a message. A message without topics is a broadcast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(SortedSet);

impl Topics {
    /// Topics of a broadcast, without an allocation.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self(SortedSet(None))
    }

    /// Parses the topics of a message.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, TopicError> {
        SortedSet::collect(texts, check_topic, MOST_TOPICS_OF_A_MESSAGE, TopicError::TooManyOfAMessage).map(Self)
    }

    /// Returns true for a broadcast.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Estimated memory of the set, in bytes.
    pub(crate) fn memory(&self) -> usize {
        if self.is_empty() {
            0
        } else {
            SET_OVERHEAD + self.iter().map(|topic| TEXT_OVERHEAD + topic.len()).sum::<usize>()
        }
    }

    /// Each topic once, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter()
    }
}

/// Filters that a stream subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterSet(SortedSet);

impl FilterSet {
    /// Parses the filters of a stream.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, TopicError> {
        SortedSet::collect(texts, check_filter, MOST_TOPICS_OF_A_STREAM, TopicError::TooManyOfAStream).map(Self)
    }

    /// The filters, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter()
    }

    /// Estimated memory of the set in a [`TopicMap`], in bytes.
    pub(crate) fn memory(&self) -> usize {
        SET_IN_MAP + self.iter().map(|filter| FILTER_IN_INDEX + FILTER_COPIES * filter.len()).sum::<usize>()
    }

    /// Returns true for a stream that gets only broadcasts.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if the stream gets a message with these topics. It gets every broadcast.
    pub(crate) fn matches(&self, topics: &Topics) -> bool {
        topics.is_empty() || self.0.iter().any(|filter| topics.iter().any(|topic| is_match(filter, topic)))
    }
}

/// Sorted, distinct strings in one shared slice. The empty set allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct SortedSet(Option<Arc<[Box<str>]>>);

impl SortedSet {
    /// Checks and collects strings; fails with `too_many` once more than `most` differ, and reads no more.
    fn collect<'t>(
        texts: impl IntoIterator<Item = &'t str>,
        check: fn(&str) -> Result<(), TopicError>,
        most: usize,
        too_many: TopicError,
    ) -> Result<Self, TopicError> {
        let mut distinct = BTreeSet::new();
        for text in texts {
            check(text)?;
            distinct.insert(text);
            if distinct.len() > most {
                return Err(too_many);
            }
        }
        let slice = (!distinct.is_empty()).then(|| distinct.into_iter().map(Box::from).collect());
        Ok(Self(slice))
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|texts| texts.iter().map(|text| &**text))
    }
}

/// Returns true if the filter matches the topic.
fn is_match(filter: &str, topic: &str) -> bool {
    if topic.starts_with(HIDDEN) && filter.starts_with(WILDCARDS) {
        return false;
    }
    let mut levels = topic.split(SEPARATOR);
    for wanted in filter.split(SEPARATOR) {
        match levels.next() {
            // It stands for its parent too, so also where no level is left.
            _ if wanted == ANY_REST => return true,
            Some(level) if wanted == ANY_LEVEL || wanted == level => {}
            Some(_) | None => return false,
        }
    }
    levels.next().is_none()
}

fn check_topic(text: &str) -> Result<(), TopicError> {
    check_text(text)?;
    if text.contains(WILDCARDS) { Err(TopicError::Wildcard) } else { Ok(()) }
}

fn check_filter(text: &str) -> Result<(), TopicError> {
    check_text(text)?;
    let mut levels = text.split(SEPARATOR).peekable();
    while let Some(level) = levels.next() {
        if level.len() > 1 && level.contains(WILDCARDS) {
            return Err(TopicError::WildcardInLevel);
        }
        if level == ANY_REST && levels.peek().is_some() {
            return Err(TopicError::RestNotLast);
        }
    }
    Ok(())
}

/// Checks the rules that topics and filters share.
fn check_text(text: &str) -> Result<(), TopicError> {
    if text.is_empty() || text.len() > MOST_TOPIC_BYTES {
        Err(TopicError::Length)
    } else if text.split(SEPARATOR).count() > MOST_LEVELS {
        Err(TopicError::Levels)
    } else if text.contains(['\0', '\r', '\n']) {
        Err(TopicError::Character)
    } else {
        Ok(())
    }
}

/// Reason to reject the topics of a message or the filters of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// One is empty or too long.
    Length,
    /// One has too many levels.
    Levels,
    /// One holds NUL, CR or LF.
    Character,
    /// A topic of a message holds a wildcard.
    Wildcard,
    /// A wildcard shares its level with something else.
    WildcardInLevel,
    /// Something follows the level `#`.
    RestNotLast,
    /// A message has more topics than a message may have.
    TooManyOfAMessage,
    /// A stream asks for more than a stream may ask for.
    TooManyOfAStream,
}

impl TopicError {
    /// One line for the person at the client, with the remedy.
    pub(crate) fn advice(self) -> &'static str {
        match self {
            Self::Length => "A topic has 1 to 256 bytes: shorten a long one, leave out an empty one.\n",
            Self::Levels => "A topic has at most 32 levels: join some of them.\n",
            Self::Character => "A topic holds no NUL, CR or LF: name it without them.\n",
            Self::Wildcard => "A message's topic holds no + and no #: publish to its full name.\n",
            Self::WildcardInLevel => "+ and # each stand alone in their level, as in a/+/b or a/#.\n",
            Self::RestNotLast => "# is the last level, as in a/#; for one level before it, use +.\n",
            Self::TooManyOfAMessage => "A message has at most 16 topics: name fewer, or none to reach all.\n",
            Self::TooManyOfAStream => "A stream asks for at most 64 topics: ask for many at once by + or #.\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    pub(super) fn topics(texts: &[&str]) -> Topics {
        Topics::parse(texts.iter().copied()).unwrap_or_else(|error| panic!("{texts:?}: {error:?}"))
    }

    pub(super) fn filter_set(texts: &[&str]) -> FilterSet {
        FilterSet::parse(texts.iter().copied()).unwrap_or_else(|error| panic!("{texts:?}: {error:?}"))
    }

    /// Checks the match by the filter set itself and by an index of it.
    #[track_caller]
    fn assert_matches(filter: &str, topic: &str, expected: bool) {
        let (filters, topics) = (filter_set(&[filter]), topics(&[topic]));
        assert_eq!(filters.matches(&topics), expected, "{filter} on {topic}");
        let (mut index, mut found) = (Index::default(), Vec::new());
        index.insert(&filters, 0);
        index.matching(&topics, &mut found);
        assert_eq!(!found.is_empty(), expected, "an index of {filter} on {topic}");
    }

    /// Filters with matching and other topics: the standard's examples (section 4.7) and edge cases.
    #[test]
    fn filters_match_as_the_standard_says() {
        let table: &[(&str, &[&str], &[&str])] = &[
            (
                "sport/tennis/player1/#",
                &[
                    "sport/tennis/player1",
                    "sport/tennis/player1/ranking",
                    "sport/tennis/player1/score/wimbledon",
                    "sport/tennis/player1/",
                ],
                &["sport/tennis/player10", "sport/tennis", "sport/tennis/player2/ranking"],
            ),
            ("sport/#", &["sport", "sport/", "sport/a/b"], &["sports", "a/sport", "/sport"]),
            ("#", &["a", "/", "a/b/c", "a/$x"], &["$SYS", "$SYS/a", "$"]),
            (
                "sport/tennis/+",
                &["sport/tennis/player1", "sport/tennis/player2", "sport/tennis/"],
                &["sport/tennis/player1/ranking", "sport/tennis"],
            ),
            ("sport/+", &["sport/", "sport/$x"], &["sport", "sport/a/"]),
            ("+", &["finance", " "], &["/finance", "/", "$SYS"]),
            ("+/+", &["/finance", "/", "a/", "a/b"], &["finance", "a/b/c", "$SYS/a"]),
            ("/+", &["/finance", "/", "/$SYS"], &["finance", "//"]),
            ("+/tennis/#", &["sport/tennis", "/tennis/a/b"], &["tennis", "a/b/tennis", "$a/tennis"]),
            ("+/#", &["a", "/", "a/b/c"], &["$SYS", "$SYS/a"]),
            ("sport/+/player1", &["sport/tennis/player1", "sport//player1"], &["sport/player1", "sport/a/b/player1"]),
            ("+/monitor/Clients", &["a/monitor/Clients"], &["$SYS/monitor/Clients"]),
            ("$SYS/#", &["$SYS", "$SYS/monitor/Clients"], &["$sys", "SYS/a"]),
            ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor"]),
            ("$SYS", &["$SYS"], &["$SYS/"]),
            ("ACCOUNTS", &["ACCOUNTS"], &["Accounts", "ACCOUNTS/"]),
            ("Accounts payable", &["Accounts payable"], &["Accounts", "Accounts  payable"]),
            ("finance", &["finance"], &["/finance", "finance/"]),
            ("/", &["/"], &["//", "a/", "/a"]),
            ("/#", &["/", "/a", "//"], &["a", "a/"]),
            ("caf\u{e9}", &["caf\u{e9}"], &["cafe\u{301}", "cafe"]),
        ];
        for (filter, matched, others) in table {
            for topic in *matched {
                assert_matches(filter, topic, true);
            }
            for topic in *others {
                assert_matches(filter, topic, false);
            }
        }
    }

    #[test]
    fn invalid_topics_and_filters_are_rejected() {
        use TopicError::{Character, Length, Levels, RestNotLast, Wildcard, WildcardInLevel};

        let long = "a".repeat(MOST_TOPIC_BYTES + 1);
        let table = [
            ("", Err(Length), Err(Length)),
            (&long, Err(Length), Err(Length)),
            (&long[1..], Ok(()), Ok(())),
            (&"/".repeat(MOST_LEVELS), Err(Levels), Err(Levels)),
            (&"/".repeat(MOST_LEVELS)[1..], Ok(()), Ok(())),
            ("a\0", Err(Character), Err(Character)),
            ("a\n/b", Err(Character), Err(Character)),
            ("\r", Err(Character), Err(Character)),
            ("a\tb", Ok(()), Ok(())),
            ("/", Ok(()), Ok(())),
            ("+", Err(Wildcard), Ok(())),
            ("#", Err(Wildcard), Ok(())),
            ("a/+/b", Err(Wildcard), Ok(())),
            ("+/tennis/#", Err(Wildcard), Ok(())),
            ("a+", Err(Wildcard), Err(WildcardInLevel)),
            ("+a/b", Err(Wildcard), Err(WildcardInLevel)),
            ("++", Err(Wildcard), Err(WildcardInLevel)),
            ("a/+#", Err(Wildcard), Err(WildcardInLevel)),
            ("sport/tennis#", Err(Wildcard), Err(WildcardInLevel)),
            ("sport/tennis/#/ranking", Err(Wildcard), Err(RestNotLast)),
            ("#/", Err(Wildcard), Err(RestNotLast)),
            ("#/#", Err(Wildcard), Err(RestNotLast)),
        ];
        for (text, as_topic, as_filter) in table {
            assert_eq!(Topics::parse(["a", text]).map(drop), as_topic, "{text:?} as a topic");
            assert_eq!(FilterSet::parse(["a", text]).map(drop), as_filter, "{text:?} as a filter");
        }
    }

    #[test]
    fn limits_count_distinct_topics() {
        fn numbers(count: usize) -> Vec<String> {
            (0..count).chain(0..count).map(|number| number.to_string()).collect()
        }
        let as_topics = |count| Topics::parse(numbers(count).iter().map(String::as_str)).map(|set| set.iter().count());
        let as_filters =
            |count| FilterSet::parse(numbers(count).iter().map(String::as_str)).map(|set| set.0.iter().count());
        assert_eq!(as_topics(MOST_TOPICS_OF_A_MESSAGE), Ok(16));
        assert_eq!(as_topics(MOST_TOPICS_OF_A_MESSAGE + 1), Err(TopicError::TooManyOfAMessage));
        assert_eq!(as_filters(MOST_TOPICS_OF_A_STREAM), Ok(64));
        assert_eq!(as_filters(MOST_TOPICS_OF_A_STREAM + 1), Err(TopicError::TooManyOfAStream));
        assert_eq!(Topics::parse(std::iter::repeat_n("a", 1000)), Ok(topics(&["a"])));
    }

    #[test]
    fn advice_is_one_line_that_names_its_limit() {
        for (error, limit) in [
            (TopicError::Length, format!("1 to {MOST_TOPIC_BYTES} bytes")),
            (TopicError::Levels, format!("at most {MOST_LEVELS} levels")),
            (TopicError::TooManyOfAMessage, format!("at most {MOST_TOPICS_OF_A_MESSAGE} topics")),
            (TopicError::TooManyOfAStream, format!("at most {MOST_TOPICS_OF_A_STREAM} topics")),
        ] {
            let line = error.advice();
            assert!(line.contains(&limit) && line.find('\n') == Some(line.len() - 1), "{line}");
        }
    }

    #[test]
    fn equal_sets_are_equal() {
        let (one, other) = (filter_set(&["b", "a", "+/#", "b"]), filter_set(&["+/#", "b", "a"]));
        assert_eq!(one, other);
        assert_eq!(one.cmp(&other), Ordering::Equal);
        assert_ne!(one, filter_set(&["a", "b"]));
        assert_eq!(topics(&["b", "a/b", "b", "a"]).iter().collect::<Vec<_>>(), ["a", "a/b", "b"]);
    }

    #[test]
    fn a_broadcast_matches_every_set_and_the_empty_set_nothing_else() {
        let (nothing, all) = (filter_set(&[]), filter_set(&["#"]));
        assert!(nothing.is_empty() && !all.is_empty());
        assert!(nothing.matches(&Topics::none()) && all.matches(&Topics::none()));
        assert!(!nothing.matches(&topics(&["a"])) && all.matches(&topics(&["a"])));
        assert!(!all.matches(&topics(&["$a"])) && all.matches(&topics(&["$a", "a"])));
        assert_eq!(topics(&[]), Topics::none());
        assert!(Topics::none().is_empty() && Topics::none().iter().next().is_none());
    }

    /// The standard's rules, applied to levels one by one.
    pub(super) fn reference_matches(filter: &str, topic: &str) -> bool {
        fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
            match (filter, topic) {
                (["#"], _) | ([], []) => true,
                (["+", filter @ ..], [_, topic @ ..]) => levels_match(filter, topic),
                ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && levels_match(filter, topic),
                _ => false,
            }
        }
        let (filter, topic): (Vec<_>, Vec<_>) = (filter.split('/').collect(), topic.split('/').collect());
        let is_hidden = topic[0].starts_with('$') && matches!(filter[0], "+" | "#");
        !is_hidden && levels_match(&filter, &topic)
    }

    fn joined(levels: Vec<&'static str>, last: Option<&'static str>) -> Option<String> {
        let text = levels.into_iter().chain(last).collect::<Vec<_>>().join("/");
        Some(text).filter(|text| !text.is_empty())
    }

    pub(super) fn any_topics() -> impl Strategy<Value = Vec<String>> {
        let topic = vec(select(vec!["", "a", "b", "$x"]), 1..5);
        vec(topic.prop_filter_map("an empty topic", |levels| joined(levels, None)), 1..4)
    }

    pub(super) fn any_filters() -> impl Strategy<Value = Vec<String>> {
        let level = select(vec!["", "a", "b", "$x", "+"]);
        let filter = (vec(level, 0..5), prop::option::of(Just("#")));
        vec(filter.prop_filter_map("an empty filter", |(levels, last)| joined(levels, last)), 0..5)
    }

    pub(super) fn filter_set_of(filters: &[String]) -> FilterSet {
        FilterSet::parse(filters.iter().map(String::as_str)).expect("the filters are valid")
    }

    pub(super) fn topics_of(texts: &[String]) -> Topics {
        Topics::parse(texts.iter().map(String::as_str)).expect("the topics are valid")
    }

    proptest! {
        #[test]
        fn an_interest_matches_what_the_reference_does(filters in any_filters(), texts in any_topics()) {
            let expected = filters.iter().any(|filter| texts.iter().any(|topic| reference_matches(filter, topic)));
            prop_assert_eq!(filter_set_of(&filters).matches(&topics_of(&texts)), expected);
        }
    }
}
