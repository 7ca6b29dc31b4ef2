//! Serves the connections of the admin address: one request and its response each, or the live page's stream.
//!
//! It reads and writes by the same reader and writer as the public side, and accepts by the same listener. A client
//! that is slow or gone costs its own connection only: every wait has a deadline, and every read yields.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_io::{Async, Timer};
use smol::LocalExecutor;
use smol::future;

use super::live::{self, Live};
use super::publish::{self, publish};
use super::response::{AdminResponse, write_stream_head};
use super::{AdminContext, guard, page, prometheus};
use crate::connection::{ConnectionEnd, RequestReader};
use crate::http::date::DateCache;
use crate::http::head::RequestHead;
use crate::http::request::PublishRequest;
use crate::http::{RequestError, query};
use crate::net::{Clock, Listener, ReadBuffer, WaitGroup, WaitGuard, read, write_all};

const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

type Reader<'s> = RequestReader<'s, Async<OwnedFd>>;

/// State that the connections share; all of them are served by one thread.
pub(super) struct AdminService<'c> {
    context: &'c AdminContext,
    clock: Clock,
    date: DateCache,
    read_buffer: ReadBuffer,
    connections: WaitGroup,
    /// Those of the connections that are live pages.
    pages: WaitGroup,
}

impl<'c> AdminService<'c> {
    pub(super) fn new(context: &'c AdminContext) -> Self {
        Self {
            context,
            clock: Clock::new(&context.shared.limits),
            date: DateCache::new(SystemTime::now()),
            read_buffer: ReadBuffer::default(),
            connections: WaitGroup::default(),
            pages: WaitGroup::default(),
        }
    }

    /// Keeps deadlines and the date moving.
    pub(super) async fn tick(&self) {
        loop {
            Timer::after(self.clock.tick_length()).await;
            self.clock.tick();
            self.date.set(SystemTime::now());
        }
    }

    /// Accepts connections and serves each in a task of its own; closes those over the limit at once.
    pub(super) async fn accept<'d>(&'d self, listener: &mut Listener, executor: &LocalExecutor<'d>) {
        loop {
            let (io, _) = listener.accept().await;
            if self.connections.len() >= self.context.shared.limits.admin_connections {
                continue;
            }
            let member = self.connections.enter();
            let serve = async move {
                let _member = member;
                // A client that is gone gets no reason.
                let _ = self.serve(io).await;
            };
            executor.spawn(serve).detach();
        }
    }

    /// Serves one connection to its end.
    async fn serve(&self, io: Async<OwnedFd>) -> Result<(), ConnectionEnd> {
        let mut reader = RequestReader::new(io, &self.clock, &self.context.shared.limits, &self.read_buffer);
        match self.reply(&mut reader).await {
            Ok(None) => {}
            Ok(Some(_page)) => return self.stream(reader).await,
            Err(ConnectionEnd::Rejected(error)) => {
                AdminResponse::from(error).write(&mut reader.output, &self.date.get(), false);
            }
            Err(end) => return Err(end),
        }
        reader.close().await
    }

    /// Reads the one request of a connection and queues its response. A request for the live stream has none, but a
    /// place among the live pages.
    async fn reply(&self, reader: &mut Reader<'_>) -> Result<Option<WaitGuard<'_>>, ConnectionEnd> {
        let length = reader.head().await?;
        // A copy, since the body lands in the same buffer.
        let bytes = reader.bytes()[..length].to_vec();
        reader.consume(length);
        let head = RequestHead::parse(&bytes)?;
        let response = match (head.method, head.path) {
            ("GET", "/live") => match self.admit_page(&bytes, &head) {
                Ok(page) => return Ok(Some(page)),
                Err(response) => response,
            },
            ("POST", path @ ("/publish" | "/disconnect")) => match self.authorize(&bytes, &head) {
                Ok(()) if path == "/publish" => self.publish(&head, reader).await?,
                Ok(()) => self.disconnect(&head).await,
                Err(response) => response,
            },
            _ => self.get(&head),
        };
        response.write(&mut reader.output, &self.date.get(), head.method == "HEAD");
        Ok(None)
    }

    /// The response to a request that changes nothing. Health and metrics are for every host that leads here.
    fn get(&self, head: &RequestHead<'_>) -> AdminResponse {
        let is_get = matches!(head.method, "GET" | "HEAD");
        match head.path {
            "/healthz" if is_get => return AdminResponse::line("200 OK", "ok\n"),
            "/readyz" if is_get => return self.readiness(),
            "/metrics" if is_get => return prometheus::response(self.context),
            _ => {}
        }
        if let Err(response) = self.check_host(head) {
            return response;
        }
        let file = if is_get { page::file(head.path) } else { None };
        file.unwrap_or_else(|| {
            AdminResponse::line("404 Not Found", "Not found; there are /, /metrics, /healthz and /readyz.\n")
        })
    }

    fn readiness(&self) -> AdminResponse {
        match self.context.health.ready() {
            Ok(()) => AdminResponse::line("200 OK", "ready\n"),
            Err(reason) => AdminResponse::line("503 Service Unavailable", format!("not ready: {reason}\n")),
        }
    }

    /// Rejects a request to a host that a foreign name server could point here.
    fn check_host(&self, head: &RequestHead<'_>) -> Result<(), AdminResponse> {
        let own = self.context.shared.access_control.read(|access| guard::is_own_host(head.authority, access));
        if own { Ok(()) } else { Err(RequestError::Misdirected.into()) }
    }

    /// Rejects a request of a foreign page, and one to a foreign host.
    fn authorize(&self, bytes: &[u8], head: &RequestHead<'_>) -> Result<(), AdminResponse> {
        self.check_host(head)?;
        let own = guard::is_own_page(bytes, head.origin, head.authority);
        own.then_some(())
            .ok_or_else(|| AdminResponse::line("403 Forbidden", "Only a page of this address may do that.\n"))
    }

    /// Takes a place among the live pages. They leave a quarter of the connections to health checks and scrapes.
    fn admit_page(&self, bytes: &[u8], head: &RequestHead<'_>) -> Result<WaitGuard<'_>, AdminResponse> {
        self.authorize(bytes, head)?;
        let connections = self.context.shared.limits.admin_connections;
        if self.pages.len() >= connections - connections / 4 {
            let status = RequestError::Overloaded.status();
            return Err(AdminResponse::line(status, "Too many live pages are open; close one.\n"));
        }
        Ok(self.pages.enter())
    }

    /// Publishes the body; the response is its receipt.
    async fn publish(&self, head: &RequestHead<'_>, reader: &mut Reader<'_>) -> Result<AdminResponse, ConnectionEnd> {
        let request = PublishRequest::read(head)?;
        let body = reader.body(head.framing, head.expects_continue).await?;
        let message = std::str::from_utf8(&body).map_err(|_| RequestError::NotUtf8)?;
        let receipt = publish(self.context, &request, message, publish::PATIENCE).await;
        Ok(receipt.map_or_else(|late| late, |receipt| AdminResponse::new("202 Accepted", "application/json", receipt)))
    }

    async fn disconnect(&self, head: &RequestHead<'_>) -> AdminResponse {
        let id = query::values(head.query, "stream").next().and_then(Result::ok);
        match live::disconnect(self.context, &id.unwrap_or_default()).await {
            Some(true) => AdminResponse::no_content(),
            Some(false) => {
                AdminResponse::line("404 Not Found", "No slow stream has this id; it may have caught up or left.\n")
            }
            None => AdminResponse::line(
                RequestError::Stopping.status(),
                "Its worker is busy and has not answered; the stream may still end.\n",
            ),
        }
    }

    /// Sends the live page's stream until its client leaves.
    async fn stream(&self, reader: Reader<'_>) -> Result<(), ConnectionEnd> {
        let (limits, access_control) = (&self.context.shared.limits, &self.context.shared.access_control);
        let (io, mut received) = reader.into_socket();
        let mut live = Live::new(self.context);
        // Shows if the access settings were replaced. They hold tokens, which no page keeps while it waits.
        let mut sent_access = Arc::downgrade(&access_control.settings());
        let mut out = Vec::new();
        write_stream_head(&mut out, &self.date.get());
        out.extend_from_slice(live.hello().as_bytes());
        // Leaves before any shard is asked, which takes a while if one hangs.
        self.send(&io, &mut out).await?;
        let no_deadline = self.clock.deadline();
        loop {
            out.extend_from_slice(live.sample().await.as_bytes());
            self.send(&io, &mut out).await?;
            let left = async {
                while received < limits.stream_input_bytes {
                    match read(&io, &no_deadline, &self.read_buffer, |_| ()).await {
                        Ok(count @ 1..) => received += count,
                        _ => break,
                    }
                }
                Err(ConnectionEnd::Gone)
            };
            let next = async {
                Timer::after(SAMPLE_INTERVAL).await;
                Ok(())
            };
            future::or(left, next).await?;
            let access = Arc::downgrade(&access_control.settings());
            if !sent_access.ptr_eq(&access) {
                sent_access = access;
                out.extend_from_slice(live.changed_configuration().as_bytes());
            }
        }
    }

    async fn send(&self, io: &Async<OwnedFd>, out: &mut Vec<u8>) -> Result<(), ConnectionEnd> {
        let written = write_all(io, &self.clock.deadline(), &self.context.shared.limits, out).await;
        out.clear();
        written.map_err(ConnectionEnd::from)
    }
}
