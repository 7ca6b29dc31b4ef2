//! The admin address: metrics, health, and a live page, for whoever looks after the server.
//!
//! It has a thread of its own, so that it answers when workers do not, and costs them nothing but what they are asked
//! for. It never shares a port with the public side: whoever reaches it may see all of it, publish, and disconnect
//! streams. Each connection is for one request; pages of other origins get nothing done.

mod answer;
mod configuration;
mod exposition;
mod guard;
mod live;
mod page;
mod trial;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use async_io::{Async, Timer};
use smol::LocalExecutor;
use smol::channel::{self, Sender};
use smol::future;

use self::answer::Content;
use self::live::Live;
use self::trial::NotArrived;
use crate::ask::Publishing;
use crate::clock::{Clock, Deadline};
use crate::config::Config;
use crate::group::Group;
use crate::health::Health;
use crate::histogram::{Count, Distribution};
use crate::http::Refusal;
use crate::http::framing::Framing;
use crate::http::head::{RequestHead, Scanner};
use crate::http::response;
use crate::hub::Hub;
use crate::input::Input;
use crate::json::{self, Object};
use crate::listener::Door;
use crate::metrics::Metrics;
use crate::query;
use crate::scratch::Scratch;
use crate::settings::Settings;
use crate::shards::Window;
use crate::socket::{Interrupted, Socket, read, write_all};
use crate::tally::{Publish, Tally};

/// The streams that are furthest behind: so many are shown.
const STREAMS_SHOWN: usize = 20;

/// How often the live page is told.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// A pause where the system has no descriptor for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is watched over.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) config: Config,
    pub(crate) settings: Settings,
    pub(crate) hub: Hub,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    pub(crate) connection_limit: usize,
    pub(crate) started: SystemTime,
    /// The ways into the shards, once there are any.
    pub(crate) windows: Arc<OnceLock<Vec<Window>>>,
}

impl Watched {
    fn windows(&self) -> &[Window] {
        self.windows.get().map_or(&[], Vec::as_slice)
    }

    /// What all shards have counted.
    fn sum(&self, count: impl Fn(&Tally) -> &Count) -> u64 {
        self.metrics.shards().iter().map(|shard| count(shard).get()).sum()
    }

    /// The times from acceptance to last write so far, in microseconds.
    fn latency(&self) -> Distribution {
        Distribution::of(self.metrics.shards().iter().map(|shard| &shard.latency))
    }

    /// Requests to publish, by outcome.
    fn publishes(&self) -> Vec<(&'static str, u64)> {
        let named = Publish::ALL.into_iter();
        named.map(|(publish, name)| (name, self.sum(|shard| &shard.publishes[publish as usize]))).collect()
    }

    /// Connections refused, by reason. One over its address's limit is one of the others as well.
    fn refused(&self) -> [(&'static str, u64); 3] {
        let metrics = &self.metrics;
        [
            ("connections", metrics.connections_refused()),
            ("dropped", metrics.connections_dropped()),
            ("address", metrics.connections_over_ip_limit()),
        ]
    }
}

/// The thread that serves the address. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Dropped to have the thread end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Begins to serve.
    pub(crate) fn start(door: Door, watched: Watched) -> io::Result<Self> {
        let (stop, stopped) = channel::bounded::<()>(1);
        let thread = thread::Builder::new().name("smolcast-admin".to_owned()).spawn(move || {
            let desk = Desk::new(&watched);
            let executor = LocalExecutor::new();
            let stopped = async {
                // Nothing is ever sent: the channel only closes.
                let _ = stopped.recv().await;
            };
            let serve = future::or(desk.turn(), desk.accept(&door, &executor));
            async_io::block_on(executor.run(future::or(serve, stopped)));
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

/// What the thread's connections share.
struct Desk<'w> {
    watched: &'w Watched,
    clock: Clock,
    scratch: Scratch,
    connections: Group,
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

impl<'w> Desk<'w> {
    fn new(watched: &'w Watched) -> Self {
        let clock = Clock::new(&watched.config.limits, SystemTime::now());
        let (scratch, connections, next) = (Scratch::default(), Group::default(), Cell::new(0));
        Self { watched, clock, scratch, connections, next }
    }

    /// Turns the clock.
    async fn turn(&self) {
        loop {
            Timer::after(self.clock.tick_length()).await;
            self.clock.tick(SystemTime::now());
        }
    }

    async fn accept<'d>(&'d self, door: &Door, executor: &LocalExecutor<'d>) {
        loop {
            match poll_fn(|cx| door.poll_accept(cx)).await {
                // Those over the limit are closed at once.
                Ok((io, _)) if self.connections.len() < self.watched.config.limits.admin_connections => {
                    let member = self.connections.enter();
                    let serve = async move {
                        let _member = member;
                        // Whoever is gone does not want to know why.
                        let _ = self.serve(io).await;
                    };
                    executor.spawn(serve).detach();
                }
                Ok(_) => {}
                Err(_) => drop(Timer::after(ACCEPT_PAUSE).await),
            }
        }
    }

    /// Serves one connection: one request, or a stream until its client leaves.
    async fn serve(&self, io: OwnedFd) -> Result<(), Gone> {
        let io = Async::new(io).map_err(|_| Gone)?;
        let deadline = self.clock.deadline();
        deadline.set(self.watched.config.limits.head_timeout);
        let mut input = Input::default();
        let answer = match self.read_head(&io, &deadline, &mut input).await? {
            Ok(length) => {
                let head = input.bytes()[..length].to_vec();
                input.consume(length);
                match RequestHead::parse(&head) {
                    Ok(head) if head.method == "GET" && head.path == "/live" && self.lets_in(&head).is_ok() => {
                        return self.stream(&io, &deadline).await;
                    }
                    Ok(head) => {
                        let answer = self.answer(&head, &io, &deadline, &mut input).await?;
                        if head.method == "HEAD" { answer::without_content(answer) } else { answer }
                    }
                    Err(refusal) => self.refusal(refusal),
                }
            }
            Err(refusal) => self.refusal(refusal),
        };
        write_all(&io, &deadline, &self.watched.config.limits, &answer).await?;
        self.linger(&io, &deadline).await;
        Ok(())
    }

    async fn read_head(
        &self,
        io: &Async<OwnedFd>,
        deadline: &Deadline<'_>,
        input: &mut Input,
    ) -> Result<Result<usize, Refusal>, Gone> {
        let mut scanner = Scanner::default();
        loop {
            match scanner.scan(input.bytes(), &self.watched.config.limits) {
                Ok(Some(length)) => return Ok(Ok(length)),
                Ok(None) => self.read_more(io, deadline, input).await?,
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
    }

    async fn read_more(&self, io: &Async<OwnedFd>, deadline: &Deadline<'_>, input: &mut Input) -> Result<(), Gone> {
        match read(io, deadline, &self.scratch, |bytes| input.extend(bytes)).await? {
            0 => Err(Gone),
            _ => Ok(()),
        }
    }

    /// Lets the client read the answer before the socket closes: unread bytes would make that a reset.
    async fn linger(&self, io: &Async<OwnedFd>, deadline: &Deadline<'_>) {
        deadline.set(self.watched.config.limits.linger_timeout);
        if io.finish().is_ok() {
            while read(io, deadline, &self.scratch, |_| ()).await.is_ok_and(|count| count > 0) {}
        }
    }

    /// Whether the request is carried out at all.
    fn lets_in(&self, head: &RequestHead<'_>) -> Result<(), Refusal> {
        let own = self.watched.settings.read(|access| guard::is_own_host(head.authority, access));
        own.then_some(()).ok_or(Refusal::Misdirected)
    }

    async fn answer(
        &self,
        head: &RequestHead<'_>,
        io: &Async<OwnedFd>,
        deadline: &Deadline<'_>,
        input: &mut Input,
    ) -> Result<Vec<u8>, Gone> {
        let ok = |content| Ok(answer::with_content("200 OK", &self.clock.date(), content));
        match (head.method, head.path) {
            ("GET" | "HEAD", "/healthz") => return ok(Content::line("ok\n")),
            ("GET" | "HEAD", "/readyz") => return Ok(self.readiness()),
            ("GET" | "HEAD", "/metrics") => return Ok(self.metrics()),
            _ => {}
        }
        if let Err(refusal) = self.lets_in(head) {
            return Ok(self.refusal(refusal));
        }
        match (head.method, head.path) {
            ("POST", "/publish" | "/disconnect") if !guard::is_own_page(head.origin, head.authority) => {
                Ok(self.line("403 Forbidden", "Only a page of this address may do that.\n"))
            }
            ("POST", "/publish") => self.publish(head, io, deadline, input).await,
            ("POST", "/disconnect") => Ok(self.disconnect(head).await),
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
        match exposition::text(self.watched) {
            Ok(text) => {
                let content = Content { media_type: exposition::MEDIA_TYPE, text: &text };
                answer::with_content("200 OK", &self.clock.date(), content)
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
        input: &mut Input,
    ) -> Result<Vec<u8>, Gone> {
        let limits = &self.watched.config.limits;
        let length = match head.framing {
            Framing::Length(length) if length <= limits.body_bytes as u64 => length as usize,
            Framing::Length(_) => return Ok(self.refusal(Refusal::BodyTooLarge)),
            // A page's browser knows how long its message is.
            Framing::None | Framing::Chunked => {
                return Ok(self.line(Refusal::LengthRequired.status(), "Send Content-Length.\n"));
            }
        };
        let publishing = match Publishing::read(head) {
            Ok(publishing) => publishing,
            Err(refusal) => return Ok(self.refusal(refusal)),
        };
        deadline.set(limits.body_timeout);
        if head.expects_continue {
            write_all(io, &self.clock.deadline(), limits, response::CONTINUE).await?;
        }
        while input.len() < length {
            self.read_more(io, deadline, input).await?;
        }
        let Ok(message) = std::str::from_utf8(&input.bytes()[..length]) else {
            return Ok(self.refusal(Refusal::NotUtf8));
        };
        Ok(self.try_out(&publishing, message).await)
    }

    async fn try_out(&self, publishing: &Publishing, message: &str) -> Vec<u8> {
        let windows = self.watched.windows();
        let turn = self.next.get();
        self.next.set(turn + 1);
        let Some(window) = windows.get(turn % windows.len().max(1)) else {
            return self.line(Refusal::Stopping.status(), "The server is starting; try again later.\n");
        };
        match trial::publish(self.watched, window, &self.clock, &self.scratch, publishing, message).await {
            Ok(arrived) => {
                let text = Object::default()
                    .with("seconds", arrived.time.as_secs_f64())
                    .with("event", json::string(&String::from_utf8_lossy(&arrived.event)))
                    .with("streams", self.watched.metrics.streams())
                    .end();
                answer::with_content("200 OK", &self.clock.date(), Content::json(&text))
            }
            Err(NotArrived::Refused(refusal)) => self.refusal(refusal),
            Err(NotArrived::Ending) => self.refusal(Refusal::Stopping),
            Err(NotArrived::Late) => {
                self.line("504 Gateway Timeout", "It did not come out of a stream of its own in time.\n")
            }
            Err(NotArrived::Failed(error)) => {
                self.line("503 Service Unavailable", &format!("There is no socket to see it arrive on: {error}\n"))
            }
        }
    }

    async fn disconnect(&self, head: &RequestHead<'_>) -> Vec<u8> {
        let id = query::values(head.query, "stream").next().and_then(Result::ok);
        match live::disconnect(self.watched, &id.unwrap_or_default()).await {
            Some(()) => answer::no_content(&self.clock.date()),
            None => {
                self.line("404 Not Found", "There is no such stream that is behind; perhaps it caught up or left.\n")
            }
        }
    }

    /// Sends the live page's stream until its client leaves.
    async fn stream(&self, io: &Async<OwnedFd>, deadline: &Deadline<'_>) -> Result<(), Gone> {
        let limits = &self.watched.config.limits;
        let mut live = Live::new(self.watched);
        let mut access = self.watched.settings.access();
        let mut out = answer::stream(&self.clock.date());
        out.extend_from_slice(live.hello().as_bytes());
        // For as long as it likes, the client sends nothing.
        let silence = self.clock.deadline();
        loop {
            out.extend_from_slice(live.sample().await.as_bytes());
            write_all(io, deadline, limits, &out).await?;
            out.clear();
            let left = async {
                while read(io, &silence, &self.scratch, |_| ()).await.is_ok_and(|count| count > 0) {}
                Err(Gone)
            };
            let next = async {
                Timer::after(SAMPLE_INTERVAL).await;
                Ok(())
            };
            future::or(left, next).await?;
            let now = self.watched.settings.access();
            if !Arc::ptr_eq(&access, &now) {
                access = now;
                out.extend_from_slice(live.changed_configuration().as_bytes());
            }
        }
    }

    fn refusal(&self, refusal: Refusal) -> Vec<u8> {
        self.line(refusal.status(), refusal.advice())
    }

    fn not_found(&self) -> Vec<u8> {
        self.line("404 Not Found", "Not found; there are /, /metrics, /healthz and /readyz.\n")
    }

    fn line(&self, status: &str, text: &str) -> Vec<u8> {
        answer::with_content(status, &self.clock.date(), Content::line(text))
    }
}
