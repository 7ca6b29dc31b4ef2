//! Every number of the server, with its unit, its default and the reason for it.
//!
//! [`Config`] is what an operator chooses, [`Limits`] is what bounds a client. This module knows nothing of flags or
//! of the environment: whoever reads those fills a `Config` in. Nothing here is read again once the server is bound.

mod address;
mod trusted_proxy;

use std::fmt;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::address::DEFAULT_MODE;
pub use self::address::{Address, InvalidAddress};
pub use self::trusted_proxy::{InvalidProxy, TrustedProxy};
use crate::auth::Access;

/// What the server listens on and how it runs.
///
/// The default serves `127.0.0.1:1942` with one worker for each core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The addresses to listen on, at least one. 127.0.0.1:1942 by default, loopback because whoever reaches
    /// `POST /broadcast` may publish.
    pub listen: Vec<Address>,
    /// Where the server is looked after: metrics, health and a live page. None by default. Whoever reaches it may see
    /// all of that, publish, and disconnect streams.
    pub admin: Option<Address>,
    /// The number of worker threads. `None`, the default, starts one for each core that this process may use.
    pub workers: Option<NonZeroUsize>,
    /// How long a stream may be silent before it gets a comment that keeps proxies from closing it; 15 s by default,
    /// below the 30 to 60 s after which common proxies give up. `None` turns heartbeats off.
    pub heartbeat: Option<Duration>,
    /// What is held for streams that come back; nothing by default, and events have no ids of the server's then.
    pub history: Option<Retention>,
    /// The file in which that outlives the server; none by default.
    pub history_file: Option<HistoryFile>,
    /// Whose requests are carried out; all by default. The one thing here that can be changed later
    /// ([`Server::settings`](crate::Server::settings)).
    pub access: Access,
    /// Proxies whose word is taken, in `Forwarded` (RFC 7239) or `X-Forwarded-For`, for whom they speak:
    /// [`Limits::connections_per_ip`] holds for their clients, and not for them. None by default, and anybody else's
    /// fields are never looked at.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// What bounds each client, and all of them together.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![(Ipv4Addr::LOCALHOST, 1942).into()],
            admin: None,
            workers: None,
            heartbeat: Some(Duration::from_secs(15)),
            history: None,
            history_file: None,
            access: Access::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// How much of what was published is held for streams that come back: whichever bound is met first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events. 1000.
    pub events: usize,
    /// Their size in memory, in bytes. 64 MiB.
    pub bytes: usize,
    /// How old they may be. 24 hours.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1000, bytes: 64 * 1024 * 1024, age: Duration::from_secs(24 * 60 * 60) }
    }
}

/// A file for the history, and when it is on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryFile {
    /// Where it is, or is made. Beside it there may be one named `.new` for a moment, and one named `.damaged`.
    pub path: PathBuf,
    /// When an event is on the disk.
    pub sync: HistorySync,
}

/// When an event is on the disk, and so outlives not only the server but the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistorySync {
    /// Before its publisher is answered.
    Always,
    /// A second later.
    #[default]
    Interval,
}

/// The bound of every queue, buffer and wait.
///
/// Sizes are in bytes. Durations are kept by a timer that turns a few times a second, so that a wait may last up to a
/// quarter of a second longer than its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at one time, streams included. `None`, the default, takes the process's limit of descriptors
    /// less a reserve for the server's own.
    pub connections: Option<NonZeroUsize>,
    /// Connections open at one time from one IPv4 address, or from one IPv6 /64. `None`, the default, is for a server
    /// behind a proxy, where all come from one; one of [`Config::trusted_proxies`] has them counted for its clients.
    pub connections_per_ip: Option<NonZeroUsize>,

    /// A request head, from its first byte to the empty line that ends it. 16 KiB.
    pub head_bytes: usize,
    /// The request line within it. 8 KiB.
    pub request_line_bytes: usize,
    /// The body of a publish, chunked or not, after decoding. 1 MiB.
    pub body_bytes: usize,
    /// Chunk extensions in one body. They are read and ignored, so they only cost. 4 KiB.
    pub chunk_extension_bytes: usize,
    /// The trailer section of one chunked body, ignored as well. 16 KiB.
    pub trailer_bytes: usize,
    /// What a client may send on an open stream, where nothing is expected, before it is closed. 64 KiB.
    pub stream_input_bytes: usize,
    /// What is read and dropped after a final answer, so that the answer is not destroyed by a reset. 16 MiB.
    pub linger_bytes: usize,

    /// How far a stream may fall behind before it is closed, each batch counted with what it costs beyond its bytes.
    /// It is also, with one batch more, what a shard keeps in memory for all its slow streams together, and as much
    /// again for those that end in the middle of an event. 1 MiB.
    pub window_bytes: usize,
    /// What a shard keeps for the slow streams of all sets of topics together. Where that is used up, those that are
    /// behind are closed as if they were too far behind. 16 MiB.
    pub topic_window_bytes: usize,
    /// How long it takes at least to give as many bytes as the window holds, while a stream is behind: in a burst, who
    /// reads gets the time to do so before it is cut. A publisher may wait for that time, and not for a stream: one
    /// that takes nothing is cut after it. 50 ms.
    pub window_time: Duration,
    /// What the system keeps of a connection's bytes that it could not send yet (`TCP_NOTSENT_LOWAT`, on Linux): a
    /// stream whose client does not read holds that much and what the client's own buffer takes, and has moved on when
    /// it takes half as much. 32 KiB.
    pub unsent_bytes: usize,
    /// Where a batch stops growing; a single longer message is a batch of its own. 256 KiB, about what one write
    /// hands to the kernel at once.
    pub batch_bytes: usize,
    /// How long a shard may rest between two rounds of writes while more messages wait, so that the next write carries
    /// more: half as long as the last round took, and never longer than this. 25 ms; zero never rests.
    pub longest_rest: Duration,
    /// Messages accepted and not yet taken by every shard. A publisher waits while there are so many. 1024.
    pub publish_queue: usize,
    /// The bytes of messages that not every shard has written to its streams yet: a publisher waits while there are so
    /// many, so there is one message more at most. 16 MiB.
    pub publish_queue_bytes: usize,
    /// Connections of the admin address open at one time, live pages included; more are closed at once. 32.
    pub admin_connections: usize,
    /// Answers that wait to leave in one write. 16 KiB, which is about a hundred.
    pub answer_bytes: usize,

    /// For a request's head: from accept for the first, from its first byte for a later one. 10 s.
    pub head_timeout: Duration,
    /// For a request's body, from the end of its head. 30 s.
    pub body_timeout: Duration,
    /// How long a kept-alive connection may stay idle between two requests. 60 s.
    pub idle_timeout: Duration,
    /// How long a write may make no progress before its connection is closed. 30 s.
    pub write_timeout: Duration,
    /// How long a client gets to read a final answer before the socket is closed. 2 s.
    pub linger_timeout: Duration,
    /// How long a worker may take to turn its loop, which it does several times a second, before the server counts as
    /// not ready ([`Health::ready`](crate::Health::ready)). 5 s.
    pub turn_timeout: Duration,
    /// How long ending the server may take before what is left is closed as it is. 10 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const KIB: usize = 1024;
        Self {
            connections: None,
            connections_per_ip: None,
            head_bytes: 16 * KIB,
            request_line_bytes: 8 * KIB,
            body_bytes: 1024 * KIB,
            chunk_extension_bytes: 4 * KIB,
            trailer_bytes: 16 * KIB,
            stream_input_bytes: 64 * KIB,
            linger_bytes: 16 * 1024 * KIB,
            window_bytes: 1024 * KIB,
            topic_window_bytes: 16 * 1024 * KIB,
            window_time: Duration::from_millis(50),
            unsent_bytes: 32 * KIB,
            batch_bytes: 256 * KIB,
            longest_rest: Duration::from_millis(25),
            publish_queue: 1024,
            publish_queue_bytes: 16 * 1024 * KIB,
            admin_connections: 32,
            answer_bytes: 16 * KIB,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            turn_timeout: Duration::from_secs(5),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// By how much the system's patience with a peer outlasts ours, so that a stall is told as what it is.
const SYSTEM_IS_LATER: Duration = Duration::from_secs(1);

impl Limits {
    /// How long the system waits for a peer that acknowledges nothing (`TCP_USER_TIMEOUT`).
    pub(crate) fn user_timeout(&self) -> Duration {
        self.write_timeout.saturating_add(SYSTEM_IS_LATER)
    }
}

impl Config {
    /// The default, on this address.
    pub fn on(address: impl Into<Address>) -> Self {
        Self { listen: vec![address.into()], ..Self::default() }
    }

    /// What is held for streams that come back: what was asked for, or where only a file was, the default.
    pub(crate) fn retention(&self) -> Option<Retention> {
        self.history.or(self.history_file.as_ref().map(|_| Retention::default()))
    }

    /// Refuses what could not work, before anything is bound.
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        let limits = &self.limits;
        let positive = [
            ("head_bytes", limits.head_bytes),
            ("request_line_bytes", limits.request_line_bytes),
            ("window_bytes", limits.window_bytes),
            ("unsent_bytes", limits.unsent_bytes),
            ("batch_bytes", limits.batch_bytes),
            ("publish_queue", limits.publish_queue),
            ("publish_queue_bytes", limits.publish_queue_bytes),
        ];
        for (name, value) in positive {
            if value == 0 {
                return Err(ConfigError { name, rule: "has to be at least 1" });
            }
        }
        let times = [
            ("head_timeout", limits.head_timeout),
            ("body_timeout", limits.body_timeout),
            ("idle_timeout", limits.idle_timeout),
            ("write_timeout", limits.write_timeout),
        ];
        for (name, value) in times {
            if value.is_zero() {
                return Err(ConfigError { name, rule: "has to be longer than nothing" });
            }
        }
        if self.heartbeat.is_some_and(|heartbeat| heartbeat.is_zero()) {
            return Err(ConfigError { name: "heartbeat", rule: "has to be longer than nothing; None turns it off" });
        }
        if self.listen.is_empty() {
            return Err(ConfigError { name: "listen", rule: "has to name an address" });
        }
        Ok(())
    }
}

/// A value of a [`Config`] that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    name: &'static str,
    rule: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration's {} {}", self.name, self.rule)
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_a_zero_is_not() {
        assert_eq!(Config::default().validate(), Ok(()));
        let limits = Limits { publish_queue: 0, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().expect_err("a queue of nothing holds nothing");
        assert_eq!(error.to_string(), "the configuration's publish_queue has to be at least 1");
        let limits = Limits { write_timeout: Duration::ZERO, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().expect_err("no write is that quick");
        assert_eq!(error.to_string(), "the configuration's write_timeout has to be longer than nothing");
    }
}
