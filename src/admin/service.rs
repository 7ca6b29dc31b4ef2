//! What is done for each connection of the admin address: one request and its answer, or the live page's stream.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_io::{Async, Timer};
use smol::LocalExecutor;
use smol::future::{self, yield_now};
use smol::lock::Mutex;

use super::live::{self, Disconnect, Live};
use super::response::{self, Content};
use super::trial::{Arrived, NotArrived, Trial};
use super::{AdminContext, guard, page, prometheus};
use crate::event::json::Object;
use crate::http::date::DateCache;
use crate::http::framing::Framing;
use crate::http::head::{RequestHead, Scanner};
use crate::http::request::PublishRequest;
use crate::http::response::CONTINUE;
use crate::http::{RequestError, query};
use crate::net::{
    Clock, Deadline, Interrupted, Listener, ReadBuffer, RecvBuffer, WaitGroup, WaitGuard, close_in_stages, read,
    write_all,
};

/// How often the live page is told.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// How much is shown of a long event, in bytes.
const EVENT_BYTES_SHOWN: usize = 16 * 1024;

/// What the thread's connections share.
pub(super) struct AdminService<'w> {
    watched: &'w AdminContext,
    clock: Clock,
    date: DateCache,
    read_buffer: ReadBuffer,
    /// All connections, and those of them that are live pages.
    connections: WaitGroup,
    pages: WaitGroup,
    /// One message at a time is tried: each may be held several times over meanwhile.
    trial: Mutex<()>,
    /// The shard that gets the next trial.
    next: Cell<usize>,
}

/// Why a connection ends without an answer: its client is gone, or too slow.
struct Gone;

impl From<Interrupted> for Gone {
    fn from(_: Interrupted) -> Self {
        Self
    }
}

impl<'w> AdminService<'w> {
    pub(super) fn new(watched: &'w AdminContext) -> Self {
        Self {
            watched,
            clock: Clock::new(&watched.shared.limits),
            date: DateCache::new(SystemTime::now()),
            read_buffer: ReadBuffer::default(),
            connections: WaitGroup::default(),
            pages: WaitGroup::default(),
            trial: Mutex::new(()),
            next: Cell::new(0),
        }
    }

    /// Turns the clock.
    pub(super) async fn turn(&self) {
        loop {
            Timer::after(self.clock.tick_length()).await;
            self.clock.tick();
            self.date.set(SystemTime::now());
        }
    }

    /// Accepts connections and serves each in a task of its own.
    pub(super) async fn accept<'d>(&'d self, listener: &mut Listener, executor: &LocalExecutor<'d>) {
        loop {
            let (io, _) = listener.accept().await;
            if self.connections.len() >= self.watched.shared.limits.admin_connections {
                // Closed at once.
                continue;
            }
            let member = self.connections.enter();
            let serve = async move {
                let _member = member;
                // Whoever is gone does not want to know why.
                let _ = self.serve(io).await;
            };
            executor.spawn(serve).detach();
        }
    }

    /// Serves one connection: one request, or a stream until its client leaves.
    async fn serve(&self, io: Async<OwnedFd>) -> Result<(), Gone> {
        let deadline = self.clock.deadline();
        deadline.set(self.watched.shared.limits.head_timeout);
        let mut input = RecvBuffer::default();
        let answer = match self.read_head(&io, &deadline, &mut input).await? {
            Ok(length) => {
                let bytes = input.bytes()[..length].to_vec();
                input.consume(length);
                match RequestHead::parse(&bytes) {
                    Ok(head) if head.method == "GET" && head.path == "/live" => match self.admit_page(&bytes, &head) {
                        Ok(_page) => return self.stream(&io, &deadline).await,
                        Err(answer) => answer,
                    },
                    Ok(head) => {
                        let answer = self.answer(&bytes, &head, &io, &deadline, &mut input).await?;
                        if head.method == "HEAD" { response::without_content(answer) } else { answer }
                    }
                    Err(refusal) => self.refusal(refusal),
                }
            }
            Err(refusal) => self.refusal(refusal),
        };
        let limits = &self.watched.shared.limits;
        write_all(&io, &deadline, limits, &answer).await?;
        close_in_stages(&io, &deadline, limits, &self.read_buffer).await.map_err(|_| Gone)
    }

    async fn read_head(
        &self,
        io: &Async<OwnedFd>,
        deadline: &Deadline<'_>,
        input: &mut RecvBuffer,
    ) -> Result<Result<usize, RequestError>, Gone> {
        let mut scanner = Scanner::default();
        loop {
            match scanner.scan(input.bytes(), &self.watched.shared.limits) {
                Ok(Some(length)) => return Ok(Ok(length)),
                Ok(None) => self.read_more(io, deadline, input).await?,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    }

    async fn read_more(
        &self,
        io: &Async<OwnedFd>,
        deadline: &Deadline<'_>,
        input: &mut RecvBuffer,
    ) -> Result<(), Gone> {
        // A client that always has more to say must not keep the thread from the others.
        yield_now().await;
        match read(io, deadline, &self.read_buffer, |bytes| input.extend(bytes)).await? {
            0 => Err(Gone),
            _ => Ok(()),
        }
    }

    /// Whether the request is for this address, by a name that can only be meant; else the answer to it.
    fn lets_in(&self, head: &RequestHead<'_>) -> Result<(), Vec<u8>> {
        let own = self.watched.shared.settings.read(|access| guard::is_own_host(head.authority, access));
        own.then_some(()).ok_or_else(|| self.refusal(RequestError::Misdirected))
    }

    /// Whether the request is no foreign page's; else the answer to it.
    fn is_own(&self, bytes: &[u8], head: &RequestHead<'_>) -> Result<(), Vec<u8>> {
        let own = guard::is_own_page(bytes, head.origin, head.authority);
        own.then_some(()).ok_or_else(|| self.line("403 Forbidden", "Only a page of this address may do that.\n"))
    }

    /// A place among the live pages; else the answer. A quarter of all connections is kept for whoever asks briefly.
    fn admit_page(&self, bytes: &[u8], head: &RequestHead<'_>) -> Result<WaitGuard<'_>, Vec<u8>> {
        self.lets_in(head)?;
        self.is_own(bytes, head)?;
        let connections = self.watched.shared.limits.admin_connections;
        if self.pages.len() >= connections - connections / 4 {
            return Err(self.line(RequestError::Overloaded.status(), "Too many live pages are open; close one.\n"));
        }
        Ok(self.pages.enter())
    }

    async fn answer(
        &self,
        bytes: &[u8],
        head: &RequestHead<'_>,
        io: &Async<OwnedFd>,
        deadline: &Deadline<'_>,
        input: &mut RecvBuffer,
    ) -> Result<Vec<u8>, Gone> {
        let ok = |content| Ok(response::with_content("200 OK", &self.date.get(), content));
        match (head.method, head.path) {
            ("GET" | "HEAD", "/healthz") => return ok(Content::line("ok\n")),
            ("GET" | "HEAD", "/readyz") => return Ok(self.readiness()),
            ("GET" | "HEAD", "/metrics") => return Ok(self.metrics()),
            _ => {}
        }
        if let Err(answer) = self.lets_in(head) {
            return Ok(answer);
        }
        match (head.method, head.path) {
            ("POST", path @ ("/publish" | "/disconnect")) => match self.is_own(bytes, head) {
                Ok(()) if path == "/publish" => self.publish(head, io, deadline, input).await,
                Ok(()) => Ok(self.disconnect(head).await),
                Err(answer) => Ok(answer),
            },
            ("GET" | "HEAD", path) => match page::file(path) {
                Some(content) => ok(content),
                None => Ok(self.not_found()),
            },
            _ => Ok(self.not_found()),
        }
    }

    fn readiness(&self) -> Vec<u8> {
        let (status, text) = match self.watched.health.ready() {
            Ok(()) => ("200 OK", "ready\n".to_owned()),
            Err(reason) => ("503 Service Unavailable", format!("not ready: {reason}\n")),
        };
        self.line(status, &text)
    }

    fn metrics(&self) -> Vec<u8> {
        match prometheus::text(self.watched) {
            Ok(text) => {
                let content = Content { media_type: prometheus::MEDIA_TYPE, text: &text };
                response::with_content("200 OK", &self.date.get(), content)
            }
            Err(error) => self.line("500 Internal Server Error", &format!("The metrics cannot be told: {error}\n")),
        }
    }

    /// Publishes the body, and tells how it arrived.
    async fn publish(
        &self,
        head: &RequestHead<'_>,
        io: &Async<OwnedFd>,
        deadline: &Deadline<'_>,
        input: &mut RecvBuffer,
    ) -> Result<Vec<u8>, Gone> {
        let limits = &self.watched.shared.limits;
        let length = match head.framing {
            Framing::Length(length) if length <= limits.body_bytes as u64 => length as usize,
            Framing::Length(_) => return Ok(self.refusal(RequestError::BodyTooLarge)),
            // A page's browser knows how long its message is.
            Framing::None | Framing::Chunked => {
                return Ok(self.line(RequestError::LengthRequired.status(), "Send Content-Length.\n"));
            }
        };
        let publish_request = match PublishRequest::read(head) {
            Ok(publish_request) => publish_request,
            Err(refusal) => return Ok(self.refusal(refusal)),
        };
        deadline.set(limits.body_timeout);
        if head.expects_continue {
            write_all(io, &self.clock.deadline(), limits, CONTINUE).await?;
        }
        while input.len() < length {
            self.read_more(io, deadline, input).await?;
        }
        let Ok(message) = std::str::from_utf8(&input.bytes()[..length]) else {
            return Ok(self.refusal(RequestError::NotUtf8));
        };
        Ok(self.try_out(&publish_request, message).await)
    }

    async fn try_out(&self, publish_request: &PublishRequest, message: &str) -> Vec<u8> {
        let handles = self.watched.handles();
        let turn = self.next.get();
        self.next.set(turn + 1);
        let Some(handle) = handles.get(turn % handles.len().max(1)) else {
            return self.line(RequestError::Stopping.status(), "The server is starting; try again later.\n");
        };
        let _turn = self.trial.lock().await;
        let trial = Trial::new(self.watched, handle, &self.clock, &self.read_buffer);
        match trial.publish(publish_request, message).await {
            Ok(Arrived { time, event, streams }) => {
                let event = event.as_bytes();
                let shown = String::from_utf8_lossy(&event[..event.len().min(EVENT_BYTES_SHOWN)]);
                let text = Object::default()
                    .with("seconds", time.as_secs_f64())
                    .with_text("event", &shown)
                    .with("bytes", event.len())
                    .with("streams", streams)
                    .end();
                response::with_content("200 OK", &self.date.get(), Content::json(&text))
            }
            Err(why) => self.not_arrived(why),
        }
    }

    /// Why a message did not arrive, and whether it was published.
    fn not_arrived(&self, why: NotArrived) -> Vec<u8> {
        let (unavailable, late) = ("503 Service Unavailable", "504 Gateway Timeout");
        let (status, text) = match why {
            NotArrived::Refused(refusal) => return self.refusal(refusal),
            NotArrived::Failed(error) => {
                let text = format!("There is no socket to see it arrive on, so it was not published: {error}\n");
                return self.line(unavailable, &text);
            }
            NotArrived::NotOpened => {
                (unavailable, "No worker has opened a stream to see it arrive on, so it was not published.\n")
            }
            NotArrived::NoRoom => (unavailable, "There was no room for it in time, so it was not published.\n"),
            NotArrived::Unwritten => {
                (late, "It was not written to the history's file in time; it may still be published.\n")
            }
            NotArrived::Unseen => {
                let text = "It was published, and the stream that it should come out of has ended before it came.\n";
                ("502 Bad Gateway", text)
            }
            NotArrived::Late => (late, "It was published, and did not come out of a stream of its own in time.\n"),
        };
        self.line(status, text)
    }

    async fn disconnect(&self, head: &RequestHead<'_>) -> Vec<u8> {
        let id = query::values(head.query, "stream").next().and_then(Result::ok);
        match live::disconnect(self.watched, &id.unwrap_or_default()).await {
            Disconnect::Done => response::no_content(&self.date.get()),
            Disconnect::NotFound => {
                self.line("404 Not Found", "There is no such stream that is behind; perhaps it caught up or left.\n")
            }
            Disconnect::Unanswered => {
                self.line("503 Service Unavailable", "Its worker is busy and has not answered; it may still end.\n")
            }
        }
    }

    /// Sends the live page's stream until its client leaves.
    async fn stream(&self, io: &Async<OwnedFd>, deadline: &Deadline<'_>) -> Result<(), Gone> {
        let limits = &self.watched.shared.limits;
        let mut live = Live::new(self.watched);
        // To tell whether it was replaced. The value itself, which has tokens in it, is not held while this waits.
        let mut told = Arc::downgrade(&self.watched.shared.settings.access());
        let mut out = response::stream(&self.date.get());
        out.extend_from_slice(live.hello().as_bytes());
        // Before any worker is asked, which takes a while where one hangs.
        write_all(io, deadline, limits, &out).await?;
        out.clear();
        // For as long as it likes, the client sends nothing.
        let (idle_ticks, mut unasked) = (self.clock.deadline(), 0);
        loop {
            out.extend_from_slice(live.sample().await.as_bytes());
            write_all(io, deadline, limits, &out).await?;
            out.clear();
            let left = async {
                while unasked < limits.stream_input_bytes {
                    match read(io, &idle_ticks, &self.read_buffer, |_| ()).await? {
                        0 => break,
                        count => unasked += count,
                    }
                }
                Err(Gone)
            };
            let next = async {
                Timer::after(SAMPLE_INTERVAL).await;
                Ok(())
            };
            future::or(left, next).await?;
            let now = Arc::downgrade(&self.watched.shared.settings.access());
            if !told.ptr_eq(&now) {
                told = now;
                out.extend_from_slice(live.changed_configuration().as_bytes());
            }
        }
    }

    fn refusal(&self, refusal: RequestError) -> Vec<u8> {
        self.line(refusal.status(), refusal.advice())
    }

    fn not_found(&self) -> Vec<u8> {
        self.line("404 Not Found", "Not found; there are /, /metrics, /healthz and /readyz.\n")
    }

    fn line(&self, status: &str, text: &str) -> Vec<u8> {
        response::with_content(status, &self.date.get(), Content::line(text))
    }
}
