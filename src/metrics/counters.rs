//! Counters of the whole server: every bound that was reached, every stream that ended and why.
//!
//! Relaxed atomics, written where something ends or is rejected and never once per delivery. Each shard counts its own
//! deliveries ([`ShardMetrics`]), and a reader adds them up. Two gauges decide something: `GET /connections` reports
//! the number of streams, and the listener holds the number of connections against its limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::ShardMetrics;

/// Reason for which a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The client closed or reset the connection, or closed its own side.
    HangUp,
    /// The client lagged by more than [`Limits::window_bytes`](crate::Limits::window_bytes).
    Lagged,
    /// The client took nothing for [`Limits::write_timeout`](crate::Limits::write_timeout).
    Stalled,
    /// The client sent more than [`Limits::stream_input_bytes`](crate::Limits::stream_input_bytes).
    Input,
    /// An operator disconnected it on the admin address.
    Disconnected,
    /// The server stopped, and the client had everything.
    Stopped,
    /// The server stopped, and the client did not take the rest within
    /// [`Limits::drain_timeout`](crate::Limits::drain_timeout).
    Cut,
}

const STREAM_ENDS: usize = 7;

impl StreamEnd {
    /// Every reason with its metrics label.
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

/// Counters of a server, shared by its threads. They count from the server's start.
///
/// Cheap to clone, usable from any thread, and valid after the server has ended.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// Counters of each shard, by its number.
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
    /// Creates the counters of a server with `shards` shards.
    pub(crate) fn of_shards(shards: usize) -> Self {
        let shards = (0..shards).map(|_| Arc::default()).collect();
        Self(Arc::new(Counters { shards, ..Counters::default() }))
    }

    /// Counters of each shard, by its number.
    pub(crate) fn shards(&self) -> &[Arc<ShardMetrics>] {
        &self.0.shards
    }

    /// Messages written to streams, each counted once for each of its streams. A message that a stream takes in parts
    /// counts once its batch is written to the end. Messages from the history do not count.
    pub fn deliveries(&self) -> u64 {
        self.shards().iter().map(|shard| shard.deliveries.get()).sum()
    }

    /// Bytes written to streams after their opening, heartbeats included.
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

    /// Streams that ended for `reason`.
    pub fn streams_ended(&self, reason: StreamEnd) -> u64 {
        self.0.stream_ends[reason as usize].load(Relaxed)
    }

    /// Messages accepted.
    pub fn messages(&self) -> u64 {
        self.0.messages.load(Relaxed)
    }

    /// Requests answered with an error, because the client was wrong or too slow.
    pub fn requests_refused(&self) -> u64 {
        self.0.requests_refused.load(Relaxed)
    }

    /// Publishes that waited because [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes) were in
    /// flight.
    pub fn publishes_delayed(&self) -> u64 {
        self.0.publishes_delayed.load(Relaxed)
    }

    /// Times that a lagging stream skipped to the newest events, as it asked with `slow=latest`.
    pub fn streams_skipped(&self) -> u64 {
        self.0.streams_skipped.load(Relaxed)
    }

    /// Connections closed because the client took no response for
    /// [`Limits::write_timeout`](crate::Limits::write_timeout).
    pub fn answers_stalled(&self) -> u64 {
        self.0.answers_stalled.load(Relaxed)
    }

    /// Connections that the server closed after a last response, because the client did not within
    /// [`Limits::linger_timeout`](crate::Limits::linger_timeout) and
    /// [`Limits::linger_bytes`](crate::Limits::linger_bytes).
    pub fn lingers_cut(&self) -> u64 {
        self.0.lingers_cut.load(Relaxed)
    }

    /// Connections closed without a response because no request came in time, or the server was stopping.
    pub fn connections_idled(&self) -> u64 {
        self.0.connections_idled.load(Relaxed)
    }

    /// Connections over the limit that were told to retry later.
    pub fn connections_refused(&self) -> u64 {
        self.0.connections_refused.load(Relaxed)
    }

    /// Connections rejected or closed at once because their address had too many, and requests by way of a trusted
    /// proxy likewise ([`Limits::connections_per_ip`](crate::Limits::connections_per_ip)).
    pub fn connections_over_ip_limit(&self) -> u64 {
        self.0.connections_over_ip_limit.load(Relaxed)
    }

    /// Connections over the limit that were closed at once, because too many others were being rejected.
    pub fn connections_dropped(&self) -> u64 {
        self.0.connections_dropped.load(Relaxed)
    }

    /// Times that accepting paused: the system lacked descriptors or memory, or a listening socket failed.
    pub fn accept_failures(&self) -> u64 {
        self.0.accept_failures.load(Relaxed)
    }

    /// Connection tasks that panicked. Each ended only its own connection.
    pub fn panics(&self) -> u64 {
        self.0.panics.load(Relaxed)
    }

    /// Counts a stream until the guard is dropped.
    pub(crate) fn stream(&self) -> GaugeGuard {
        GaugeGuard::new(&self.0, |counters| &counters.streams)
    }

    /// Counts a connection until the guard is dropped.
    pub(crate) fn connection(&self) -> GaugeGuard {
        GaugeGuard::new(&self.0, |counters| &counters.connections)
    }

    /// Counts the end of a stream; returns the number of earlier ends with this reason.
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

    /// Returns the number of earlier ones.
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

/// One unit of a gauge, given back when dropped. The gauge stays right whatever ends the holder, a panic included.
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
