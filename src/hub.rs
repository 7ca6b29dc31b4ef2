//! Where messages are accepted: one channel, in one order, to every shard.
//!
//! A message that [`Hub::publish`] has accepted is in the channel for each shard, in the same order for all. The
//! channel never overflows: a full one makes the publisher wait, and shards empty it without waiting for any stream.
//! Nothing here knows of streams. This is the only module that uses async-broadcast.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_broadcast::{InactiveReceiver, Receiver, Sender};

use crate::frame::Frame;
use crate::metrics::Metrics;

/// The sending side, shared by every publisher.
#[derive(Clone, Debug)]
pub(crate) struct Hub {
    sender: Sender<Frame>,
    /// Keeps the channel open while no shard is listening yet.
    receivers: InactiveReceiver<Frame>,
    metrics: Metrics,
}

/// The hub as its server has it: when the server is gone, the hub closes, and no publisher waits for it for ever.
#[derive(Debug)]
pub(crate) struct OwnedHub(pub(crate) Hub);

impl Drop for OwnedHub {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The server has stopped: nobody will get the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Hub {
    /// A hub that holds at most `capacity` messages that some shard has not taken yet.
    pub(crate) fn new(capacity: usize, metrics: Metrics) -> Self {
        let (sender, receiver) = async_broadcast::broadcast(capacity);
        Self { sender, receivers: receiver.deactivate(), metrics }
    }

    /// The receiving side of one shard: it gets every message accepted from now on.
    pub(crate) fn intake(&self) -> Intake {
        Intake(self.receivers.activate_cloned())
    }

    /// Accepts a message: when this returns, every shard has it in order. Waits while the channel is full.
    ///
    /// Cancel safe: a publish that is dropped before it returns was not accepted.
    pub(crate) async fn publish(&self, frame: Frame) -> Result<(), Closed> {
        self.sender.broadcast_direct(frame).await.map_err(|_| Closed)?;
        self.metrics.message_accepted();
        Ok(())
    }

    /// Accepts nothing more; what was accepted is still delivered.
    pub(crate) fn close(&self) {
        self.sender.close();
    }
}

/// The receiving side, one for each shard.
#[derive(Debug)]
pub(crate) struct Intake(Receiver<Frame>);

impl Intake {
    /// The next message; `None` once the hub is closed and all it had accepted is taken.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_recv(cx)) {
                Some(Ok(frame)) => return Poll::Ready(Some(frame)),
                // The channel is not allowed to overflow, so nothing was skipped.
                Some(Err(_)) => {}
                None => return Poll::Ready(None),
            }
        }
    }

    /// The next message if it is there already.
    pub(crate) fn take_waiting(&mut self) -> Option<Frame> {
        self.0.try_recv().ok()
    }
}
