//! One open stream, from its first byte to its end.
//!
//! While a stream keeps up, its audience's rounds write to it and its task sleeps: until its client sends or hangs up,
//! until its socket blocks and later has room again, or until there is nothing more to come. Buffers come and go with
//! the rare cases that need them. A stream ends between two events wherever the client still takes bytes, else by a
//! reset, and no stream ever makes another wait.

use std::io;
use std::task::{self, Poll};
use std::time::Duration;

use super::Context;
use crate::event::frame;
use crate::fanout::{Membership, Progress};
use crate::http::request::SlowPolicy;
use crate::metrics::{GaugeGuard, StreamEnd};
use crate::net::{Deadline, Socket, close_in_stages, write_all};

/// The comment that a stream opens with.
pub(super) const OPENING: &[u8] = b":ok\n\n";

/// What a stream is told that skips: nobody asked, and the newest events follow.
const SKIPPED: &[u8] = b"event: gap\ndata: {\"requested\":null,\"resumed_from\":null,\"oldest\":null}\n\n";

/// Streams that the server ends come back spread over this time.
const RETRY_FROM: Duration = Duration::from_secs(3);
const RETRY_SPREAD: u64 = 6000;

/// How long the next stream that the server ends should wait before it reconnects: spread evenly, so that a thousand
/// of them do not come back at one moment.
pub(crate) fn retry_delay(turn: u64) -> Duration {
    // A step with no factor in common with the spread visits all of it.
    RETRY_FROM + Duration::from_millis(turn.wrapping_mul(2357) % (RETRY_SPREAD + 1))
}

/// A stream under way.
pub(crate) struct Stream<'s, S: Socket> {
    context: &'s Context<S>,
    /// Its place in the audience, which has its socket.
    membership: Membership<S>,
    /// How many bytes the client has sent since its request.
    input: u32,
    slow: SlowPolicy,
    /// Set while the socket takes nothing.
    stall: Option<Box<Stall<'s>>>,
    /// Its place in the count of streams.
    counted: GaugeGuard,
}

/// A wait for the socket to take more.
struct Stall<'s> {
    deadline: Deadline<'s>,
    /// Where the stream was when the deadline was set: any progress sets it anew.
    position: u64,
    /// What has to be written before the seat goes on, and how much of it is.
    first: Vec<u8>,
    written: usize,
    /// Set once it has taken some and blocked again: from then on only our deadline tells that it is gone.
    slow: bool,
}

impl<'s> Stall<'s> {
    fn new<S: Socket>(context: &'s Context<S>, position: u64) -> Self {
        let deadline = context.clock.deadline();
        deadline.set(context.limits.write_timeout);
        Self { deadline, position, first: Vec::new(), written: 0, slow: false }
    }
}

impl<'s, S: Socket> Stream<'s, S> {
    /// A stream whose head was sent. Its client has sent `unread` bytes behind its request.
    pub(crate) fn new(
        membership: Membership<S>,
        counted: GaugeGuard,
        slow: SlowPolicy,
        unread: usize,
        context: &'s Context<S>,
    ) -> Self {
        Self { context, membership, input: saturated(unread), slow, stall: None, counted }
    }

    /// Ready when the stream has to end. While it keeps up this is not called: the audience's rounds write to it.
    pub(crate) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<StreamEnd> {
        if let Poll::Ready(end) = self.poll_client(cx) {
            return Poll::Ready(end);
        }
        if self.stall.is_some() && self.membership.is_disconnected() {
            return Poll::Ready(StreamEnd::Disconnected);
        }
        loop {
            match self.advance(cx) {
                Progress::CaughtUp => {
                    self.end_stall();
                    return Poll::Pending;
                }
                Progress::Blocked => match self.poll_room(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(end)) => return Poll::Ready(end),
                    Poll::Pending => return Poll::Pending,
                },
                Progress::Finished => return Poll::Ready(StreamEnd::Stopped),
                Progress::Lagged if self.slow == SlowPolicy::Latest => self.skip(),
                Progress::Lagged => return Poll::Ready(StreamEnd::Lagged),
                Progress::Failed => return Poll::Ready(StreamEnd::HangUp),
            }
        }
    }

    /// Ready when the client hung up or sent too much; else the one armed read interest wakes the task.
    fn poll_client(&mut self, cx: &mut task::Context<'_>) -> Poll<StreamEnd> {
        while self.input as usize <= self.context.limits.stream_input_bytes {
            match self.membership.sink(|io| io.poll_readable(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(StreamEnd::HangUp),
                // Nothing is expected here, so nothing is kept.
                Poll::Ready(Ok(())) => {
                    match self.membership.sink(|io| self.context.read_buffer.read(|buffer| io.read(buffer), |_| ())) {
                        Ok(0) => return Poll::Ready(StreamEnd::HangUp),
                        Ok(count) => self.input = self.input.saturating_add(saturated(count)),
                        Err(error) if is_transient(&error) => {}
                        Err(_) => return Poll::Ready(StreamEnd::HangUp),
                    }
                }
            }
        }
        Poll::Ready(StreamEnd::Input)
    }

    /// Ready when the blocked socket has room, or has had none for too long.
    fn poll_room(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), StreamEnd>> {
        match self.membership.sink(|io| io.poll_writable(cx)) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(StreamEnd::HangUp)),
            Poll::Pending => {}
        }
        let (context, position) = (self.context, self.membership.position());
        let limits = &context.limits;
        let stall = self.stall.get_or_insert_with(|| Box::new(Stall::new(context, position)));
        let position = position + stall.written as u64;
        if stall.position != position {
            stall.position = position;
            stall.deadline.set(limits.write_timeout);
            if !stall.slow {
                stall.slow = true;
                self.membership.sink(|io| io.set_user_timeout(None));
            }
        }
        stall.deadline.poll_past(cx).map(|()| Err(StreamEnd::Stalled))
    }

    /// Writes what comes first, if there is something, then what the seat has.
    fn advance(&mut self, cx: &task::Context<'_>) -> Progress {
        while let Some(stall) = self.stall.as_mut().filter(|stall| stall.written < stall.first.len()) {
            match self.membership.sink(|io| io.try_write(&stall.first[stall.written..])) {
                Ok(count @ 1..) => stall.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Progress::Failed,
            }
        }
        if let Some(stall) = self.stall.as_mut().filter(|stall| !stall.first.is_empty()) {
            // Its bytes still count as progress; the memory goes.
            stall.first = Vec::new();
            stall.written = 0;
            self.membership.sink(|io| io.end_orderly(true));
        }
        self.membership.catch_up(cx.waker())
    }

    /// Skips to the newest events: finishes the event that the client is in the middle of, and tells of the gap.
    fn skip(&mut self) {
        let mut first = self.membership.skip();
        // Until that is written the client may be in the middle of an event, and the seat no longer is.
        self.membership.sink(|io| io.end_orderly(false));
        first.extend_from_slice(SKIPPED);
        first.extend_from_slice(&self.context.dispatcher.latest(&self.membership.filters()));
        self.context.metrics.stream_skipped();
        let (context, position) = (self.context, self.membership.position());
        let stall = self.stall.get_or_insert_with(|| Box::new(Stall::new(context, position)));
        (stall.first, stall.written) = (first, 0);
    }

    fn end_stall(&mut self) {
        if self.stall.take().is_some_and(|stall| stall.slow) {
            self.membership.sink(|io| io.set_user_timeout(Some(self.context.limits.user_timeout())));
        }
    }

    /// Ends the stream on an event's boundary if the client lets it.
    pub(crate) async fn end(self, end: StreamEnd) {
        let Self { context, membership, counted, stall, .. } = self;
        let is_skipping = stall.is_some_and(|stall| !stall.first.is_empty());
        drop(counted);
        let turn = context.metrics.stream_ended(end);
        if end == StreamEnd::HangUp {
            return;
        }
        // The seat goes first: an audience need not know of those who are leaving.
        let Some((io, partial_event)) = membership.leave() else { return };
        let advice = frame::retry_advice(retry_delay(turn));
        let last = match end {
            StreamEnd::Stopped => Some(advice.as_bytes()),
            StreamEnd::Lagged | StreamEnd::Input | StreamEnd::Disconnected if !is_skipping => partial_event.bytes(),
            StreamEnd::Lagged | StreamEnd::Input | StreamEnd::Disconnected => None,
            StreamEnd::HangUp | StreamEnd::Stalled | StreamEnd::Cut => None,
        };
        let deadline = context.clock.deadline();
        // Until the last byte is written: a shard that is told to end at once drops this future where it is.
        io.end_orderly(false);
        match last {
            Some(last) if write_all(&io, &deadline, &context.limits, last).await.is_ok() => io.end_orderly(true),
            _ => return,
        }
        match end {
            StreamEnd::Input => {
                let closed = close_in_stages(&io, &deadline, &context.limits, &context.read_buffer).await;
                closed.unwrap_or_else(|_| context.metrics.linger_cut());
            }
            _ => {
                // Closing with unread bytes would send a reset, which destroys what was sent last. Errors mean that the
                // peer has closed already.
                let _ = context.read_buffer.read(|buffer| io.read(buffer), |_| ());
                let _ = io.shutdown_write();
            }
        }
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
