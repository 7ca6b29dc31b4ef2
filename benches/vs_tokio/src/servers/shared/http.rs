//! HTTP/1.1 for the servers that bring none: whatever bytes a client sends become requests, and these become events to
//! publish and answers to send. No socket is touched here.

use std::io::Write;
use std::str;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use httparse::{EMPTY_HEADER, Header, Status};

use super::{BODY_LIMIT, OPENING, event};

const MOST_FIELDS: usize = 64;
/// The bytes of one read.
pub(crate) const READ_BYTES: usize = 8 * 1024;

/// The time for a client to read its last answer and close.
pub(crate) const CLOSE_LIMIT: Duration = Duration::from_secs(1);

const HEAD_LIMIT: usize = 16 * 1024;

const STREAM_FIELDS: &str = "Content-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\n\
    Access-Control-Allow-Origin: *\r\n\
    X-Accel-Buffering: no\r\n";
const COUNT_FIELDS: &str = "Content-Type: text/plain\r\n\
    Cache-Control: no-cache\r\n\
    Access-Control-Allow-Origin: *\r\n";
const PREFLIGHT_FIELDS: &str = "Access-Control-Allow-Origin: *\r\n";
const ACCEPTED_FIELDS: &str = "Access-Control-Allow-Origin: *\r\nContent-Length: 0\r\n";
const EMPTY_FIELDS: &str = "Content-Length: 0\r\n";

/// The field that says the fate of a connection after an answer.
const CLOSE: &str = "Connection: close\r\n";
const KEEP_ALIVE: &str = "";
/// The same for a client of HTTP/1.0, which has to be told.
const KEEP_ALIVE_AS_ASKED: &str = "Connection: keep-alive\r\n";

const BAD_REQUEST: &str = "400 Bad Request";
const HEAD_TOO_LARGE: &str = "431 Request Header Fields Too Large";

/// An error is the status of the connection's last answer.
type Result<T> = std::result::Result<T, &'static str>;

/// The requests of one connection and the answers to them.
#[derive(Default)]
pub(crate) struct Exchange {
    /// Bytes that no request has taken yet.
    input: BytesMut,
    /// The events that the requests publish, joined,
    pub(crate) events: Vec<u8>,
    /// and the answers that leave once that is done.
    pub(crate) output: Vec<u8>,
}

/// The next thing on a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Request,
    Stream,
    Close,
}

impl Exchange {
    /// Takes what the client has sent, and answers each request that is there as a whole by now: N of them in one
    /// segment get N answers in order. Nothing behind the last one is carried out.
    pub(crate) fn answer(&mut self, input: &[u8], open_streams: usize) -> Next {
        self.input.extend_from_slice(input);
        loop {
            let next = match Request::parse(&self.input) {
                Ok(None) => return Next::Request,
                Ok(Some((request, length))) => {
                    self.input.advance(length);
                    self.answer_one(&request, open_streams)
                }
                Err(status) => self.append_head(status, EMPTY_FIELDS, CLOSE),
            };
            if next != Next::Request {
                return next;
            }
        }
    }

    fn answer_one(&mut self, request: &Request, open_streams: usize) -> Next {
        let connection = request.connection;
        match request.route {
            Route::Stream => {
                self.append_head("200 OK", STREAM_FIELDS, KEEP_ALIVE);
                self.output.extend_from_slice(OPENING);
                Next::Stream
            }
            Route::Count => {
                let next = self.append_head("200 OK", COUNT_FIELDS, CLOSE);
                self.output.extend_from_slice(open_streams.to_string().as_bytes());
                next
            }
            Route::Preflight => self.append_head("204 No Content", PREFLIGHT_FIELDS, CLOSE),
            Route::Publish => match event(&request.body) {
                Some(event) => {
                    self.events.extend_from_slice(&event);
                    self.append_head("202 Accepted", ACCEPTED_FIELDS, connection)
                }
                None => self.append_head(BAD_REQUEST, EMPTY_FIELDS, connection),
            },
            Route::NotFound => self.append_head("404 Not Found", EMPTY_FIELDS, connection),
        }
    }

    fn append_head(&mut self, status: &str, fields: &str, connection: &str) -> Next {
        let date = httpdate::fmt_http_date(SystemTime::now());
        write!(self.output, "HTTP/1.1 {status}\r\nDate: {date}\r\n{fields}{connection}\r\n")
            .expect("a Vec takes everything");
        if connection == CLOSE { Next::Close } else { Next::Request }
    }
}

struct Request {
    route: Route,
    /// The field that its answer has about the connection.
    connection: &'static str,
    body: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Stream,
    Count,
    Preflight,
    Publish,
    NotFound,
}

impl Route {
    fn of(method: &str, target: &str) -> Self {
        match (method, path(target)) {
            ("GET", "/sse") => Self::Stream,
            ("GET", "/connections") => Self::Count,
            ("OPTIONS", "/sse" | "/connections") => Self::Preflight,
            ("POST", "/broadcast") => Self::Publish,
            _ => Self::NotFound,
        }
    }
}

/// The path of a target, which may have a scheme and a host before it, and a query behind it.
fn path(target: &str) -> &str {
    let target = target.split('?').next().unwrap_or_default();
    match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |start| &rest[start..]),
        None => target,
    }
}

fn connection(fields: &[Header<'_>], is_http_1_0: bool) -> &'static str {
    let asks_for = |option: &str| {
        let mut options = values(fields, "Connection").flat_map(|value| value.split(|byte| *byte == b','));
        options.any(|named| named.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    };
    match is_http_1_0 {
        _ if asks_for("close") => CLOSE,
        false => KEEP_ALIVE,
        true if asks_for("keep-alive") => KEEP_ALIVE_AS_ASKED,
        true => CLOSE,
    }
}

impl Request {
    /// The request at the start of `input` and its length, once it is there as a whole.
    fn parse(input: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let length = match head.parse(input) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) if input.len() < HEAD_LIMIT => return Ok(None),
            Ok(Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(HEAD_TOO_LARGE),
            Err(_) => return Err(BAD_REQUEST),
        };
        let route = Route::of(head.method.unwrap_or_default(), head.path.unwrap_or_default());
        let connection = connection(head.headers, head.version == Some(0));
        let rest = &input[length..];
        let body = match (content_length(head.headers)?, is_chunked(head.headers)?) {
            (Some(_), true) => return Err(BAD_REQUEST),
            (Some(size), false) => rest.get(..within_limit(size)?).map(|body| (body.to_vec(), body.len())),
            (None, true) => decode_chunks(rest)?,
            (None, false) if route == Route::Publish => return Err("411 Length Required"),
            (None, false) => Some((Vec::new(), 0)),
        };
        Ok(body.map(|(body, taken)| (Self { route, connection, body }, length + taken)))
    }
}

/// The body in chunks at the start of `input` and its coded length, once it is there as a whole. What has come of it is
/// decoded again at each read: only few publishers send in chunks.
fn decode_chunks(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut rest) = (Vec::new(), input);
    loop {
        let size = match httparse::parse_chunk_size(rest) {
            Ok(Status::Complete((length, size))) => {
                rest = &rest[length..];
                within_limit(size.saturating_add(body.len() as u64))? - body.len()
            }
            Ok(Status::Partial) if rest.len() < HEAD_LIMIT => return Ok(None),
            _ => return Err(BAD_REQUEST),
        };
        if size == 0 {
            break;
        }
        match rest.get(..size + 2) {
            None => return Ok(None),
            Some(chunk) if chunk.ends_with(b"\r\n") => body.extend_from_slice(&chunk[..size]),
            Some(_) => return Err(BAD_REQUEST),
        }
        rest = &rest[size + 2..];
    }
    match httparse::parse_headers(rest, &mut [EMPTY_HEADER; MOST_FIELDS]) {
        Ok(Status::Complete((trailer, _))) => Ok(Some((body, input.len() - rest.len() + trailer))),
        Ok(Status::Partial) if rest.len() < HEAD_LIMIT => Ok(None),
        _ => Err(BAD_REQUEST),
    }
}

fn within_limit(size: u64) -> Result<usize> {
    usize::try_from(size).ok().filter(|size| *size <= BODY_LIMIT).ok_or("413 Content Too Large")
}

/// The one length that all the fields agree on.
fn content_length(fields: &[Header<'_>]) -> Result<Option<u64>> {
    let number = |value: &[u8]| -> Option<u64> {
        let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        digits?.parse().ok()
    };
    let mut lengths = values(fields, "Content-Length").map(number);
    match lengths.next() {
        None => Ok(None),
        Some(Some(length)) if lengths.all(|other| other == Some(length)) => Ok(Some(length)),
        Some(_) => Err(BAD_REQUEST),
    }
}

fn is_chunked(fields: &[Header<'_>]) -> Result<bool> {
    let mut codings = values(fields, "Transfer-Encoding");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err("501 Not Implemented"),
    }
}

fn values<'f>(fields: &'f [Header<'_>], name: &'static str) -> impl Iterator<Item = &'f [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.trim_ascii())
}
