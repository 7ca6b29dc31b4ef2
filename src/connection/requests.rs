//! The loop over a client's requests, until the last one or until one opens a stream.
//!
//! It permits and routes; `publish.rs` and `subscribe.rs` carry out. A client may send many requests at once: responses
//! keep their order, and those to requests that have arrived leave in one write. A rejected request is the last one, as
//! is one that says so; nothing after it is carried out.

use std::collections::VecDeque;

use super::Context;
use super::publish::{MayClose, Unanswered};
use super::reader::{ConnectionEnd, RequestReader};
use super::stream::retry_delay;
use super::subscribe::OpenedStream;
use crate::auth::{AccessSettings, Action, Caller, Cors, Denied, authorize};
use crate::event::frame;
use crate::http::framing::Framing;
use crate::http::head::RequestHead;
use crate::http::request::{Request, Route, SubscribeRequest};
use crate::http::response::{self, Common};
use crate::http::{Persistence, RequestError, forwarded};
use crate::hub::Pipeline;
use crate::metrics::StatusClass;
use crate::net::{Proxy, Socket};

/// Serves a client's requests; returns the stream that one of them opened, or nothing once the client is gone.
///
/// A client without room comes with its number among those; the response to its first request says to retry later.
pub(super) async fn serve<S: Socket>(
    io: S,
    rejection: Option<u64>,
    proxy: Option<Box<Proxy>>,
    context: &Context<S>,
) -> Option<OpenedStream<'_, S>> {
    let _in_flight = context.requests.enter();
    let reader = RequestReader::new(io, &context.clock, &context.shared.limits, &context.read_buffer);
    let pipeline = Pipeline::new(&context.shared.hub);
    let mut exchange = Exchange {
        context,
        reader,
        pipeline,
        unanswered: VecDeque::new(),
        proxy,
        rejection,
        is_publish: false,
        is_head: false,
        cors: None,
    };
    let end = match exchange.serve_requests().await {
        Ok(Some(subscribe)) => match exchange.open_stream(&subscribe).await {
            Ok(opened) => return Some(opened),
            Err(end) => Err(end),
        },
        Ok(None) => exchange.close().await,
        Err(ConnectionEnd::Rejected(error)) => exchange.close_with(error).await,
        Err(end) => Err(end),
    };
    match end {
        Err(ConnectionEnd::Idle) => context.shared.metrics.connection_idled(),
        Err(ConnectionEnd::Stalled) => context.shared.metrics.answer_stalled(),
        Err(ConnectionEnd::Lingering) => context.shared.metrics.linger_cut(),
        Err(ConnectionEnd::Gone | ConnectionEnd::Rejected(_)) | Ok(()) => {}
    }
    None
}

/// The parts of a head that say how to read the body and how to respond.
pub(super) struct Envelope {
    pub(super) framing: Framing,
    pub(super) persistence: Persistence,
    pub(super) expects_continue: bool,
}

/// A client's requests and the responses to them.
pub(super) struct Exchange<'s, S> {
    pub(super) context: &'s Context<S>,
    pub(super) reader: RequestReader<'s, S>,
    /// The messages of the client that are under way, and what the response to each needs.
    pub(super) pipeline: Pipeline<'s>,
    pub(super) unanswered: VecDeque<Unanswered>,
    /// Set if the requests are those of a trusted proxy's clients.
    pub(super) proxy: Option<Box<Proxy>>,
    /// Set if there is no room for the client: its number among those, by which its return is spread.
    rejection: Option<u64>,
    /// Set if the request at hand is one to publish, whose outcome is counted.
    pub(super) is_publish: bool,
    /// Set if the request at hand is a `HEAD`, whose response has no body.
    pub(super) is_head: bool,
    /// The pages that may read the response, known once the head is read.
    pub(super) cors: Option<Cors>,
}

impl<S: Socket> Exchange<'_, S> {
    /// Serves requests until one is the last; returns that one if it asks for a stream.
    async fn serve_requests(&mut self) -> Result<Option<SubscribeRequest>, ConnectionEnd> {
        loop {
            // Until the head is read, no page of a listed origin may read a response.
            self.cors = None;
            self.is_publish = false;
            self.is_head = false;
            let received = self.reader.received_head()?;
            // The client may wait for the responses before it sends another request.
            if received.is_none() && self.answer_all(MayClose::IfStopping).await? == Persistence::Close {
                return Ok(None);
            }
            let (request, envelope) = self.next_request(received).await?;
            if !matches!(request, Request::Publish(_)) {
                self.answer_all(MayClose::No).await?;
            }
            if let Some(number) = self.rejection {
                self.reject(&request, number)?;
                return Ok(None);
            }
            let persistence = match request {
                Request::Subscribe(subscribe) if self.context.dispatcher.has_room_for(&subscribe.filters) => {
                    return Ok(Some(subscribe));
                }
                Request::Subscribe(_) => {
                    self.retry_later(self.context.shared.metrics.stream_over_filter_limit());
                    return Ok(None);
                }
                Request::Publish(publish) => self.publish(&publish, &envelope).await?,
                Request::SubscribeHead => self.respond_last(response::stream_head_alone),
                Request::Front | Request::NotFound => self.not_found(&request, &envelope),
                Request::Count(topics) => {
                    let (streams, is_head) = (self.context.shared.subscribers_of(&topics), self.is_head);
                    self.respond_last(|out, common| response::stream_count(out, common, streams, is_head))
                }
                Request::Preflight { asks_for_fields } => {
                    self.respond_last(|out, common| response::preflight(out, common, asks_for_fields))
                }
                Request::PublishPreflight => self.respond_last(response::publish_preflight),
            };
            if persistence == Persistence::Close {
                return Ok(None);
            }
            if self.reader.output.len() >= self.context.shared.limits.answer_bytes {
                self.reader.flush().await?;
            }
            self.release_client();
        }
    }

    /// Reads the next request, whose head was received up to this length, or else has to come.
    async fn next_request(&mut self, received: Option<usize>) -> Result<(Request, Envelope), ConnectionEnd> {
        let length = match received {
            Some(length) => length,
            None => self.reader.head().await?,
        };
        let bytes = &self.reader.bytes()[..length];
        let head = RequestHead::parse(bytes)?;
        let has_room = self.proxy.as_mut().is_none_or(|proxy| {
            let client = forwarded::client(bytes, proxy.address(), |address| proxy.trusts(address));
            proxy.admit(client)
        });
        let route = Route::of(head.method, head.path);
        self.is_publish = route == Route::Publish;
        self.is_head = head.method == "HEAD";
        let (cors, request) = permit(self.context, route, &head);
        self.cors = Some(cors);
        let request = request?;
        let envelope =
            Envelope { framing: head.framing, persistence: head.persistence, expects_continue: head.expects_continue };
        self.reader.consume(length);
        if self.rejection.is_none() && !has_room {
            self.rejection = Some(self.context.shared.metrics.connection_over_ip_limit());
        }
        Ok((request, envelope))
    }

    /// Responds to a client that there is no room for. A browser reconnects after a stream that ends, and not after an
    /// error.
    fn reject(&mut self, request: &Request, number: u64) -> Result<(), ConnectionEnd> {
        self.context.shared.metrics.connection_refused();
        if !matches!(request, Request::Subscribe(_)) {
            return Err(RequestError::Overloaded.into());
        }
        self.retry_later(number);
        Ok(())
    }

    /// Responds with a stream that ends at once, and tells its client to reconnect later.
    fn retry_later(&mut self, number: u64) {
        self.respond(StatusClass::Successful, response::stream_head);
        self.reader.output.extend_from_slice(frame::retry_advice(retry_delay(number)).as_bytes());
    }

    fn not_found(&mut self, request: &Request, envelope: &Envelope) -> Persistence {
        let persistence = match envelope.framing {
            Framing::None | Framing::Length(0) => envelope.persistence,
            // The body is not read, so the next request cannot be found after it.
            Framing::Length(_) | Framing::Chunked => Persistence::Close,
        };
        let is_head = self.is_head;
        if *request == Request::Front {
            // This decides what the page offers. A publish from it is authorized by itself.
            let is_open = self.context.shared.access_control.read(AccessSettings::is_open);
            self.respond(StatusClass::ClientError, |out, common| {
                response::front(out, common, persistence, is_head, is_open);
            });
        } else {
            self.respond(StatusClass::ClientError, |out, common| {
                response::not_found(out, common, persistence, is_head);
            });
        }
        persistence
    }

    /// Queues the response to a rejected request.
    pub(super) fn respond_error(&mut self, error: RequestError, persistence: Persistence) {
        self.context.shared.metrics.request_refused();
        if self.is_publish {
            self.context.shard_metrics.publish_ended(error.outcome());
        }
        let is_head = self.is_head;
        self.respond(error.status_class(), |out, common| response::error(out, common, error, persistence, is_head));
    }

    /// Queues a successful response that closes the connection.
    fn respond_last(&mut self, write: impl FnOnce(&mut Vec<u8>, &Common<'_>)) -> Persistence {
        self.respond(StatusClass::Successful, write);
        Persistence::Close
    }

    /// Counts a response and queues it.
    pub(super) fn respond(&mut self, class: StatusClass, write: impl FnOnce(&mut Vec<u8>, &Common<'_>)) {
        let Context { shared, date, shard_metrics, .. } = self.context;
        shard_metrics.responded(class);
        let cors = self.cors.get_or_insert_with(|| shared.access_control.read(|access| Cors::of(access, None)));
        write(&mut self.reader.output, &Common { date: date.get(), cors });
    }

    /// Gives back the room of a proxy's client, which has its response and need not wait for its proxy.
    fn release_client(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            proxy.release_client();
        }
    }

    /// Responds to a request that is rejected, after the ones before it, and closes the connection.
    async fn close_with(&mut self, error: RequestError) -> Result<(), ConnectionEnd> {
        let error = match self.answer_all(MayClose::No).await {
            Ok(_) => error,
            Err(ConnectionEnd::Rejected(earlier)) => earlier,
            Err(end) => return Err(end),
        };
        self.respond_error(error, Persistence::Close);
        self.close().await
    }

    async fn close(&mut self) -> Result<(), ConnectionEnd> {
        self.release_client();
        self.reader.close().await
    }
}

/// Reads the request for this route, if the client may have that, and decides which pages may read the response.
///
/// Parameters come last: a client that may not publish learns no more than that.
fn permit<S>(context: &Context<S>, route: Route, head: &RequestHead<'_>) -> (Cors, Result<Request, RequestError>) {
    let action = match route {
        Route::Publish => Action::Publish,
        Route::PublishPreflight => Action::PublishPreflight,
        Route::Subscribe | Route::SubscribeHead | Route::Count => Action::Read,
        Route::Front | Route::Preflight | Route::NotFound => Action::Read,
    };
    let caller = Caller { host: head.authority, origin: head.origin, token: head.optional.bearer() };
    let (cors, verdict) = context.shared.access_control.read(|access| authorize(access, caller, action));
    let request = match verdict {
        Ok(()) => Request::read(route, head, context.shared.hub.history().is_some()),
        Err(Denied::Host) => Err(RequestError::Misdirected),
        Err(Denied::Origin) => Err(RequestError::ForeignOrigin),
        Err(Denied::Token) => Err(RequestError::Token),
        Err(Denied::Preflight) => Ok(Request::NotFound),
    };
    (cors, request)
}
