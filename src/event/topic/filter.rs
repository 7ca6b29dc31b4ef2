//! One filter by itself, for programs that ask about subscriptions.

use std::fmt;
use std::str::FromStr;

use super::{ANY_LEVEL, ANY_REST, FilterSet, HIDDEN, SEPARATOR, TopicError, WILDCARDS, check_filter};

/// Filter of topics, with the wildcards of MQTT (3.1.1, section 4.7): `+` for one level, `#` for the rest.
///
/// ```
/// use smolcast::Filter;
///
/// let filter: Filter = "sport/+/score".parse()?;
/// assert_eq!(filter.to_string(), "sport/+/score");
/// assert!("sport/#/score".parse::<Filter>().is_err(), "# is the last level");
/// # Ok::<(), smolcast::InvalidFilter>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(Box<str>);

impl Filter {
    /// Returns true if some topic matches this filter and one of the set.
    pub(crate) fn overlaps_any(&self, filters: &FilterSet) -> bool {
        filters.iter().any(|filter| overlap(&self.0, filter))
    }
}

impl FromStr for Filter {
    type Err = InvalidFilter;

    fn from_str(text: &str) -> Result<Self, InvalidFilter> {
        check_filter(text).map_err(InvalidFilter)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that is no filter of topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.advice().trim_end())]
pub struct InvalidFilter(TopicError);

/// Returns true if some topic matches both filters.
fn overlap(one: &str, other: &str) -> bool {
    let hides = |wild: &str, named: &str| wild.starts_with(WILDCARDS) && named.starts_with(HIDDEN);
    if hides(one, other) || hides(other, one) {
        return false;
    }
    let (mut ones, mut others) = (one.split(SEPARATOR), other.split(SEPARATOR));
    loop {
        match (ones.next(), others.next()) {
            // The parent that `/#` stands for is the empty topic, which no message has.
            (Some(ANY_REST), None) | (None, Some(ANY_REST)) => return one != "/#" && other != "/#",
            (Some(ANY_REST), _) | (_, Some(ANY_REST)) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == ANY_LEVEL || b == ANY_LEVEL => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Topics;
    use super::super::tests::any_filters;
    use super::*;

    #[test]
    fn filters_overlap_if_a_topic_matches_both() {
        for (one, other, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a/+", "+/b", true),
            ("a/+", "a", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "b/#", false),
            ("#", "+/+", true),
            ("+", "a/b", false),
            ("#", "$x", false),
            ("+/a", "$x/a", false),
            ("$x/#", "$x/+", true),
            ("a/+/c", "a/b/#", true),
            ("+", "/#", false),
            ("+/+", "/#", true),
        ] {
            assert_eq!(overlap(one, other), expected, "{one} and {other}");
            assert_eq!(overlap(other, one), expected, "{other} and {one}");
        }
    }

    proptest! {
        /// Compares with a search over every topic of few levels and names.
        #[test]
        fn overlap_is_what_a_search_finds(ones in any_filters(), others in any_filters()) {
            let levels = ["", "a", "b", "$x"];
            let mut topics: Vec<String> = levels.map(str::to_owned).into();
            for _ in 0..4 {
                let longer = topics.iter().flat_map(|start| levels.map(|level| format!("{start}/{level}")));
                topics = topics.iter().cloned().chain(longer).collect();
                topics.sort();
                topics.dedup();
            }
            let topics: Vec<_> = topics.iter().filter_map(|topic| Topics::parse([&**topic]).ok()).collect();
            for (one, other) in ones.iter().zip(&others) {
                let [a, b] = [one, other].map(|filter| FilterSet::parse([&**filter]).expect("a filter"));
                let found = topics.iter().any(|topic| a.matches(topic) && b.matches(topic));
                prop_assert_eq!(overlap(one, other), found, "{} and {}", one, other);
            }
        }
    }
}
