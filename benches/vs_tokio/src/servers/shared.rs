//! The parts that several servers share: the form of an event, the limits, the channel of those on tokio that pass
//! bytes around, and in `http` the HTTP of those that bring none.

pub(super) mod http;

use std::future::{Future, ready};
use std::str;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio::time::{sleep, timeout};

use super::{Settings, announce, listen};
use anyhow::{Context, Result};

/// The largest message, in bytes.
pub(super) const BODY_LIMIT: usize = 1024 * 1024;

/// The messages that a stream may be behind before it is closed. Size costs these channels no speed, only memory, and
/// saves a server under pressure from losing streams: at 6000 messages a second, 1024 were too few for some.
pub(super) const CAPACITY: usize = 16 * 1024;

/// The most bytes that are joined into one write of a stream.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// The pause after a failed accept: there is no descriptor left.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

pub(super) const OPENING: &[u8] = b":ok\n\n";
pub(super) const HEARTBEAT: &[u8] = b":\n\n";

/// The message as an event: a `data` line for each of its lines, be they ended by LF, CR or CRLF. None unless the
/// message is UTF-8.
pub(super) fn event(message: &[u8]) -> Option<Vec<u8>> {
    str::from_utf8(message).ok()?;
    let mut event = Vec::with_capacity(message.len() + b"data: \n\n".len());
    let mut rest = message;
    loop {
        event.extend_from_slice(b"data: ");
        let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            event.extend_from_slice(rest);
            event.extend_from_slice(b"\n\n");
            return Some(event);
        };
        event.extend_from_slice(&rest[..end]);
        event.push(b'\n');
        let line_break = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + line_break..];
    }
}

/// Runs a server on tokio's multi-threaded runtime, and as one of its tasks: the thread that waits for it is none of
/// the workers, and would have to hand each connection that it accepts to one of them.
pub(super) fn run_on_tokio(
    settings: Settings,
    server: impl Future<Output = Result<()>> + Send + 'static,
) -> Result<()> {
    let mut builder = runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(settings.workers).enable_all().build().context("starting tokio")?;
    runtime.block_on(runtime.spawn(server)).context("serving")?
}

/// Accepts connections on tokio and serves each in a task of its own.
pub(super) fn accept_on_tokio<F>(settings: Settings, serve: impl Fn(TcpStream, Hub) -> F + Send + 'static) -> Result<()>
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = listen(settings)?;
    run_on_tokio(settings, async move {
        announce(&listener)?;
        let listener = TcpListener::from_std(listener).context("handing the listener to tokio")?;
        let hub = Hub::new(settings.heartbeat);
        loop {
            match listener.accept().await {
                Ok((socket, _)) => drop(tokio::spawn(serve(socket, hub.clone()))),
                Err(_) => sleep(ACCEPT_PAUSE).await,
            }
        }
    })
}

/// Encoded events on their way to every stream of a server on tokio.
#[derive(Clone)]
pub(super) struct Hub {
    events: Sender<Bytes>,
}

impl Hub {
    /// To be called on the runtime, since it begins to beat.
    pub(super) fn new(heartbeat: Duration) -> Self {
        let (events, heard) = broadcast::channel(CAPACITY);
        tokio::spawn(beat(heard, events.clone(), heartbeat));
        Self { events }
    }

    pub(super) fn publish(&self, events: impl Into<Bytes>) {
        // Never in vain: the heart hears everything.
        let _ = self.events.send(events.into());
    }

    /// From here on a stream gets every event, and is counted until its subscription is dropped.
    pub(super) fn subscribe(&self) -> Subscription {
        Subscription { events: self.events.subscribe() }
    }

    /// Every receiver is an open stream, but for the heart's.
    pub(super) fn streams(&self) -> usize {
        self.events.receiver_count() - 1
    }
}

/// Sends a comment after each silence of that length. Every stream gets every event, so the silence of one is the
/// silence of all, and a single timer does.
async fn beat(mut heard: Receiver<Bytes>, events: Sender<Bytes>, interval: Duration) {
    loop {
        if timeout(interval, heard.recv()).await.is_err() {
            let _ = events.send(Bytes::from_static(HEARTBEAT));
        }
    }
}

/// The events for one stream.
pub(super) struct Subscription {
    events: Receiver<Bytes>,
}

impl Subscription {
    /// The body of a stream: its opening, then a batch after the other.
    pub(super) fn into_stream(self) -> impl Stream<Item = Bytes> + Send {
        let opening = stream::once(ready(Bytes::from_static(OPENING)));
        let next = async |mut events: Self| events.next_batch().await.map(|batch| (batch, events));
        opening.chain(stream::unfold(self, next))
    }

    /// Waits for an event and joins to it those that wait behind it: one write costs a server little more than its
    /// system call, whatever it holds. None once the stream has lagged too far: it has to end, or it would skip events.
    pub(super) async fn next_batch(&mut self) -> Option<Bytes> {
        let first = self.events.recv().await.ok()?;
        let waiting = self.events.len();
        if waiting == 0 || first.len() >= BATCH_BYTES {
            return Some(first);
        }
        let mut batch = BytesMut::with_capacity(BATCH_BYTES.min(first.len() * (1 + waiting)));
        batch.extend_from_slice(&first);
        for _ in 0..waiting {
            if batch.len() >= BATCH_BYTES {
                break;
            }
            batch.extend_from_slice(&self.events.try_recv().ok()?);
        }
        Some(batch.freeze())
    }
}
