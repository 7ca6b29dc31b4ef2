//! The server that is held to the rules, an answer of it, and an open stream of it.
//!
//! Unlike the tests' own readers, these take any framing that HTTP allows: what is strict here is said by a rule.

use std::cell::Cell;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use httparse::{EMPTY_HEADER, Status, parse_chunk_size};
use support::sse::{Message, Parser};
use support::{Client, escaped};

/// More than any answer or event that a rule asks for: a server that never stops sending must end somewhere.
const MOST_BYTES: usize = 64 << 10;
const MOST_FIELDS: usize = 64;
const POLL_INTERVAL: Duration = Duration::from_millis(2);

pub(super) struct Candidate {
    pub(super) address: SocketAddrV4,
    /// The limit of a single step: a head, a body, an event, a count that has to change.
    patience: Duration,
    /// Its count before the check opened its first stream.
    pub(super) at_rest: u64,
    /// Marks given out so far.
    marks: Cell<u32>,
}

impl Candidate {
    pub(super) fn new(address: SocketAddrV4, patience: Duration) -> Self {
        Self { address, patience, at_rest: 0, marks: Cell::default() }
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address.into()).with_patience(self.patience)
    }

    /// A request without a body, such as `GET /sse`.
    pub(super) fn request(&self, line: &str) -> Vec<u8> {
        format!("{line} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).into_bytes()
    }

    /// A request with its body's length.
    pub(super) fn request_with(&self, line: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", self.address, body.len());
        [head.as_bytes(), body].concat()
    }

    pub(super) fn post(&self, message: &[u8]) -> Vec<u8> {
        self.request_with("POST /broadcast", message)
    }

    /// Sends one request on a connection of its own.
    pub(super) fn ask(&self, request: &[u8]) -> Answer {
        let mut client = self.connect();
        client.send(request);
        Answer::read(&mut client)
    }

    /// A message that equals no other one of this check.
    pub(super) fn mark(&self) -> String {
        self.marks.set(self.marks.get() + 1);
        format!("mark {}", self.marks.get())
    }

    /// The number of open streams, by its own account; another rule judges the answer's form.
    pub(super) fn count(&self) -> u64 {
        let answer = self.ask(&self.request("GET /connections"));
        answer.expect_status(200);
        let text = String::from_utf8_lossy(&answer.body);
        text.trim().parse().unwrap_or_else(|_| panic!("the count: expected a number, received {text:?}"))
    }

    /// Waits for a count that may be a moment behind; returns the last one.
    pub(super) fn await_count(&self, expected: u64) -> u64 {
        let deadline = Instant::now() + self.patience;
        loop {
            let count = self.count();
            if count == expected || Instant::now() > deadline {
                return count;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    pub(super) fn stream(&self) -> Stream {
        self.stream_by(&self.request("GET /sse"))
    }

    /// Opens a stream and reads five bytes of its body, whatever they are: a rule of its own judges them.
    pub(super) fn stream_by(&self, request: &[u8]) -> Stream {
        let mut client = self.connect();
        client.send(request);
        let head = Answer::read_head(&mut client);
        head.expect_status(200);
        let chunked = head.has_token("Transfer-Encoding", "chunked").then_some(0);
        let mut stream =
            Stream { client, head, opening: Vec::new(), chunked, parser: Parser::default(), patience: self.patience };
        for _ in 0..b":ok\n\n".len() {
            let byte = stream.next_byte();
            stream.opening.push(byte);
        }
        stream
    }
}

/// An answer: status, fields, and body.
pub(super) struct Answer {
    status: u16,
    fields: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn read(client: &mut Client) -> Self {
        let mut answer = Self::read_head(client);
        answer.body = match (answer.status, answer.value("Content-Length")) {
            (100..=199 | 204 | 304, _) => Vec::new(),
            _ if answer.has_token("Transfer-Encoding", "chunked") => read_chunks(client),
            (_, Some(length)) => match length.parse() {
                Ok(length) => client.read_exactly(length),
                Err(_) => panic!("Content-Length: expected a number, received {length:?}"),
            },
            (_, None) => client.rest(),
        };
        answer
    }

    pub(super) fn read_head(client: &mut Client) -> Self {
        let head = client.read_until(b"\r\n\r\n");
        let mut fields = [EMPTY_HEADER; MOST_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        match answer.parse(&head) {
            Ok(Status::Complete(_)) => {}
            other => panic!("expected the head of an answer, received {} ({other:?})", escaped(&head)),
        }
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let fields = answer.headers.iter().map(|field| (field.name.to_owned(), text(field.value)));
        Self { status: answer.code.unwrap_or_default(), fields: fields.collect(), body: Vec::new() }
    }

    /// The value of a field; of several with this name, the list that they stand for.
    fn value(&self, name: &str) -> Option<String> {
        let fields = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.clone()).reduce(|list, value| list + ", " + &value)
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.value(name).is_some_and(|list| list.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }

    pub(super) fn expect_status(&self, expected: u16) {
        assert!(self.status == expected, "status: expected {expected}, received {}", self.status);
    }

    /// Holds that each field is there with its value; where the value is a list, the expected one is in it.
    pub(super) fn expect_fields(&self, expected: &[(&str, &str)]) {
        for &(name, expected) in expected {
            let received = self.value(name);
            let received = received.unwrap_or_else(|| panic!("{name}: expected {expected:?}, received no such field"));
            let fits = match name {
                // A browser takes this one as a whole, or not at all.
                "Access-Control-Allow-Origin" => received == expected,
                // `charset` changes nothing for UTF-8.
                "Content-Type" => received.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(expected),
                _ => self.has_token(name, expected),
            };
            assert!(fits, "{name}: expected {expected:?}, received {received:?}");
        }
    }

    pub(super) fn expect_no_field(&self, name: &str) {
        if let Some(value) = self.value(name) {
            panic!("{name}: expected no such field, received {value:?}");
        }
    }
}

/// Reads a byte of a body in the chunked coding, whose current chunk has `left` more; `None` for the last chunk.
fn chunked_byte(client: &mut Client, left: &mut usize) -> Option<u8> {
    if *left == 0 {
        let line = client.read_until(b"\r\n");
        *left = match parse_chunk_size(&line) {
            Ok(Status::Complete((_, 0))) => return None,
            Ok(Status::Complete((_, size))) if size <= MOST_BYTES as u64 => size as usize,
            _ => panic!("chunked coding: expected the size of a chunk, received {}", escaped(&line)),
        };
    }
    *left -= 1;
    let byte = client.read_exactly(1)[0];
    if *left == 0 {
        let end = client.read_exactly(2);
        assert!(end == b"\r\n", "behind a chunk: expected a line break, received {}", escaped(&end));
    }
    Some(byte)
}

fn read_chunks(client: &mut Client) -> Vec<u8> {
    let (mut body, mut left) = (Vec::new(), 0);
    while let Some(byte) = chunked_byte(client, &mut left) {
        body.push(byte);
        assert!(body.len() <= MOST_BYTES, "the body has more than {MOST_BYTES} bytes");
    }
    let has_ended = (0..MOST_FIELDS).any(|_| client.read_until(b"\r\n") == b"\r\n");
    assert!(has_ended, "chunked coding: the trailer has no end");
    body
}

/// An open stream, read as a browser reads it.
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) head: Answer,
    /// The first bytes of the body, the place of `:ok`.
    pub(super) opening: Vec<u8>,
    /// In the chunked coding, the bytes that are left of a chunk.
    chunked: Option<usize>,
    parser: Parser,
    patience: Duration,
}

impl Stream {
    fn next_byte(&mut self) -> u8 {
        match &mut self.chunked {
            None => self.client.read_exactly(1)[0],
            Some(left) => {
                let byte = chunked_byte(&mut self.client, left);
                byte.unwrap_or_else(|| panic!("expected an open stream, received its last chunk"))
            }
        }
    }

    /// The next event that a page gets, and its bytes.
    pub(super) fn message(&mut self) -> (Message, Vec<u8>) {
        self.message_by(Instant::now() + self.patience)
    }

    fn message_by(&mut self, deadline: Instant) -> (Message, Vec<u8>) {
        let mut raw = Vec::new();
        loop {
            assert!(Instant::now() < deadline, "expected an event in time, received \"{}\"", raw.escape_ascii());
            let byte = self.next_byte();
            raw.push(byte);
            if let Some(message) = self.parser.feed(&[byte]).pop() {
                return (message, raw);
            }
            // A block without data, or the second half of a line break, is not part of an event.
            if raw == b"\n" || (raw.ends_with(b"\n\n") && self.parser.is_at_boundary()) {
                raw.clear();
            }
            assert!(raw.len() <= MOST_BYTES, "expected an event, received more than {MOST_BYTES} bytes");
        }
    }

    /// The data of the next events, so many of them.
    pub(super) fn messages(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| text(self.message().0)).collect()
    }

    /// The data of the events before the one with this data, which is taken too.
    pub(super) fn messages_before(&mut self, data: &str) -> Vec<String> {
        let (mut messages, deadline) = (Vec::new(), Instant::now() + self.patience);
        loop {
            let message = self.message_by(deadline).0;
            if message.data == data {
                return messages;
            }
            assert!(messages.len() < 1000, "expected {data:?}, received 1 000 other events");
            messages.push(text(message));
        }
    }
}

/// The data; for an event that `onmessage` would not get, with its type before it.
fn text(message: Message) -> String {
    match message.event.as_str() {
        "message" => message.data,
        kind => format!("(event: {kind}) {}", message.data),
    }
}
