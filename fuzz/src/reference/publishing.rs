//! The parts of a publish besides the body: the event's fields, the forms of the body and of the receipt.

use support::sse::{Message, normalised};

use super::answer::Form;
use super::framing::{Field, values};
use super::head::Head;
use super::{elements, query};

/// The event that has to reach the streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub kind: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// Its reconnection time in milliseconds.
    pub retry: Option<u64>,
    /// The posted body.
    pub data: String,
}

impl Event {
    /// The lines before those of its data.
    pub fn lines(&self) -> Vec<String> {
        let kind = self.kind.iter().map(|kind| format!("event: {kind}"));
        let id = self.id.iter().map(|id| format!("id: {id}"));
        kind.chain(id).chain(self.retry.iter().map(|retry| format!("retry: {retry}"))).collect()
    }

    /// The event that a page receives after this last event ID.
    pub fn message(&self, last_event_id: &str) -> Message {
        let kind = self.kind.clone().filter(|kind| !kind.is_empty());
        Message {
            event: kind.unwrap_or_else(|| "message".to_owned()),
            data: normalised(&self.data),
            last_event_id: self.id.as_deref().unwrap_or(last_event_id).to_owned(),
        }
    }
}

/// The event that a head announces, without its data; `None` if the head breaks a rule.
pub fn event(head: &Head) -> Option<Event> {
    let kind = single(head, "event", &["event-type", "x-eventsource-event"])?;
    let id = single(head, "id", &["event-id"])?;
    let is_good_kind = !kind.iter().any(|kind| kind == "gap" || kind.contains(['\r', '\n']));
    let is_good_id = id.iter().all(|id| is_good_id(id));
    let retry = match single(head, "retry", &[])? {
        Some(digits) => Some(number(&digits)?),
        None => None,
    };
    (is_good_kind && is_good_id).then_some(Event { kind, id, retry, data: String::new() })
}

/// Checks that a browser that was given this id sends it back unchanged, and that it asks for nothing else.
pub fn is_good_id(id: &str) -> bool {
    let is_control = |c: char| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}');
    id != "earliest" && !id.is_empty() && id.len() <= 512 && id.trim_matches(' ') == id && !id.contains(is_control)
}

/// Checks that the body is declared to be text in UTF-8, without a coding.
pub fn is_plain(fields: &[Field]) -> bool {
    let codings = elements(&values(fields, "content-encoding"));
    let is_no_coding = |coding: &Vec<u8>| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity");
    codings.iter().all(is_no_coding) && values(fields, "content-type").into_iter().all(is_utf_8)
}

/// Checks the charset parameters of a media type, outside of its quoted strings.
fn is_utf_8(media_type: &[u8]) -> bool {
    let text = String::from_utf8_lossy(media_type).to_ascii_lowercase();
    let mut parts = vec![String::new()];
    for (at, piece) in text.split('"').enumerate() {
        if at > 0 {
            parts.last_mut().expect("there is one").push('"');
        }
        let mut pieces = if at % 2 == 0 { piece.split(';').collect() } else { vec![piece] };
        parts.last_mut().expect("there is one").push_str(pieces.remove(0));
        parts.extend(pieces.into_iter().map(str::to_owned));
    }
    let blanks = [' ', '\t'];
    let charsets = parts.iter().skip(1).filter_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim_matches(blanks) == "charset").then(|| value.trim_matches(blanks))
    });
    let unquoted = |charset: &'_ str| match charset.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.to_owned(),
        None => charset.to_owned(),
    };
    charsets.map(unquoted).all(|charset| matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii" | "ascii"))
}

/// Checks a stream's `slow` parameter: given at most once, with a known value.
pub fn is_policy(head: &Head) -> bool {
    single(head, "slow", &[]).is_some_and(|policy| matches!(policy.as_deref(), None | Some("latest" | "disconnect")))
}

/// The only value of a parameter, or of a field of one of these names.
fn single(head: &Head, parameter: &str, names: &[&str]) -> Option<Option<String>> {
    let mut given = query::values(&head.query, parameter);
    for name in names {
        given.extend(values(&head.fields, name).into_iter().map(<[u8]>::to_vec));
    }
    match (given.pop(), given.len()) {
        (None, _) => Some(None),
        (Some(octets), 0) => String::from_utf8(octets).ok().map(Some),
        (Some(_), _) => None,
    }
}

/// `1*DIGIT` that fits into a timer of 31 bits.
fn number(digits: &str) -> Option<u64> {
    digits
        .chars()
        .try_fold(0_u64, |number, digit| number.checked_mul(10)?.checked_add(u64::from(digit.to_digit(10)?)))
        .filter(|number| !digits.is_empty() && *number < 1 << 31)
}

/// The form of the response that the Accept fields ask for (RFC 9110, 12.5.1).
///
/// If the type has weight 0, or is in a quoted string, the contract allows both forms.
pub fn form(fields: &[Field]) -> Form {
    let accepted = values(fields, "accept").join(&b","[..]);
    let accepted = String::from_utf8_lossy(&accepted).to_ascii_lowercase();
    let ranges: Vec<_> = accepted.split(',').filter(|range| is_json(range)).collect();
    if ranges.is_empty() {
        Form::Bare
    } else if !accepted.contains('"') && ranges.iter().any(|range| is_wanted(range)) {
        Form::Json
    } else {
        Form::Any
    }
}

/// Says if the Accept fields name HTML, perhaps with a weight of 0.
pub fn may_want_html(fields: &[Field]) -> bool {
    let accepted = values(fields, "accept").join(&b","[..]);
    String::from_utf8_lossy(&accepted).to_ascii_lowercase().contains("text/html")
}

fn is_json(range: &str) -> bool {
    range.split(';').next().is_some_and(|name| name.trim_matches([' ', '\t']) == "application/json")
}

/// Checks that a range has no weight, or one above 0 (RFC 9110, 12.4.2).
fn is_wanted(range: &str) -> bool {
    let weight = range.split(';').find_map(|parameter| parameter.trim_matches([' ', '\t']).strip_prefix("q="));
    weight.is_none_or(|weight| weight.contains(|c| ('1'..='9').contains(&c)))
}

#[cfg(test)]
mod tests {
    use smolcast::Limits;

    use super::*;
    use crate::reference::{Reading, head};

    fn read(query: &str, fields: &str) -> Head {
        let octets = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        match head::read(octets.as_bytes(), &Limits::default()) {
            Reading::Whole(head, _) => head,
            other => panic!("{octets:?} is {other:?}"),
        }
    }

    fn lines(query: &str, fields: &str) -> Option<Vec<String>> {
        event(&read(query, fields)).map(|event| event.lines())
    }

    #[test]
    fn fields_come_by_the_query_or_the_head() {
        for (query, fields, expected) in [
            ("", "", &[][..]),
            ("?retry=0015&id=a+b%2B&event=%63", "", &["event: c", "id: a b+", "retry: 15"]),
            ("?%65vent=a", "EVENT-ID:\t7 \r\n", &["event: a", "id: 7"]),
            ("", "x-eventsource-event: \r\n", &["event: "]),
            ("?event=%00%c3%a9&retry=2147483647", "", &["event: \0é", "retry: 2147483647"]),
            ("?Event=a&events=b&x=%ff&x=%00", "X-Event: c\r\nRetry: x\r\nLast-Event-ID: y\r\n", &[]),
        ] {
            let expected: Vec<_> = expected.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(lines(query, fields), Some(expected), "{query} {fields:?}");
        }
    }

    #[test]
    fn invalid_fields_are_rejected() {
        for query in
            ["event=a&event=a", "id=a&%69d=b", "retry=1&retry=1", "event=%0d", "event=%0A", "id=a%0a", "id=%0D"]
        {
            assert_eq!(lines(&format!("?{query}"), ""), None, "{query}");
        }
        for query in
            ["id=%00", "id", "id=%20a", "id=%7f", "id=%c2%85", "id=earliest", "event=gap", "event=%ff", "id=%c3"]
        {
            assert_eq!(lines(&format!("?{query}"), ""), None, "{query}");
        }
        for query in ["retry=", "retry", "retry=-1", "retry=1.5", "retry=%20"] {
            assert_eq!(lines(&format!("?{query}"), ""), None, "{query}");
        }
        assert_eq!(lines("?retry=2147483648", ""), None);
        assert_eq!(lines("?retry=18446744073709551616", ""), None);
        assert_eq!(lines("?event=a", "Event-Type: a\r\n"), None);
        assert_eq!(lines("?id=a", "Event-Id: a\r\n"), None);
        assert_eq!(lines("", "Event-Type: a\r\nX-EventSource-Event: a\r\n"), None);
        assert_eq!(lines("", "Event-Id: a\r\nEvent-Id: a\r\n"), None);
    }

    #[test]
    fn bodies_are_plain_utf_8() {
        for (fields, expected) in [
            ("", true),
            ("Content-Encoding: , Identity\r\nContent-Type: text/plain\r\n", true),
            ("Content-Encoding: identity\r\nContent-Encoding: x\r\n", false),
            ("Content-Type: a/b; Charset = \"UTF-8\" ;c=d\r\n", true),
            ("Content-Type: a/b; x=\";charset=y;\";charset=ascii\r\n", true),
            ("Content-Type: a/b; charset=latin1\r\n", false),
            ("Content-Type: a/b; charset=utf-8\r\nContent-Type: a/b;charset=\r\n", false),
        ] {
            assert_eq!(is_plain(&read("", fields).fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn accept_fields_give_the_form() {
        for (fields, expected) in [
            ("", Form::Bare),
            ("Accept: */*, application/*\r\n", Form::Bare),
            ("Accept: application/jsonp, application/json-seq\r\n", Form::Bare),
            ("Accept: x\r\naccept: y,\tApplication/JSON ;a=b; q=0.1\r\n", Form::Json),
            ("Accept: application/json;q=0, application/json\r\n", Form::Json),
            ("Accept: application/json;Q=0.000\r\n", Form::Any),
            ("Accept: text/plain;a=\",application/json\"\r\n", Form::Bare),
            ("Accept: text/plain;a=\",application/json,\"\r\n", Form::Any),
        ] {
            assert_eq!(form(&read("", fields).fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn a_page_gets_the_fields_of_an_event() {
        let event = Event { kind: Some(String::new()), data: "a\r\nb".into(), ..Event::default() };
        let message = Message { event: "message".into(), data: "a\nb".into(), last_event_id: "7".into() };
        assert_eq!(event.message("7"), message);
        let event = Event { kind: Some("k".into()), id: Some(String::new()), ..Event::default() };
        let message = Message { event: "k".into(), data: String::new(), last_event_id: String::new() };
        assert_eq!(event.message("7"), message);
    }
}
