//! `POST /broadcast`: a body becomes a message, and its publisher gets a receipt or an error.
//!
//! The hub's errors become HTTP's here and nowhere else. A message is published only after its whole body was read.

use super::reader::ConnectionEnd;
use super::requests::{Envelope, Exchange};
use crate::event::json;
use crate::http::request::PublishRequest;
use crate::http::{Persistence, RequestError, response};
use crate::hub::{Draft, Hub, PublishError};
use crate::metrics::{PublishOutcome, StatusClass};
use crate::net::Socket;

impl<S: Socket> Exchange<'_, S> {
    /// Publishes the body of the request at hand and queues the response.
    pub(super) async fn publish(
        &mut self,
        request: &PublishRequest,
        envelope: &Envelope,
    ) -> Result<Persistence, ConnectionEnd> {
        let hub = &self.context.shared.hub;
        let published = {
            let body = self.reader.body(envelope.framing, envelope.expects_continue).await?;
            publish(hub, &body, request).await
        };
        // A server that is stopping responds to the request that it has begun, and to no other.
        let stopping = self.context.clock.is_stopping();
        let persistence = if stopping { Persistence::Close } else { envelope.persistence };
        match published {
            Ok(id) => {
                let subscribers = || self.context.shared.subscribers_of(&request.topics);
                let receipt = request.wants_json.then(|| receipt(id.as_deref(), subscribers()));
                self.respond(StatusClass::Successful, |out, common| {
                    response::accepted(out, common, receipt.as_deref(), persistence);
                });
                self.context.shard_metrics.publish_ended(PublishOutcome::Accepted);
            }
            // The body was read to its end, so the next request can follow.
            Err(error @ (RequestError::NotUtf8 | RequestError::NoSpace | RequestError::NotWritten)) => {
                self.respond_error(error, persistence);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(persistence)
    }
}

/// Publishes a body, which has to be text; returns the id that it got.
async fn publish(hub: &Hub, body: &[u8], request: &PublishRequest) -> Result<Option<String>, RequestError> {
    let message = std::str::from_utf8(body).map_err(|_| RequestError::NotUtf8)?;
    hub.publish(Draft::new(&request.fields, message, &request.topics)).await.map_err(RequestError::from)
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::InvalidField(field) => Self::EventField(field),
            PublishError::Stopped => Self::Stopping,
            PublishError::NoSpace => Self::NoSpace,
            PublishError::NotWritten => Self::NotWritten,
        }
    }
}

/// The receipt of a message, as JSON (RFC 8259).
pub(crate) fn receipt(id: Option<&str>, subscribers: usize) -> String {
    let id = id.map_or_else(String::new, |id| format!("\"id\":{},", json::string(id)));
    format!("{{{id}\"subscribers\":{subscribers}}}\n")
}
