//! The whole: a listener, a hub, and a shard for each worker.
//!
//! [`Server::run`] deals connections to the shards in turn until it is told to end, and then drains: requests in
//! flight are answered, what they published is delivered, streams end between two events. However it ends, dropped
//! half-way included, every thread, task and socket is gone when it is.

mod error;
mod shard;
mod shards;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use smol::future::FutureExt;

pub use self::error::{BindError, PublishError};
use self::shards::Shards;
use crate::admin::{Admin, AdminContext};
use crate::auth::Settings;
use crate::config::{Address, Config, HistoryFile};
use crate::connection::Shared;
use crate::event::frame::{Event, Frame, InvalidField};
use crate::event::topic::{Filter, Topics};
use crate::fanout::{ShardHandle, SubscriberCounts};
use crate::hub::{self, Archive, HistorySetup, Hub, Journal, QueueReceiver, Record, Restored};
use crate::metrics::{Health, Metrics, StreamEnd};
use crate::net::{Acceptor, Admission, Inherited, Listener, RESERVED_DESCRIPTORS, within};

/// How long the disk may take for the last of the history before it is said that the server waits for it.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// A server that is bound to its address: clients can connect, and are served once [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    /// With the addresses that it really has.
    config: Config,
    listener: Listener,
    admission: Admission,
    shared: Shared,
    /// One for each worker.
    receivers: Vec<QueueReceiver>,
    health: Health,
    /// Serves from when this is made, which is once the history is read, and says that the server is starting until it
    /// runs.
    admin: Option<Admin>,
    /// Filled when the server runs.
    handles: Arc<OnceLock<Vec<ShardHandle>>>,
    ending: Ending,
}

/// Ends the hub when dropped, however the server ends: nothing more is published and the file of the history is free,
/// whoever still has a publisher.
#[derive(Debug)]
struct Ending(Hub);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Server {
    /// Binds the address of the configuration and starts to listen.
    ///
    /// # Errors
    ///
    /// When a value of the configuration is out of range, when the process may not open enough files, or when the
    /// address cannot be listened on: the port is taken, the address is not one of this machine's, the process may not
    /// use the port.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        Self::bind_with(config, Sockets::default())
    }

    /// The same, with sockets that listen already in the place of the addresses that the configuration names.
    ///
    /// # Errors
    ///
    /// As for [`Server::bind`].
    pub fn bind_with(config: Config, sockets: Sockets) -> Result<Self, BindError> {
        config.validate().map_err(BindError::Config)?;
        let workers = config.workers.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
        let metrics = Metrics::of_shards(workers.get());
        let health = Health::new(metrics.clone(), Instant::now(), config.limits.turn_timeout);
        let has_admin = sockets.admin.is_some() || config.admin.is_some();
        let connections = connection_limit(&config, has_admin).ok_or(BindError::Descriptors)?;
        let acceptors = open_doors(&config, sockets.public)?;
        let admin_door = open_admin_door(&config, sockets.admin)?;
        let admission = Admission::new(connections, &config.limits, &config.trusted_proxies, metrics.clone());
        let listener = Listener::new(acceptors, metrics.clone());
        let admin_listener = admin_door.map(|acceptor| Listener::new(vec![acceptor], metrics.clone()));
        let kept = open_history(&config)?;
        let hub = Hub::new(&config.limits, kept, workers.get(), metrics.clone());
        let (hub, receivers) = hub.map_err(BindError::Thread)?;
        let ending = Ending(hub.clone());
        let (limits, settings) = (config.limits.clone(), Settings::new(config.access.clone()));
        let shared = Shared { limits, settings, hub, metrics, subscriber_counts: SubscriberCounts::new() };
        let admin_address = admin_listener.as_ref().and_then(|listener| listener.addresses().next().cloned());
        // With the ports that the system picked, and the sockets that were handed over.
        let listen = listener.addresses().cloned().collect();
        let config = Config { listen, admin: admin_address, ..config };
        let handles = Arc::new(OnceLock::new());
        let watched = AdminContext {
            config: config.clone(),
            shared: shared.clone(),
            health: health.clone(),
            connection_limit: connections,
            started: SystemTime::now(),
            handles: Arc::clone(&handles),
        };
        let admin =
            admin_listener.map(|listener| Admin::start(listener, watched)).transpose().map_err(BindError::Thread)?;
        Ok(Self { config, listener, admission, shared, receivers, health, admin, handles, ending })
    }

    /// Where clients connect to, with the port that the system picked where port 0 was asked for.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.config.listen.iter()
    }

    /// The first of those that is a TCP address. `None` where the server listens on unix sockets alone.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().find_map(Address::tcp)
    }

    /// The admin address, if there is one.
    pub fn admin_address(&self) -> Option<&Address> {
        self.config.admin.as_ref()
    }

    /// The number of worker threads that [`Server::run`] starts.
    pub fn workers(&self) -> usize {
        self.receivers.len()
    }

    /// The number of connections that there is room for.
    pub fn connection_limit(&self) -> usize {
        self.admission.limit()
    }

    /// A handle that publishes to this server's streams. It outlives [`Server::run`], and fails from then on.
    pub fn publisher(&self) -> Publisher {
        Publisher { hub: self.shared.hub.clone(), metrics: self.shared.metrics.clone() }
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.shared.metrics.streams()
    }

    /// Number of open streams that subscribed to a topic which `filter` matches.
    ///
    /// A stream counts if one of its own filters has a topic in common with `filter`. Streams without topics get
    /// broadcasts alone and do not count. The call looks at every set of filters, under the lock that a stream with
    /// topics takes when it opens: it is for a program's dashboard, not for each message.
    ///
    /// ```
    /// use smolcast::{Config, Server};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
    /// assert_eq!(server.streams_on(&"room/#".parse()?), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams_on(&self, filter: &Filter) -> usize {
        self.shared.subscriber_counts.overlapping(filter)
    }

    /// A handle on what can be changed while the server runs.
    pub fn settings(&self) -> Settings {
        self.shared.settings.clone()
    }

    /// The server's counters.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics.clone()
    }

    /// Tells whether the server serves.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `until` ends, then drains: stops accepting, answers the requests in flight, delivers what they
    /// published and ends every stream between two events, for at most [`Limits::drain_timeout`]. With a history's file
    /// it then waits for the disk to have all that was written, which takes as long as that does.
    ///
    /// The future runs on any executor. Dropping it ends the server at once, and waits for its threads to end, and so
    /// for that disk.
    ///
    /// # Errors
    ///
    /// When a worker thread cannot be started, or ends before it was told to.
    ///
    /// [`Limits::drain_timeout`]: crate::Limits::drain_timeout
    pub async fn run(self, until: impl Future<Output = ()>) -> io::Result<()> {
        let Self { config, mut listener, mut admission, shared, receivers, health, admin, handles, ending } = self;
        // To the very end: it tells how that goes.
        let _admin = admin;
        let _ending = ending;
        let (mut shards, ways_in) = Shards::start(&shared, config.heartbeat, receivers, health.since())?;
        // Nobody else fills them.
        let _ = handles.set(ways_in);
        let serving = health.serve();
        let until = async {
            until.await;
            Ok(())
        };
        until.or(shards.deal(&mut listener, &mut admission)).await?;
        drop((serving, listener));
        let metrics = &shared.metrics;
        if !shards.drain(config.limits.drain_timeout).await && metrics.connections() > 0 {
            metrics.streams_ended_at_once(StreamEnd::Cut, metrics.streams());
            log::warn!("what did not end within {:?} is closed as it is", config.limits.drain_timeout);
        }
        drop(shards);
        if within(DISK_PATIENCE, shared.hub.recorded()).await.is_none() {
            log::warn!("waiting for the disk to take the last of the history's file");
            shared.hub.recorded().await;
        }
        Ok(())
    }
}

/// Sockets that listen already, in the place of those that a configuration has the server make.
#[derive(Debug, Default)]
pub struct Sockets {
    /// In the place of [`Config::listen`], unless there are none.
    pub public: Vec<Inherited>,
    /// In the place of [`Config::admin`], if there is one.
    pub admin: Option<Inherited>,
}

/// The door of the admin address, where there is one.
fn open_admin_door(config: &Config, inherited: Option<Inherited>) -> Result<Option<Acceptor>, BindError> {
    let limits = &config.limits;
    if let Some(socket) = inherited {
        return Acceptor::over(socket, limits).map(Some).map_err(BindError::Inherited);
    }
    let Some(address) = &config.admin else { return Ok(None) };
    Acceptor::bind(address, false, limits).map(Some).map_err(|error| BindError::Listen(address.clone(), error))
}

/// The doors of the public side.
fn open_doors(config: &Config, inherited: Vec<Inherited>) -> Result<Vec<Acceptor>, BindError> {
    let limits = &config.limits;
    if !inherited.is_empty() {
        let acceptors =
            inherited.into_iter().map(|socket| Acceptor::over(socket, limits).map_err(BindError::Inherited));
        return acceptors.collect();
    }
    let addresses = &config.listen;
    let bind = |address: &Address| {
        let only_v6 = address.tcp().is_some_and(|wildcard| leaves_v4_to_others(wildcard, addresses));
        Acceptor::bind(address, only_v6, limits).map_err(|error| BindError::Listen(address.clone(), error))
    };
    addresses.iter().map(bind).collect()
}

/// Whether this is an IPv6 wildcard beside an IPv4 address of its port, which could not be bound if that took IPv4 too.
fn leaves_v4_to_others(wildcard: SocketAddr, addresses: &[Address]) -> bool {
    let is_v4 = |address: SocketAddr| address.ip().to_canonical().is_ipv4() && address.port() == wildcard.port();
    // Those with port 0 get ports of their own.
    wildcard.ip() == Ipv6Addr::UNSPECIFIED
        && wildcard.port() != 0
        && addresses.iter().filter_map(Address::tcp).any(is_v4)
}

/// The history that the configuration asks for, with what its file has of earlier servers.
fn open_history(config: &Config) -> Result<Option<HistorySetup>, BindError> {
    let Some(retention) = config.retention() else { return Ok(None) };
    let archive = Archive::new(retention);
    let Some(HistoryFile { path, sync }) = &config.history_file else {
        return Ok(Some(HistorySetup { archive, journal: None }));
    };
    let opened = Journal::open(path, |record| restore(&archive, record));
    let (journal, recovered) = opened.map_err(|error| BindError::History(path.clone(), error))?;
    if recovered.cut > 0 {
        let kept = recovered.damaged.map_or_else(String::new, |file| format!("; it is kept in {}", file.display()));
        log::warn!("cut {} bytes of what was not whole from the end of {}{kept}", recovered.cut, path.display());
    }
    Ok(Some(HistorySetup { archive, journal: Some((journal, *sync)) }))
}

/// Has the archive keep what an earlier server published.
fn restore(archive: &Archive, record: Record) {
    let (id, is_own) = (record.id(), record.own_id.is_some());
    // Whoever wrote other topics than there are was not this program, and nobody can ask for them.
    let Ok(topics) = Topics::parse(record.topics.iter().map(String::as_str)) else { return };
    archive.restore(record.boot, Restored { at: record.at, id, is_own, topics, frame: Frame::encoded(record.frame) });
}

/// Descriptors that the admin address needs besides its connections: for one over the limit, which is closed at once.
const BESIDE_ADMIN_CONNECTIONS: usize = 1;

/// As many connections as are asked for and the process has descriptors for; `None` where it has them for none.
fn connection_limit(config: &Config, has_admin: bool) -> Option<usize> {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = descriptors.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let admin = if has_admin { config.limits.admin_connections.saturating_add(BESIDE_ADMIN_CONNECTIONS) } else { 0 };
    let reserved = RESERVED_DESCRIPTORS.saturating_add(admin);
    let available = descriptors.checked_sub(reserved).filter(|available| *available > 0)?;
    Some(config.limits.connections.map_or(available, |request| request.get().min(available)))
}

/// A handle that publishes to the streams of a [`Server`]. Cheap to clone, and usable from any thread and executor.
#[derive(Clone, Debug)]
pub struct Publisher {
    hub: Hub,
    metrics: Metrics,
}

impl Publisher {
    /// Publishes an event: when this returns, it is accepted for every open stream, behind all that this publisher
    /// published before. Waits while the server has more messages than it can take
    /// ([`Limits::publish_queue`](crate::Limits::publish_queue),
    /// [`Limits::publish_queue_bytes`](crate::Limits::publish_queue_bytes)); they are taken from when
    /// [`Server::run`] begins.
    ///
    /// Cancel safe: an event whose publishing is dropped before it returns is not published. Where the history has a
    /// file it may be.
    ///
    /// # Errors
    ///
    /// When a field of the event cannot be encoded, when the history's file cannot be written, or when the server has
    /// stopped: where the file's disk hung until then, the event may be in it, for those who come back.
    pub async fn publish(&self, event: Event) -> Result<(), PublishError> {
        let (fields, data) = event.parts().map_err(PublishError::InvalidField)?;
        let topics = Topics::parse(event.topics());
        let topics = topics.map_err(|_| PublishError::InvalidField(InvalidField::Topic))?;
        let published = self.hub.publish(fields, data, &topics).await;
        published.map(drop).map_err(|error| match error {
            hub::PublishError::Closed => PublishError::Stopped,
            hub::PublishError::NoSpace => PublishError::NoSpace,
            hub::PublishError::NotWritten => PublishError::NotWritten,
        })
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.metrics.streams()
    }
}
