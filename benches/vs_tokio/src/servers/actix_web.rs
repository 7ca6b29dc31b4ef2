//! The server that one writes on actix-web: handlers, and for a stream a response that streams what its subscription
//! has.
//!
//! Each worker is a thread with a runtime of its own and keeps the connections that are dealt to it; all of them
//! receive from one channel.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH, TRANSFER_ENCODING};
use actix_web::rt::System;
use actix_web::web::{self, Bytes, Data, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use futures_util::StreamExt;

use super::shared::{self, BODY_LIMIT, Hub};
use super::{Settings, announce, listen};
use anyhow::{Context, Result};

/// The longest silence of a publisher before its connection is closed. The default of 5 s is short for that.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

pub(super) fn serve(settings: Settings) -> Result<()> {
    let listener = listen(settings)?;
    System::new().block_on(async move {
        announce(&listener)?;
        let hub = Data::new(Hub::new(settings.heartbeat));
        let server = HttpServer::new(move || App::new().app_data(hub.clone()).configure(routes))
            .workers(settings.workers)
            .keep_alive(KEEP_ALIVE)
            // The FIN of its client is to end a stream.
            .h1_allow_half_closed(false)
            // A signal would begin a graceful shutdown, and that waits for the open streams.
            .disable_signals();
        server.listen(listener).context("handing the listener to actix")?.run().await.context("serving")
    })
}

fn routes(app: &mut ServiceConfig) {
    // Instead of the 405 that another method on a known path gets by default.
    let not_found = || web::to(HttpResponse::NotFound);
    let options = || web::method(Method::OPTIONS).to(preflight);
    app.app_data(PayloadConfig::new(BODY_LIMIT))
        .service(web::resource("/sse").get(stream).route(options()).default_service(not_found()))
        .service(web::resource("/connections").get(count).route(options()).default_service(not_found()))
        .service(web::resource("/broadcast").post(publish).default_service(not_found()));
}

async fn stream(hub: Data<Hub>) -> HttpResponse {
    let bytes = hub.subscribe().into_stream();
    let mut answer = HttpResponse::Ok();
    answer
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .insert_header(("X-Accel-Buffering", "no"))
        .force_close();
    let mut answer = answer.streaming(bytes.map(Ok::<_, Infallible>));
    // The body ends with the connection: nothing has to stand between its events.
    answer.head_mut().no_chunking(true);
    answer
}

async fn count(hub: Data<Hub>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*"))
        .force_close()
        .body(hub.streams().to_string())
}

async fn preflight() -> HttpResponse {
    HttpResponse::NoContent().insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*")).force_close().finish()
}

/// A message that is too long is answered by the extractor.
async fn publish(request: HttpRequest, message: Bytes, hub: Data<Hub>) -> HttpResponse {
    let fields = request.headers();
    if !fields.contains_key(CONTENT_LENGTH) && !fields.contains_key(TRANSFER_ENCODING) {
        return HttpResponse::LengthRequired().force_close().finish();
    }
    let Some(event) = shared::event(&message) else { return HttpResponse::BadRequest().finish() };
    hub.publish(event);
    HttpResponse::Accepted().insert_header((ACCESS_CONTROL_ALLOW_ORIGIN, "*")).finish()
}
