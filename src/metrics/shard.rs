//! What one shard counts of its own, and how it is.
//!
//! Only the shard's thread writes, once for each round or tick and never for each stream, so that counting costs no
//! lock and no cache line that another thread writes to; whoever wants to know reads.

use std::time::Duration;

use super::histogram::{Count, Histogram};

/// The counts of one shard. On cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct ShardMetrics {
    /// Messages that rounds and streams' own catching up have written, each to each of its streams, and their bytes,
    /// heartbeats included. What is sent first to who comes back, skips or leaves is not in it.
    pub(crate) deliveries: Count,
    pub(crate) bytes: Count,
    /// Times that a stream fell behind.
    times_slow: Count,
    /// Messages in each batch.
    pub(crate) batch_sizes: Histogram,
    /// From when a message came to be published, waits for room included, to its last write on the last of all shards,
    /// in microseconds: counted by that one.
    pub(crate) latency: Histogram,
    /// Answers by the class of their status.
    pub(crate) answers: [Count; STATUS_CLASSES],
    /// Requests to publish by what became of them.
    pub(crate) publishes: [Count; PUBLISH_OUTCOMES],
    /// Open streams, those of them that are behind, and what windows hold for them: as of the last tick.
    pub(crate) streams: Count,
    pub(crate) behind: Count,
    pub(crate) window_bytes: Count,
    /// When the last tick was, in milliseconds since the server was made.
    ticked_at: Count,
}

/// The class of an answer's status (RFC 9110, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusClass {
    Successful,
    ClientError,
    ServerError,
}

pub(crate) const STATUS_CLASSES: usize = 3;

impl StatusClass {
    pub(crate) const ALL: [(Self, &'static str); STATUS_CLASSES] =
        [(Self::Successful, "2xx"), (Self::ClientError, "4xx"), (Self::ServerError, "5xx")];
}

/// What became of a request to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PublishOutcome {
    Accepted,
    /// Without a token that is known.
    Unauthorized,
    /// From a page of an origin that may not.
    Forbidden,
    TooLarge,
    /// Not as it should be, or not there in time.
    Invalid,
    /// Refused for what the server lacked: it was stopping, or full, or could not write.
    Unavailable,
}

pub(crate) const PUBLISH_OUTCOMES: usize = 6;

impl PublishOutcome {
    pub(crate) const ALL: [(Self, &'static str); PUBLISH_OUTCOMES] = [
        (Self::Accepted, "accepted"),
        (Self::Unauthorized, "unauthorized"),
        (Self::Forbidden, "forbidden"),
        (Self::TooLarge, "too_large"),
        (Self::Invalid, "invalid"),
        (Self::Unavailable, "unavailable"),
    ];
}

impl ShardMetrics {
    /// Counts what was written between two turns of other tasks.
    pub(crate) fn written(&self, deliveries: u64, bytes: u64) {
        self.deliveries.add(deliveries);
        self.bytes.add(bytes);
    }

    /// Counts a stream that falls behind; returns how many did so before.
    pub(crate) fn became_slow(&self) -> u64 {
        let before = self.times_slow.get();
        self.times_slow.add(1);
        before
    }

    /// How many times a stream fell behind.
    pub(crate) fn times_slow(&self) -> u64 {
        self.times_slow.get()
    }

    /// Counts a message that is written wherever it was to be.
    pub(crate) fn delivered_after(&self, time: Duration) {
        self.latency.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn answered(&self, answer: StatusClass) {
        self.answers[answer as usize].add(1);
    }

    pub(crate) fn publish_ended(&self, publish: PublishOutcome) {
        self.publishes[publish as usize].add(1);
    }

    /// The shard's loop has turned, so long after the server was made.
    pub(crate) fn ticked(&self, at: Duration) {
        self.ticked_at.set(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    }

    /// When it last did.
    pub(crate) fn last_tick(&self) -> Duration {
        Duration::from_millis(self.ticked_at.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_where_its_count_is() {
        for (number, (answer, _)) in StatusClass::ALL.into_iter().enumerate() {
            assert_eq!(answer as usize, number);
        }
        for (number, (publish, _)) in PublishOutcome::ALL.into_iter().enumerate() {
            assert_eq!(publish as usize, number);
        }
    }
}
