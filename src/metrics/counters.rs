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
#[non_exhaustive]
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

impl StreamEnd {
    /// Every reason with its metrics label.
    pub(crate) const ALL: [(Self, &'static str); 7] = [
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
    stream_ends: [AtomicU64; StreamEnd::ALL.len()],
    totals: Totals,
    connections_over_ip_limit: AtomicU64,
    streams_over_filter_limit: AtomicU64,
}

/// Defines counters that only grow, one a line: the method that reads it, and the one that adds one.
macro_rules! totals {
    ($($(#[$doc:meta])* $total:ident, $add_one:ident;)*) => {
        #[derive(Debug, Default)]
        struct Totals {
            $($total: AtomicU64,)*
        }

        impl Metrics {
            $(
                $(#[$doc])*
                pub fn $total(&self) -> u64 {
                    self.0.totals.$total.load(Relaxed)
                }

                pub(crate) fn $add_one(&self) {
                    self.0.totals.$total.fetch_add(1, Relaxed);
                }
            )*
        }
    };
}

totals! {
    /// Messages accepted.
    messages, message_accepted;
    /// Requests answered with an error, because the client was wrong or too slow.
    requests_refused, request_refused;
    /// Publishes that waited because [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes) were in
    /// flight.
    publishes_delayed, publish_delayed;
    /// Times that a lagging stream skipped to the newest events, as it asked with `slow=latest`.
    streams_skipped, stream_skipped;
    /// Connections closed because the client took no response for
    /// [`Limits::write_timeout`](crate::Limits::write_timeout).
    answers_stalled, answer_stalled;
    /// Connections that the server closed after a last response, because the client did not within
    /// [`Limits::linger_timeout`](crate::Limits::linger_timeout) and
    /// [`Limits::linger_bytes`](crate::Limits::linger_bytes).
    lingers_cut, linger_cut;
    /// Connections closed without a response because no request came in time, or the server was stopping.
    connections_idled, connection_idled;
    /// Connections over the limit that were told to retry later.
    connections_refused, connection_refused;
    /// Connections over the limit that were closed at once, because too many others were being rejected.
    connections_dropped, connection_dropped;
    /// Times that accepting paused: the system lacked descriptors or memory, or a listening socket failed.
    accept_failures, accept_failed;
    /// Connection tasks that panicked. Each ended only its own connection.
    panics, task_panicked;
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

    /// Connections rejected or closed at once because their address had too many, and requests by way of a trusted
    /// proxy likewise ([`Limits::connections_per_ip`](crate::Limits::connections_per_ip)).
    pub fn connections_over_ip_limit(&self) -> u64 {
        self.0.connections_over_ip_limit.load(Relaxed)
    }

    /// Streams that were told to retry later, because the filters of their shard's streams take too much memory
    /// ([`Limits::filter_bytes`](crate::Limits::filter_bytes)).
    pub fn streams_over_filter_limit(&self) -> u64 {
        self.0.streams_over_filter_limit.load(Relaxed)
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

    /// Returns the number of earlier ones.
    pub(crate) fn stream_over_filter_limit(&self) -> u64 {
        self.0.streams_over_filter_limit.fetch_add(1, Relaxed)
    }

    /// Returns the number of earlier ones.
    pub(crate) fn connection_over_ip_limit(&self) -> u64 {
        self.0.connections_over_ip_limit.fetch_add(1, Relaxed)
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
