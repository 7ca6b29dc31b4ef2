//! A server with an open stream that shows every message that should not have been published.

use std::ops::RangeInclusive;

use smolcast::Limits;
use support::{EventStream, Response, Served, TestServer, parse_responses, showing};

/// Holds that refused requests publish nothing.
pub(crate) struct Witness {
    pub(crate) server: TestServer,
    stream: EventStream,
    sentinels: usize,
}

impl Witness {
    pub(crate) fn start(limits: Limits) -> Self {
        let server = TestServer::with_limits(limits);
        let stream = server.stream();
        Self { server, stream, sentinels: 0 }
    }

    /// Sends `request` and holds that one response comes, with a status in `statuses` and `Connection: close`.
    ///
    /// Then the connection ends, and nothing is published.
    #[track_caller]
    pub(crate) fn refused(&mut self, name: &str, request: impl AsRef<[u8]>, statuses: &[u16]) {
        self.refused_with(1..=1, name, request.as_ref(), statuses);
    }

    /// Like `refused`, for bytes that need no response.
    #[track_caller]
    pub(crate) fn refused_or_dropped(&mut self, name: &str, request: impl AsRef<[u8]>, statuses: &[u16]) {
        self.refused_with(0..=1, name, request.as_ref(), statuses);
    }

    #[track_caller]
    fn refused_with(&mut self, answers: RangeInclusive<usize>, name: &str, request: &[u8], statuses: &[u16]) {
        let _row = showing(name, request);
        let responses = self.answers(request);
        assert!(answers.contains(&responses.len()), "{answers:?} answers, of {statuses:?}: {responses:?}");
        for refusal in &responses {
            assert!(statuses.contains(&refusal.status), "expected {statuses:?}: {refusal:?}");
            assert!(refusal.closes(), "no Connection: close: {refusal:?}");
        }
        self.expect_nothing_published();
    }

    /// Sends `request` and holds that it publishes `line`, which is a single line.
    #[track_caller]
    pub(crate) fn published(&mut self, name: &str, request: impl AsRef<[u8]>, line: &str) {
        let request = request.as_ref();
        let _row = showing(name, request);
        self.server.request(request).expect_status(202);
        self.stream.expect_data(line);
    }

    /// Publishes a sentinel; the stream must bring nothing before it.
    #[track_caller]
    pub(crate) fn expect_nothing_published(&mut self) {
        self.sentinels += 1;
        let sentinel = format!("sentinel {}", self.sentinels);
        self.server.publish(&sentinel);
        self.stream.expect_data(&sentinel);
    }

    pub(crate) fn stream(&mut self) -> &mut EventStream {
        &mut self.stream
    }

    /// All responses to `request` on a new connection, up to the server's FIN.
    #[track_caller]
    fn answers(&self, request: &[u8]) -> Vec<Response> {
        let mut client = self.server.connect();
        client.send(request);
        parse_responses(&client.rest(), &["GET"; 4])
    }
}
