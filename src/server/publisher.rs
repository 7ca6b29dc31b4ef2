//! Publishing from the program around the server.
//!
//! A [`Publisher`] checks an event and hands it to the hub, as a connection does with a client's message. It starts no
//! task and knows no socket.

use crate::connection::Shared;
use crate::event::Event;
use crate::event::frame::InvalidField;
use crate::event::topic::Topics;
use crate::hub::{Draft, PublishError};

/// Handle that publishes to the streams of a [`Server`](crate::Server). Cheap to clone, and usable from any thread and
/// executor.
#[derive(Clone, Debug)]
pub struct Publisher {
    shared: Shared,
}

/// Receipt of a published event, as the JSON response of `POST /broadcast` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The event's id, if the server keeps a history: the publisher's own, or one of the server's.
    pub id: Option<String>,
    /// Number of open streams that the event is for. Some of them may end before they get it.
    pub subscribers: usize,
}

impl Publisher {
    pub(super) fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone() }
    }

    /// Publishes an event: once this returns, it is queued for every open stream, behind all that this publisher
    /// published before.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use smolcast::{Config, Event, Retention, Server};
    ///
    /// let mut config = Config::on(([127, 0, 0, 1], 0));
    /// config.history = Some(Retention::default());
    /// let server = Server::bind(config)?;
    /// let receipt = smol::block_on(server.publisher().publish(Event::new("hello").with_id("42")))?;
    /// assert_eq!(receipt.id.as_deref(), Some("42"));
    /// assert_eq!(receipt.subscribers, 0); // no stream is open yet
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Waits while the server has more messages than it can take
    /// ([`Limits::publish_queue`](crate::Limits::publish_queue),
    /// [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes)). It takes them from when
    /// [`Server::run`](crate::Server::run) begins.
    ///
    /// Cancel safe: an event is not published if this is dropped before it returns. With a history on the disk it may
    /// be.
    ///
    /// # Errors
    ///
    /// If a field cannot be encoded, if the history holds another event with the id or cannot be written, or if the
    /// server has stopped.
    /// If its disk fails altogether, an event that was refused may be on it, for clients that resume.
    pub async fn publish(&self, event: Event) -> Result<Receipt, PublishError> {
        let (fields, data) = event.parts().map_err(PublishError::InvalidField)?;
        let topics = Topics::parse(event.topics());
        let topics = topics.map_err(|_| PublishError::InvalidField(InvalidField::Topic))?;
        let id = self.shared.hub.publish(Draft::new(fields, data, &topics)).await?;
        Ok(Receipt { id, subscribers: self.shared.subscribers_of(&topics) })
    }

    /// Number of open streams.
    pub fn streams(&self) -> usize {
        self.shared.metrics.streams()
    }
}
