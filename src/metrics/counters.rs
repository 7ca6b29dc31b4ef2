//! What happened, counted: every bound that was reached, every stream that ended and why.
//!
//! Counters are relaxed atomics, written where something ends or is refused and never once per delivery; what comes
//! with deliveries each shard counts for itself, and is added up by who asks. Nothing is
//! decided by them but three: the number of streams, which `GET /connections` tells, the number of connections, which
//! the listener holds against its limit, and the number of messages, by which a new stream knows what is before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::ShardMetrics;

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The client closed or reset it, or closed its own side.
    HangUp,
    /// The client fell further behind than [`Limits::window_bytes`](crate::Limits::window_bytes).
    Lagged,
    /// The client took nothing for [`Limits::write_timeout`](crate::Limits::write_timeout).
    Stalled,
    /// The client sent more than [`Limits::stream_input_bytes`](crate::Limits::stream_input_bytes).
    Input,
    /// Somebody at the admin address disconnected it.
    Disconnected,
    /// The server stopped, and the client had everything.
    Stopped,
    /// The server stopped, and the client did not take the rest within
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout).
    Cut,
}

const STREAM_ENDS: usize = 7;

impl StreamEnd {
    /// All of them, with the names by which metrics tell them apart.
    pub(crate) const ALL: [(Self, &'static str); STREAM_ENDS] = [
        (Self::HangUp, "hang_up"),
        (Self::Lagged, "lagged"),
        (Self::Stalled, "stalled"),
        (Self::Input, "input"),
        (Self::Disconnected, "disconnected"),
        (Self::Stopped, "stopped"),
        (Self::Cut, "cut"),
    ];
}

/// The server's counters, shared by all of its threads. Each counts from the server's start.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// One for each shard.
    shards: Vec<Arc<ShardMetrics>>,
    streams: AtomicUsize,
    connections: AtomicUsize,
    stream_ends: [AtomicU64; STREAM_ENDS],
    messages: AtomicU64,
    requests_refused: AtomicU64,
    publishes_delayed: AtomicU64,
    streams_skipped: AtomicU64,
    answers_stalled: AtomicU64,
    lingers_cut: AtomicU64,
    connections_idled: AtomicU64,
    connections_refused: AtomicU64,
    connections_over_ip_limit: AtomicU64,
    connections_dropped: AtomicU64,
    accept_failures: AtomicU64,
    panics: AtomicU64,
}

impl Metrics {
    /// Counters of a server with so many shards.
    pub(crate) fn of_shards(shards: usize) -> Self {
        let shards = (0..shards).map(|_| Arc::default()).collect();
        Self(Arc::new(Counters { shards, ..Counters::default() }))
    }

    /// What each shard counts for itself, by their numbers.
    pub(crate) fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.0.shards
    }

    /// Messages that were written to a stream, each message counted for each of its streams. One that a stream takes in
    /// parts counts when the batch that it came in is written to its end; one from the history does not.
    pub fn deliveries(&self) -> u64 {
        self.shards().iter().map(|shard| shard.deliveries.get()).sum()
    }

    /// Bytes that were written to streams behind their opening, heartbeats included.
    pub fn delivered_bytes(&self) -> u64 {
        self.shards().iter().map(|shard| shard.bytes.get()).sum()
    }

    /// Streams open now.
    pub fn streams(&self) -> usize {
        self.0.streams.load(Relaxed)
    }

    /// Connections open now, streams included.
    pub fn connections(&self) -> usize {
        self.0.connections.load(Relaxed)
    }

    /// Streams that ended for this reason.
    pub fn streams_ended(&self, reason: StreamEnd) -> u64 {
        self.0.stream_ends[reason as usize].load(Relaxed)
    }

    /// Messages accepted.
    pub fn messages(&self) -> u64 {
        self.0.messages.load(Relaxed)
    }

    /// Requests answered with an error for what the client did wrong, or too slowly.
    pub fn requests_refused(&self) -> u64 {
        self.0.requests_refused.load(Relaxed)
    }

    /// Publishes that had to wait because [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes) were
    /// under way.
    pub fn publishes_delayed(&self) -> u64 {
        self.0.publishes_delayed.load(Relaxed)
    }

    /// Times that a stream skipped to the newest events because it was too far behind, as those with `slow=latest` do.
    pub fn streams_skipped(&self) -> u64 {
        self.0.streams_skipped.load(Relaxed)
    }

    /// Connections closed because the client took no answer for
    /// [`Limits::write_timeout`](crate::Limits::write_timeout).
    pub fn answers_stalled(&self) -> u64 {
        self.0.answers_stalled.load(Relaxed)
    }

    /// Connections closed after a last answer before the client closed them: its
    /// [`Limits::linger_timeout`](crate::Limits::linger_timeout) or
    /// [`Limits::linger_bytes`](crate::Limits::linger_bytes) were used up.
    pub fn lingers_cut(&self) -> u64 {
        self.0.lingers_cut.load(Relaxed)
    }

    /// Connections closed without a word because no request came in time, or the server was stopping.
    pub fn connections_idled(&self) -> u64 {
        self.0.connections_idled.load(Relaxed)
    }

    /// Connections over the limit that were told to come back.
    pub fn connections_refused(&self) -> u64 {
        self.0.connections_refused.load(Relaxed)
    }

    /// Connections, and requests by way of a trusted proxy, that were told to come back or closed at once for what
    /// their own address or network had open ([`Limits::connections_per_ip`](crate::Limits::connections_per_ip)).
    pub fn connections_over_ip_limit(&self) -> u64 {
        self.0.connections_over_ip_limit.load(Relaxed)
    }

    /// Connections over the limit that were closed at once, because too many others were being told.
    pub fn connections_dropped(&self) -> u64 {
        self.0.connections_dropped.load(Relaxed)
    }

    /// Times that accepting paused: the system had no descriptor or memory for a new connection, or a listening socket
    /// failed.
    pub fn accept_failures(&self) -> u64 {
        self.0.accept_failures.load(Relaxed)
    }

    /// Connection tasks that panicked; each ended its own connection only.
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Relaxed)
    }

    /// Counts a stream until what is returned is dropped.
    pub(crate) fn stream(&self) -> GaugeGuard {
        GaugeGuard::new(&self.0, |counters| &counters.streams)
    }

    /// Counts a connection until what is returned is dropped.
    pub(crate) fn connection(&self) -> GaugeGuard {
        GaugeGuard::new(&self.0, |counters| &counters.connections)
    }

    /// Counts the end of a stream; returns how many have ended before for the same reason.
    pub(crate) fn stream_ended(&self, reason: StreamEnd) -> u64 {
        self.streams_ended_at_once(reason, 1)
    }

    pub(crate) fn streams_ended_at_once(&self, reason: StreamEnd, streams: usize) -> u64 {
        self.0.stream_ends[reason as usize].fetch_add(streams as u64, Relaxed)
    }

    pub(crate) fn stream_skipped(&self) {
        self.0.streams_skipped.fetch_add(1, Relaxed);
    }

    pub(crate) fn publish_delayed(&self) {
        self.0.publishes_delayed.fetch_add(1, Relaxed);
    }

    pub(crate) fn answer_stalled(&self) {
        self.0.answers_stalled.fetch_add(1, Relaxed);
    }

    pub(crate) fn linger_cut(&self) {
        self.0.lingers_cut.fetch_add(1, Relaxed);
    }

    pub(crate) fn message_accepted(&self) {
        self.0.messages.fetch_add(1, Relaxed);
    }

    pub(crate) fn request_refused(&self) {
        self.0.requests_refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_idled(&self) {
        self.0.connections_idled.fetch_add(1, Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        self.0.connections_refused.fetch_add(1, Relaxed);
    }

    /// Returns how many have been before.
    pub(crate) fn connection_over_ip_limit(&self) -> u64 {
        self.0.connections_over_ip_limit.fetch_add(1, Relaxed)
    }

    pub(crate) fn connection_dropped(&self) {
        self.0.connections_dropped.fetch_add(1, Relaxed);
    }

    pub(crate) fn accept_failed(&self) {
        self.0.accept_failures.fetch_add(1, Relaxed);
    }

    pub(crate) fn task_panicked(&self) {
        self.0.panics.fetch_add(1, Relaxed);
    }
}

/// One of a gauge's units, given back when dropped: whatever ends its holder, a panic included, the gauge is right.
#[derive(Debug)]
pub(crate) struct GaugeGuard {
    counters: Arc<Counters>,
    gauge: fn(&Counters) -> &AtomicUsize,
}

impl GaugeGuard {
    fn new(counters: &Arc<Counters>, gauge: fn(&Counters) -> &AtomicUsize) -> Self {
        gauge(counters).fetch_add(1, Relaxed);
        Self { counters: Arc::clone(counters), gauge }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        (self.gauge)(&self.counters).fetch_sub(1, Relaxed);
    }
}
