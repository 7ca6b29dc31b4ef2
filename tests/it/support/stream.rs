//! An open event stream: its raw bytes, or its events as a browser would see them.

use super::{Client, End, Response, assert_bytes, escaped};
use crate::sse;

/// A stream that has had its `:ok`.
pub(crate) struct EventStream {
    client: Client,
    parser: sse::Parser,
}

impl EventStream {
    /// Asks for a stream as a browser does.
    #[track_caller]
    pub(crate) fn open(client: Client) -> Self {
        Self::open_with(client, b"GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n").0
    }

    /// A stream with little room for what it has not read.
    #[track_caller]
    pub(crate) fn open_tight(client: Client) -> Self {
        Self::open(client.tight())
    }

    /// Asks for a stream with a request of the test's; the head of the answer comes along.
    #[track_caller]
    pub(crate) fn open_with(mut client: Client, request: &[u8]) -> (Self, Response) {
        let response = client.request(request).expect_status(200);
        response.expect_field("content-type", "text/event-stream");
        client.expect(b":ok\n\n");
        (Self { client, parser: sse::Parser::default() }, response)
    }

    /// Reads as many bytes as `expected` has and holds them to be those.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &[u8]) {
        self.client.expect(expected);
    }

    /// Holds that the next event is this one line.
    #[track_caller]
    pub(crate) fn expect_data(&mut self, line: &str) {
        self.client.expect(format!("data: {line}\n\n").as_bytes());
    }

    /// The bytes of the next event, comment or retry, with the empty line that ends it.
    #[track_caller]
    pub(crate) fn block(&mut self) -> Vec<u8> {
        self.client.read_until(b"\n\n")
    }

    /// The next event that a browser would hand to its page.
    #[track_caller]
    pub(crate) fn message(&mut self) -> sse::Message {
        loop {
            let block = self.block();
            let mut messages = self.parser.feed(&block);
            assert!(messages.len() <= 1, "one block, many events: {messages:?}\n bytes: {}", escaped(&block));
            if let Some(message) = messages.pop() {
                return message;
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    pub(crate) fn half_close(&mut self) {
        self.client.half_close();
    }

    /// Reads to the server's FIN.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.client.rest()
    }

    /// Reads to the end, whichever it is.
    #[track_caller]
    pub(crate) fn rest_and_end(&mut self) -> (Vec<u8>, End) {
        self.client.rest_and_end()
    }

    /// Holds that the stream brings `events`, then its `retry:`, then ends; the delay is given back.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, events: &[u8]) -> u64 {
        let rest = self.rest();
        let tail = rest.get(events.len()..).unwrap_or_default();
        assert_bytes("the events before the end", events, &rest[..rest.len() - tail.len()]);
        retry_of(tail)
    }

    pub(crate) fn reset(self) {
        self.client.reset();
    }
}

/// The delay of a `retry:` that stands alone, on an event boundary, within the jitter's range.
#[track_caller]
pub(crate) fn retry_of(bytes: &[u8]) -> u64 {
    let text = bytes.strip_prefix(b"retry: ").and_then(|rest| rest.strip_suffix(b"\n"));
    let digits = text.map(|text| text.strip_suffix(b"\n").unwrap_or(text)).unwrap_or_default();
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    assert!(all_digits, "expected: b\"retry: NNNN\\n\\n\"\n received: {}", escaped(bytes));
    let delay = String::from_utf8_lossy(digits).parse().unwrap_or(0);
    assert!((3000..=9000).contains(&delay), "a delay of {delay} ms is not within 3 s to 9 s");
    delay
}
