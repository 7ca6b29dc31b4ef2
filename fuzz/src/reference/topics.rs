//! Topics and filters of topics (MQTT 3.1.1, 4.7), with the limits that the server's documentation names.
//!
//! In a request none ends in `/`, although MQTT allows it.

use std::collections::BTreeSet;

const MOST_OCTETS: usize = 256;
const MOST_LEVELS: usize = 32;
const MOST_OF_A_MESSAGE: usize = 16;
const MOST_OF_A_STREAM: usize = 64;

/// Checks topics of a message or of a count, which have no wildcards (4.7.1).
pub fn are_topics(texts: &[Vec<u8>]) -> bool {
    let is_topic = |text: &&str| !text.contains('+') && !text.contains('#');
    distinct(texts, is_topic).is_some_and(|topics| topics <= MOST_OF_A_MESSAGE)
}

/// Checks the filters of a stream.
pub fn are_filters(texts: &[Vec<u8>]) -> bool {
    distinct(texts, |text| is_filter(text)).is_some_and(|filters| filters <= MOST_OF_A_STREAM)
}

/// The filters of a query: a level of one space is a `+` that was not encoded.
pub fn with_plus(texts: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let plus = |level: &[u8]| if level == b" " { b"+".to_vec() } else { level.to_vec() };
    let read = |text: Vec<u8>| text.split(|octet| *octet == b'/').map(plus).collect::<Vec<_>>().join(&b'/');
    texts.into_iter().map(read).collect()
}

/// The number of different ones, if all are valid.
fn distinct(texts: &[Vec<u8>], is_good: impl Fn(&&str) -> bool) -> Option<usize> {
    let mut found = BTreeSet::new();
    for octets in texts {
        let text = std::str::from_utf8(octets).ok()?;
        if !is_good(&text) || !is_name(text) {
            return None;
        }
        found.insert(text);
    }
    Some(found.len())
}

/// The rules for topics and filters alike (4.7.3).
fn is_name(text: &str) -> bool {
    let levels = text.matches('/').count() + 1;
    (1..=MOST_OCTETS).contains(&text.len())
        && levels <= MOST_LEVELS
        && !text.contains(['\0', '\r', '\n'])
        && !text.ends_with('/')
}

/// A wildcard has a level to itself, and `#` has the last one (4.7.1.2 and 4.7.1.3).
fn is_filter(text: &str) -> bool {
    let levels: Vec<_> = text.split('/').collect();
    let last = levels.len() - 1;
    levels.iter().enumerate().all(|(at, level)| match *level {
        "+" => true,
        "#" => at == last,
        level => !level.contains('+') && !level.contains('#'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn examples_of_the_standard_hold() {
        for (text, is_topic, is_filter) in [
            ("sport/tennis/player1", true, true),
            ("sport/tennis/player1/#", false, true),
            ("#", false, true),
            ("sport/tennis#", false, false),
            ("sport/tennis/#/ranking", false, false),
            ("+", false, true),
            ("+/tennis/#", false, true),
            ("sport+", false, false),
            ("sport/+/player1", false, true),
            ("/finance", true, true),
            ("/", false, false),
            ("$SYS/", false, false),
            ("$SYS//a", true, true),
            ("Accounts payable", true, true),
            ("++", false, false),
            ("#/#", false, false),
            ("", false, false),
            ("a\0", false, false),
            ("a\rb", false, false),
            ("\n", false, false),
        ] {
            let texts = texts(&["a", text]);
            assert_eq!((are_topics(&texts), are_filters(&texts)), (is_topic, is_filter), "{text:?}");
        }
        assert!(are_topics(&[]) && are_filters(&[]));
        assert_eq!(with_plus(texts(&["a b/ /c", " ", "  "])), texts(&["a b/+/c", "+", "  "]));
        assert!(!are_topics(&[b"\xff".to_vec()]) && !are_filters(&[b"\xff".to_vec()]));
    }

    #[test]
    fn limits_are_exact() {
        let holds = |text: String| are_topics(&[text.clone().into_bytes()]) && are_filters(&[text.into_bytes()]);
        assert!(holds("é".repeat(128)) && !holds("é".repeat(128) + "a"));
        assert!(holds("/".repeat(31) + "a") && !holds("/".repeat(32) + "a"));
        let numbers = |count: usize| (0..count).chain(0..count).map(|n| n.to_string().into_bytes()).collect::<Vec<_>>();
        assert!(are_topics(&numbers(16)) && !are_topics(&numbers(17)));
        assert!(are_filters(&numbers(64)) && !are_filters(&numbers(65)));
    }
}
