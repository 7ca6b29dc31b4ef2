//! The configuration of a server: every number with its unit, its default and the reason for it.
//!
//! [`Config`] holds an operator's choices, [`Limits`] bounds every client. This room knows no flags and no environment:
//! the program fills a `Config` from them. A bound server never reads its configuration again.

mod address;
mod trusted_proxy;

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use self::address::DEFAULT_MODE;
pub use self::address::{Address, InvalidAddress};
pub use self::trusted_proxy::{InvalidProxy, TrustedProxy};
use crate::auth::AccessSettings;

/// Addresses, features and limits of a server.
///
/// The default serves `127.0.0.1:1942` with one shard for each core, and no option on. Fields are added in minor
/// versions, so a program starts from [`Config::on`] or the default and assigns fields:
///
/// ```
/// use smolcast::{Config, Retention};
///
/// let mut config = Config::on(([127, 0, 0, 1], 0));
/// config.history = Some(Retention::default());
/// config.limits.body_bytes = 64 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Addresses to listen on, at least one. Default: 127.0.0.1:1942, because anyone who reaches `POST /broadcast` may
    /// publish.
    pub listen: Vec<Address>,
    /// Address of the admin side: metrics, health and a live page. Default: none. Anyone who reaches it sees all of
    /// that, may publish, and may disconnect streams.
    pub admin: Option<Address>,
    /// Number of shards, a thread each. Default: `None`, one for each core that this process may use.
    pub workers: Option<NonZeroUsize>,
    /// Silence after which a stream gets a comment, so that proxies keep it open. Default: 15 s, below the 30 to 60 s
    /// after which common proxies give up. `None` turns heartbeats off.
    pub heartbeat: Option<Duration>,
    /// Events held for clients that reconnect. Default: none, and then the server gives events no ids.
    pub history: Option<Retention>,
    /// Folder in which the history outlives the server. Default: none.
    pub history_dir: Option<HistoryDir>,
    /// Hosts, origins and tokens that requests are checked against. Default: every request is allowed. A running
    /// server can replace them ([`Server::access_control`](crate::Server::access_control)).
    pub access: AccessSettings,
    /// Proxies that name a client in `Forwarded` (RFC 7239) or `X-Forwarded-For`. [`Limits::connections_per_ip`] then
    /// holds for those clients and not for the proxy. Default: none; fields from any other peer are ignored.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Bounds of each client, and of all clients together.
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
            history_dir: None,
            access: AccessSettings::default(),
            trusted_proxies: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Bounds of the history; the first one that is reached removes the oldest event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// Number of events. Default: 1000.
    pub events: usize,
    /// Size in memory, in bytes, with topics and ids. Default: 64 MiB.
    pub bytes: usize,
    /// Age of an event. Default: 24 hours.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { events: 1000, bytes: 64 * 1024 * 1024, age: Duration::from_secs(24 * 60 * 60) }
    }
}

/// Folder of the history, of one server alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryDir {
    /// Path of the folder, which is created if its parent exists.
    pub path: PathBuf,
    /// Point at which an event has to be on the disk.
    pub sync: HistorySync,
}

impl HistoryDir {
    /// Creates the default for a path: [`HistorySync::Interval`].
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), sync: HistorySync::default() }
    }
}

/// Point at which an event is on the disk, so that it survives a failure of the system too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistorySync {
    /// Before the publisher gets its response.
    Always,
    /// At most a second after the response.
    #[default]
    Interval,
}

/// Bounds of every queue, buffer and wait.
///
/// Sizes are in bytes. A shard checks its deadlines a few times a second. A wait may last a quarter of a second
/// longer than its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Open connections, streams included. Default: `None`, the process's descriptor limit less a reserve for the
    /// server itself.
    pub connections: Option<NonZeroUsize>,
    /// Open connections from one IPv4 address or one IPv6 /64. Default: `None`, because behind a proxy all connections
    /// share one address. Requests from one of [`Config::trusted_proxies`] count for the client that it names.
    pub connections_per_ip: Option<NonZeroUsize>,

    /// Request head, from its first byte to the empty line that ends it. Default: 16 KiB.
    pub head_bytes: usize,
    /// Request line within the head. Default: 8 KiB.
    pub request_line_bytes: usize,
    /// Body of a publish request, after decoding. Default: 1 MiB.
    pub body_bytes: usize,
    /// Chunk extensions in one body, which are read and ignored. Default: 4 KiB.
    pub chunk_extension_bytes: usize,
    /// Trailer section of one chunked body, which is ignored too. Default: 16 KiB.
    pub trailer_bytes: usize,
    /// Bytes that a client may send on an open stream, where none are expected, before it is closed. Default: 64 KiB.
    pub stream_input_bytes: usize,
    /// Bytes read and dropped after a final response, so that no reset destroys the response. Default: 16 MiB.
    pub linger_bytes: usize,

    /// Lag at which a slow stream is closed; a batch counts with its overhead. A shard keeps this much, and one batch
    /// more, for all its slow streams together. It keeps as much again for streams that end in the middle of an event.
    /// Default: 1 MiB.
    pub window_bytes: usize,
    /// Memory of a shard for the slow streams of all topic filters together. Once it is used up, those streams are
    /// closed as if they lagged. Default: 16 MiB.
    pub topic_window_bytes: usize,
    /// Estimated memory of a shard for the different filters of its streams; the counts of all shards hold as much
    /// again. A stream whose filters go beyond it is told to retry later. Default: 128 MiB, 150 000 streams with a
    /// filter each.
    pub filter_bytes: usize,
    /// Shortest time in which a shard sends a window's worth of bytes while one of its streams is slow. In a burst, a
    /// client that reads gets this time before it is cut. Publishers may wait for this time, and for no stream longer.
    /// Default: 50 ms.
    pub window_time: Duration,
    /// Unsent bytes that the kernel keeps for a connection (`TCP_NOTSENT_LOWAT`, on Linux). A client that does not
    /// read costs this much and its own receive buffer. Default: 32 KiB.
    pub unsent_bytes: usize,
    /// Size at which a batch stops growing; a longer message is a batch of its own. Default: 256 KiB, about as much as
    /// one write hands to the kernel.
    pub batch_bytes: usize,
    /// Longest pause between two rounds of writes while more messages wait, so that the next write carries more. A
    /// pause takes half as long as the last round took. Default: 25 ms; zero never pauses.
    pub longest_rest: Duration,
    /// Accepted messages that not every shard has taken. A publisher waits while there are so many. Default: 1024.
    pub publish_queue: usize,
    /// Bytes of messages that not every shard has written. A publisher waits while there are so many, so at most one
    /// message more is in flight. Default: 16 MiB.
    pub publish_queue_bytes: usize,
    /// Publish requests of one connection that are under way at a time, if the history is on a disk: they are written
    /// together. A client that pipelines more waits. Default: 256.
    pub pipelined_publishes: usize,
    /// Open connections of the admin address, live pages included; more are closed at once. Default: 32.
    pub admin_connections: usize,
    /// Responses collected for one write. Default: 16 KiB, about a hundred responses.
    pub answer_bytes: usize,

    /// Time for a request's head: from accept for the first one, from its first byte for a later one. Default: 10 s.
    pub head_timeout: Duration,
    /// Time for a request's body, from the end of its head. Default: 30 s.
    pub body_timeout: Duration,
    /// Idle time of a connection between two requests. Default: 75 s, above the 60 s of common load balancers: the side
    /// that sends requests has to close first.
    pub idle_timeout: Duration,
    /// Time without progress after which a write ends its connection. Default: 30 s.
    pub write_timeout: Duration,
    /// Time for a client to read a final response before the socket is closed. Default: 2 s.
    pub linger_timeout: Duration,
    /// Time without a tick after which a shard counts as stuck, and the server as not ready
    /// ([`Health::ready`](crate::Health::ready)). A shard ticks several times a second. Default: 5 s.
    pub turn_timeout: Duration,
    /// Time before a graceful shutdown in which the server is not ready any more ([`Health::ready`]) and still serves,
    /// so that load balancers send it no new clients. Default: none.
    ///
    /// [`Health::ready`]: crate::Health::ready
    pub drain_delay: Duration,
    /// Grace period for shutdown; connections still open after it are closed. Default: 10 s.
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
            filter_bytes: 128 * 1024 * KIB,
            window_time: Duration::from_millis(50),
            unsent_bytes: 32 * KIB,
            batch_bytes: 256 * KIB,
            longest_rest: Duration::from_millis(25),
            publish_queue: 1024,
            publish_queue_bytes: 16 * 1024 * KIB,
            pipelined_publishes: 256,
            admin_connections: 32,
            answer_bytes: 16 * KIB,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(2),
            turn_timeout: Duration::from_secs(5),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Extra time of the kernel's own timeout, so that the server notices and counts a stall first.
const SYSTEM_IS_LATER: Duration = Duration::from_secs(1);

impl Limits {
    /// Time after which the kernel gives up a peer that acknowledges nothing (`TCP_USER_TIMEOUT`).
    pub(crate) fn user_timeout(&self) -> Duration {
        self.write_timeout.saturating_add(SYSTEM_IS_LATER)
    }
}

impl Config {
    /// Creates the default configuration for one address.
    pub fn on(address: impl Into<Address>) -> Self {
        Self { listen: vec![address.into()], ..Self::default() }
    }

    /// Bounds of the history: the chosen ones, or the default ones if only a folder was chosen.
    pub(crate) fn retention(&self) -> Option<Retention> {
        self.history.or(self.history_dir.as_ref().map(|_| Retention::default()))
    }

    /// Checks every value, before anything is bound.
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
            ("pipelined_publishes", limits.pipelined_publishes),
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

/// Value of a [`Config`] that is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration's {name} {rule}")]
pub struct ConfigError {
    name: &'static str,
    rule: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_is_valid_and_zero_is_not() {
        assert_eq!(Config::default().validate(), Ok(()));
        let limits = Limits { publish_queue: 0, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().expect_err("a queue of nothing holds nothing");
        assert_eq!(error.to_string(), "the configuration's publish_queue has to be at least 1");
        let limits = Limits { write_timeout: Duration::ZERO, ..Limits::default() };
        let error = Config { limits, ..Config::default() }.validate().expect_err("no write is that quick");
        assert_eq!(error.to_string(), "the configuration's write_timeout has to be longer than nothing");
    }
}
