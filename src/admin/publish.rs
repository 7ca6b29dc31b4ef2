//! Publishes a message that came to the admin address, and returns its receipt.
//!
//! The message goes through the hub like any other. It needs no token, and counts in no metric of requests. A wait for
//! room ends in time: the admin connections are few, and health checks need them while a shard hangs.

use std::time::Duration;

use super::AdminContext;
use super::response::AdminResponse;
use crate::connection::receipt;
use crate::http::RequestError;
use crate::http::request::PublishRequest;
use crate::hub::Draft;
use crate::metrics::NotReady;
use crate::net::within;

/// Longest wait of a message for room in the queues, and for the history's disk.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes a message; returns its receipt, a line of JSON.
pub(super) async fn publish(
    context: &AdminContext,
    request: &PublishRequest,
    message: &str,
    patience: Duration,
) -> Result<String, AdminResponse> {
    let (shared, unavailable) = (&context.shared, RequestError::Stopping.status());
    if context.health.ready() == Err(NotReady::Starting) {
        return Err(AdminResponse::line(unavailable, "The server is starting; try again later.\n"));
    }
    let published = within(patience, shared.hub.publish(Draft::new(&request.fields, message, &request.topics))).await;
    let late = || match &context.config.history_dir {
        None => AdminResponse::line(unavailable, "There was no room for it in time, so it was not published.\n"),
        // The log's thread may have it already, and the disk may still write it.
        Some(_) => {
            let text = "It was not written to the history's disk in time; it may still be published.\n";
            AdminResponse::line("504 Gateway Timeout", text)
        }
    };
    let id = published.ok_or_else(late)?.map_err(|error| AdminResponse::from(RequestError::from(error)))?;
    Ok(receipt(id.as_deref(), shared.subscribers_of(&request.topics)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::admin::tests::{run, server};
    use crate::config::{HistoryDir, HistorySync, Limits};
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
        let dir = HistoryDir { path: Path::new("history").to_owned(), sync: HistorySync::Always };
        for (history_dir, expected) in [(None, "so it was not published"), (Some(dir), "504 Gateway Timeout")] {
            context.config.history_dir = history_dir;
            let late = run(publish(&context, &REQUEST, "x", Duration::ZERO)).expect_err("there is no room");
            assert!(format!("{late:?}").contains(expected), "{late:?}");
        }
        assert!(shards[0].receiver.take_waiting().is_some(), "the one before");
        assert!(shards[0].receiver.take_waiting().is_none(), "and no other follows");
        assert_eq!(context.shared.metrics.messages(), 1);
    }
}
