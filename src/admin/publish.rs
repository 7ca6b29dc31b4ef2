//! Publishes a message that came to the admin address, and returns its receipt.
//!
//! The message goes through the hub like any other. It needs no token, and counts in no metric of requests. A wait for
//! room ends in time: the admin connections are few, and health checks need them while a shard hangs.

use std::time::Duration;

use super::AdminContext;
use super::answer::Answer;
use crate::connection::receipt;
use crate::http::RequestError;
use crate::http::request::PublishRequest;
use crate::hub::Draft;
use crate::net::within;

/// Longest wait of a message for room in the queues, and for the history's file.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Reasons for which a message has no receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotPublished {
    /// The server does not serve yet.
    Starting,
    Refused(RequestError),
    /// The queues had no room in time.
    NoRoom,
    /// The queues had no room, or the disk did not write it, in time. The disk may still do so.
    Unwritten,
}

impl From<NotPublished> for Answer {
    fn from(reason: NotPublished) -> Self {
        let unavailable = RequestError::Stopping.status();
        match reason {
            NotPublished::Starting => Self::line(unavailable, "The server is starting; try again later.\n"),
            NotPublished::Refused(error) => error.into(),
            NotPublished::NoRoom => {
                Self::line(unavailable, "There was no room for it in time, so it was not published.\n")
            }
            NotPublished::Unwritten => Self::line(
                "504 Gateway Timeout",
                "It was not written to the history's file in time; it may still be published.\n",
            ),
        }
    }
}

/// Publishes a message; returns its receipt, a line of JSON: the id, if there is a history, and the number of open
/// streams that the message is for.
pub(super) async fn publish(
    context: &AdminContext,
    request: &PublishRequest,
    message: &str,
    patience: Duration,
) -> Result<String, NotPublished> {
    let shared = &context.shared;
    if context.handles().is_empty() {
        return Err(NotPublished::Starting);
    }
    let published = within(patience, shared.hub.publish(Draft::new(&request.fields, message, &request.topics))).await;
    // A dropped publish is not published, unless the thread that writes the file has it already.
    let late = if context.config.history_file.is_some() { NotPublished::Unwritten } else { NotPublished::NoRoom };
    let id = published.ok_or(late)?.map_err(|error| NotPublished::Refused(error.into()))?;
    Ok(receipt(id.as_deref(), shared.subscribers_of(&request.topics)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::admin::tests::{run, server};
    use crate::config::{HistoryFile, HistorySync, Limits};
    use crate::event::frame::Fields;
    use crate::event::topic::Topics;

    const REQUEST: PublishRequest = PublishRequest {
        fields: Fields { kind: None, id: None, retry: None },
        topics: Topics::none(),
        wants_json: false,
    };

    #[test]
    fn a_message_without_room_in_time_is_not_published() {
        let (mut context, mut shards) = server(Limits { publish_queue: 1, ..Limits::default() }, 1);
        run(publish(&context, &REQUEST, "before", PATIENCE)).expect("there is room for one");
        let file = HistoryFile { path: Path::new("history").to_owned(), sync: HistorySync::Always };
        for (history_file, expected) in [(None, NotPublished::NoRoom), (Some(file), NotPublished::Unwritten)] {
            context.config.history_file = history_file;
            assert_eq!(run(publish(&context, &REQUEST, "x", Duration::ZERO)), Err(expected));
        }
        assert!(shards[0].receiver.take_waiting().is_some(), "the one before");
        assert!(shards[0].receiver.take_waiting().is_none(), "and no other follows");
        assert_eq!(context.shared.metrics.messages(), 1);
    }
}
