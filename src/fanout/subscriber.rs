//! One subscriber of an audience: its reservation, its row in the table, and the membership that its task holds.
//!
//! A row is all that a delivery touches. Rows and memberships decide nothing about slow subscribers: `slow.rs` does.
//!
//! Invariant: a membership has a row until it leaves. A drop in the middle of an event resets the socket.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use async_io::Async;

use super::audience::Audience;
use super::partial_event::PartialEvent;
use super::slow::Pace;
use super::window::{Batch, Window};
use crate::event::topic::FilterSet;
use crate::net::Sink;

/// The row of one subscriber.
#[derive(Debug)]
pub(super) struct Subscriber<S> {
    pub(super) sink: S,
    /// The position of the next byte to write.
    pub(super) position: u64,
    pub(super) pace: Pace,
    /// Wakes the subscriber's task.
    pub(super) waker: Waker,
}

/// A million live subscribers are a million rows, so a row stays small. An empty row costs no more.
const _: () = assert!(size_of::<Option<Subscriber<Async<OwnedFd>>>>() <= 48);

/// Bytes sent, and messages whose last byte is among them.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// The outcome of writing to a subscriber, and the next step of its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// None: rounds write to it from here on.
    CaughtUp,
    /// End the stream: the client has everything, and nothing more comes.
    Finished,
    /// Wait until the socket has room.
    Blocked,
    /// End the stream or skip: the window no longer has the next byte.
    Lagged,
    /// End the stream: the socket failed.
    Failed,
}

impl Progress {
    pub(super) fn pace(self) -> Pace {
        match self {
            Self::CaughtUp => Pace::Live,
            Self::Blocked => Pace::Blocked,
            Self::Lagged => Pace::Lagged,
            Self::Finished | Self::Failed => Pace::Leaving,
        }
    }
}

impl<S: Sink> Subscriber<S> {
    /// Writes the bytes after the position, until there are none or the socket is full.
    pub(super) fn write(&mut self, newest: &Batch, window: &Window, sent: &mut Sent) -> Progress {
        loop {
            let batch =
                if self.position >= newest.start() { Some(newest) } else { window.at(self.position).map(|b| &**b) };
            let Some((batch, rest)) = batch.and_then(|batch| Some((batch, batch.rest(self.position)?))) else {
                return Progress::Lagged;
            };
            if rest.is_empty() {
                return Progress::CaughtUp;
            }
            match self.sink.try_write(rest) {
                Ok(0) => return Progress::Failed,
                Ok(count) => {
                    self.position += count as u64;
                    sent.bytes += count as u64;
                    if count == rest.len() {
                        sent.messages += batch.messages();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Failed,
            }
        }
    }
}

/// A position in an audience before its client joins. The window keeps the bytes from there on, up to its bound.
#[derive(Debug)]
pub struct Reservation<S: Sink> {
    audience: Rc<Audience<S>>,
    position: u64,
}

impl<S: Sink> Reservation<S> {
    /// Reserves the position after the newest byte.
    pub(super) fn new(audience: Rc<Audience<S>>) -> Self {
        audience.enter();
        let position = audience.window.borrow().end();
        Self { audience, position }
    }

    /// Makes a client a subscriber. It must have been sent everything before the position.
    pub fn join(self, sink: S) -> Membership<S> {
        let Self { audience, position } = &self;
        audience.enter();
        let waker = Waker::noop().clone();
        let row = audience.insert(Subscriber { sink, position: *position, pace: Pace::Joining, waker });
        Membership { audience: Rc::clone(audience), row, held: None }
    }
}

impl<S: Sink> Drop for Reservation<S> {
    fn drop(&mut self) {
        self.audience.slow.borrow_mut().cancel();
        self.audience.leave();
    }
}

/// The task's hold on its subscriber's row.
#[derive(Debug)]
pub struct Membership<S: Sink> {
    audience: Rc<Audience<S>>,
    row: usize,
    /// The batch in which the subscriber blocked. It can finish its event even if the window lets go of the batch.
    held: Option<Arc<Batch>>,
}

impl<S: Sink> Membership<S> {
    /// Writes all the bytes that the socket takes. Once the subscriber has caught up, rounds write to it.
    ///
    /// `waker` is woken when a round finds the socket full, and when the audience closes.
    pub fn catch_up(&mut self, waker: &Waker) -> Progress {
        let audience = &self.audience;
        let window = audience.window.borrow();
        let mut subscribers = audience.subscribers.borrow_mut();
        let subscriber = &mut subscribers[self.row];
        subscriber.waker.clone_from(waker);
        // First, as the write moves the position by which a blocked row is found.
        audience.set_pace(self.row, subscriber, Pace::Woken);
        let mut sent = Sent::default();
        let progress = match subscriber.write(&audience.newest.load(), &window, &mut sent) {
            Progress::CaughtUp if audience.closed.get() => Progress::Finished,
            progress => progress,
        };
        audience.shard_metrics.written(sent.messages, sent.bytes);
        audience.set_pace(self.row, subscriber, progress.pace());
        match progress {
            Progress::CaughtUp | Progress::Finished => self.held = None,
            Progress::Blocked => self.held = window.at(subscriber.position).cloned(),
            Progress::Lagged | Progress::Failed => {}
        }
        progress
    }

    /// Moves a lagged subscriber behind the newest byte, and returns the rest of its event, which goes out first.
    pub(crate) fn skip(&mut self) -> Vec<u8> {
        let audience = &self.audience;
        let mut subscribers = audience.subscribers.borrow_mut();
        let subscriber = &mut subscribers[self.row];
        // Without a batch it has joined and written nothing, and is between two events.
        let rest = self.held.take().map_or_else(Vec::new, |batch| batch.rest_of_event(subscriber.position).to_vec());
        subscriber.position = audience.window.borrow().end();
        audience.set_pace(self.row, subscriber, Pace::Joining);
        rest
    }

    /// The filters that the client asked for.
    pub(crate) fn filters(&self) -> FilterSet {
        self.audience.filters()
    }

    /// True if the operator has disconnected this subscriber while it is slow.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.audience.slow.borrow().is_disconnected(self.row)
    }

    /// Shows the subscriber's sink to `look`.
    pub fn sink<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.audience.subscribers.borrow()[self.row].sink)
    }

    /// The position of the next byte to write. Every write that makes progress moves it.
    pub(crate) fn position(&self) -> u64 {
        self.audience.subscribers.borrow()[self.row].position
    }

    /// Frees the row; returns the sink and the rest of the event that the client is in the middle of.
    pub(crate) fn leave(mut self) -> Option<(S, PartialEvent)> {
        self.remove()
    }

    fn remove(&mut self) -> Option<(S, PartialEvent)> {
        let audience = &self.audience;
        let mut subscriber = audience.subscribers.borrow_mut().try_remove(self.row)?;
        audience.set_pace(self.row, &mut subscriber, Pace::Leaving);
        audience.leave();
        let (position, window) = (subscriber.position, audience.window.borrow());
        let partial_event = match self.held.take().or_else(|| window.at(position).cloned()) {
            Some(batch) => audience.partial_events.keep(batch, position),
            None if position == window.end() => PartialEvent::Nothing,
            None => PartialEvent::Lost,
        };
        Some((subscriber.sink, partial_event))
    }
}

impl<S: Sink> Drop for Membership<S> {
    fn drop(&mut self) {
        // After `leave` there is no row, and nothing to do.
        if let Some((sink, partial_event)) = self.remove() {
            if partial_event.bytes() != Some(&[]) {
                sink.reset_on_close(true);
            }
        }
    }
}
