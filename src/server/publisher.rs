//! Publishing from the program around the server.
//!
//! A [`Publisher`] checks an event and hands it to the hub, as a connection does with a client's message. It starts no
//! task and knows no socket.

use super::PublishError;
use crate::event::Event;
use crate::event::frame::InvalidField;
use crate::event::topic::Topics;
use crate::hub::{self, Hub};
use crate::metrics::Metrics;

/// A handle that publishes to the streams of a [`Server`](crate::Server). Cheap to clone, and usable from any thread and executor.
#[derive(Clone, Debug)]
pub struct Publisher {
    hub: Hub,
    metrics: Metrics,
}

impl Publisher {
    pub(super) fn new(hub: Hub, metrics: Metrics) -> Self {
        Self { hub, metrics }
    }

    /// Publishes an event: when this returns, it is accepted for every open stream, behind all that this publisher
    /// published before. Waits while the server has more messages than it can take
    /// ([`Limits::publish_queue`](crate::Limits::publish_queue),
    /// [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes)); they are taken from when
    /// [`Server::run`](crate::Server::run) begins.
    ///
    /// Cancel safe: an event whose publishing is dropped before it returns is not published. Where the history has a
    /// file it may be.
    ///
    /// # Errors
    ///
    /// When a field of the event cannot be encoded, when the history's file cannot be written, or when the server has
    /// stopped: where the file's disk hung until then, the event may be in it, for those who come back.
    pub async fn publish(&self, event: Event) -> Result<(), PublishError> {
        let (fields, data) = event.parts().map_err(PublishError::InvalidField)?;
        let topics = Topics::parse(event.topics());
        let topics = topics.map_err(|_| PublishError::InvalidField(InvalidField::Topic))?;
        let published = self.hub.publish(fields, data, &topics).await;
        published.map(drop).map_err(|error| match error {
            hub::PublishError::Closed => PublishError::Stopped,
            hub::PublishError::NoSpace => PublishError::NoSpace,
            hub::PublishError::NotWritten => PublishError::NotWritten,
        })
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.metrics.streams()
    }
}
