//! One open stream, from its first byte to its end.
//!
//! While its subscriber keeps up, the audience's rounds write. This task then sleeps until the client hangs up or its
//! socket is full. Memory for a wait exists only while it lasts. A stream ends between two events if
//! the client still takes bytes, else by a reset. It never makes another stream wait.

use std::io;
use std::task::{self, Poll, ready};
use std::time::Duration;

use super::Context;
use crate::event::frame;
use crate::fanout::{Membership, Progress};
use crate::http::request::SlowPolicy;
use crate::metrics::{GaugeGuard, StreamEnd};
use crate::net::{Deadline, Socket, close_in_stages, write_all};

/// Reconnect delays of streams that the server ends: at least this, spread over so many milliseconds.
const RETRY_FROM: Duration = Duration::from_secs(3);
const RETRY_SPREAD: u64 = 6000;

/// The reconnect delay of the stream with this number among those that ended. A thousand reconnect evenly spread.
pub(super) fn retry_delay(number: u64) -> Duration {
    // A step with no factor in common with the spread visits all of it.
    RETRY_FROM + Duration::from_millis(number.wrapping_mul(2357) % (RETRY_SPREAD + 1))
}

/// An open stream.
pub(super) struct Stream<'s, S: Socket> {
    context: &'s Context<S>,
    /// Its row in the audience, which owns the socket.
    membership: Membership<S>,
    /// Number of bytes that the client has sent since its request.
    received: u32,
    slow_policy: SlowPolicy,
    /// Set while the socket is full.
    wait: Option<Box<WriteWait<'s>>>,
    /// Its share of the number of open streams.
    counted: GaugeGuard,
}

/// A wait for the socket to take more.
struct WriteWait<'s> {
    deadline: Deadline<'s>,
    /// The stream's position when the deadline was set; any progress sets it anew.
    position: u64,
    /// Bytes to write before those of the audience, and the number of them that is written.
    prefix: Vec<u8>,
    written: usize,
    /// Set once the socket took some bytes and is full again. The deadline alone then finds a client that is gone.
    without_user_timeout: bool,
}

impl<'s> WriteWait<'s> {
    fn new<S: Socket>(context: &'s Context<S>, position: u64) -> Self {
        let deadline = context.clock.deadline();
        deadline.set(context.shared.limits.write_timeout);
        Self { deadline, position, prefix: Vec::new(), written: 0, without_user_timeout: false }
    }
}

impl<'s, S: Socket> Stream<'s, S> {
    /// A stream whose head was sent. Its client has sent `received` bytes after the request.
    pub(super) fn new(
        membership: Membership<S>,
        counted: GaugeGuard,
        slow_policy: SlowPolicy,
        received: usize,
        context: &'s Context<S>,
    ) -> Self {
        Self { context, membership, received: saturated(received), slow_policy, wait: None, counted }
    }

    /// Ready when the stream has to end. Not called while the subscriber keeps up.
    pub(super) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<StreamEnd> {
        if let Poll::Ready(end) = self.poll_client(cx) {
            return Poll::Ready(end);
        }
        if self.wait.is_some() && self.membership.is_disconnected() {
            return Poll::Ready(StreamEnd::Disconnected);
        }
        loop {
            match self.advance(cx) {
                Progress::CaughtUp => {
                    self.end_wait();
                    return Poll::Pending;
                }
                Progress::Blocked => {
                    if let Err(end) = ready!(self.poll_room(cx)) {
                        return Poll::Ready(end);
                    }
                }
                Progress::Finished => return Poll::Ready(StreamEnd::Stopped),
                Progress::Lagged if self.slow_policy == SlowPolicy::Latest => self.skip_to_latest(),
                Progress::Lagged => return Poll::Ready(StreamEnd::Lagged),
                Progress::Failed => return Poll::Ready(StreamEnd::HangUp),
            }
        }
    }

    /// Ready when the client hung up or sent too much; else the one armed read interest wakes the task.
    fn poll_client(&mut self, cx: &mut task::Context<'_>) -> Poll<StreamEnd> {
        while self.received as usize <= self.context.shared.limits.stream_input_bytes {
            match self.membership.sink(|io| io.poll_readable(cx)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(StreamEnd::HangUp),
                // Nothing is expected here, so nothing is kept.
                Poll::Ready(Ok(())) => {
                    match self.membership.sink(|io| self.context.read_buffer.read(|buffer| io.read(buffer), |_| ())) {
                        Ok(0) => return Poll::Ready(StreamEnd::HangUp),
                        Ok(count) => self.received = self.received.saturating_add(saturated(count)),
                        Err(error)
                            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                        Err(_) => return Poll::Ready(StreamEnd::HangUp),
                    }
                }
            }
        }
        Poll::Ready(StreamEnd::Input)
    }

    /// Ready when the full socket has room, or has had none for too long.
    fn poll_room(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), StreamEnd>> {
        if let Poll::Ready(writable) = self.membership.sink(|io| io.poll_writable(cx)) {
            return Poll::Ready(writable.map_err(|_| StreamEnd::HangUp));
        }
        let (context, position) = (self.context, self.membership.position());
        let wait = self.wait.get_or_insert_with(|| Box::new(WriteWait::new(context, position)));
        let position = position + wait.written as u64;
        if wait.position != position {
            wait.position = position;
            wait.deadline.set(context.shared.limits.write_timeout);
            if !wait.without_user_timeout {
                wait.without_user_timeout = true;
                self.membership.sink(|io| io.set_user_timeout(None));
            }
        }
        wait.deadline.poll_past(cx).map(|()| Err(StreamEnd::Stalled))
    }

    /// Writes the prefix, if there is one, then the audience's bytes.
    fn advance(&mut self, cx: &task::Context<'_>) -> Progress {
        while let Some(wait) = self.wait.as_mut().filter(|wait| wait.written < wait.prefix.len()) {
            match self.membership.sink(|io| io.try_write(&wait.prefix[wait.written..])) {
                Ok(count @ 1..) => wait.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => return Progress::Failed,
            }
        }
        if let Some(wait) = self.wait.as_mut().filter(|wait| !wait.prefix.is_empty()) {
            // The deadline sees the position change, which counts as progress; the memory goes.
            wait.prefix = Vec::new();
            wait.written = 0;
            self.membership.sink(|io| io.reset_on_close(false));
        }
        self.membership.catch_up(cx.waker())
    }

    /// Skips to the latest events. The prefix has the rest of a partial event, then the event `gap`, then those.
    fn skip_to_latest(&mut self) {
        let mut prefix = self.membership.skip();
        // Until the prefix is written the client may have part of an event, and the audience does not know.
        self.membership.sink(|io| io.reset_on_close(true));
        // No id: the client has not got the latest events yet.
        prefix.extend_from_slice(frame::gap(None, None, None, None).as_bytes());
        prefix.extend_from_slice(&self.context.dispatcher.latest(&self.membership.filters()));
        self.context.shared.metrics.stream_skipped();
        let (context, position) = (self.context, self.membership.position());
        let wait = self.wait.get_or_insert_with(|| Box::new(WriteWait::new(context, position)));
        (wait.prefix, wait.written) = (prefix, 0);
    }

    fn end_wait(&mut self) {
        if self.wait.take().is_some_and(|wait| wait.without_user_timeout) {
            self.membership.sink(|io| io.set_user_timeout(Some(self.context.shared.limits.user_timeout())));
        }
    }

    /// Ends the stream, between two events if the client lets it.
    pub(super) async fn end(self, reason: StreamEnd) {
        let Self { context, membership, counted, wait, .. } = self;
        let is_skipping = wait.is_some_and(|wait| !wait.prefix.is_empty());
        drop(counted);
        let number = context.shared.metrics.stream_ended(reason);
        if reason == StreamEnd::HangUp {
            return;
        }
        // The audience lets go of the socket first: it need not know of streams that are leaving.
        let Some((io, partial_event)) = membership.leave() else { return };
        let advice = frame::retry_advice(retry_delay(number));
        let last = match reason {
            StreamEnd::Stopped => Some(advice.as_bytes()),
            StreamEnd::Lagged | StreamEnd::Input | StreamEnd::Disconnected if !is_skipping => partial_event.bytes(),
            StreamEnd::Lagged | StreamEnd::Input | StreamEnd::Disconnected => None,
            StreamEnd::HangUp | StreamEnd::Stalled | StreamEnd::Cut => None,
        };
        let (deadline, limits) = (context.clock.deadline(), &context.shared.limits);
        // Until the last byte is written: a shard that has to end at once drops this future in the middle.
        io.reset_on_close(true);
        let Some(last) = last else { return };
        if write_all(&io, &deadline, limits, last).await.is_err() {
            return;
        }
        io.reset_on_close(false);
        if reason == StreamEnd::Input {
            let closed = close_in_stages(&io, &deadline, limits, &context.read_buffer).await;
            closed.unwrap_or_else(|_| context.shared.metrics.linger_cut());
        } else {
            // Closing with unread bytes would send a reset, which destroys the last bytes on their way. An error
            // means that the client has closed already.
            let _ = context.read_buffer.read(|buffer| io.read(buffer), |_| ());
            let _ = io.shutdown_write();
        }
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
