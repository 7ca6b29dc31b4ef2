//! A client of raw bytes: it sends what a rule gives it and keeps what comes back as it came. Nothing here waits longer
//! than the patience that the check was started with, and nothing believes what a server says about itself.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use anyhow::{Context, Error, Result, anyhow};

/// More than any answer that a rule asks for: a server that never stops sending has to end somewhere.
pub(super) const MOST_BYTES: usize = 1 << 20;
const MOST_FIELDS: usize = 64;

/// Of long bytes, an objection shows these many.
const SHOWN_BYTES: usize = 160;

const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// The server that is held to the rules.
pub(super) struct Candidate {
    pub(super) address: SocketAddrV4,
    /// How long a single step may take: a head, a body, an event, a count that has to change.
    pub(super) patience: Duration,
    /// What it counted before the check opened its first stream.
    pub(super) at_rest: u64,
    /// Marks given out so far.
    pub(super) marks: Cell<u32>,
}

impl Candidate {
    /// A request without a body, such as `GET /sse`.
    pub(super) fn request(&self, line: &str) -> Vec<u8> {
        format!("{line} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).into_bytes()
    }

    /// A request whose body is preceded by its length.
    pub(super) fn request_with(&self, line: &str, body: &[u8]) -> Vec<u8> {
        let head = format!("{line} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n", self.address, body.len());
        [head.as_bytes(), body].concat()
    }

    pub(super) fn post(&self, message: &[u8]) -> Vec<u8> {
        self.request_with("POST /broadcast", message)
    }

    /// Sends one request on a connection of its own.
    pub(super) fn ask(&self, request: &[u8]) -> Result<Answer> {
        let mut client = Client::connect(self)?;
        client.send(request)?;
        client.answer()
    }

    /// A message that no other one of this check is equal to.
    pub(super) fn mark(&self) -> Vec<u8> {
        self.marks.set(self.marks.get() + 1);
        format!("mark {}", self.marks.get()).into_bytes()
    }

    /// How many streams it says are open; the form of its answer is another rule's business.
    pub(super) fn count(&self) -> Result<u64> {
        let answer = self.ask(&self.request("GET /connections"))?;
        answer.head.expect_status(200)?;
        let text = String::from_utf8_lossy(&answer.body);
        text.trim().parse().map_err(|_| differs("the count", b"a number", &answer.body))
    }

    /// Waits for a count that may be a moment behind, and returns the last one that it saw.
    pub(super) fn await_count(&self, expected: u64) -> Result<u64> {
        let deadline = Instant::now() + self.patience;
        loop {
            let count = self.count()?;
            if count == expected || Instant::now() > deadline {
                return Ok(count);
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// One connection.
pub(super) struct Client {
    socket: TcpStream,
    patience: Duration,
    /// Read from the socket and not yet taken.
    ahead: Vec<u8>,
}

impl Client {
    pub(super) fn connect(server: &Candidate) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&server.address.into(), server.patience).context("connecting")?;
        // What is sent in several parts is to leave as several segments.
        socket.set_nodelay(true).context("setting TCP_NODELAY")?;
        socket.set_write_timeout(Some(server.patience)).context("setting the limit of a write")?;
        Ok(Self { socket, patience: server.patience, ahead: Vec::new() })
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context(format!("sending {}", shown(bytes)))
    }

    /// Ends the client's direction with a FIN; the other one stays open.
    pub(super) fn half_close(&mut self) -> Result<()> {
        self.socket.shutdown(Shutdown::Write).context("half-closing")
    }

    /// Ends the connection with a reset.
    pub(super) fn reset(self) -> Result<()> {
        set_socket_linger(&self.socket, Some(Duration::ZERO)).context("setting SO_LINGER")
    }

    /// When a step that begins now has to be done.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// A whole answer, with its body.
    pub(super) fn answer(&mut self) -> Result<Answer> {
        let head = self.head()?;
        let mut coding = Coding::of(&head)?;
        let (mut body, deadline) = (Vec::new(), self.deadline());
        while self.read_body(&mut coding, &mut body, deadline)? {}
        Ok(Answer { head, body })
    }

    pub(super) fn head(&mut self) -> Result<Head> {
        let deadline = self.deadline();
        loop {
            if let Some((head, length)) = Head::parse(&self.ahead)? {
                self.ahead.drain(..length);
                return Ok(head);
            }
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) => return Err(self.stopped("the end of the connection", "a whole head")),
                Err(error) => return Err(self.stopped(&error.to_string(), "a whole head")),
            }
        }
    }

    /// Appends what comes next of a body to `out`; `false` at its end.
    pub(super) fn read_body(&mut self, coding: &mut Coding, out: &mut Vec<u8>, deadline: Instant) -> Result<bool> {
        let before = out.len();
        loop {
            let has_ended = coding.decode(&mut self.ahead, out)?;
            if out.len() > MOST_BYTES {
                return Err(anyhow!("the body has more than {MOST_BYTES} bytes"));
            }
            if has_ended || out.len() > before {
                return Ok(out.len() > before);
            }
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) if matches!(coding, Coding::UntilClose) => return Ok(false),
                Ok(false) => return Err(self.stopped("the end of the connection", "the end of the body")),
                Err(error) => return Err(self.stopped(&error.to_string(), "the rest of the body")),
            }
        }
    }

    /// Holds that the server closes, and that it has sent nothing more.
    pub(super) fn expect_close(&mut self) -> Result<()> {
        let deadline = self.deadline();
        while self.ahead.is_empty() {
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(self.stopped(&error.to_string(), "the end of the connection")),
            }
        }
        Err(differs("after the answer", b"", &self.ahead))
    }

    /// Reads to the end of the connection, whatever comes before it and whichever kind of end it is.
    pub(super) fn await_end(&mut self) -> Result<()> {
        let deadline = self.deadline();
        loop {
            match self.fill(deadline) {
                Ok(true) => self.ahead.clear(),
                Err(error) if error.kind() != ErrorKind::ConnectionReset => {
                    return Err(self.stopped(&error.to_string(), "the end of the connection"));
                }
                Ok(false) | Err(_) => return Ok(()),
            }
        }
    }

    /// Reads what there is into `ahead`; `false` at the end.
    fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(ErrorKind::TimedOut, format!("nothing more in {:?}", self.patience)));
            }
            if self.ahead.len() > MOST_BYTES {
                return Err(io::Error::other(format!("more than {MOST_BYTES} bytes")));
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(&mut buffer) {
                Ok(count) => {
                    self.ahead.extend_from_slice(&buffer[..count]);
                    return Ok(count > 0);
                }
                // A timeout shows itself at the top of the loop.
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn stopped(&self, by: &str, expected: &str) -> Error {
        anyhow!("expected {expected}, received {} and then {by}", shown(&self.ahead))
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

pub(super) struct Answer {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// The status and the fields of an answer.
pub(super) struct Head {
    status: u16,
    fields: Vec<(String, String)>,
}

impl Head {
    /// The head at the start of `bytes` and its length, once it is there as a whole.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut answer = httparse::Response::new(&mut fields);
        let parsed = answer.parse(bytes);
        match parsed.context(format!("expected the head of an answer, received {}", shown(bytes)))? {
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete(length) => {
                let owned = |field: &httparse::Header<'_>| {
                    (field.name.to_owned(), String::from_utf8_lossy(field.value).trim().to_owned())
                };
                let status = answer.code.unwrap_or_default();
                Ok(Some((Self { status, fields: answer.headers.iter().map(owned).collect() }, length)))
            }
        }
    }

    /// The value of a field; of several with this name, as the list that they stand for.
    fn value(&self, name: &str) -> Option<String> {
        let fields = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.clone()).reduce(|list, value| list + ", " + &value)
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        self.value(name).is_some_and(|list| list.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }

    pub(super) fn expect_status(&self, expected: u16) -> Result<()> {
        match self.status == expected {
            true => Ok(()),
            false => Err(anyhow!("status: expected {expected}, received {}", self.status)),
        }
    }

    /// Each of these fields with its value; where the value is a list, the expected one is in it.
    pub(super) fn expect_fields(&self, expected: &[(&str, &str)]) -> Result<()> {
        for &(name, expected) in expected {
            let received = self
                .value(name)
                .ok_or_else(|| anyhow!("{name}: expected {}, received no such field", shown(expected.as_bytes())))?;
            let fits = match name {
                // A browser takes this one as a whole, or not at all.
                "Access-Control-Allow-Origin" => received == expected,
                "Content-Type" => media_type(&received).eq_ignore_ascii_case(expected),
                _ => self.has_token(name, expected),
            };
            if !fits {
                return Err(differs(name, expected.as_bytes(), received.as_bytes()));
            }
        }
        Ok(())
    }

    pub(super) fn expect_no_field(&self, name: &str) -> Result<()> {
        match self.value(name) {
            Some(value) => Err(anyhow!("{name}: expected no such field, received {}", shown(value.as_bytes()))),
            None => Ok(()),
        }
    }
}

/// Without parameters: `charset` changes nothing for UTF-8.
fn media_type(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// How the end of a body is told, and how far that has come.
pub(super) enum Coding {
    UntilClose,
    /// Bytes to come.
    Length(usize),
    /// Bytes to come of the chunk under way, with the two of the line break behind its data.
    Chunked(usize),
}

impl Coding {
    pub(super) fn of(head: &Head) -> Result<Self> {
        if head.status < 200 || matches!(head.status, 204 | 304) {
            return Ok(Self::Length(0));
        }
        if head.has_token("Transfer-Encoding", "chunked") {
            return Ok(Self::Chunked(0));
        }
        match head.value("Content-Length") {
            Some(length) => match length.parse() {
                Ok(length) => Ok(Self::Length(length)),
                Err(_) => Err(differs("Content-Length", b"a number", length.as_bytes())),
            },
            None => Ok(Self::UntilClose),
        }
    }

    /// Moves what `ahead` has of the body to `out`; true once it was all.
    fn decode(&mut self, ahead: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
        match self {
            Self::UntilClose => {
                out.append(ahead);
                Ok(false)
            }
            Self::Length(left) => {
                let count = ahead.len().min(*left);
                out.extend(ahead.drain(..count));
                *left -= count;
                Ok(*left == 0)
            }
            Self::Chunked(_) => self.decode_chunks(ahead, out),
        }
    }

    fn decode_chunks(&mut self, ahead: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<bool> {
        let Self::Chunked(left) = self else { return Ok(false) };
        loop {
            if *left > 2 && !ahead.is_empty() {
                let count = ahead.len().min(*left - 2);
                out.extend(ahead.drain(..count));
                *left -= count;
            } else if *left == 2 && ahead.len() >= 2 {
                let line_break: Vec<u8> = ahead.drain(..2).collect();
                if line_break != b"\r\n" {
                    return Err(differs("behind a chunk", b"\r\n", &line_break));
                }
                *left = 0;
            } else if *left > 0 {
                return Ok(false);
            } else {
                match chunk_size(ahead)? {
                    None => return Ok(false),
                    Some(0) => break,
                    Some(size) => *left = size + 2,
                }
            }
        }
        *self = Self::Length(0);
        Ok(true)
    }
}

/// Takes the line before a chunk's data, and the trailer if it is the last one; `None` while it is not all there.
fn chunk_size(ahead: &mut Vec<u8>) -> Result<Option<usize>> {
    let expected = || differs("chunked coding", b"the size of a chunk", ahead);
    let Ok(line) = httparse::parse_chunk_size(ahead) else { return Err(expected()) };
    let httparse::Status::Complete((length, size)) = line else { return Ok(None) };
    let size = usize::try_from(size).ok().filter(|size| *size <= MOST_BYTES).ok_or_else(expected)?;
    if size > 0 {
        ahead.drain(..length);
        return Ok(Some(size));
    }
    // From the line break before it, so that an empty trailer looks like any other.
    let trailer = &ahead[length - 2..];
    let Some(end) = trailer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    ahead.drain(..length + 2 + end);
    Ok(Some(0))
}

/// An objection: what was looked at, what it should have been and what it was, in one line.
pub(super) fn differs(what: &str, expected: &[u8], received: &[u8]) -> Error {
    anyhow!("{what}: expected {}, received {}", shown(expected), shown(received))
}

/// Bytes as one line of text.
pub(super) fn shown(bytes: &[u8]) -> String {
    match bytes.get(..SHOWN_BYTES) {
        Some(start) => format!("\"{}\"... ({} bytes)", start.escape_ascii(), bytes.len()),
        None => format!("\"{}\"", bytes.escape_ascii()),
    }
}
