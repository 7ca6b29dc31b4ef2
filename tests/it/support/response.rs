//! A strict reader of answers: status line, fields, exact framing, and what holds for every answer.

use std::fmt;

use super::{Client, date, escaped};

/// One answer.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case, in the order they came.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.fields, escaped(&self.body))
    }
}

/// How the end of an answer's body is known.
enum Framing {
    Length(usize),
    Close,
    /// A stream, which the test reads on.
    Open,
}

impl Response {
    /// Reads one answer from a connection; of a stream, only the head.
    #[track_caller]
    pub(crate) fn read(client: &mut Client) -> Self {
        let head = client.read_until(b"\r\n\r\n");
        let mut response = Self::parse_head(&head);
        response.body = match response.framing() {
            Framing::Length(length) => client.read_exactly(length),
            Framing::Close => client.rest(),
            Framing::Open => Vec::new(),
        };
        response.check();
        response
    }

    /// The value of a field that may come once.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        value
    }

    #[track_caller]
    pub(crate) fn expect_field(&self, name: &str, value: &str) {
        assert_eq!(self.field(name), Some(value), "{name} in {self:?}");
    }

    #[track_caller]
    pub(crate) fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Holds that no field but these is there.
    #[track_caller]
    pub(crate) fn expect_only(&self, names: &[&str]) {
        for (name, value) in &self.fields {
            assert!(names.contains(&name.as_str()), "added without a reason: {name}: {value}");
        }
    }

    /// Whether the answer says that it is the connection's last.
    pub(crate) fn closes(&self) -> bool {
        let options = self.fields.iter().filter(|(name, _)| name == "connection").map(|(_, value)| value);
        options.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
    }

    /// Parses a head that ends with its empty line.
    #[track_caller]
    fn parse_head(head: &[u8]) -> Self {
        let text = std::str::from_utf8(head).unwrap_or_else(|_| panic!("no ASCII: {}", escaped(head)));
        let lines = text.strip_suffix("\r\n\r\n").unwrap_or_else(|| panic!("no head: {}", escaped(head)));
        let mut lines = lines.split("\r\n");
        let status = parse_status_line(lines.next().unwrap_or_default());
        let fields = lines.map(parse_field).collect();
        Self { status, fields, body: Vec::new() }
    }

    #[track_caller]
    fn framing(&self) -> Framing {
        assert_eq!(self.field("transfer-encoding"), None, "no answer is chunked: {self:?}");
        let length = self.field("content-length").map(|value| {
            assert!(value.bytes().all(|byte| byte.is_ascii_digit()), "Content-Length {value:?}");
            value.parse().unwrap_or_else(|_| panic!("Content-Length {value:?}"))
        });
        match (self.status, length) {
            (100..=199 | 204, None) => Framing::Length(0),
            (100..=199 | 204, Some(_)) => panic!("no Content-Length may be here: {self:?}"),
            (_, Some(length)) => Framing::Length(length),
            (200, None) if self.field("content-type") == Some("text/event-stream") => Framing::Open,
            (_, None) if self.closes() => Framing::Close,
            (_, None) => panic!("the end of the body cannot be known: {self:?}"),
        }
    }

    /// What holds for every answer: a true date, and an error that says what to do in one line.
    #[track_caller]
    fn check(&self) {
        if matches!(self.status, 200..=299 | 400..=499) {
            date::assert_date(self.field("date").unwrap_or_else(|| panic!("no Date: {self:?}")));
        }
        if self.status >= 400 {
            let media_type = self.field("content-type").and_then(|value| value.split(';').next());
            assert_eq!(media_type, Some("text/plain"), "{self:?}");
            let body = std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("no UTF-8: {self:?}"));
            let line = body.strip_suffix('\n').unwrap_or(body);
            assert!(!line.trim().is_empty(), "an error says what to do: {self:?}");
            assert!(!line.contains(['\r', '\n']), "an error is one line: {self:?}");
        }
    }
}

/// Parses all that a connection sent up to its end; each of `methods` has had one answer, as far as they go.
///
/// # Panics
///
/// When a byte is left over, or an answer follows one that closed.
#[track_caller]
pub(crate) fn parse_responses(mut bytes: &[u8], methods: &[&str]) -> Vec<Response> {
    let mut responses: Vec<Response> = Vec::new();
    for method in methods {
        if bytes.is_empty() {
            break;
        }
        let (response, rest) = parse_response(bytes, method);
        bytes = rest;
        responses.push(response);
    }
    assert!(bytes.is_empty(), "left over: {}\n after {responses:?}", escaped(bytes));
    let last = responses.len().saturating_sub(1);
    assert!(!responses.iter().take(last).any(Response::closes), "an answer behind `Connection: close`: {responses:?}");
    responses
}

/// Parses the first answer of what a connection sent up to its end; the rest is given back.
#[track_caller]
fn parse_response<'a>(bytes: &'a [u8], method: &str) -> (Response, &'a [u8]) {
    let at = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let at = at.unwrap_or_else(|| panic!("no head: {}", escaped(bytes))) + 4;
    let mut response = Response::parse_head(&bytes[..at]);
    let length = match response.framing() {
        _ if method == "HEAD" => 0,
        Framing::Length(length) => length,
        Framing::Close | Framing::Open => bytes.len() - at,
    };
    assert!(bytes.len() - at >= length, "a body of {length} bytes ends early: {}", escaped(bytes));
    response.body = bytes[at..at + length].to_vec();
    if method != "HEAD" {
        response.check();
    }
    (response, &bytes[at + length..])
}

/// `HTTP/1.1 202 Accepted`; the reason may be empty, its space may not be missing.
#[track_caller]
fn parse_status_line(line: &str) -> u16 {
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.split_once(' '));
    let (code, reason) = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
    let digits = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
    assert!(digits && reason.bytes().all(is_text), "no status line: {line:?}");
    code.parse().unwrap_or_else(|_| panic!("no status line: {line:?}"))
}

/// `Name: value`, with one space, a token for its name and nothing unprintable.
#[track_caller]
fn parse_field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no field line: {line:?}"));
    let token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    assert!(token && value.bytes().all(is_text) && value.trim() == value, "no field line: {line:?}");
    (name.to_ascii_lowercase(), value.to_owned())
}

fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}
