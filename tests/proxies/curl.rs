//! A client that speaks TLS, HTTP/1.1 and HTTP/2: one curl process for each stream and each request.

use std::collections::VecDeque;
use std::fmt;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use support::sse::{Message, Parser};

use crate::PATIENCE;
use crate::certificate::NAME;
use crate::child::Spoken;
use crate::proxy::Proxy;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

impl Version {
    pub(crate) const BOTH: [Self; 2] = [Self::Http1, Self::Http2];

    fn flag(self) -> &'static str {
        match self {
            Self::Http1 => "--http1.1",
            Self::Http2 => "--http2",
        }
    }

    /// The beginning of a response's status line.
    fn mark(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1 ",
            Self::Http2 => "HTTP/2 ",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.mark().trim_end())
    }
}

/// True if a curl runs that has HTTP/2.
pub(crate) fn is_here() -> bool {
    let output = Command::new("curl").arg("--version").stdin(Stdio::null()).output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("HTTP2"))
}

/// curl for a target of this proxy, whose certificate it trusts; it prints the head of the response too.
fn curl(proxy: &Proxy, version: Version, target: &str) -> Command {
    let mut command = Command::new("curl");
    // Without the user's settings, without the environment's proxy, and without buffering.
    command.args(["--disable", "--noproxy", "*", "--silent", "--no-buffer", "--include", version.flag()]);
    command.arg("--resolve").arg(format!("{NAME}:{}:127.0.0.1", proxy.port()));
    command.arg("--cacert").arg(proxy.certificate());
    command.arg(format!("https://{NAME}:{}{target}", proxy.port()));
    command
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// 0 if none came.
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Sends one request, with further options for curl.
#[track_caller]
pub(crate) fn request(proxy: &Proxy, version: Version, target: &str, words: &[&str]) -> Answer {
    let mut command = curl(proxy, version, target);
    command.args(["--max-time", &PATIENCE.as_secs().to_string()]).args(words);
    let output = command.stdin(Stdio::null()).output().expect("curl runs");
    let text = String::from_utf8(output.stdout).expect("answers are text");
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Answer { status: 0, head: text, body: String::new() };
    };
    Answer { status: status(version, head), head: head.to_ascii_lowercase(), body: body.to_owned() }
}

/// Publishes through the proxy; returns the status.
#[track_caller]
pub(crate) fn publish(proxy: &Proxy, version: Version, message: &str) -> u16 {
    request(proxy, version, "/broadcast", &["--data-binary", message]).status
}

#[track_caller]
fn status(version: Version, head: &str) -> u16 {
    let code = head.strip_prefix(version.mark()).and_then(|rest| rest.get(..3)?.parse().ok());
    code.unwrap_or_else(|| panic!("no answer by {version}: {head:?}"))
}

/// The next item of a stream.
#[derive(Debug)]
pub(crate) enum Next {
    Event(Message, Instant),
    /// The stream has ended.
    End,
    /// No event within the time.
    Silence,
}

/// A stream, as a browser sees it.
pub(crate) struct Stream {
    curl: Spoken,
    parser: Parser,
    /// Events that have been read and not yet taken.
    ahead: VecDeque<(Message, Instant)>,
}

impl Stream {
    /// Opens one and reads it up to its `:ok`.
    #[track_caller]
    pub(crate) fn open(proxy: &Proxy, version: Version) -> Self {
        Self::resume(proxy, version, "").expect("the stream opens")
    }

    /// Opens one from another address of this machine.
    #[track_caller]
    pub(crate) fn open_from(proxy: &Proxy, version: Version, source: &str) -> Self {
        Self::start(version, curl(proxy, version, "/sse").args(["--interface", source])).expect("the stream opens")
    }

    /// Resumes after this event, if the id is not empty. `None` if the proxy or the server is away, and a browser would
    /// try again.
    ///
    /// # Panics
    ///
    /// If a browser's EventSource would never reconnect after the response.
    #[track_caller]
    pub(crate) fn resume(proxy: &Proxy, version: Version, last_event_id: &str) -> Option<Self> {
        let mut command = curl(proxy, version, "/sse");
        command.args(["--header", "Accept: text/event-stream"]);
        if !last_event_id.is_empty() {
            command.arg("--header").arg(format!("Last-Event-ID: {last_event_id}"));
        }
        Self::start(version, &mut command)
    }

    #[track_caller]
    fn start(version: Version, command: &mut Command) -> Option<Self> {
        let curl = Spoken::start(command);
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = Vec::new();
        // A proxy in between may add a comment or a retry; this one is the server's.
        while !contains(&bytes, b"\r\n\r\n:ok\n\n") {
            match curl.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((_, piece)) => bytes.extend(piece),
                Err(RecvTimeoutError::Disconnected) if bytes.is_empty() => return None,
                Err(RecvTimeoutError::Disconnected) => {
                    expect_event_stream(version, &bytes);
                    return None;
                }
                Err(RecvTimeoutError::Timeout) => panic!("no stream by {version}: {}", bytes.escape_ascii()),
            }
        }
        expect_event_stream(version, &bytes);
        let mut stream = Self { curl, parser: Parser::default(), ahead: VecDeque::new() };
        let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(0);
        stream.take(Instant::now(), &bytes[head + 4..]);
        Some(stream)
    }

    fn take(&mut self, at: Instant, bytes: &[u8]) {
        self.ahead.extend(self.parser.feed(bytes).into_iter().map(|message| (message, at)));
    }

    /// The next item within this time.
    pub(crate) fn next(&mut self, within: Duration) -> Next {
        let deadline = Instant::now() + within;
        loop {
            if let Some((message, at)) = self.ahead.pop_front() {
                return Next::Event(message, at);
            }
            match self.curl.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok((at, piece)) => self.take(at, &piece),
                Err(RecvTimeoutError::Disconnected) => return Next::End,
                Err(RecvTimeoutError::Timeout) => return Next::Silence,
            }
        }
    }

    /// Holds that the next event is this one; returns its time.
    #[track_caller]
    pub(crate) fn expect(&mut self, data: &str) -> Instant {
        match self.next(PATIENCE) {
            Next::Event(message, at) if message.data == data => at,
            other => panic!("expected: {data:?}\n received: {other:?}"),
        }
    }
}

/// Holds that a browser's EventSource goes on or reconnects after a response.
#[track_caller]
fn expect_event_stream(version: Version, answer: &[u8]) {
    let text = String::from_utf8_lossy(answer);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let is_stream = head.lines().any(|line| line.to_ascii_lowercase().starts_with("content-type: text/event-stream"));
    assert!(status(version, head) == 200 && is_stream, "a browser would never come back after: {text:?}");
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    bytes.windows(mark.len()).any(|window| window == mark)
}
