//! Reads one client's requests: heads and bodies, each in its time and within its limits.
//!
//! The public side and the admin side both read by it. It routes nothing, and checks the form alone. Queued responses
//! leave before each wait for the client, which may be waiting for them.

use std::borrow::Cow;

use smol::future::yield_now;

use crate::config::Limits;
use crate::http::RequestError;
use crate::http::chunked::Decoder;
use crate::http::framing::Framing;
use crate::http::head::Scanner;
use crate::http::response::CONTINUE;
use crate::net::{Clock, Deadline, Interrupted, ReadBuffer, RecvBuffer, Socket, close_in_stages, read, write_all};

/// Capacity that the queue of responses keeps while its client is idle: room for the responses to a few requests.
const KEPT_RESPONSE_BYTES: usize = 1024;

/// The reason why a connection has no next request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// The request is rejected, and the response is not queued yet.
    Rejected(RequestError),
    /// No request began in time, or the server is stopping.
    Idle,
    /// The client takes no response.
    Stalled,
    /// The client is gone.
    Gone,
    /// The client has its last response and does not close.
    Lingering,
}

impl From<RequestError> for ConnectionEnd {
    fn from(error: RequestError) -> Self {
        Self::Rejected(error)
    }
}

/// The end of a connection whose response was interrupted.
impl From<Interrupted> for ConnectionEnd {
    fn from(interrupted: Interrupted) -> Self {
        match interrupted {
            Interrupted::Expired => Self::Stalled,
            Interrupted::Gone => Self::Gone,
        }
    }
}

/// A client's socket, read as a sequence of requests.
pub(crate) struct RequestReader<'s, S> {
    io: S,
    clock: &'s Clock,
    limits: &'s Limits,
    read_buffer: &'s ReadBuffer,
    /// The time for the head or the body that is being read.
    deadline: Deadline<'s>,
    /// Bytes that the client has sent and no request has taken yet.
    input: RecvBuffer,
    /// Length of the body at the start of `input` that was handed out last.
    body_length: usize,
    /// Responses that have not left yet.
    pub(crate) output: Vec<u8>,
    /// Set until the first head was taken.
    is_first: bool,
}

impl<'s, S: Socket> RequestReader<'s, S> {
    /// A reader of a socket that was just accepted; the time for its first head begins.
    pub(crate) fn new(io: S, clock: &'s Clock, limits: &'s Limits, read_buffer: &'s ReadBuffer) -> Self {
        let deadline = clock.deadline();
        deadline.set_idle(limits.head_timeout);
        let (input, output) = (RecvBuffer::default(), Vec::new());
        Self { io, clock, limits, read_buffer, deadline, input, body_length: 0, output, is_first: true }
    }

    /// Reads until a head is complete; returns its length. Until [`Self::consume`], [`Self::bytes`] begins with it.
    pub(crate) async fn head(&mut self) -> Result<usize, ConnectionEnd> {
        self.begin_head();
        let mut scanner = Scanner::default();
        loop {
            if let Some(length) = scanner.scan(self.input.bytes(), self.limits)? {
                return Ok(length);
            }
            if self.input.is_empty() {
                self.fill(ConnectionEnd::Gone, ConnectionEnd::Idle).await?;
                self.leave_idle();
            } else {
                let expired = self.fill(RequestError::Incomplete.into(), RequestError::HeadTimeout.into()).await;
                // Without its head there is no request yet: the connection ends as an idle one.
                expired.map_err(|end| match end {
                    ConnectionEnd::Rejected(RequestError::HeadTimeout) if self.clock.is_stopping() => {
                        ConnectionEnd::Idle
                    }
                    end => end,
                })?;
            }
        }
    }

    /// Length of the next head if the client has sent all of it, as [`Self::head`] returns it.
    pub(crate) fn received_head(&mut self) -> Result<Option<usize>, ConnectionEnd> {
        self.release_body();
        Ok(Scanner::default().scan(self.input.bytes(), self.limits)?)
    }

    /// Says if a body can be read without a wait for the client. Its head was consumed.
    pub(crate) fn has_body(&self, framing: Framing) -> bool {
        match framing {
            Framing::None => true,
            Framing::Length(length) => length <= self.input.len() as u64,
            Framing::Chunked => false,
        }
    }

    /// Bytes that no request has taken yet.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.input.bytes()
    }

    /// Takes a head of this length.
    pub(crate) fn consume(&mut self, length: usize) {
        self.input.consume(length);
        self.is_first = false;
    }

    /// Reads the body of the request whose head was consumed, after `100 Continue` if the client waits for that.
    ///
    /// A body that was sent whole is not copied; it stays in the buffer until the next request is read.
    pub(crate) async fn body(
        &mut self,
        framing: Framing,
        expects_continue: bool,
    ) -> Result<Cow<'_, [u8]>, ConnectionEnd> {
        match framing {
            Framing::None => return Err(RequestError::LengthRequired.into()),
            Framing::Length(length) if length > self.limits.body_bytes as u64 => {
                return Err(RequestError::BodyTooLarge.into());
            }
            Framing::Length(_) | Framing::Chunked => {}
        }
        if expects_continue {
            self.output.extend_from_slice(CONTINUE);
            self.flush().await?;
        }
        self.deadline.set(self.limits.body_timeout);
        match framing {
            Framing::Length(length) => self.sized_body(length as usize).await.map(Cow::Borrowed),
            Framing::None | Framing::Chunked => self.chunked_body().await.map(Cow::Owned),
        }
    }

    /// Sends the responses that wait, on a deadline of their own: the client's time to send goes on meanwhile.
    pub(crate) async fn flush(&mut self) -> Result<(), ConnectionEnd> {
        if self.output.is_empty() {
            return Ok(());
        }
        let written = self.send(&self.output).await;
        self.output.clear();
        self.output.shrink_to(KEPT_RESPONSE_BYTES);
        written
    }

    /// Sends bytes, on a deadline of their own. Responses that wait are not sent before them.
    pub(crate) async fn send(&self, bytes: &[u8]) -> Result<(), ConnectionEnd> {
        Ok(write_all(&self.io, &self.clock.deadline(), self.limits, bytes).await?)
    }

    /// Sends the responses that wait and closes in stages, so that they arrive.
    pub(crate) async fn close(&mut self) -> Result<(), ConnectionEnd> {
        self.release_body();
        self.flush().await?;
        let closed = close_in_stages(&self.io, &self.deadline, self.limits, self.read_buffer).await;
        closed.map_err(|_| ConnectionEnd::Lingering)
    }

    /// Hands back the socket, and the number of bytes that the client has sent after its last request.
    pub(crate) fn into_socket(self) -> (S, usize) {
        (self.io, self.input.len())
    }

    /// Begins the wait for a head. The first one has its time from accept, a later one from its first byte.
    fn begin_head(&mut self) {
        self.release_body();
        match (self.is_first, self.input.is_empty()) {
            (true, _) => {}
            (false, true) => self.deadline.set_idle(self.limits.idle_timeout),
            (false, false) => self.deadline.set_head(self.limits.head_timeout),
        }
    }

    /// Notes that a head has begun: a server that stops still waits for the rest of it, for a while.
    fn leave_idle(&mut self) {
        if self.is_first {
            self.deadline.begin_head();
        } else {
            self.deadline.set_head(self.limits.head_timeout);
        }
    }

    fn release_body(&mut self) {
        self.input.consume(std::mem::take(&mut self.body_length));
    }

    async fn sized_body(&mut self, length: usize) -> Result<&[u8], ConnectionEnd> {
        while self.input.len() < length {
            self.fill_body().await?;
        }
        self.body_length = length;
        Ok(&self.input.bytes()[..length])
    }

    async fn chunked_body(&mut self) -> Result<Vec<u8>, ConnectionEnd> {
        let mut decoder = Decoder::new(self.limits);
        let mut body = Vec::new();
        loop {
            let taken = decoder.decode(self.input.bytes(), &mut body)?;
            self.input.consume(taken);
            if decoder.is_done() {
                return Ok(body);
            }
            self.fill_body().await?;
        }
    }

    async fn fill_body(&mut self) -> Result<(), ConnectionEnd> {
        self.fill(RequestError::Incomplete.into(), RequestError::BodyTimeout.into()).await
    }

    /// Reads more, after sending what the client may be waiting for. Fails with `at_end` if the client has closed its
    /// side, and with `expired` if nothing came in time.
    async fn fill(&mut self, at_end: ConnectionEnd, expired: ConnectionEnd) -> Result<(), ConnectionEnd> {
        self.flush().await?;
        // A client that always has more to say must not keep its thread from the others.
        yield_now().await;
        let input = &mut self.input;
        match read(&self.io, &self.deadline, self.read_buffer, |bytes| input.extend(bytes)).await {
            Ok(1..) => Ok(()),
            Ok(0) => Err(at_end),
            Err(Interrupted::Expired) => Err(expired),
            Err(Interrupted::Gone) => Err(ConnectionEnd::Gone),
        }
    }
}
