//! Requests and their answers, until the last one or until a request opens a stream.
//!
//! A client may send many requests at once: they are answered in order, and the answers to those that have arrived
//! leave in one write. The first request that says so, and any that is refused, is the last; nothing that stands
//! behind it is carried out.

use smol::future::yield_now;

use super::Context;
use super::context::subscribers_of;
use super::stream::{OPENING, Stream, retry_delay};
use crate::auth::{Access, Cors};
use crate::event::topic::FilterSet;
use crate::event::{frame, json};
use crate::fanout::Reservation;
use crate::http::chunked::Decoder;
use crate::http::framing::Framing;
use crate::http::head::{RequestHead, Scanner};
use crate::http::request::{PublishRequest, Request, SlowPolicy, SubscribeRequest};
use crate::http::response::{self, Common};
use crate::http::router::{Route, route};
use crate::http::{Persistence, RequestError, forwarded};
use crate::hub::{Draft, Hub, PublishError, Sequence};
use crate::metrics::{GaugeGuard, PublishOutcome, StatusClass, StreamEnd};
use crate::net::{Deadline, Interrupted, NetworkPermit, Proxy, RecvBuffer, Socket, close_in_stages, read, write_all};

/// What the buffer of answers may keep while a client is idle: room for those to a few requests.
const KEPT_ANSWER_BYTES: usize = 1024;

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
    let mut exchange = Exchange::new(&io, proxy, context);
    let served = match rejection {
        None => exchange.answer_requests().await,
        Some(turn) => exchange.next_request().await.and_then(|request| exchange.reject(&request, turn)),
    };
    match served {
        Ok(After::Stream(opened)) => {
            let client = exchange.proxy.take().and_then(|proxy| proxy.into_client());
            drop(exchange);
            return Some(Upgraded { stream: opened.stream(io, context), client });
        }
        Ok(After::Close) => exchange.close().await,
        Err(Closing::Refused(refusal)) => {
            exchange.refuse(refusal, Persistence::Close);
            exchange.close().await;
        }
        Err(Closing::Idle) => context.metrics.connection_idled(),
        Err(Closing::Stalled | Closing::Gone) => {}
    }
    None
}

/// What follows the last request of a connection.
enum After<S: Socket> {
    Stream(OpenedStream<S>),
    Close,
}

/// A stream whose head has left.
struct OpenedStream<S: Socket> {
    /// Counted since before its head left.
    counted: GaugeGuard,
    /// Behind all that was accepted before.
    place: Reservation<S>,
    slow: SlowPolicy,
    /// How much the client has sent behind its request.
    unread: usize,
}

impl<S: Socket> OpenedStream<S> {
    fn stream(self, io: S, context: &Context<S>) -> Stream<'_, S> {
        Stream::new(self.place.join(io), self.counted, self.slow, self.unread, context)
    }
}

/// Why a connection ends without that.
enum Closing {
    Refused(RequestError),
    /// No request began in time, or the server is stopping.
    Idle,
    /// The peer takes no answer.
    Stalled,
    /// The peer is gone.
    Gone,
}

impl From<RequestError> for Closing {
    fn from(refusal: RequestError) -> Self {
        Self::Refused(refusal)
    }
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
    io: &'s S,
    context: &'s Context<S>,
    deadline: Deadline<'s>,
    /// What the client has sent and no request has taken yet.
    input: RecvBuffer,
    /// Answers that have not left yet.
    output: Vec<u8>,
    /// Set where the requests are those of a trusted proxy's clients.
    proxy: Option<Box<Proxy>>,
    /// Whether no request was answered yet.
    is_first: bool,
    /// Whether the request at hand is one to publish.
    is_publish: bool,
    /// Which pages may read the answer to the last request, once its head is read.
    cors: Option<Cors<String>>,
}

impl<'s, S: Socket> Exchange<'s, S> {
    fn new(io: &'s S, proxy: Option<Box<Proxy>>, context: &'s Context<S>) -> Self {
        let deadline = context.clock.deadline();
        deadline.set_idle(context.limits.head_timeout);
        let (input, output) = (RecvBuffer::default(), Vec::new());
        Self { io, context, deadline, input, output, proxy, is_first: true, is_publish: false, cors: None }
    }

    /// Answers requests until one of them is the last.
    async fn answer_requests(&mut self) -> Result<After<S>, Closing> {
        loop {
            let request = self.next_request().await?;
            if !request.has_room {
                let turn = self.context.metrics.connection_over_ip_limit();
                return self.reject(&request, turn);
            }
            let persistence = match &request.request {
                Request::Stream(subscribe) => return self.open_stream(subscribe).await.map(After::Stream),
                Request::Publish(publish_request) => self.publish(&request, publish_request).await?,
                Request::Count(topics) => {
                    let streams = match topics {
                        Some(topics) => self.context.subscriber_counts.count(topics),
                        None => self.context.metrics.streams(),
                    };
                    response::stream_count(&mut self.output, &common(self.context, &self.cors), streams);
                    self.answered(StatusClass::Successful);
                    Persistence::Close
                }
                Request::Preflight => {
                    response::preflight(&mut self.output, &common(self.context, &self.cors));
                    self.answered(StatusClass::Successful);
                    Persistence::Close
                }
                Request::PublishPreflight => {
                    response::publish_preflight(&mut self.output, &common(self.context, &self.cors));
                    self.answered(StatusClass::Successful);
                    Persistence::Close
                }
                Request::NotFound => self.not_found(&request),
            };
            if persistence == Persistence::Close {
                return Ok(After::Close);
            }
            if self.output.len() >= self.context.limits.answer_bytes {
                self.flush().await?;
            }
            self.prepare_for_next();
        }
    }

    /// Answers the last request of a client that there is no room for, so that a browser comes back by itself: it does
    /// after a stream that ends, and never after an error.
    fn reject(&mut self, request: &PendingRequest, turn: u64) -> Result<After<S>, Closing> {
        self.context.metrics.connection_refused();
        if !matches!(request.request, Request::Stream(_)) {
            return Err(RequestError::Overloaded.into());
        }
        response::stream_head(&mut self.output, &common(self.context, &self.cors));
        self.answered(StatusClass::Successful);
        self.output.extend_from_slice(frame::retry_advice(retry_delay(turn)).as_bytes());
        Ok(After::Close)
    }

    /// Finds the stream's place and counts it, with nothing between the two, then tells the client that it is open.
    async fn open_stream(&mut self, subscribe: &SubscribeRequest) -> Result<OpenedStream<S>, Closing> {
        let Context { dispatcher, hub, metrics, clock, .. } = self.context;
        if subscribe.slow == SlowPolicy::Latest {
            dispatcher.keep_latest();
        }
        let place = dispatcher.reserve_after(hub.position(), &subscribe.filters).await;
        let counted = metrics.stream();
        match self.send_opening(subscribe, place).await {
            Ok(place) => Ok(OpenedStream { counted, place, slow: subscribe.slow, unread: self.input.len() }),
            Err(end) => {
                drop(counted);
                metrics.stream_ended(match end {
                    Closing::Stalled => StreamEnd::Stalled,
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
    ) -> Result<Reservation<S>, Closing> {
        self.answered(StatusClass::Successful);
        response::stream_head(&mut self.output, &common(self.context, &self.cors));
        self.output.extend_from_slice(OPENING);
        let place = match (&subscribe.resume, self.context.hub.history()) {
            // The first place counts until there is the other.
            (Some(id), Some(history)) => self.replay(history, id, &subscribe.filters).await?,
            _ => place,
        };
        self.flush().await?;
        Ok(place)
    }

    /// Sends a client that comes back what it has missed; returns a place right behind that.
    ///
    /// What the client has, this shard has given as well, or will soon. When the client has all that was given, it gets
    /// a place behind it, with nothing between the two: nothing is missing, and nothing comes twice.
    async fn replay(&mut self, history: &Sequence, id: &str, filters: &FilterSet) -> Result<Reservation<S>, Closing> {
        let dispatcher = &self.context.dispatcher;
        // Before this server's first event there may be some of earlier ones.
        let restored = history.restored();
        let mut cursor = history.resume(id);
        dispatcher.has_dispatched(cursor.after.saturating_sub(restored)).await;
        loop {
            let last = restored + dispatcher.dispatched();
            let events = history.read(&mut cursor, last, filters, id);
            self.output.extend_from_slice(&events);
            if cursor.after >= last {
                return Ok(dispatcher.place(filters));
            }
            self.flush().await?;
            if self.context.clock.is_stopping() {
                return Err(Closing::Gone);
            }
            // A history that grows as fast as it is read must not keep its shard from the others.
            yield_now().await;
        }
    }

    async fn next_request(&mut self) -> Result<PendingRequest, Closing> {
        // Until this request's head is read, an answer is for nobody's page.
        self.cors = None;
        self.is_publish = false;
        let mut scanner = Scanner::default();
        let length = loop {
            if let Some(length) = scanner.scan(self.input.bytes(), &self.context.limits)? {
                break length;
            }
            let is_idle = self.input.is_empty();
            match self.fill().await {
                Ok(0) if is_idle => return Err(Closing::Gone),
                Ok(0) => return Err(RequestError::Incomplete.into()),
                Ok(_) if is_idle => self.leave_idle(),
                Ok(_) => {}
                Err(Interrupted::Expired) if is_idle => return Err(Closing::Idle),
                Err(Interrupted::Expired) => return Err(RequestError::HeadTimeout.into()),
                Err(Interrupted::Gone) => return Err(Closing::Gone),
            }
        };
        let bytes = &self.input.bytes()[..length];
        let head = RequestHead::parse(bytes)?;
        let has_room = self.proxy.as_mut().is_none_or(|proxy| admit(proxy, bytes));
        let route = route(head.method, head.path);
        self.is_publish = route == Route::Publish;
        let has_history = self.context.hub.history().is_some();
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
        self.input.consume(length);
        Ok(request)
    }

    fn not_found(&mut self, request: &PendingRequest) -> Persistence {
        let persistence = match request.framing {
            Framing::None | Framing::Length(0) => request.persistence,
            // Nobody wants the body of such a request, so there is no next one to be found behind it.
            Framing::Length(_) | Framing::Chunked => Persistence::Close,
        };
        response::not_found(&mut self.output, &common(self.context, &self.cors), persistence, request.is_head);
        self.answered(StatusClass::ClientError);
        persistence
    }

    /// Publishes the request's body and puts the answer in its place.
    async fn publish(
        &mut self,
        request: &PendingRequest,
        publish_request: &PublishRequest,
    ) -> Result<Persistence, Closing> {
        let body_bytes = self.context.limits.body_bytes;
        match request.framing {
            Framing::None => return Err(RequestError::LengthRequired.into()),
            Framing::Length(length) if length > body_bytes as u64 => return Err(RequestError::BodyTooLarge.into()),
            Framing::Length(_) | Framing::Chunked => {}
        }
        if request.expects_continue {
            self.output.extend_from_slice(response::CONTINUE);
            self.flush().await?;
        }
        self.deadline.set(self.context.limits.body_timeout);
        let published = match request.framing {
            Framing::Length(length) => self.publish_sized(length as usize, publish_request).await,
            Framing::None | Framing::Chunked => self.publish_chunked(publish_request).await,
        };
        // A server that is stopping answers what it has begun with and no more.
        let stopping = self.context.clock.is_stopping();
        let persistence = if stopping { Persistence::Close } else { request.persistence };
        match published {
            Ok(id) => self.accepted(publish_request, id.as_deref(), persistence),
            // The body was read to its end, so what stands behind it is a request.
            Err(Closing::Refused(
                refusal @ (RequestError::NotUtf8 | RequestError::NoSpace | RequestError::NotWritten),
            )) => {
                self.refuse(refusal, persistence);
            }
            Err(end) => return Err(end),
        }
        Ok(persistence)
    }

    fn accepted(&mut self, publish_request: &PublishRequest, id: Option<&str>, persistence: Persistence) {
        let Context { metrics, subscriber_counts, .. } = self.context;
        let topics = &publish_request.topics;
        let subscribers = || subscribers_of(topics, metrics, subscriber_counts);
        let receipt = publish_request.wants_json.then(|| receipt(id, subscribers()));
        let common = common(self.context, &self.cors);
        response::accepted(&mut self.output, &common, receipt.as_deref(), persistence);
        self.answered(StatusClass::Successful);
        self.context.shard_metrics.publish_ended(PublishOutcome::Accepted);
    }

    async fn publish_sized(
        &mut self,
        length: usize,
        publish_request: &PublishRequest,
    ) -> Result<Option<String>, Closing> {
        while self.input.len() < length {
            self.fill_body().await?;
        }
        let published = publish(&self.context.hub, &self.input.bytes()[..length], publish_request).await;
        self.input.consume(length);
        Ok(published?)
    }

    async fn publish_chunked(&mut self, publish_request: &PublishRequest) -> Result<Option<String>, Closing> {
        let mut decoder = Decoder::new(&self.context.limits);
        let mut body = Vec::new();
        loop {
            let taken = decoder.decode(self.input.bytes(), &mut body)?;
            self.input.consume(taken);
            if decoder.is_done() {
                return Ok(publish(&self.context.hub, &body, publish_request).await?);
            }
            self.fill_body().await?;
        }
    }

    async fn fill_body(&mut self) -> Result<(), Closing> {
        match self.fill().await {
            Ok(0) => Err(RequestError::Incomplete.into()),
            Ok(_) => Ok(()),
            Err(Interrupted::Expired) => Err(RequestError::BodyTimeout.into()),
            Err(Interrupted::Gone) => Err(Closing::Gone),
        }
    }

    /// Reads more of what the client sends, after it was sent what it may be waiting for.
    async fn fill(&mut self) -> Result<usize, Interrupted> {
        // Whoever takes no answer is as good as gone.
        self.flush_output().await.map_err(|_| Interrupted::Gone)?;
        // A client that always has more to say must not keep its shard from the others.
        yield_now().await;
        let input = &mut self.input;
        read(self.io, &self.deadline, &self.context.read_buffer, |bytes| input.extend(bytes)).await
    }

    async fn flush(&mut self) -> Result<(), Closing> {
        self.flush_output().await.map_err(|interrupted| match interrupted {
            Interrupted::Expired => Closing::Stalled,
            Interrupted::Gone => Closing::Gone,
        })
    }

    /// Writes the answers that wait, on a deadline of its own: the client's time to send goes on meanwhile.
    async fn flush_output(&mut self) -> Result<(), Interrupted> {
        if self.output.is_empty() {
            return Ok(());
        }
        let deadline = self.context.clock.deadline();
        let written = write_all(self.io, &deadline, &self.context.limits, &self.output).await;
        self.output.clear();
        self.output.shrink_to(KEPT_ANSWER_BYTES);
        if written == Err(Interrupted::Expired) {
            self.context.metrics.answer_stalled();
        }
        written
    }

    /// The first byte of a head is there: the rest has its time from now, or from accept for the first head.
    fn leave_idle(&mut self) {
        if self.is_first {
            self.deadline.leave_idle();
        } else {
            self.deadline.set(self.context.limits.head_timeout);
        }
    }

    fn prepare_for_next(&mut self) {
        self.release_client();
        self.is_first = false;
        if self.input.is_empty() {
            self.deadline.set_idle(self.context.limits.idle_timeout);
        } else {
            self.deadline.set(self.context.limits.head_timeout);
        }
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
        response::refused(&mut self.output, &common(self.context, &self.cors), refusal, persistence);
    }

    fn answered(&self, answer: StatusClass) {
        self.context.shard_metrics.answered(answer);
    }

    /// Sends what is left to send and closes so that it arrives.
    async fn close(&mut self) {
        self.release_client();
        if self.flush().await.is_ok() {
            let Context { limits, read_buffer, metrics, .. } = self.context;
            let closed = close_in_stages(self.io, &self.deadline, limits, read_buffer).await;
            closed.unwrap_or_else(|_| metrics.linger_cut());
        }
    }
}

impl From<PublishError> for RequestError {
    fn from(unpublished: PublishError) -> Self {
        match unpublished {
            PublishError::InvalidField(field) => Self::EventField(field),
            PublishError::Stopped => Self::Stopping,
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
    let draft = Draft::new(&publish_request.fields, message, &publish_request.topics);
    hub.publish(draft).await.map_err(RequestError::from)
}
