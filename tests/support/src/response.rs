//! A strict reader of responses: status line, fields and exact framing, for any server that closes or gives a length.

use std::fmt;

use crate::{Client, date, escaped};

/// One response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Fields in the order received, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body; empty for a stream.
    pub body: Vec<u8>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.fields, escaped(&self.body))
    }
}

/// The rule that ends a response's body.
enum Framing {
    Length(usize),
    Close,
    /// A stream: the test reads on.
    Open,
}

impl Response {
    /// Reads one response from a connection; of a stream, only the head.
    #[track_caller]
    pub fn read(client: &mut Client) -> Self {
        let head = client.read_until(b"\r\n\r\n");
        let mut response = Self::parse_head(&head);
        response.body = match response.framing() {
            Framing::Length(length) => client.read_exactly(length),
            Framing::Close => client.rest(),
            Framing::Open => Vec::new(),
        };
        response
    }

    /// The value of a field that may occur once.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        value
    }

    /// Holds that a field has this value.
    #[track_caller]
    pub fn expect_field(&self, name: &str, value: &str) {
        assert_eq!(self.field(name), Some(value), "{name} in {self:?}");
    }

    /// Holds that the status is this one.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// Holds that the response has no other fields.
    #[track_caller]
    pub fn expect_only(&self, names: &[&str]) {
        for (name, value) in &self.fields {
            assert!(names.contains(&name.as_str()), "added without a reason: {name}: {value}");
        }
    }

    /// True if `Connection: close` announces the end of the connection.
    pub fn closes(&self) -> bool {
        let options = self.fields.iter().filter(|(name, _)| name == "connection").map(|(_, value)| value);
        options.flat_map(|value| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
    }

    /// Parses a head, including its empty line.
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
        assert_eq!(self.field("transfer-encoding"), None, "no response is chunked: {self:?}");
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

    /// Holds the rules of all smolcast responses: a current `Date`, and an error in one line of text.
    ///
    /// The page of `/` has more lines, and its own tests.
    #[track_caller]
    pub fn check(&self) {
        if matches!(self.status, 200..=299 | 400..=499) {
            date::assert_date(self.field("date").unwrap_or_else(|| panic!("no Date: {self:?}")));
        }
        let is_page = self.status == 404 && self.field("content-security-policy").is_some();
        if self.status >= 400 && !is_page {
            let media_type = self.field("content-type").and_then(|value| value.split(';').next());
            assert_eq!(media_type, Some("text/plain"), "{self:?}");
            let body = std::str::from_utf8(&self.body).unwrap_or_else(|_| panic!("no UTF-8: {self:?}"));
            let line = body.strip_suffix('\n').unwrap_or(body);
            assert!(!line.trim().is_empty(), "an error says what to do: {self:?}");
            assert!(!line.contains(['\r', '\n']), "an error is one line: {self:?}");
        }
    }
}

/// Parses all bytes of a connection: one response for each of `methods`, or for the first of them.
///
/// # Panics
///
/// If a byte is left over, or a response follows one that closed.
#[track_caller]
pub fn parse_responses(mut bytes: &[u8], methods: &[&str]) -> Vec<Response> {
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
    assert!(!responses.iter().take(last).any(Response::closes), "a response behind `Connection: close`: {responses:?}");
    responses
}

/// Parses the first response in all bytes of a connection; returns it and the rest.
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
