//! Publishing from the program around the server.
//!
//! A [`Publisher`] checks an event and hands it to the hub, as a connection does with a client's message. It starts no
//! task and knows no socket.

use crate::event::Event;
use crate::event::frame::InvalidField;
use crate::event::topic::Topics;
use crate::hub::{Draft, Hub, PublishError};
use crate::metrics::Metrics;

/// Handle that publishes to the streams of a [`Server`](crate::Server). Cheap to clone, and usable from any thread and
/// executor.
#[derive(Clone, Debug)]
pub struct Publisher {
    hub: Hub,
    metrics: Metrics,
}

impl Publisher {
    pub(super) fn new(hub: Hub, metrics: Metrics) -> Self {
        Self { hub, metrics }
    }

    /// Publishes an event: once this returns, it is queued for every open stream, behind all that this publisher
    /// published before.
    ///
    /// Waits while the server has more messages than it can take
    /// ([`Limits::publish_queue`](crate::Limits::publish_queue),
    /// [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes)). It takes them from when
    /// [`Server::run`](crate::Server::run) begins.
    ///
    /// Cancel safe: an event is not published if this is dropped before it returns. With a history's file it may be.
    ///
    /// # Errors
    ///
    /// If a field cannot be encoded, if the history's file cannot be written, or if the server has stopped.
    /// If the file's disk hung until the server stopped, the event may be in the file, for clients that come back.
    pub async fn publish(&self, event: Event) -> Result<(), PublishError> {
        let (fields, data) = event.parts().map_err(PublishError::InvalidField)?;
        let topics = Topics::parse(event.topics());
        let topics = topics.map_err(|_| PublishError::InvalidField(InvalidField::Topic))?;
        self.hub.publish(Draft::new(fields, data, &topics)).await.map(drop)
    }

    /// Number of open streams.
    pub fn streams(&self) -> usize {
        self.metrics.streams()
    }
}
