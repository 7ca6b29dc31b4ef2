//! The server that one writes on hyper: `service_fn` for each connection, and for a stream a body of what its
//! subscription has.
//!
//! hyper writes as long as a body has something, and reads a stream's client meanwhile: its FIN ends the stream. To
//! HTTP/1.1 a body without a length goes out in chunks.

use std::convert::Infallible;
use std::error::Error;

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

use super::Settings;
use super::shared::{self, BODY_LIMIT, Hub};
use anyhow::Result;

type Answer<B> = std::result::Result<Response<B>, hyper::http::Error>;

pub(super) fn serve(settings: Settings) -> Result<()> {
    let mut http = http1::Builder::new();
    // A chunk is an event between two short lines: copied together they cost less than gathered by the kernel.
    http.writev(false);
    shared::accept_on_tokio(settings, move |socket, hub| {
        let service = service_fn(move |request| answer(request, hub.clone()));
        // Its error is a client that is gone: no one reads it.
        http.serve_connection(TokioIo::new(socket), service)
    })
}

async fn answer(
    request: Request<Incoming>,
    hub: Hub,
) -> Answer<impl Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>>> {
    let page = |status| Response::builder().status(status).header(ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    let last = |status| page(status).header(CONNECTION, "close");
    let (answer, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/sse") => {
            let frames = hub.subscribe().into_stream().map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
            let answer =
                last(StatusCode::OK).header(CONTENT_TYPE, "text/event-stream").header(CACHE_CONTROL, "no-cache");
            return answer.header("X-Accel-Buffering", "no").body(Either::Right(StreamBody::new(frames)));
        }
        (&Method::GET, "/connections") => {
            let answer = last(StatusCode::OK).header(CONTENT_TYPE, "text/plain").header(CACHE_CONTROL, "no-cache");
            (answer, hub.streams().to_string())
        }
        (&Method::OPTIONS, "/sse" | "/connections") => (last(StatusCode::NO_CONTENT), String::new()),
        (&Method::POST, "/broadcast") => match publish(request, &hub).await {
            StatusCode::LENGTH_REQUIRED => (last(StatusCode::LENGTH_REQUIRED), String::new()),
            status => (page(status), String::new()),
        },
        _ => (page(StatusCode::NOT_FOUND), String::new()),
    };
    answer.body(Either::Left(Full::from(body)))
}

/// The status of the answer to a message.
async fn publish(request: Request<Incoming>, hub: &Hub) -> StatusCode {
    let fields = request.headers();
    if !fields.contains_key(CONTENT_LENGTH) && !fields.contains_key(TRANSFER_ENCODING) {
        return StatusCode::LENGTH_REQUIRED;
    }
    let message = match Limited::new(request.into_body(), BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return StatusCode::PAYLOAD_TOO_LARGE,
        Err(_) => return StatusCode::BAD_REQUEST,
    };
    let Some(event) = shared::event(&message) else { return StatusCode::BAD_REQUEST };
    hub.publish(event);
    StatusCode::ACCEPTED
}
