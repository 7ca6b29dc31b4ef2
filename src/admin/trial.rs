//! A message published to see it arrive: on a stream of its own, which a worker serves as it serves any other.
//!
//! The two ends of a pair of sockets are the client and what a listener would have accepted. So the message goes the
//! whole way: through the hub, with the batches of that moment, out of a socket, and back here.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use async_io::Async;

use super::Watched;
use crate::ask::Publishing;
use crate::clock::Clock;
use crate::frame::Frame;
use crate::http::Refusal;
use crate::listener::{Client, Place};
use crate::recorder::Unpublished;
use crate::scratch::Scratch;
use crate::shards::{Window, within};
use crate::socket::{read, write_all};
use crate::subscriber::OPENING;

/// How long the message may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the message.
#[derive(Debug)]
pub(super) struct Arrived {
    /// From before it was published until it was read.
    pub(super) time: Duration,
    /// The event, as it came.
    pub(super) event: Vec<u8>,
}

/// Why it did not arrive.
#[derive(Debug)]
pub(super) enum NotArrived {
    /// It was not published.
    Refused(Refusal),
    /// No worker serves its stream.
    Ending,
    /// It did not come out of it in time.
    Late,
    /// There is no socket for the stream.
    Failed(io::Error),
}

/// Publishes a message and waits until it has come out of a stream.
pub(super) async fn publish(
    watched: &Watched,
    window: &Window,
    clock: &Clock,
    scratch: &Scratch,
    publishing: &Publishing,
    message: &str,
) -> Result<Arrived, NotArrived> {
    let arrives = async {
        let mut stream = Stream::open(watched, window, clock, scratch, publishing).await?;
        let start = Instant::now();
        let published = watched.hub.publish(&publishing.fields, message, &publishing.topics).await;
        let id = published.map_err(|unpublished| {
            NotArrived::Refused(match unpublished {
                Unpublished::Closed => Refusal::Stopping,
                Unpublished::NoSpace => Refusal::NoSpace,
                Unpublished::NotWritten => Refusal::NotWritten,
            })
        })?;
        let event = Frame::with_fields(&publishing.fields, id.as_deref(), message);
        stream.read_past(event.as_bytes()).await?;
        Ok(Arrived { time: start.elapsed(), event: event.as_bytes().to_vec() })
    };
    within(PATIENCE, arrives).await.unwrap_or(Err(NotArrived::Late))
}

/// The client's end of a stream.
struct Stream<'s> {
    io: Async<OwnedFd>,
    clock: &'s Clock,
    scratch: &'s Scratch,
    /// What was read and not looked through yet.
    unseen: Vec<u8>,
}

impl<'s> Stream<'s> {
    /// Opens a stream that gets messages of these topics.
    async fn open(
        watched: &Watched,
        window: &Window,
        clock: &'s Clock,
        scratch: &'s Scratch,
        publishing: &Publishing,
    ) -> Result<Self, NotArrived> {
        let (near, far) = UnixStream::pair().map_err(NotArrived::Failed)?;
        let [near, far] = [near, far].map(|end| Async::new(OwnedFd::from(end)));
        let (near, far) = (near.map_err(NotArrived::Failed)?, far.map_err(NotArrived::Failed)?);
        let client = Client { io: far, turned_away: None, proxy: None, place: Place::new(&watched.metrics) };
        if !window.deal(client) {
            return Err(NotArrived::Ending);
        }
        let topics: Vec<_> = publishing.topics.iter().map(|topic| format!("topic={}", encoded(topic))).collect();
        let host = watched.settings.read(|access| access.some_host());
        let request = format!("GET /sse?{} HTTP/1.1\r\nHost: {host}\r\n\r\n", topics.join("&"));
        let deadline = clock.deadline();
        let written = write_all(&near, &deadline, &watched.config.limits, request.as_bytes()).await;
        written.map_err(|_| NotArrived::Ending)?;
        drop(deadline);
        let mut stream = Self { io: near, clock, scratch, unseen: Vec::new() };
        stream.read_past(OPENING).await?;
        Ok(stream)
    }

    /// Reads until this has come, and past it. Whatever else comes is dropped.
    async fn read_past(&mut self, awaited: &[u8]) -> Result<(), NotArrived> {
        let deadline = self.clock.deadline();
        deadline.set(PATIENCE);
        loop {
            if let Some(start) = memchr::memmem::find(&self.unseen, awaited) {
                self.unseen.drain(..start + awaited.len());
                return Ok(());
            }
            // What is awaited may have begun in what was read last.
            self.unseen.drain(..self.unseen.len().saturating_sub(awaited.len()));
            let unseen = &mut self.unseen;
            match read(&self.io, &deadline, self.scratch, |bytes| unseen.extend_from_slice(bytes)).await {
                Ok(1..) => {}
                Ok(0) => return Err(NotArrived::Ending),
                Err(_) => return Err(NotArrived::Late),
            }
        }
    }
}

/// A parameter's value, with each of its octets encoded (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02x}")).collect()
}
