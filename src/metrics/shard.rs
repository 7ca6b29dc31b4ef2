//! What one shard counts of its own, and how it is.
//!
//! Only the shard's thread writes, once for each round or tick and never for each stream, so that counting costs no
//! lock and no cache line that another thread writes to; whoever wants to know reads.

use std::time::Duration;

use super::histogram::{Count, Histogram};

/// The counts of one shard. On cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Tally {
    /// Messages that rounds and streams' own catching up have written, each to each of its streams, and their bytes,
    /// heartbeats included. What is sent first to who comes back, skips or leaves is not in it.
    pub(crate) deliveries: Count,
    pub(crate) bytes: Count,
    /// Times that a stream fell behind.
    falls: Count,
    /// Messages in each batch.
    pub(crate) batch_sizes: Histogram,
    /// From when a message came to be published, waits for room included, to its last write on the last of all shards,
    /// in microseconds: counted by that one.
    pub(crate) latency: Histogram,
    /// Answers by the class of their status.
    pub(crate) answers: [Count; ANSWERS],
    /// Requests to publish by what became of them.
    pub(crate) publishes: [Count; PUBLISHES],
    /// Open streams, those of them that are behind, and what windows hold for them: as of the last tick.
    pub(crate) streams: Count,
    pub(crate) behind: Count,
    pub(crate) window_bytes: Count,
    /// When the last tick was, in milliseconds since the server was made.
    turned_at: Count,
}

/// The class of an answer's status (RFC 9110, 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Successful,
    ClientError,
    ServerError,
}

pub(crate) const ANSWERS: usize = 3;

impl Answer {
    pub(crate) const ALL: [(Self, &'static str); ANSWERS] =
        [(Self::Successful, "2xx"), (Self::ClientError, "4xx"), (Self::ServerError, "5xx")];
}

/// What became of a request to publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publish {
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

pub(crate) const PUBLISHES: usize = 6;

impl Publish {
    pub(crate) const ALL: [(Self, &'static str); PUBLISHES] = [
        (Self::Accepted, "accepted"),
        (Self::Unauthorized, "unauthorized"),
        (Self::Forbidden, "forbidden"),
        (Self::TooLarge, "too_large"),
        (Self::Invalid, "invalid"),
        (Self::Unavailable, "unavailable"),
    ];
}

impl Tally {
    /// Counts what was written between two turns of other tasks.
    pub(crate) fn written(&self, deliveries: u64, bytes: u64) {
        self.deliveries.add(deliveries);
        self.bytes.add(bytes);
    }

    /// Counts a stream that falls behind; returns how many did so before.
    pub(crate) fn fell_behind(&self) -> u64 {
        let before = self.falls.get();
        self.falls.add(1);
        before
    }

    /// How many times a stream fell behind.
    pub(crate) fn falls(&self) -> u64 {
        self.falls.get()
    }

    /// Counts a message that is written wherever it was to be.
    pub(crate) fn delivered_after(&self, time: Duration) {
        self.latency.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(crate) fn answered(&self, answer: Answer) {
        self.answers[answer as usize].add(1);
    }

    pub(crate) fn publish_ended(&self, publish: Publish) {
        self.publishes[publish as usize].add(1);
    }

    /// The shard's loop has turned, so long after the server was made.
    pub(crate) fn turned(&self, at: Duration) {
        self.turned_at.set(u64::try_from(at.as_millis()).unwrap_or(u64::MAX));
    }

    /// When it last did.
    pub(crate) fn last_turn(&self) -> Duration {
        Duration::from_millis(self.turned_at.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_where_its_count_is() {
        for (number, (answer, _)) in Answer::ALL.into_iter().enumerate() {
            assert_eq!(answer as usize, number);
        }
        for (number, (publish, _)) in Publish::ALL.into_iter().enumerate() {
            assert_eq!(publish as usize, number);
        }
    }
}
