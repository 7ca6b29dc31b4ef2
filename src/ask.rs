//! What a request asks for beyond its route: the fields of an event, the form of an answer.
//!
//! By the query or by fields of the head, each once. Names that are not known are left alone: they are for a proxy, or
//! for nobody. Pure: a head in, a value or its refusal out.

use std::time::Duration;

use crate::frame::Fields;
use crate::http::Refusal;
use crate::http::head::RequestHead;
use crate::http::optional::{Once, OptionalFields};
use crate::query;

/// What is to be published with a body, and how that is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Publishing {
    /// The event's fields besides its data.
    pub(crate) fields: Fields,
    /// Whether the answer has a body that tells what became of the message.
    pub(crate) wants_json: bool,
}

impl Publishing {
    /// Reads what the head of a publish asks for.
    pub(crate) fn read(head: &RequestHead<'_>) -> Result<Self, Refusal> {
        let optional = &head.optional;
        if head.query.is_empty() && *optional == OptionalFields::default() {
            return Ok(Self::default());
        }
        let fields = Fields {
            kind: single(head.query, "event", optional.event_type)?,
            id: single(head.query, "id", optional.event_id)?,
            retry: single(head.query, "retry", Once::Never)?.map(|text| milliseconds(&text)).transpose()?,
        };
        fields.check().map_err(Refusal::EventField)?;
        Ok(Self { fields, wants_json: optional.accepts_json })
    }
}

/// The value that a parameter or a field gives, of which there may be one.
fn single(query: &str, name: &str, field: Once<'_>) -> Result<Option<String>, Refusal> {
    let mut values = query::values(query, name);
    let field = match field {
        Once::Never => None,
        Once::Value(octets) => Some(octets),
        Once::Repeated => return Err(Refusal::Repeated),
    };
    match (values.next(), values.next(), field) {
        (None, _, None) => Ok(None),
        (Some(Ok(value)), None, None) => Ok(Some(value.into_owned())),
        (None, _, Some(octets)) => {
            std::str::from_utf8(octets).map(|text| Some(text.to_owned())).map_err(|_| Refusal::NotText)
        }
        (Some(Err(query::NotUtf8)), None, None) => Err(Refusal::NotText),
        _ => Err(Refusal::Repeated),
    }
}

/// A time as the `retry` field of an event stream has it: digits alone (WHATWG HTML, 9.2.6).
fn milliseconds(text: &str) -> Result<Duration, Refusal> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let millis = text.parse().ok().filter(|_| is_number).ok_or(Refusal::Retry)?;
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str, fields: &str) -> Result<Publishing, Refusal> {
        let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        Publishing::read(&RequestHead::parse(head.as_bytes()).expect("a good head"))
    }

    fn fields(kind: &str, id: &str, retry: u64) -> Fields {
        Fields { kind: Some(kind.into()), id: Some(id.into()), retry: Some(Duration::from_millis(retry)) }
    }

    #[test]
    fn an_event_has_its_fields_from_the_query_or_from_the_head() {
        let asked = read("/broadcast?id=%37&x=1&event=gre%20et&retry=1500", "").expect("it is good");
        assert_eq!(asked, Publishing { fields: fields("gre et", "7", 1500), wants_json: false });
        let asked = read("/broadcast?retry=0", "event-type: greet\r\nEVENT-ID: 7\r\nAccept: application/json\r\n");
        assert_eq!(asked, Ok(Publishing { fields: fields("greet", "7", 0), wants_json: true }));
        assert_eq!(read("/broadcast", ""), Ok(Publishing::default()));
        assert_eq!(read("/broadcast?x=%ff&Event=a&events=b", "X-Event: c\r\n"), Ok(Publishing::default()));
    }

    #[test]
    fn what_is_given_twice_or_is_no_such_field_is_refused() {
        for (target, head, refusal) in [
            ("/?event=a&event=a", "", Refusal::Repeated),
            ("/?id=a&id=b", "", Refusal::Repeated),
            ("/?retry=1&retry=1", "", Refusal::Repeated),
            ("/?event=a", "Event-Type: a\r\n", Refusal::Repeated),
            ("/", "Event-Type: a\r\nX-EventSource-Event: a\r\n", Refusal::Repeated),
            ("/", "Event-Id: a\r\nEvent-Id: a\r\n", Refusal::Repeated),
            ("/?event=%ff", "", Refusal::NotText),
            ("/?retry=", "", Refusal::Retry),
            ("/?retry=-1", "", Refusal::Retry),
            ("/?retry=+1", "", Refusal::Retry),
            ("/?retry=1.5", "", Refusal::Retry),
            ("/?retry=99999999999999999999", "", Refusal::Retry),
        ] {
            assert_eq!(read(target, head), Err(refusal), "for {target} {head}");
        }
        for target in ["/?event=a%0ab", "/?event=%0D", "/?id=a%0a", "/?id=%00", "/?id=a%0db"] {
            assert!(matches!(read(target, ""), Err(Refusal::EventField(_))), "for {target}");
        }
        assert!(read("/?event=%00", "").is_ok(), "NUL is no trouble in a type");
    }
}
