//! An open event stream: its raw bytes, or its events as a browser sees them.

use crate::{Client, End, Response, assert_bytes, escaped, sse};

/// A stream whose `:ok` has been read.
pub struct EventStream {
    client: Client,
    parser: sse::Parser,
}

impl EventStream {
    /// Requests a stream as a browser does.
    #[track_caller]
    pub fn open(client: Client) -> Self {
        Self::open_with(client, b"GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n").0
    }

    /// Requests a stream with a small receive buffer, for a slow subscriber.
    #[track_caller]
    pub fn open_tight(client: Client) -> Self {
        Self::open(client.tight())
    }

    /// Requests a stream by `request`; returns the response as well.
    #[track_caller]
    pub fn open_with(mut client: Client, request: &[u8]) -> (Self, Response) {
        let response = client.request(request).expect_status(200);
        response.expect_field("content-type", "text/event-stream");
        client.expect(b":ok\n\n");
        (Self { client, parser: sse::Parser::default() }, response)
    }

    /// Reads as many bytes as `expected` has and holds that they are the same.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        self.client.expect(expected);
    }

    /// Reads the block that gives the client an id to resume from; returns the id.
    #[track_caller]
    pub fn resume_point(&mut self) -> String {
        let block = String::from_utf8(self.block()).expect("text");
        let id = block.strip_prefix("id: ").and_then(|rest| rest.strip_suffix("\n\n")).filter(|id| !id.contains('\n'));
        id.unwrap_or_else(|| panic!("expected an id alone\n received: {block:?}")).to_owned()
    }

    /// Holds that the next block gives the client this id to resume from.
    #[track_caller]
    pub fn expect_resume_point(&mut self, id: &str) {
        self.client.expect(format!("id: {id}\n\n").as_bytes());
    }

    /// Holds that the next event is this line.
    #[track_caller]
    pub fn expect_data(&mut self, line: &str) {
        self.client.expect(format!("data: {line}\n\n").as_bytes());
    }

    /// Bytes of the next event, comment or retry, including its empty line.
    #[track_caller]
    pub fn block(&mut self) -> Vec<u8> {
        self.client.read_until(b"\n\n")
    }

    /// The next event that a browser hands to its page.
    #[track_caller]
    pub fn message(&mut self) -> sse::Message {
        loop {
            let block = self.block();
            let mut messages = self.parser.feed(&block);
            assert!(messages.len() <= 1, "one block, many events: {messages:?}\n bytes: {}", escaped(&block));
            if let Some(message) = messages.pop() {
                return message;
            }
        }
    }

    /// Sends bytes after the request.
    pub fn send(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// The connection itself.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Closes the client's direction with a FIN.
    pub fn half_close(&mut self) {
        self.client.half_close();
    }

    /// Reads to the server's FIN.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        self.client.rest()
    }

    /// Reads to the end, whether FIN or reset.
    #[track_caller]
    pub fn rest_and_end(&mut self) -> (Vec<u8>, End) {
        self.client.rest_and_end()
    }

    /// Holds that the stream ends with `events` and a `retry:`; returns the delay.
    #[track_caller]
    pub fn expect_end(&mut self, events: &[u8]) -> u64 {
        let rest = self.rest();
        let tail = rest.get(events.len()..).unwrap_or_default();
        assert_bytes("the events before the end", events, &rest[..rest.len() - tail.len()]);
        retry_of(tail)
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        self.client.reset();
    }
}

/// The delay of a lone `retry:` block, held to the range of the jitter.
#[track_caller]
pub fn retry_of(bytes: &[u8]) -> u64 {
    let text = bytes.strip_prefix(b"retry: ").and_then(|rest| rest.strip_suffix(b"\n"));
    let digits = text.map(|text| text.strip_suffix(b"\n").unwrap_or(text)).unwrap_or_default();
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    assert!(all_digits, "expected: b\"retry: NNNN\\n\\n\"\n received: {}", escaped(bytes));
    let delay = String::from_utf8_lossy(digits).parse().unwrap_or(0);
    assert!((3000..=9000).contains(&delay), "a delay of {delay} ms is not within 3 s to 9 s");
    delay
}
