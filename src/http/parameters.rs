//! Names of the parameters that a query may have, and names that are probably typos of them.
//!
//! Pure; it reads no value. A typo must not change the audience of a message. A publish therefore has no unknown
//! parameter, and other requests have none that is nearly a known one. A name of the client is never kept: an error
//! holds the known name.

use super::RequestError;
use super::query::names;

/// A parameter that some route knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    Topic,
    Event,
    Id,
    Retry,
    Slow,
    LastEventId,
    EvsLastEventId,
}

/// Parameters of a publish, by their exact names.
const OF_PUBLISH: &[(&str, Parameter)] =
    &[("topic", Parameter::Topic), ("event", Parameter::Event), ("id", Parameter::Id), ("retry", Parameter::Retry)];

/// Parameters of a stream.
const OF_STREAM: &[(&str, Parameter)] = &[
    ("topic", Parameter::Topic),
    ("slow", Parameter::Slow),
    ("last_event_id", Parameter::LastEventId),
    ("lastEventId", Parameter::LastEventId),
    ("lastEventID", Parameter::LastEventId),
    ("evs_last_event_id", Parameter::EvsLastEventId),
];

/// Parameters of the number of streams.
const OF_COUNT: &[(&str, Parameter)] = &[("topic", Parameter::Topic)];

/// Most bytes of a name that is compared, so that a long query costs little.
const MOST_COMPARED: usize = 32;

/// Letters of a known name for each edit of a probable typo. A short name allows none: `show` is not `slow`.
const LETTERS_AN_EDIT: usize = 5;

/// Letters of a known name for each edit of a name that is unknown anyway, so that the advice can name the known one.
const LETTERS_A_GUESSED_EDIT: usize = 2;

impl Parameter {
    /// The advice to a client whose parameter is not known to the route, with the nearest known name.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Topic => "A parameter's name is unknown; topic is the nearest known one.\n",
            Self::Event => "A parameter's name is unknown; event is the nearest known one.\n",
            Self::Id => "A parameter's name is unknown; id is the nearest known one.\n",
            Self::Retry => "A parameter's name is unknown; retry is the nearest known one.\n",
            Self::Slow => "A parameter's name is unknown; slow is the nearest known one.\n",
            Self::LastEventId => "A parameter's name is unknown; last_event_id is the nearest known one.\n",
            Self::EvsLastEventId => "A parameter's name is unknown; evs_last_event_id is the nearest known one.\n",
        }
    }
}

/// Checks that a publish has no unknown parameter.
pub(super) fn check_publish(query: &str) -> Result<(), RequestError> {
    let unknown = names(query).find(|name| OF_PUBLISH.iter().all(|(known, _)| known.as_bytes() != &**name));
    let Some(name) = unknown else { return Ok(()) };
    let guess = nearest(&name, OF_PUBLISH, LETTERS_A_GUESSED_EDIT);
    Err(guess.map_or(RequestError::UnknownParameter, RequestError::Misspelt))
}

/// Checks that no parameter of a stream is nearly a known one. Others are for a proxy, or for no program.
pub(super) fn check_stream(query: &str) -> Result<(), RequestError> {
    check_typos(query, OF_STREAM)
}

/// The same for the number of streams.
pub(super) fn check_count(query: &str) -> Result<(), RequestError> {
    check_typos(query, OF_COUNT)
}

fn check_typos(query: &str, known: &[(&str, Parameter)]) -> Result<(), RequestError> {
    for name in names(query).filter(|name| known.iter().all(|(known, _)| known.as_bytes() != &**name)) {
        if let Some(parameter) = nearest(&name, known, LETTERS_AN_EDIT) {
            return Err(RequestError::Misspelt(parameter));
        }
    }
    Ok(())
}

/// The known parameter with the fewest edits to this name, if one edit falls on so many of its letters.
fn nearest(name: &[u8], known: &[(&str, Parameter)], letters_an_edit: usize) -> Option<Parameter> {
    let name = letters(name);
    let near = known.iter().filter_map(|(known, parameter)| {
        let known = letters(known.as_bytes());
        let edits = edits(&name, &known);
        (edits <= known.len() / letters_an_edit).then_some((edits, *parameter))
    });
    near.min_by_key(|(edits, _)| *edits).map(|(_, parameter)| parameter)
}

/// A name without case, separators and brackets: `Last-Event-ID` and `last_event_id` are alike, `topic[]` and `topic`.
fn letters(name: &[u8]) -> Vec<u8> {
    let is_separator = |octet: &u8| matches!(octet, b'-' | b'_' | b'.' | b' ' | b'[' | b']');
    name.iter().filter(|octet| !is_separator(octet)).take(MOST_COMPARED).map(u8::to_ascii_lowercase).collect()
}

/// Number of octets to insert, delete, replace or swap with the next one, that make one text of the other.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, octet) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(octet != other);
            let mut least = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            if row > 0 && column > 0 && *octet == to[column - 1] && from[row - 1] == *other {
                least = least.min(before_last[column - 1] + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publish_has_known_parameters_alone() {
        for query in ["", "&", "topic=a&topic=b&event=c&id=d&retry=1", "%74opic=a", "topic", "&&id=1&"] {
            assert_eq!(check_publish(query), Ok(()), "for {query:?}");
        }
        for (query, nearest) in [
            ("topics=hr", Some(Parameter::Topic)),
            ("Topic=hr", Some(Parameter::Topic)),
            ("TOPIC=hr", Some(Parameter::Topic)),
            ("topic%5B%5D=hr", Some(Parameter::Topic)),
            ("topci=hr", Some(Parameter::Topic)),
            ("topic=hr&tpic=it", Some(Parameter::Topic)),
            ("+topic=hr", Some(Parameter::Topic)),
            ("evnt=x", Some(Parameter::Event)),
            ("ID=x", Some(Parameter::Id)),
            ("retrys=1", Some(Parameter::Retry)),
            ("channel=hr", None),
            ("access_token=x", None),
            ("=x", None),
            ("_=1", None),
            ("x", None),
            ("%ff%fe%fd=x", None),
        ] {
            let error = nearest.map_or(RequestError::UnknownParameter, RequestError::Misspelt);
            assert_eq!(check_publish(query), Err(error), "for {query:?}");
        }
    }

    #[test]
    fn readers_may_have_unknown_parameters() {
        for query in [
            "",
            "t=1",
            "_=1",
            "ts=1",
            "v=2",
            "token=x",
            "access_token=x",
            "id=1",
            "event=x",
            "retry=1",
            "=x",
            "x",
            "cb=1",
            "cachebust=1",
            "timestamp=1",
            "slot=1",
            "show=1",
            "flow=1",
            "optics=1",
            "user_id=1",
            "authorization=x",
            "lastUpdate=1",
            "event_id=7",
            "%ff=1",
            "channel=a",
        ] {
            assert_eq!(check_stream(query), Ok(()), "for {query:?}");
            assert_eq!(check_count(query), Ok(()), "for {query:?}");
        }
        for known in ["topic=a&topic=b", "slow=latest", "last_event_id=1", "lastEventId=1", "lastEventID=1"] {
            assert_eq!(check_stream(known), Ok(()), "for {known:?}");
        }
        assert_eq!(check_count("slow=latest&last_event_id=1"), Ok(()), "these mean nothing here");
    }

    #[test]
    fn typos_of_known_parameters_are_found() {
        for (query, parameter) in [
            ("topics=a", Parameter::Topic),
            ("Topic=a", Parameter::Topic),
            ("TOPIC", Parameter::Topic),
            ("topic%5B%5D=a", Parameter::Topic),
            ("x=1&tpoic=a", Parameter::Topic),
            ("topic=a&topc=b", Parameter::Topic),
            ("Slow=latest", Parameter::Slow),
            ("last-event-id=1", Parameter::LastEventId),
            ("Last-Event-ID=1", Parameter::LastEventId),
            ("lasteventid=1", Parameter::LastEventId),
            ("last_event=1", Parameter::LastEventId),
            ("evsLastEventId=1", Parameter::EvsLastEventId),
        ] {
            assert_eq!(check_stream(query), Err(RequestError::Misspelt(parameter)), "for {query:?}");
        }
        assert_eq!(check_count("topics=a"), Err(RequestError::Misspelt(Parameter::Topic)));
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("topic", "topic", 0),
            ("topics", "topic", 1),
            ("tpoic", "topic", 1),
            ("token", "topic", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(edits(from.as_bytes(), to.as_bytes()), expected, "{from} {to}");
            assert_eq!(edits(to.as_bytes(), from.as_bytes()), expected, "{to} {from}");
        }
    }
}
