//! The server that one writes on hyper: `service_fn` for each connection, and for a stream a body of what its
//! subscription has.
//!
//! hyper writes as long as a body has something, and reads a stream's client meanwhile: its FIN ends the stream. To
//! HTTP/1.1 a body without a length goes out in chunks.

use std::convert::Infallible;
use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::time::sleep;

use super::shared::{self, BODY_LIMIT, Hub, Subscription};
use super::start::{Settings, announce, listen};
use anyhow::{Context, Result};

/// The pause after a failed accept: there is no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

type Answer<B> = std::result::Result<Response<B>, hyper::http::Error>;

pub(super) fn serve(settings: Settings) -> Result<()> {
    let listener = listen(settings)?;
    shared::run_on_tokio(settings, async move {
        announce(&listener)?;
        let listener = TcpListener::from_std(listener).context("handing the listener to tokio")?;
        accept(&listener, &Hub::new(settings.heartbeat)).await
    })
}

async fn accept(listener: &TcpListener, hub: &Hub) -> Result<()> {
    let mut http = http1::Builder::new();
    // A chunk is an event between two short lines: copied together they cost less than gathered by the kernel.
    http.writev(false);
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let hub = hub.clone();
                let service = service_fn(move |request| answer(request, hub.clone()));
                // Its error is a client that is gone: no one reads it.
                tokio::spawn(http.serve_connection(TokioIo::new(socket), service));
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    hub: Hub,
) -> Answer<impl Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>>> {
    let answer = match (request.method(), request.uri().path()) {
        (&Method::GET, "/sse") => return Ok(stream(hub.subscribe())?.map(Either::Right)),
        (&Method::GET, "/connections") => count(&hub),
        (&Method::OPTIONS, "/sse" | "/connections") => preflight(),
        (&Method::POST, "/broadcast") => publish(request, &hub).await,
        _ => empty(StatusCode::NOT_FOUND),
    };
    Ok(answer?.map(Either::Left))
}

fn stream(events: Subscription) -> Answer<impl Body<Data = Bytes, Error = Infallible>> {
    let frames = events.into_stream().map(|bytes| Ok(Frame::data(bytes)));
    Response::builder()
        .header(CONTENT_TYPE, "text/event-stream")
        .header(CACHE_CONTROL, "no-cache")
        .header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header("X-Accel-Buffering", "no")
        .header(CONNECTION, "close")
        .body(StreamBody::new(frames))
}

fn count(hub: &Hub) -> Answer<Full<Bytes>> {
    Response::builder()
        .header(CONTENT_TYPE, "text/plain")
        .header(CACHE_CONTROL, "no-cache")
        .header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header(CONNECTION, "close")
        .body(hub.streams().to_string().into())
}

fn preflight() -> Answer<Full<Bytes>> {
    Response::builder()
        .status(StatusCode::NO_CONTENT)
        .header(ACCESS_CONTROL_ALLOW_ORIGIN, "*")
        .header(CONNECTION, "close")
        .body(Full::default())
}

async fn publish(request: Request<Incoming>, hub: &Hub) -> Answer<Full<Bytes>> {
    let fields = request.headers();
    if !fields.contains_key(CONTENT_LENGTH) && !fields.contains_key(TRANSFER_ENCODING) {
        return Response::builder()
            .status(StatusCode::LENGTH_REQUIRED)
            .header(CONNECTION, "close")
            .body(Full::default());
    }
    let message = match Limited::new(request.into_body(), BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return empty(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => return empty(StatusCode::BAD_REQUEST),
    };
    let Some(event) = shared::event(&message) else { return empty(StatusCode::BAD_REQUEST) };
    hub.publish(event);
    Response::builder().status(StatusCode::ACCEPTED).header(ACCESS_CONTROL_ALLOW_ORIGIN, "*").body(Full::default())
}

fn empty(status: StatusCode) -> Answer<Full<Bytes>> {
    Response::builder().status(status).body(Full::default())
}
