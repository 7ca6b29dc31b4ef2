//! The server: listening sockets, a hub, and a shard for each worker thread.
//!
//! [`Server::run`] deals connections to the shards until its future ends, and then shuts down (`shutdown.rs`). It
//! serves no client itself. The invariant: every thread, task and socket is gone once it returns or is dropped.

mod error;
mod publisher;
mod shard;
mod shards;
mod shutdown;

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Instant, SystemTime};

use smol::future::FutureExt;

pub use self::error::BindError;
pub use self::publisher::{Publisher, Receipt};
use self::shards::Shards;
use self::shutdown::HubGuard;
use crate::admin::{Admin, AdminContext};
use crate::auth::AccessControl;
use crate::config::{Address, Config, HistoryDir};
use crate::connection::Shared;
use crate::event::topic::Filter;
use crate::fanout::SubscriberCounts;
use crate::hub::{Hub, Log, QueueReceiver};
use crate::metrics::{Health, Metrics};
use crate::net::{Acceptor, Admission, Inherited, Listener, RESERVED_DESCRIPTORS, start_reactor};

/// A server that listens: clients can connect, and are served once [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    /// With the addresses that the server really has.
    config: Config,
    listener: Listener,
    admission: Admission,
    shared: Shared,
    /// Their threads are there from the start: later the system might have none left.
    shards: Shards,
    hub_guard: HubGuard,
    health: Health,
    /// Serves as soon as the server is bound, and reports that it is starting until it runs.
    admin: Option<Admin>,
}

impl Server {
    /// Binds the addresses of the configuration, listens, and starts every thread that the server has.
    ///
    /// # Errors
    ///
    /// Each [`BindError`]: a value of the configuration is out of range, the process may not open enough files or start
    /// enough threads, the history's folder cannot be used, or an address is taken, not permitted or not of this
    /// machine.
    pub fn bind(config: Config) -> Result<Self, BindError> {
        Self::bind_with(config, Sockets::default())
    }

    /// The same, with sockets that listen already in place of the configuration's addresses.
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
        let connections = connection_limit(&config, has_admin)?;
        start_reactor().map_err(BindError::Thread)?;
        let acceptors = listen_public(&config, sockets.public)?;
        let admin_acceptor = listen_admin(&config, sockets.admin)?;
        let admission = Admission::new(connections, &config.limits, &config.trusted_proxies, metrics.clone());
        let listener = Listener::new(acceptors, metrics.clone());
        let admin_listener = admin_acceptor.map(|acceptor| Listener::new(vec![acceptor], metrics.clone()));
        let (hub, receivers) = open_hub(&config, workers.get(), metrics.clone())?;
        let hub_guard = HubGuard(hub.clone());
        let (limits, access_control) = (config.limits.clone(), AccessControl::new(config.access.clone()));
        let shared = Shared { limits, access_control, hub, metrics, subscriber_counts: SubscriberCounts::default() };
        let admin_address = admin_listener.as_ref().and_then(|listener| listener.addresses().next().cloned());
        // With the ports that the kernel picked, and the sockets that were handed over.
        let listen = listener.addresses().cloned().collect();
        let config = Config { listen, admin: admin_address, ..config };
        let (shards, handles) =
            Shards::start(&shared, config.heartbeat, receivers, health.since()).map_err(BindError::Thread)?;
        let admin_context = AdminContext {
            config: config.clone(),
            shared: shared.clone(),
            health: health.clone(),
            connection_limit: connections,
            started: SystemTime::now(),
            handles,
        };
        let admin = admin_listener
            .map(|listener| Admin::start(listener, admin_context))
            .transpose()
            .map_err(BindError::Thread)?;
        Ok(Self { config, listener, admission, shared, shards, hub_guard, health, admin })
    }

    /// The addresses that clients connect to, with the port that the kernel picked for port 0.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.config.listen.iter()
    }

    /// The first TCP address. `None` if the server listens on unix sockets alone.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().find_map(Address::tcp)
    }

    /// The admin address, if there is one.
    pub fn admin_address(&self) -> Option<&Address> {
        self.config.admin.as_ref()
    }

    /// The number of worker threads.
    pub fn workers(&self) -> usize {
        self.shards.threads()
    }

    /// The most connections at a time.
    pub fn connection_limit(&self) -> usize {
        self.admission.limit()
    }

    /// A handle that publishes to this server's streams. It outlives [`Server::run`], and fails from then on.
    pub fn publisher(&self) -> Publisher {
        Publisher::new(&self.shared)
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

    /// A handle to the settings that can be changed while the server runs.
    pub fn access_control(&self) -> AccessControl {
        self.shared.access_control.clone()
    }

    /// The server's counters.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics.clone()
    }

    /// A handle that tells if the server serves.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `until` ends and for [`Limits::drain_delay`] more, then shuts down gracefully: stops accepting,
    /// answers the requests in flight, delivers every message and ends each stream between two events, for at most
    /// [`Limits::drain_timeout`]. With a history's folder it then waits until the disk has everything, however long
    /// that takes.
    ///
    /// The future runs on any executor. Dropping it ends the server at once, but waits for its threads and the disk.
    ///
    /// # Errors
    ///
    /// If a worker thread ends early.
    ///
    /// [`Limits::drain_delay`]: crate::Limits::drain_delay
    /// [`Limits::drain_timeout`]: crate::Limits::drain_timeout
    pub async fn run(self, until: impl Future<Output = ()>) -> io::Result<()> {
        let Self { mut listener, mut admission, shared, shards, hub_guard, health, admin, .. } = self;
        // Until the very end: the admin side shows the shutdown.
        let _admin = admin;
        let _hub_guard = hub_guard;
        // Dropped before the hub's guard, which waits for the disk.
        let mut shards = shards;
        let serving = health.serve();
        let until = async {
            until.await;
            shutdown::announce(serving, shared.limits.drain_delay).await;
            Ok(())
        };
        until.or(shards.deal(&mut listener, &mut admission)).await?;
        shutdown::shut_down(listener, shards, &shared).await;
        Ok(())
    }
}

/// Sockets that listen already, in place of those that the server would make.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Sockets {
    /// Sockets in place of [`Config::listen`], unless there are none.
    pub public: Vec<Inherited>,
    /// A socket in place of [`Config::admin`], if there is one.
    pub admin: Option<Inherited>,
}

/// Listens on the admin address if there is one.
fn listen_admin(config: &Config, inherited: Option<Inherited>) -> Result<Option<Acceptor>, BindError> {
    let limits = &config.limits;
    if let Some(socket) = inherited {
        return Acceptor::over(socket, limits).map(Some).map_err(BindError::Inherited);
    }
    let Some(address) = &config.admin else { return Ok(None) };
    Acceptor::bind(address, false, limits).map(Some).map_err(|error| BindError::Listen(address.clone(), error))
}

/// Listens on the public addresses.
fn listen_public(config: &Config, inherited: Vec<Inherited>) -> Result<Vec<Acceptor>, BindError> {
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

/// True for an IPv6 wildcard beside an IPv4 address of its port, which could not be bound if it took IPv4 too.
fn leaves_v4_to_others(wildcard: SocketAddr, addresses: &[Address]) -> bool {
    let is_v4 = |address: SocketAddr| address.ip().to_canonical().is_ipv4() && address.port() == wildcard.port();
    // Addresses with port 0 get ports of their own.
    wildcard.ip() == Ipv6Addr::UNSPECIFIED
        && wildcard.port() != 0
        && addresses.iter().filter_map(Address::tcp).any(is_v4)
}

/// Makes the hub that the configuration asks for, with the events that its history's folder has.
fn open_hub(config: &Config, shards: usize, metrics: Metrics) -> Result<(Hub, Vec<QueueReceiver>), BindError> {
    let (limits, retention) = (&config.limits, config.retention());
    let Some(HistoryDir { path, sync }) = &config.history_dir else {
        return Ok(Hub::new(limits, retention, shards, metrics));
    };
    let log = Log::open(path, *sync, retention.unwrap_or_default());
    let log = log.map_err(|error| BindError::History(path.clone(), error))?;
    Hub::with_log(limits, log, shards, metrics).map_err(BindError::Thread)
}

/// Descriptors that the admin address needs besides its connections: for one over the limit, which is closed at once.
const BESIDE_ADMIN_CONNECTIONS: usize = 1;

/// The most connections: as configured, but no more than the process has descriptors for.
fn connection_limit(config: &Config, has_admin: bool) -> Result<usize, BindError> {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = descriptors.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let admin = if has_admin { config.limits.admin_connections.saturating_add(BESIDE_ADMIN_CONNECTIONS) } else { 0 };
    let reserved = RESERVED_DESCRIPTORS.saturating_add(admin);
    let available = descriptors.checked_sub(reserved).filter(|available| *available > 0);
    let available = available.ok_or(BindError::Descriptors { limit: descriptors, admin })?;
    Ok(config.limits.connections.map_or(available, |request| request.get().min(available)))
}
