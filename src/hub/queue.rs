//! The queue from the hub to the shards: bounded, and in one order for all of them.
//!
//! Each shard has a receiver and gets every message. A message stays until the last shard has taken it. Only this file
//! uses async-broadcast. Room in the queue is the budget's concern: a message comes with a permit.
//!
//! The invariant: the queue has as many places as there are permits, so it never overflows and never refuses a message.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_broadcast::{Receiver, Sender, TrySendError};

use super::PublishError;
use super::budget::Permit;
use crate::event::frame::Frame;
use crate::event::topic::Topics;

/// A published message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) frame: Frame,
    pub(crate) topics: Topics,
}

/// A message with its permit, ready for the queue.
#[derive(Clone, Debug)]
pub(super) struct Queued {
    message: Message,
    in_flight: InFlight,
}

impl Queued {
    pub(super) fn new(message: Message, permit: Permit) -> Self {
        Self { message, in_flight: InFlight(Arc::new(permit)) }
    }
}

/// A shard's share in a message that it has yet to write. The message's bytes go back to the budget with the last one.
#[derive(Clone, Debug)]
pub(crate) struct InFlight(Arc<Permit>);

impl InFlight {
    /// Ends this shard's share. Returns the time since the publish call if no other shard has one.
    pub(crate) fn end(self, now: Instant) -> Option<Duration> {
        Arc::into_inner(self.0).map(|permit| now.saturating_duration_since(permit.since))
    }
}

/// Makes a queue with so many places, and a receiver for each shard.
pub(super) fn queue(places: usize, shards: usize) -> (QueueSender, Vec<QueueReceiver>) {
    let (sender, receiver) = async_broadcast::broadcast(places);
    // All receivers exist before the first message, so that each shard gets every one.
    let mut receivers: Vec<_> = (1..shards).map(|_| receiver.new_receiver()).collect();
    receivers.push(receiver);
    (QueueSender(sender), receivers.into_iter().map(|receiver| QueueReceiver { receiver, taken: 0 }).collect())
}

/// The hub's end of the queue.
#[derive(Debug)]
pub(super) struct QueueSender(Sender<Queued>);

impl QueueSender {
    /// Queues a message for every shard.
    ///
    /// # Errors
    ///
    /// `Stopped` if the queue is closed, or if all shards are gone.
    pub(super) fn push(&self, queued: Queued) -> Result<(), PublishError> {
        self.0.try_broadcast(queued).map(drop).map_err(|error| {
            debug_assert!(!matches!(error, TrySendError::Full(_)), "a permit has a place");
            PublishError::Stopped
        })
    }

    /// Refuses further messages. Those in the queue stay until every shard has taken them.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

/// A shard's end of the queue. The queue closes with its last receiver.
#[derive(Debug)]
pub struct QueueReceiver {
    receiver: Receiver<Queued>,
    /// Messages taken so far.
    taken: u64,
}

impl QueueReceiver {
    /// Takes the next message; `None` once the queue is closed and empty.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Message, InFlight)>> {
        loop {
            match ready!(Pin::new(&mut self.receiver).poll_recv(cx)) {
                Some(Ok(queued)) => return Poll::Ready(Some(self.take(queued))),
                // Only a queue that overflows skips messages, and this one does not.
                Some(Err(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// Takes the next message if one is queued.
    pub(crate) fn take_waiting(&mut self) -> Option<(Message, InFlight)> {
        let queued = self.receiver.try_recv().ok()?;
        Some(self.take(queued))
    }

    /// Says if a message is queued.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.receiver.is_empty()
    }

    /// Number of messages taken so far: the position up to which this shard has all.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    fn take(&mut self, queued: Queued) -> (Message, InFlight) {
        let Queued { message, in_flight } = queued;
        in_flight.0.note_taken();
        self.taken += 1;
        (message, in_flight)
    }
}
