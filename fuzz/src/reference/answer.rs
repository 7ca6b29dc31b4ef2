//! Responses, checked against the wire contract: exactly the fields that it names, and bodies of one line.

use std::collections::BTreeSet;

use super::access::Readers;
use super::line;

/// The response that the server has to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The valid statuses.
    pub statuses: BTreeSet<u16>,
    /// Its Connection field.
    pub connection: Connection,
    /// Marks a response to `HEAD`, which has no body.
    pub is_head: bool,
    /// The pages that may read it.
    pub readers: Readers,
    /// Its kind, which decides its fields.
    pub kind: Kind,
}

/// The value of the Connection field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// No field: the connection stays open.
    Unsaid,
    /// The connection stays open, which a client of HTTP/1.0 has to learn.
    KeepAlive,
    /// The connection closes.
    Close,
}

/// The kind of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `100 Continue`.
    Continue,
    /// The head of a stream.
    Stream,
    /// The number of streams, which is 0.
    Count,
    /// The response to `OPTIONS`.
    Preflight,
    /// The same, if the request asks to send fields.
    FieldsPreflight,
    /// The response to `OPTIONS` that lists the fields of a publish.
    PublishPreflight,
    /// `202 Accepted`.
    Accepted(Form),
    /// An error, in one line.
    Problem,
}

/// The form of the response to an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The status alone.
    Bare,
    /// A JSON body with the number of streams, which is 0.
    Json,
    /// One of the two.
    Any,
}

/// Takes a response from the front of `sent`, or describes its fault.
pub fn take(sent: &mut &[u8], expected: &Expected) -> Result<(), String> {
    let status_line = take_line(sent)?;
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_once(' '));
    let Some((status, _reason)) = status else { return Err(format!("no status line: {status_line:?}")) };
    if !status.parse().is_ok_and(|status| expected.statuses.contains(&status)) {
        return Err(format!("status {status}"));
    }
    let mut fields = Vec::new();
    loop {
        match take_line(sent)? {
            "" => break,
            field => fields.push(field.to_owned()),
        }
    }
    let body_length = check_fields(fields, expected, status)?;
    if expected.is_head { Ok(()) } else { take_body(sent, body_length, expected.kind) }
}

fn take_line<'s>(sent: &mut &'s [u8]) -> Result<&'s str, String> {
    let found = line(sent).ok_or("no whole answer")?;
    *sent = &sent[found.len() + 1..];
    let content = found.strip_suffix(b"\r").ok_or("a line ends without CR")?;
    std::str::from_utf8(content).map_err(|error| error.to_string())
}

/// Compares the fields with the expected ones, in any order; returns the length of the body.
fn check_fields(mut fields: Vec<String>, expected: &Expected, status: &str) -> Result<usize, String> {
    let mut take = |name: &str| {
        let at = fields.iter().position(|field| field.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")))?;
        Some(fields.swap_remove(at)[name.len() + 2..].to_owned())
    };
    let length = take("Content-Length").map(|length| length.parse::<usize>());
    let date = take("Date");
    let origin = (take("Access-Control-Allow-Origin"), take("Vary"));
    let credentials = take("Access-Control-Allow-Credentials");
    let connection = take("Connection");
    fields.sort();
    // A response of any form has to match one of the two.
    let kind = match expected.kind {
        Kind::Accepted(Form::Any) => Kind::Accepted(if fields.is_empty() { Form::Bare } else { Form::Json }),
        kind => kind,
    };
    // A 401 carries a challenge (RFC 9110, 15.5.2).
    let challenge = (status == "401").then_some("WWW-Authenticate: Bearer");
    if !needed_fields(kind).iter().copied().chain(challenge).eq(&fields) {
        return Err(format!("fields {fields:?}"));
    }
    let is_interim = kind == Kind::Continue;
    if !if is_interim { date.is_none() } else { date.as_deref().is_some_and(is_date) } {
        return Err(format!("date {date:?}"));
    }
    let connection_value = match expected.connection {
        Connection::Unsaid => None,
        Connection::KeepAlive => Some("keep-alive"),
        Connection::Close => Some("close"),
    };
    if connection.as_deref() != connection_value {
        return Err(format!("connection {connection:?}"));
    }
    let origin = (origin.0.as_deref().map(str::as_bytes), origin.1.as_deref());
    let are_good_readers = match &expected.readers {
        _ if is_interim => origin == (None, None),
        Readers::Anyone => origin == (Some(b"*"), None),
        Readers::Origin(listed) => origin == (Some(listed), Some("Origin")),
        Readers::Nobody => origin == (None, Some("Origin")),
        Readers::Unsaid => true,
    };
    if !are_good_readers {
        return Err(format!("readers {origin:?}"));
    }
    // Pages of a listed origin alone may send cookies.
    let may_send_cookies = !is_interim && matches!(expected.readers, Readers::Origin(_));
    if expected.readers != Readers::Unsaid && credentials.as_deref() != may_send_cookies.then_some("true") {
        return Err(format!("credentials {credentials:?}"));
    }
    match (kind, length) {
        (Kind::Continue | Kind::Preflight | Kind::FieldsPreflight | Kind::PublishPreflight | Kind::Stream, None) => {
            Ok(0)
        }
        (Kind::Accepted(Form::Bare), Some(Ok(0))) => Ok(0),
        (Kind::Count | Kind::Problem | Kind::Accepted(Form::Json), Some(Ok(length @ 1..))) => Ok(length),
        (_, length) => Err(format!("length {length:?}")),
    }
}

/// The fields that only a response of this kind has.
fn needed_fields(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Continue | Kind::Preflight | Kind::Accepted(Form::Bare | Form::Any) => &[],
        Kind::Accepted(Form::Json) => &["Content-Type: application/json"],
        Kind::PublishPreflight => &[
            "Access-Control-Allow-Headers: \
             Authorization, Content-Type, Event-Type, Event-Id, X-EventSource-Event, Topic",
            "Access-Control-Allow-Methods: POST",
            "Access-Control-Max-Age: 86400",
        ],
        Kind::FieldsPreflight => &[
            "Access-Control-Allow-Headers: Last-Event-ID, Authorization, Cache-Control",
            "Access-Control-Max-Age: 86400",
        ],
        Kind::Stream => &["Cache-Control: no-cache", "Content-Type: text/event-stream", "X-Accel-Buffering: no"],
        Kind::Count => &["Cache-Control: no-cache", "Content-Type: text/plain"],
        Kind::Problem => &["Content-Type: text/plain"],
    }
}

/// Checks the shape of an IMF-fixdate (RFC 9110, 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn is_date(date: &str) -> bool {
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let is_name = |at: usize| shape.get(at..at + 3).is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphabetic()));
    shape.len() == 29 && is_name(0) && is_name(8) && &shape[3..8] == ", 00 " && &shape[11..] == " 0000 00:00:00 GMT"
}

fn take_body(sent: &mut &[u8], length: usize, kind: Kind) -> Result<(), String> {
    let Some((body, rest)) = sent.split_at_checked(length) else { return Err("a body that is cut".to_owned()) };
    *sent = rest;
    let is_line = |text: &[u8]| {
        let (last, others) = text.split_last().unwrap_or((&0, b""));
        *last == b'\n' && others.iter().all(|octet| matches!(octet, b' '..=b'~'))
    };
    let is_good = match kind {
        Kind::Count => body == b"0",
        Kind::Problem => body.is_empty() || is_line(body),
        // Whitespace may stand around a JSON text (RFC 8259, 2).
        Kind::Accepted(Form::Json | Form::Any) if !body.is_empty() => {
            let text = std::str::from_utf8(body).map(|text| text.trim_matches([' ', '\t', '\n', '\r']));
            text == Ok("{\"subscribers\":0}")
        }
        _ => body.is_empty(),
    };
    if is_good { Ok(()) } else { Err(format!("a body of {:?}", String::from_utf8_lossy(body))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    const ANYONE: &str = "Access-Control-Allow-Origin: *\r\n";

    fn expected(status: u16, kind: Kind, connection: Connection) -> Expected {
        let statuses = BTreeSet::from([status]);
        Expected { statuses, connection, is_head: false, readers: Readers::Anyone, kind }
    }

    fn read(answer: &str, expected: &Expected) -> Result<(), String> {
        let mut sent = answer.as_bytes();
        take(&mut sent, expected)?;
        if sent.is_empty() { Ok(()) } else { Err(format!("{} octets are left", sent.len())) }
    }

    #[test]
    fn good_responses_pass() {
        let accepted = expected(202, Kind::Accepted(Form::Bare), Connection::KeepAlive);
        let answer =
            format!("HTTP/1.1 202 Accepted\r\n{DATE}{ANYONE}Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(read(&answer, &accepted), Ok(()));
        assert_eq!(read("HTTP/1.1 100 Continue\r\n\r\n", &expected(100, Kind::Continue, Connection::Unsaid)), Ok(()));
        let problem = expected(404, Kind::Problem, Connection::Unsaid);
        let head =
            format!("HTTP/1.1 404 Not Found\r\n{ANYONE}{DATE}Content-Type: text/plain\r\nContent-Length: 3\r\n\r\n");
        assert_eq!(read(&format!("{head}No\n"), &problem), Ok(()));
        assert_eq!(read(&head, &Expected { is_head: true, ..problem.clone() }), Ok(()));
        let listed = Expected { readers: Readers::Origin(b"o".to_vec()), ..problem };
        let fields = "o\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n";
        assert_eq!(read(&format!("{}No\n", head.replace("*\r\n", fields)), &listed), Ok(()));
    }

    #[test]
    fn a_challenge_is_on_a_401_and_nothing_else() {
        let answer = |status: u16, challenge: &str| {
            let fields = format!("{DATE}{ANYONE}Content-Type: text/plain\r\nContent-Length: 3\r\n{challenge}");
            let answer = format!("HTTP/1.1 {status} \r\n{fields}Connection: close\r\n\r\nNo\n");
            read(&answer, &expected(status, Kind::Problem, Connection::Close)).is_ok()
        };
        let challenge = "WWW-Authenticate: Bearer\r\n";
        assert!(answer(401, challenge) && answer(403, ""));
        assert!(!answer(401, "") && !answer(403, challenge) && !answer(401, "WWW-Authenticate: Basic\r\n"));
    }

    #[test]
    fn an_accepted_message_gets_the_form_of_its_accept_field() {
        let bare = format!("HTTP/1.1 202 Accepted\r\n{DATE}{ANYONE}Content-Length: 0\r\n\r\n");
        let typed = bare.replace("Content-Length: 0", "Content-Type: application/json\r\nContent-Length: 18");
        let json = typed.clone() + "{\"subscribers\":0}\n";
        for (answer, forms) in [
            (&bare, &[Form::Bare, Form::Any][..]),
            (&json, &[Form::Json, Form::Any]),
            (&json.replace("0}\n", "0} "), &[Form::Json, Form::Any]),
            (&json.replace("0}", "1}"), &[]),
            (&json.replace('\n', ""), &[]),
            (&json.replace("application/json", "text/plain"), &[]),
            (&json.replace("Content-Type: application/json\r\n", ""), &[]),
            (&typed.replace("18", "0"), &[]),
        ] {
            for form in [Form::Bare, Form::Json, Form::Any] {
                let expected = expected(202, Kind::Accepted(form), Connection::Unsaid);
                assert_eq!(read(answer, &expected).is_ok(), forms.contains(&form), "{answer:?} as {form:?}");
            }
        }
    }

    #[test]
    fn bad_responses_fail() {
        let count = expected(200, Kind::Count, Connection::Close);
        let rest =
            "Cache-Control: no-cache\r\nContent-Type: text/plain\r\nContent-Length: 1\r\nConnection: close\r\n\r\n0";
        let good = format!("HTTP/1.1 200 OK\r\n{DATE}{ANYONE}{rest}");
        assert_eq!(read(&good, &count), Ok(()));
        for (what, with) in [
            ("HTTP/1.1", "HTTP/1.0"),
            ("200", "201"),
            ("OK\r\n", "OK\n"),
            (DATE, ""),
            ("37 GMT", "37 UTC"),
            (ANYONE, ""),
            ("*", "o"),
            ("no-cache", "no-store"),
            ("Length: 1", "Length: 2"),
            ("Length: 1", "Length: x"),
            ("Connection: close\r\n", ""),
            ("Content-Type", "X: y\r\nContent-Type"),
            ("\r\n0", "\r\n1"),
            ("\r\n0", "\r\n"),
            ("\r\n0", "\r\n00"),
        ] {
            assert!(read(&good.replacen(what, with, 1), &count).is_err(), "with {with:?} for {what:?}");
        }
    }
}
