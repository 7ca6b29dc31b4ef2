//! A message published to see it arrive: on a stream of its own, which a worker serves as it serves any other.
//!
//! The two ends of a pair of sockets are the client and what a listener would have accepted. So the message goes the
//! whole way: through the hub, with the batches of that moment, out of a socket, and back here.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use async_io::Async;
use memchr::memmem::Finder;
use smol::future::yield_now;

use super::AdminContext;
use crate::connection::{OPENING, Shared};
use crate::event::frame::Frame;
use crate::fanout::ShardHandle;
use crate::http::RequestError;
use crate::http::request::PublishRequest;
use crate::hub::Draft;
use crate::net::{Client, Clock, ConnectionPermit, ReadBuffer, Socket, read, within, write_all};

/// How long the stream may take to open, the message to be published and come out of it, and the stream to end: so long
/// for each.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the message.
#[derive(Debug)]
pub(super) struct Arrived {
    /// From before it was published until it was read.
    pub(super) time: Duration,
    /// The event, as it came.
    pub(super) event: Frame,
    /// How many other streams it was for.
    pub(super) streams: usize,
}

/// Why it did not arrive.
#[derive(Debug)]
pub(super) enum NotArrived {
    /// It was not published.
    Refused(RequestError),
    /// No worker has opened its stream, so it was not published.
    NotOpened,
    /// There was no room for it in time, so it was not published.
    NoRoom,
    /// It was not written to the history's file in time, and may still be, or there was no room for it.
    Unwritten,
    /// It was published, and its stream ended before it came.
    Unseen,
    /// It was published, and did not come out of its stream in time.
    Late,
    /// There is no socket for the stream.
    Failed(io::Error),
}

/// What a message is tried with.
#[derive(Clone, Copy)]
pub(super) struct Trial<'t> {
    watched: &'t AdminContext,
    /// The shard that serves its stream.
    handle: &'t ShardHandle,
    clock: &'t Clock,
    read_buffer: &'t ReadBuffer,
    patience: Duration,
}

impl<'t> Trial<'t> {
    pub(super) fn new(
        watched: &'t AdminContext,
        handle: &'t ShardHandle,
        clock: &'t Clock,
        read_buffer: &'t ReadBuffer,
    ) -> Self {
        Self { watched, handle, clock, read_buffer, patience: PATIENCE }
    }

    /// Publishes a message and waits until it has come out of a stream.
    pub(super) async fn publish(self, publish_request: &PublishRequest, message: &str) -> Result<Arrived, NotArrived> {
        let opened = within(self.patience, Stream::open(self, publish_request)).await;
        let mut stream = opened.unwrap_or(Err(NotArrived::NotOpened))?;
        let arrived = self.publish_to(&mut stream, publish_request, message).await?;
        // However long that takes, the message has arrived.
        within(self.patience, stream.hang_up()).await;
        Ok(arrived)
    }

    /// Publishes it while this stream is open, and waits until it has come out of that.
    async fn publish_to(
        self,
        stream: &mut Stream<'_>,
        publish_request: &PublishRequest,
        message: &str,
    ) -> Result<Arrived, NotArrived> {
        let Shared { hub, metrics, subscriber_counts, .. } = &self.watched.shared;
        let PublishRequest { fields, topics, .. } = publish_request;
        let start = Instant::now();
        let published = within(self.patience, hub.publish(Draft::new(fields, message, topics))).await;
        // What is dropped while it waits is not published, unless the thread that writes the file has got it already.
        let has_file = self.watched.config.history_file.is_some();
        let published = published.ok_or(if has_file { NotArrived::Unwritten } else { NotArrived::NoRoom })?;
        let id = published.map_err(|unpublished| NotArrived::Refused(unpublished.into()))?;
        let event = Frame::with_fields(fields, id.as_deref(), message);
        let seen = within(self.patience.saturating_sub(start.elapsed()), stream.read_past(event.as_bytes())).await;
        seen.ok_or(NotArrived::Late)?.map_err(|Ended| NotArrived::Unseen)?;
        let time = start.elapsed();
        let all = if topics.is_empty() { metrics.streams() } else { subscriber_counts.count(topics) };
        // One of them is this one, unless it has ended meanwhile.
        Ok(Arrived { time, event, streams: all.saturating_sub(1) })
    }
}

/// The stream has ended before what was awaited.
struct Ended;

/// The client's end of a stream.
struct Stream<'s> {
    io: Async<OwnedFd>,
    clock: &'s Clock,
    read_buffer: &'s ReadBuffer,
    /// What was read and not looked through yet.
    unseen: Vec<u8>,
}

impl<'s> Stream<'s> {
    /// Opens a stream that gets messages of these topics.
    async fn open(trial: Trial<'s>, publish_request: &PublishRequest) -> Result<Self, NotArrived> {
        let Trial { watched, handle, clock, read_buffer, .. } = trial;
        let (near, far) = UnixStream::pair().map_err(NotArrived::Failed)?;
        let [near, far] = [near, far].map(|end| Async::new(OwnedFd::from(end)));
        let (near, far) = (near.map_err(NotArrived::Failed)?, far.map_err(NotArrived::Failed)?);
        let client =
            Client { io: far, rejection: None, proxy: None, place: ConnectionPermit::new(&watched.shared.metrics) };
        if !handle.deal(client) {
            return Err(NotArrived::NotOpened);
        }
        let topics: Vec<_> = publish_request.topics.iter().map(|topic| format!("topic={}", encoded(topic))).collect();
        let host = watched.shared.settings.read(|access| access.some_host());
        let request = format!("GET /sse?{} HTTP/1.1\r\nHost: {host}\r\n\r\n", topics.join("&"));
        let deadline = clock.deadline();
        let written = write_all(&near, &deadline, &watched.shared.limits, request.as_bytes()).await;
        written.map_err(|_| NotArrived::NotOpened)?;
        drop(deadline);
        let mut stream = Self { io: near, clock, read_buffer, unseen: Vec::new() };
        stream.read_past(OPENING).await.map_err(|Ended| NotArrived::NotOpened)?;
        Ok(stream)
    }

    /// Ends the stream when its worker has, which then counts it no longer: the next message is told of without it.
    async fn hang_up(self) {
        let deadline = self.clock.deadline();
        // Where that fails the stream has ended already.
        let _ = self.io.shutdown_write();
        while let Ok(1..) = read(&self.io, &deadline, self.read_buffer, |_| ()).await {
            // A stream that always has more must not keep the thread from answering others.
            yield_now().await;
        }
    }

    /// Reads until this has come, and past it. Whatever else comes is dropped.
    async fn read_past(&mut self, awaited: &[u8]) -> Result<(), Ended> {
        // Made once: for a long event it takes as long as a search does. The deadline is never set, since all of it has
        // to be over in time, and not each read.
        let (deadline, finder) = (self.clock.deadline(), Finder::new(awaited));
        loop {
            if let Some(start) = finder.find(&self.unseen) {
                self.unseen.drain(..start + awaited.len());
                return Ok(());
            }
            // What is awaited may have begun in what was read last.
            self.unseen.drain(..self.unseen.len().saturating_sub(awaited.len()));
            // A long event, or one amid many, must not keep the thread from answering others.
            yield_now().await;
            let unseen = &mut self.unseen;
            match read(&self.io, &deadline, self.read_buffer, |bytes| unseen.extend_from_slice(bytes)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Ended),
            }
        }
    }
}

/// A parameter's value: what is not unreserved, and no slash, is encoded (RFC 3986, 2.1 and 3.4).
fn encoded(text: &str) -> String {
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet);
    let octets = text.bytes();
    octets.map(|octet| if is_plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02x}") }).collect()
}

#[cfg(test)]
mod tests;
