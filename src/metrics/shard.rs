//! Counters of one shard.
//!
//! Only the shard's thread writes them, once for each round or tick and never for each stream. So counting takes no
//! lock and shares no cache line with another writer.

use std::time::Duration;

use super::histogram::{Count, Histogram};

/// Counters of one shard, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardMetrics {
    /// Messages written to streams, each counted for each of its streams, and bytes, heartbeats included. What a stream
    /// gets from the history, after a skip or at its end does not count.
    pub(crate) deliveries: Count,
    pub(crate) bytes: Count,
    /// Times that a stream became slow.
    pub(crate) times_slow: Count,
    /// Messages in each batch.
    pub(crate) batch_sizes: Histogram,
    /// Microseconds from the start of a publish, waits included, to the message's last write. The last shard records
    /// it.
    pub(crate) latency: Histogram,
    /// Responses by the class of their status.
    pub(crate) responses: [Count; StatusClass::ALL.len()],
    /// Publish requests by outcome.
    pub(crate) publishes: [Count; PublishOutcome::ALL.len()],
    /// Open streams, slow ones among them, and bytes held for those, as of the last tick.
    pub(crate) streams: Count,
    pub(crate) slow: Count,
    pub(crate) window_bytes: Count,
    /// Time of the last tick, in milliseconds since the server was made.
    ticked_at: Count,
}

/// Class of a response's status (RFC 9110, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusClass {
    Successful,
    ClientError,
    ServerError,
}

impl StatusClass {
    pub(crate) const ALL: [(Self, &'static str); 3] =
        [(Self::Successful, "2xx"), (Self::ClientError, "4xx"), (Self::ServerError, "5xx")];
}

/// Outcome of a publish request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    Accepted,
    /// No known token.
    Unauthorized,
    /// An origin that may not publish.
    Forbidden,
    TooLarge,
    /// Its id is that of an event that the history holds.
    Duplicate,
    /// Malformed, or incomplete in time.
    Invalid,
    /// The server was stopping, full, or could not write.
    Unavailable,
}

impl PublishOutcome {
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::Accepted, "accepted"),
        (Self::Unauthorized, "unauthorized"),
        (Self::Forbidden, "forbidden"),
        (Self::TooLarge, "too_large"),
        (Self::Duplicate, "duplicate"),
        (Self::Invalid, "invalid"),
        (Self::Unavailable, "unavailable"),
    ];
}

impl ShardMetrics {
    /// Counts what one time slice wrote.
    pub(crate) fn written(&self, deliveries: u64, bytes: u64) {
        self.deliveries.add(deliveries);
        self.bytes.add(bytes);
    }

    /// Counts a stream that becomes slow; returns the number of earlier ones.
    pub(crate) fn became_slow(&self) -> u64 {
        let before = self.times_slow.get();
        self.times_slow.add(1);
        before
    }

    /// Records the latency of a message that every shard has written.
    pub(crate) fn delivered_after(&self, time: Duration) {
        self.latency.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn responded(&self, class: StatusClass) {
        self.responses[class as usize].add(1);
    }

    pub(crate) fn publish_ended(&self, publish: PublishOutcome) {
        self.publishes[publish as usize].add(1);
    }

    /// Notes a tick, `at` after the server was made.
    pub(crate) fn ticked(&self, at: Duration) {
        self.ticked_at.set(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    }

    /// Time of the last tick, since the server was made.
    pub(crate) fn last_tick(&self) -> Duration {
        Duration::from_millis(self.ticked_at.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_where_their_counts_are() {
        for (number, (response, _)) in StatusClass::ALL.into_iter().enumerate() {
            assert_eq!(response as usize, number);
        }
        for (number, (publish, _)) in PublishOutcome::ALL.into_iter().enumerate() {
            assert_eq!(publish as usize, number);
        }
    }
}
