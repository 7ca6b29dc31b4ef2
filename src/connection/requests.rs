//! Requests and their answers, until the last one or until a request opens a stream.
//!
//! A client may send many requests at once: they are answered in order, and the answers to those that have arrived
//! leave in one write. The first request that says so, and any that is refused, is the last; nothing that stands
//! behind it is carried out.

use smol::future::yield_now;

use super::Context;
use super::reader::{ConnectionEnd, RequestReader};
use super::stream::{OPENING, Stream, retry_delay};
use crate::auth::{Access, Cors};
use crate::event::topic::FilterSet;
use crate::event::{frame, json};
use crate::fanout::Reservation;
use crate::http::framing::Framing;
use crate::http::head::RequestHead;
use crate::http::request::{PublishRequest, Request, SlowPolicy, SubscribeRequest};
use crate::http::response::{self, Common};
use crate::http::router::{Route, route};
use crate::http::{Persistence, RequestError, forwarded};
use crate::hub::{Archive, Hub, PublishError};
use crate::metrics::{PublishOutcome, StatusClass, StreamEnd};
use crate::net::{NetworkPermit, Proxy, Socket};

/// What requests come to when one of them opens a stream.
pub(crate) struct Upgraded<'s, S: Socket> {
    pub(crate) stream: Stream<'s, S>,
    /// The client whose stream it is, where a proxy has asked for it.
    pub(crate) client: Option<Box<NetworkPermit>>,
}

/// Serves a client's requests; returns the stream that one of them opened, or nothing once the client is gone. A
/// client that there is no room for comes with a number, and is told to come back.
pub(crate) async fn serve<S: Socket>(
    io: S,
    rejection: Option<u64>,
    proxy: Option<Box<Proxy>>,
    context: &Context<S>,
) -> Option<Upgraded<'_, S>> {
    let _in_flight = context.requests.enter();
    let mut exchange = Exchange::new(io, proxy, context);
    let end = match exchange.answer_requests(rejection).await {
        Ok(Some(subscribe)) => match exchange.open_stream(&subscribe).await {
            Ok(upgraded) => return Some(upgraded),
            Err(end) => Err(end),
        },
        Ok(None) => exchange.close().await,
        Err(ConnectionEnd::Refused(refusal)) => {
            exchange.refuse(refusal, Persistence::Close);
            exchange.close().await
        }
        Err(end) => Err(end),
    };
    match end {
        Err(ConnectionEnd::Idle) => context.metrics.connection_idled(),
        Err(ConnectionEnd::Stalled) => context.metrics.answer_stalled(),
        Err(ConnectionEnd::Lingering) => context.metrics.linger_cut(),
        Err(ConnectionEnd::Gone | ConnectionEnd::Refused(_)) | Ok(()) => {}
    }
    None
}

/// What a connection keeps of a request once its head is taken from the input.
struct PendingRequest {
    request: Request,
    framing: Framing,
    persistence: Persistence,
    expects_continue: bool,
    is_head: bool,
    /// Whether the client that a proxy speaks for may have another one.
    has_room: bool,
}

struct Exchange<'s, S> {
    context: &'s Context<S>,
    reader: RequestReader<'s, S>,
    /// Set where the requests are those of a trusted proxy's clients.
    proxy: Option<Box<Proxy>>,
    /// Whether the request at hand is one to publish.
    is_publish: bool,
    /// Which pages may read the answer to the last request, once its head is read.
    cors: Option<Cors<String>>,
}

impl<'s, S: Socket> Exchange<'s, S> {
    fn new(io: S, proxy: Option<Box<Proxy>>, context: &'s Context<S>) -> Self {
        let reader = RequestReader::new(io, &context.clock, &context.limits, &context.read_buffer);
        Self { context, reader, proxy, is_publish: false, cors: None }
    }

    /// Answers requests until one is the last; returns that one if it asks for a stream.
    async fn answer_requests(&mut self, rejection: Option<u64>) -> Result<Option<SubscribeRequest>, ConnectionEnd> {
        loop {
            let request = self.next_request().await?;
            let over_ip_limit = || (!request.has_room).then(|| self.context.metrics.connection_over_ip_limit());
            if let Some(turn) = rejection.or_else(over_ip_limit) {
                self.reject(&request, turn)?;
                return Ok(None);
            }
            let persistence = match &request.request {
                Request::Stream(subscribe) => return Ok(Some(subscribe.clone())),
                Request::Publish(publish_request) => self.publish(&request, publish_request).await?,
                Request::Count(topics) => {
                    let streams = match topics {
                        Some(topics) => self.context.subscriber_counts.count(topics),
                        None => self.context.metrics.streams(),
                    };
                    response::stream_count(&mut self.reader.output, &common(self.context, &self.cors), streams);
                    self.answered(StatusClass::Successful);
                    Persistence::Close
                }
                Request::Preflight => {
                    response::preflight(&mut self.reader.output, &common(self.context, &self.cors));
                    self.answered(StatusClass::Successful);
                    Persistence::Close
                }
                Request::PublishPreflight => {
                    response::publish_preflight(&mut self.reader.output, &common(self.context, &self.cors));
                    self.answered(StatusClass::Successful);
                    Persistence::Close
                }
                Request::NotFound => self.not_found(&request),
            };
            if persistence == Persistence::Close {
                return Ok(None);
            }
            if self.reader.output.len() >= self.context.limits.answer_bytes {
                self.reader.flush().await?;
            }
            self.release_client();
        }
    }

    /// Answers the last request of a client that there is no room for, so that a browser comes back by itself: it does
    /// after a stream that ends, and never after an error.
    fn reject(&mut self, request: &PendingRequest, turn: u64) -> Result<(), ConnectionEnd> {
        self.context.metrics.connection_refused();
        if !matches!(request.request, Request::Stream(_)) {
            return Err(RequestError::Overloaded.into());
        }
        response::stream_head(&mut self.reader.output, &common(self.context, &self.cors));
        self.answered(StatusClass::Successful);
        self.reader.output.extend_from_slice(frame::retry_advice(retry_delay(turn)).as_bytes());
        Ok(())
    }

    /// Finds the stream's place and counts it, with nothing between the two, then tells the client that it is open.
    async fn open_stream(mut self, subscribe: &SubscribeRequest) -> Result<Upgraded<'s, S>, ConnectionEnd> {
        let Context { dispatcher, hub, metrics, clock, .. } = self.context;
        if subscribe.slow == SlowPolicy::Latest {
            dispatcher.keep_latest();
        }
        let place = dispatcher.reserve_after(hub.accepted(), &subscribe.filters).await;
        let counted = metrics.stream();
        match self.send_opening(subscribe, place).await {
            Ok(place) => {
                let client = self.proxy.and_then(|proxy| proxy.into_client());
                let (io, unread) = self.reader.into_socket();
                let stream = Stream::new(place.join(io), counted, subscribe.slow, unread, self.context);
                Ok(Upgraded { stream, client })
            }
            Err(end) => {
                drop(counted);
                metrics.stream_ended(match end {
                    ConnectionEnd::Stalled => StreamEnd::Stalled,
                    _ if clock.is_stopping() => StreamEnd::Cut,
                    _ => StreamEnd::HangUp,
                });
                Err(end)
            }
        }
    }

    /// Sends a stream's head, and what its client has missed where it comes back; returns a place right behind that.
    async fn send_opening(
        &mut self,
        subscribe: &SubscribeRequest,
        place: Reservation<S>,
    ) -> Result<Reservation<S>, ConnectionEnd> {
        self.answered(StatusClass::Successful);
        response::stream_head(&mut self.reader.output, &common(self.context, &self.cors));
        self.reader.output.extend_from_slice(OPENING);
        let place = match (&subscribe.resume, self.context.hub.archive()) {
            // The first place counts until there is the other.
            (Some(id), Some(archive)) => self.replay(archive, id, &subscribe.filters).await?,
            _ => place,
        };
        self.reader.flush().await?;
        Ok(place)
    }

    /// Sends a client that comes back what it has missed; returns a place right behind that.
    ///
    /// What the client has, this shard has given as well, or will soon. When the client has all that was given, it gets
    /// a place behind it, with nothing between the two: nothing is missing, and nothing comes twice.
    async fn replay(
        &mut self,
        archive: &Archive,
        id: &str,
        filters: &FilterSet,
    ) -> Result<Reservation<S>, ConnectionEnd> {
        let dispatcher = &self.context.dispatcher;
        // Before this server's first event there may be some of earlier ones.
        let restored = archive.restored();
        let mut cursor = archive.resume(id);
        dispatcher.has_dispatched(cursor.after.saturating_sub(restored)).await;
        loop {
            let last = restored + dispatcher.dispatched();
            let events = archive.read(&mut cursor, last, filters, id);
            self.reader.output.extend_from_slice(&events);
            if cursor.after >= last {
                return Ok(dispatcher.place(filters));
            }
            self.reader.flush().await?;
            if self.context.clock.is_stopping() {
                return Err(ConnectionEnd::Gone);
            }
            // A history that grows as fast as it is read must not keep its shard from the others.
            yield_now().await;
        }
    }

    async fn next_request(&mut self) -> Result<PendingRequest, ConnectionEnd> {
        // Until this request's head is read, an answer is for nobody's page.
        self.cors = None;
        self.is_publish = false;
        let length = self.reader.head().await?;
        let bytes = &self.reader.bytes()[..length];
        let head = RequestHead::parse(bytes)?;
        let has_room = self.proxy.as_mut().is_none_or(|proxy| admit(proxy, bytes));
        let route = route(head.method, head.path);
        self.is_publish = route == Route::Publish;
        let has_history = self.context.hub.archive().is_some();
        let (cors, request) = self.context.settings.read(|access| authorize(access, route, &head, has_history));
        self.cors = Some(cors);
        let request = PendingRequest {
            request: request?,
            framing: head.framing,
            persistence: head.persistence,
            expects_continue: head.expects_continue,
            is_head: head.method == "HEAD",
            has_room,
        };
        self.reader.consume(length);
        Ok(request)
    }

    fn not_found(&mut self, request: &PendingRequest) -> Persistence {
        let persistence = match request.framing {
            Framing::None | Framing::Length(0) => request.persistence,
            // Nobody wants the body of such a request, so there is no next one to be found behind it.
            Framing::Length(_) | Framing::Chunked => Persistence::Close,
        };
        response::not_found(&mut self.reader.output, &common(self.context, &self.cors), persistence, request.is_head);
        self.answered(StatusClass::ClientError);
        persistence
    }

    /// Publishes the request's body and puts the answer in its place.
    async fn publish(
        &mut self,
        request: &PendingRequest,
        publish_request: &PublishRequest,
    ) -> Result<Persistence, ConnectionEnd> {
        let hub = &self.context.hub;
        let published = {
            let body = self.reader.body(request.framing, request.expects_continue).await?;
            publish(hub, &body, publish_request).await
        };
        // A server that is stopping answers what it has begun with and no more.
        let stopping = self.context.clock.is_stopping();
        let persistence = if stopping { Persistence::Close } else { request.persistence };
        match published {
            Ok(id) => self.accepted(publish_request, id.as_deref(), persistence),
            // The body was read to its end, so what stands behind it is a request.
            Err(refusal @ (RequestError::NotUtf8 | RequestError::NoSpace | RequestError::NotWritten)) => {
                self.refuse(refusal, persistence);
            }
            Err(refusal) => return Err(refusal.into()),
        }
        Ok(persistence)
    }

    fn accepted(&mut self, publish_request: &PublishRequest, id: Option<&str>, persistence: Persistence) {
        let Context { metrics, subscriber_counts, .. } = self.context;
        let topics = &publish_request.topics;
        let subscribers = || if topics.is_empty() { metrics.streams() } else { subscriber_counts.count(topics) };
        let receipt = publish_request.wants_json.then(|| receipt(id, subscribers()));
        let common = common(self.context, &self.cors);
        response::accepted(&mut self.reader.output, &common, receipt.as_deref(), persistence);
        self.answered(StatusClass::Successful);
        self.context.shard_metrics.publish_ended(PublishOutcome::Accepted);
    }

    /// A client has its answer, and need not wait for its proxy to take it or to close.
    fn release_client(&mut self) {
        if let Some(proxy) = &mut self.proxy {
            proxy.release_client();
        }
    }

    fn refuse(&mut self, refusal: RequestError, persistence: Persistence) {
        self.context.metrics.request_refused();
        self.answered(refusal.answer_class());
        if self.is_publish {
            self.context.shard_metrics.publish_ended(refusal.outcome());
        }
        response::refused(&mut self.reader.output, &common(self.context, &self.cors), refusal, persistence);
    }

    fn answered(&self, answer: StatusClass) {
        self.context.shard_metrics.answered(answer);
    }

    /// Sends what is left to send and closes so that it arrives.
    async fn close(&mut self) -> Result<(), ConnectionEnd> {
        self.release_client();
        self.reader.close().await
    }
}

impl From<PublishError> for RequestError {
    fn from(unpublished: PublishError) -> Self {
        match unpublished {
            PublishError::Closed => Self::Stopping,
            PublishError::NoSpace => Self::NoSpace,
            PublishError::NotWritten => Self::NotWritten,
        }
    }
}

/// What an answer has in common with all others, for these readers; before a head is read, for nobody's page.
fn common<'o, S>(context: &Context<S>, cors: &'o Option<Cors<String>>) -> Common<'o> {
    let cors = match cors {
        Some(cors) => cors.borrowed(),
        None => context.settings.read(|access| access.cors(None)),
    };
    Common { date: context.date.get(), cors }
}

/// Which pages may read the answer to a request, and what it asks for, if its sender may have that. Whether it is
/// well asked is looked at last: who may not publish learns no more than that.
fn authorize(
    access: &Access,
    route: Route,
    head: &RequestHead<'_>,
    has_history: bool,
) -> (Cors<String>, Result<Request, RequestError>) {
    let request = match route {
        _ if !access.allows_host(head.authority) => Err(RequestError::Misdirected),
        Route::Publish if !access.may_publish(head.origin) => Err(RequestError::ForeignOrigin),
        Route::Publish if !access.accepts_token(head.optional.bearer()) => Err(RequestError::Token),
        Route::PublishPreflight if !access.answers_publish_preflight(head.origin) => Ok(Request::NotFound),
        route => Request::read(route, head, has_history),
    };
    (access.cors(head.origin).to_owned(), request)
}

/// Counts a request of a trusted proxy for the client that its head names. Returns whether that client has room.
fn admit(proxy: &mut Proxy, head: &[u8]) -> bool {
    let client = forwarded::client(head, proxy.address(), |address| proxy.trusts(address));
    proxy.admit(client)
}

/// What became of a message, as JSON (RFC 8259).
fn receipt(id: Option<&str>, subscribers: usize) -> String {
    let id = id.map_or_else(String::new, |id| format!("\"id\":{},", json::string(id)));
    format!("{{{id}\"subscribers\":{subscribers}}}\n")
}

/// Publishes a body, which has to be text; returns the id that it got.
async fn publish(hub: &Hub, body: &[u8], publish_request: &PublishRequest) -> Result<Option<String>, RequestError> {
    let message = std::str::from_utf8(body).map_err(|_| RequestError::NotUtf8)?;
    hub.publish(&publish_request.fields, message, &publish_request.topics).await.map_err(RequestError::from)
}
