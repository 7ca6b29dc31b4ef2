//! The server that one writes on axum: a router, `Sse` over what a broadcast channel has for a stream, and its
//! `KeepAlive`.
//!
//! The channel carries axum's own `Event`, so a message is encoded once; but it is not possible to share the bytes of
//! an event, nor to join several of them, so that each stream gets a copy of each and writes it as a chunk of its
//! own.

use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING,
};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::net::TcpListener;
use tokio::sync::broadcast::{self, Sender};

use super::shared::{self, BODY_LIMIT, CAPACITY, OPENING};
use super::{Settings, announce, listen};
use anyhow::{Context, Result};

pub(super) fn serve(settings: Settings) -> Result<()> {
    let listener = listen(settings)?;
    shared::run_on_tokio(settings, async move {
        announce(&listener)?;
        let listener = TcpListener::from_std(listener).context("handing the listener to tokio")?;
        axum::serve(listener, router(settings.heartbeat)).await.context("serving")
    })
}

fn router(heartbeat: Duration) -> Router {
    let hub = Hub { events: broadcast::channel(CAPACITY).0, heartbeat };
    Router::new()
        // axum answers HEAD as it does GET, unless it is told what else to do.
        .route("/sse", get(stream).head(not_found).options(preflight))
        .route("/connections", get(count).head(not_found).options(preflight))
        .route("/broadcast", post(publish))
        .method_not_allowed_fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(hub)
}

#[derive(Clone)]
struct Hub {
    /// Every receiver is an open stream.
    events: Sender<Event>,
    heartbeat: Duration,
}

async fn stream(State(hub): State<Hub>) -> Response {
    // Ends once it has lagged too far: it would skip events.
    let events = stream::unfold(hub.events.subscribe(), async |mut events| {
        let event = events.recv().await.ok()?;
        Some((Ok::<_, Infallible>(event), events))
    });
    let sse = Sse::new(events).keep_alive(KeepAlive::new().interval(hub.heartbeat));
    let fields = [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (CONNECTION, "close")];
    let response = (fields, [("X-Accel-Buffering", "no")], sse).into_response();
    response.map(|body| {
        // `Event` has no way to say these two: it puts a space before a comment, and leaves empty data out.
        let opening = stream::once(ready(Ok(Bytes::from_static(OPENING))));
        let events = body.into_data_stream().map_ok(|bytes| match &bytes[..] {
            b"\n" => Bytes::from_static(b"data: \n\n"),
            _ => bytes,
        });
        Body::from_stream(opening.chain(events))
    })
}

async fn count(State(hub): State<Hub>) -> impl IntoResponse {
    let fields = [
        (CONTENT_TYPE, "text/plain"),
        (CACHE_CONTROL, "no-cache"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (CONNECTION, "close"),
    ];
    (fields, hub.events.receiver_count().to_string())
}

async fn preflight() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (CONNECTION, "close")])
}

/// A message that is no UTF-8 or too long is answered by the extractor.
async fn publish(State(hub): State<Hub>, fields: HeaderMap, message: String) -> Response {
    if !fields.contains_key(CONTENT_LENGTH) && !fields.contains_key(TRANSFER_ENCODING) {
        return (StatusCode::LENGTH_REQUIRED, [(CONNECTION, "close")]).into_response();
    }
    // `Event` takes the two bytes of a CRLF for two line breaks.
    let event = Event::default().data(message.replace("\r\n", "\n").replace('\r', "\n"));
    // In vain where no stream is open.
    let _ = hub.events.send(event);
    (StatusCode::ACCEPTED, [(ACCESS_CONTROL_ALLOW_ORIGIN, "*")]).into_response()
}

async fn not_found() -> StatusCode {
    StatusCode::NOT_FOUND
}
