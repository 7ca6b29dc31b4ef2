//! `POST /broadcast`: a body becomes a message, and its publisher gets a receipt or an error.
//!
//! The hub's errors become HTTP's here and nowhere else. A message is published only after its whole body was read.

use super::reader::ConnectionEnd;
use super::requests::{Envelope, Exchange};
use crate::auth::Cors;
use crate::event::json;
use crate::event::topic::Topics;
use crate::http::request::PublishRequest;
use crate::http::{Persistence, RequestError, response};
use crate::hub::{Draft, PublishError};
use crate::metrics::{PublishOutcome, StatusClass};
use crate::net::Socket;

/// The parts of a publish request that its response needs once the message has an outcome.
pub(super) struct Unanswered {
    persistence: Persistence,
    /// The topics, for the number of subscribers, if the publisher asked for a receipt.
    receipt: Option<Topics>,
    cors: Option<Cors>,
}

/// Permission to end the connection with the last response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayClose {
    /// Another request has begun, whose response comes behind it.
    No,
    /// It ends if the server is stopping.
    IfStopping,
}

impl<S: Socket> Exchange<'_, S> {
    /// Publishes the body of the request at hand, and queues the response once the message has an outcome.
    ///
    /// Returns if the connection stays open for another request.
    pub(super) async fn publish(
        &mut self,
        request: &PublishRequest,
        envelope: &Envelope,
    ) -> Result<Persistence, ConnectionEnd> {
        // The client may wait for the responses before it sends the rest of this request.
        if envelope.expects_continue || !self.reader.has_body(envelope.framing) {
            self.answer_all(MayClose::No).await?;
        }
        let submitted = {
            let body = self.reader.body(envelope.framing, envelope.expects_continue).await?;
            match std::str::from_utf8(&body) {
                Ok(data) => {
                    let draft = Draft::new(&request.fields, data, &request.topics);
                    let submitted = self.pipeline.submit(draft).await.map_err(RequestError::from)?;
                    submitted.map(|outcome| outcome.map_err(RequestError::from))
                }
                Err(_) => Some(Err(RequestError::NotUtf8)),
            }
        };
        let receipt = request.wants_json.then(|| request.topics.clone());
        let unanswered = Unanswered { persistence: envelope.persistence, receipt, cors: self.cors.take() };
        let Some(outcome) = submitted else {
            self.unanswered.push_back(unanswered);
            let is_last = envelope.persistence == Persistence::Close || self.context.clock.is_stopping();
            let is_full = self.unanswered.len() >= self.context.shared.limits.pipelined_publishes;
            return match (is_last, is_full) {
                (true, _) => self.answer_all(MayClose::IfStopping).await,
                (false, true) => self.answer_some(false, MayClose::No).await,
                (false, false) => Ok(Persistence::KeepAlive),
            };
        };
        self.answer_all(MayClose::No).await?;
        self.answer(unanswered, outcome, MayClose::IfStopping)
    }

    /// Waits for the outcome of every message that is under way, and queues the responses.
    pub(super) async fn answer_all(&mut self, may_close: MayClose) -> Result<Persistence, ConnectionEnd> {
        self.answer_some(true, may_close).await
    }

    /// Waits for the outcome of the oldest message that is under way, or of all, and queues the responses to those that
    /// have one.
    async fn answer_some(&mut self, all: bool, may_close: MayClose) -> Result<Persistence, ConnectionEnd> {
        let mut persistence = Persistence::KeepAlive;
        let mut must_wait = true;
        while !self.unanswered.is_empty() {
            let outcome = match self.pipeline.try_next() {
                Some(outcome) => outcome,
                None if must_wait || all => self.pipeline.next().await,
                None => break,
            };
            must_wait = false;
            let Some(unanswered) = self.unanswered.pop_front() else { break };
            persistence = self.answer(unanswered, outcome.map_err(RequestError::from), may_close)?;
            if self.reader.output.len() >= self.context.shared.limits.answer_bytes {
                self.reader.flush().await?;
            }
        }
        Ok(persistence)
    }

    /// Queues the response to a publish request.
    fn answer(
        &mut self,
        unanswered: Unanswered,
        outcome: Result<Option<String>, RequestError>,
        may_close: MayClose,
    ) -> Result<Persistence, ConnectionEnd> {
        let Unanswered { persistence, receipt: receipt_for, cors } = unanswered;
        // A server that is stopping responds to the requests that it has begun, and to no other.
        let is_stopping = may_close == MayClose::IfStopping && self.context.clock.is_stopping();
        let is_last = self.unanswered.is_empty() && is_stopping;
        let persistence = if is_last { Persistence::Close } else { persistence };
        // The request at hand may be another one.
        let at_hand = (std::mem::replace(&mut self.cors, cors), self.is_publish, self.is_head);
        (self.is_publish, self.is_head) = (true, false);
        let answered = match outcome {
            Ok(id) => {
                let subscribers = |topics: &Topics| self.context.shared.subscribers_of(topics);
                let receipt = receipt_for.map(|topics| receipt(id.as_deref(), subscribers(&topics)));
                self.respond(StatusClass::Successful, |out, common| {
                    response::accepted(out, common, receipt.as_deref(), persistence);
                });
                self.context.shard_metrics.publish_ended(PublishOutcome::Accepted);
                Ok(persistence)
            }
            // The body was read to its end, so the next request can follow.
            Err(
                error @ (RequestError::NotUtf8
                | RequestError::Duplicate
                | RequestError::NoSpace
                | RequestError::NotWritten),
            ) => {
                self.respond_error(error, persistence);
                Ok(persistence)
            }
            Err(error) => {
                // The connection ends, so there is no response to those behind.
                self.unanswered.clear();
                Err(error.into())
            }
        };
        if answered.is_ok() {
            (self.cors, self.is_publish, self.is_head) = at_hand;
        }
        answered
    }
}

impl From<PublishError> for RequestError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::InvalidField(field) => Self::EventField(field),
            PublishError::Duplicate => Self::Duplicate,
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
