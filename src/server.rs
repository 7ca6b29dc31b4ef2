//! The whole: a listener, a hub, and a shard for each worker.
//!
//! [`Server::run`] deals connections to the shards in turn until it is told to end, and then drains: requests in
//! flight are answered, what they published is delivered, streams end between two events. However it ends, dropped
//! half-way included, every thread, task and socket is gone when it is.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::channel::{self, Receiver, Sender};
use smol::future::{FutureExt, yield_now};

use crate::address::Address;
use crate::archive::Archive;
use crate::census::Census;
use crate::config::{Config, ConfigError, HistoryFile, Retention};
use crate::frame::{Event, Frame, InvalidField};
use crate::health::{Health, Phase};
use crate::history::Restored;
use crate::hub::{Hub, Intake, Kept};
use crate::journal::{Journal, Record};
use crate::listener::{Client, Door, Inherited, Listener, RESERVED_DESCRIPTORS};
use crate::metrics::{Metrics, StreamEnd};
use crate::recorder::Unpublished;
use crate::shard::{self, Job};
use crate::topic::Topics;

/// Accepted clients that a shard has not begun with.
const DEALT_AHEAD: usize = 1024;

/// A server that is bound to its address: clients can connect, and are served once [`Server::run`] is called.
#[derive(Debug)]
pub struct Server {
    config: Config,
    listener: Listener,
    hub: Hub,
    /// One for each worker.
    intakes: Vec<Intake>,
    metrics: Metrics,
    health: Health,
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
        let health = Health::new(metrics.clone(), config.limits.turn_timeout);
        let connections = connection_limit(&config).ok_or(BindError::Descriptors)?;
        let doors = open_doors(&config, sockets.public)?;
        let listener = Listener::new(doors, connections, config.limits.clone(), metrics.clone());
        let kept = open_history(&config)?;
        let hub = Hub::new(&config.limits, kept, workers.get(), metrics.clone());
        let (hub, intakes) = hub.map_err(BindError::Thread)?;
        Ok(Self { config, listener, hub, intakes, metrics, health })
    }

    /// Where clients connect to, with the port that the system picked where port 0 was asked for.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.listener.addresses()
    }

    /// The first of those that is a TCP address. `None` where the server listens on unix sockets alone.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().find_map(Address::tcp)
    }

    /// The number of worker threads that [`Server::run`] starts.
    pub fn workers(&self) -> usize {
        self.intakes.len()
    }

    /// The number of connections that there is room for.
    pub fn connection_limit(&self) -> usize {
        self.listener.connections()
    }

    /// A handle that publishes to this server's streams. It outlives [`Server::run`], and fails from then on.
    pub fn publisher(&self) -> Publisher {
        Publisher { hub: self.hub.clone(), metrics: self.metrics.clone() }
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.metrics.streams()
    }

    /// The server's counters.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Tells whether the server serves.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Serves until `until` ends, then drains: stops accepting, answers the requests in flight, delivers what they
    /// published and ends every stream between two events, for at most [`Limits::drain_timeout`].
    ///
    /// The future runs on any executor. Dropping it ends the server at once, and waits for its threads to end.
    ///
    /// # Errors
    ///
    /// When a worker thread cannot be started, or ends before it was told to.
    ///
    /// [`Limits::drain_timeout`]: crate::Limits::drain_timeout
    pub async fn run(self, until: impl Future<Output = ()>) -> io::Result<()> {
        let Self { config, mut listener, hub, intakes, metrics, health } = self;
        let mut shards = Shards::start(&config, hub, intakes, &metrics, &health)?;
        let _ends = health.serve();
        let until = async {
            until.await;
            Ok(())
        };
        until.or(shards.deal(&mut listener)).await?;
        health.enter(Phase::Ending);
        drop(listener);
        if !shards.drain(config.limits.drain_timeout).await {
            metrics.streams_ended_at_once(StreamEnd::Cut, metrics.streams());
            log::warn!("what did not end within {:?} is closed as it is", config.limits.drain_timeout);
        }
        Ok(())
    }
}

/// Sockets that listen already, in the place of those that a configuration has the server make.
#[derive(Debug, Default)]
pub struct Sockets {
    /// In the place of [`Config::listen`], unless there are none.
    pub public: Vec<Inherited>,
}

/// The doors of the public side.
fn open_doors(config: &Config, inherited: Vec<Inherited>) -> Result<Vec<Door>, BindError> {
    let limits = &config.limits;
    if !inherited.is_empty() {
        let doors = inherited.into_iter().map(|socket| Door::over(socket, limits).map_err(BindError::Inherited));
        return doors.collect();
    }
    let addresses = &config.listen;
    let is_v4_wildcard = |port| move |address: &Address| *address == (Ipv4Addr::UNSPECIFIED, port).into();
    let bind = |address: &Address| {
        let port = address.tcp().map_or(0, |address| address.port());
        let only_v6 = port != 0 && addresses.iter().any(is_v4_wildcard(port));
        Door::bind(address, only_v6, limits).map_err(|error| BindError::Listen(address.clone(), error))
    };
    addresses.iter().map(bind).collect()
}

/// What the future gives, if it does so in time.
async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let some = async { Some(future.await) };
    let none = async {
        Timer::after(time).await;
        None
    };
    some.or(none).await
}

/// The history that the configuration asks for, with what its file has of earlier servers.
fn open_history(config: &Config) -> Result<Option<Kept>, BindError> {
    let file = config.history_file.as_ref();
    let Some(retention) = config.history.or(file.map(|_| Retention::default())) else { return Ok(None) };
    let archive = Archive::new(retention);
    let Some(HistoryFile { path, sync }) = file else { return Ok(Some(Kept { archive, journal: None })) };
    let opened = Journal::open(path, |record| restore(&archive, record));
    let (journal, recovered) = opened.map_err(|error| BindError::History(path.clone(), error))?;
    if recovered.cut > 0 {
        let kept = recovered.damaged.map_or_else(String::new, |file| format!("; it is kept in {}", file.display()));
        log::warn!("cut {} bytes of what was not whole from the end of {}{kept}", recovered.cut, path.display());
    }
    Ok(Some(Kept { archive, journal: Some((journal, *sync)) }))
}

/// Has the archive keep what an earlier server published.
fn restore(archive: &Archive, record: Record) {
    let (id, is_own) = (record.id(), record.own_id.is_some());
    // Whoever wrote other topics than there are was not this program, and nobody can ask for them.
    let Ok(topics) = Topics::parse(record.topics.iter().map(String::as_str)) else { return };
    archive.restore(record.boot, Restored { at: record.at, id, is_own, topics, frame: Frame::encoded(record.frame) });
}

/// As many connections as are asked for and the process has descriptors for; `None` where it has them for none.
fn connection_limit(config: &Config) -> Option<usize> {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let descriptors = descriptors.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let available = descriptors.checked_sub(RESERVED_DESCRIPTORS).filter(|available| *available > 0)?;
    Some(config.limits.connections.map_or(available, |asked| asked.get().min(available)))
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
    /// Cancel safe: an event whose publishing is dropped before it returns is not published.
    ///
    /// # Errors
    ///
    /// When a field of the event cannot be encoded, or when the server has stopped.
    pub async fn publish(&self, event: Event) -> Result<(), PublishError> {
        let (fields, data) = event.parts().map_err(PublishError::InvalidField)?;
        let topics = Topics::parse(event.topics());
        let topics = topics.map_err(|_| PublishError::InvalidField(InvalidField::Topic))?;
        let published = self.hub.publish(fields, data, &topics).await;
        published.map(drop).map_err(|unpublished| match unpublished {
            Unpublished::Closed => PublishError::Stopped,
            Unpublished::NoSpace => PublishError::NoSpace,
            Unpublished::NotWritten => PublishError::NotWritten,
        })
    }

    /// The number of open streams.
    pub fn streams(&self) -> usize {
        self.metrics.streams()
    }
}

/// The worker threads of a running server.
#[derive(Debug)]
struct Shards {
    clients: Vec<Sender<Client>>,
    /// Whose turn it is.
    next: usize,
    hub: Hub,
    /// Closed when no shard has a request in flight any more.
    answered: Receiver<()>,
    /// Gets a word from each shard that ends.
    ended: Receiver<()>,
    /// Dropped to have the shards end as they are.
    abort: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    fn start(config: &Config, hub: Hub, intakes: Vec<Intake>, metrics: &Metrics, health: &Health) -> io::Result<Self> {
        let (answered_by, answered) = channel::bounded(1);
        let (ended_by, ended) = channel::bounded(intakes.len());
        let (abort, aborted) = channel::bounded(1);
        let census = Census::new();
        let mut shards =
            Self { clients: Vec::new(), next: 0, hub, answered, ended, abort: Some(abort), threads: Vec::new() };
        for (number, intake) in intakes.into_iter().enumerate() {
            // Its first turn, however long ago the server was made.
            metrics.shards()[number].turned(health.since().elapsed());
            let (dealt, clients) = channel::bounded(DEALT_AHEAD);
            let job = Job {
                limits: config.limits.clone(),
                access: config.access.clone(),
                heartbeat: config.heartbeat,
                hub: shards.hub.clone(),
                intake,
                metrics: metrics.clone(),
                number,
                since: health.since(),
                census: census.clone(),
                clients,
                abort: aborted.clone(),
                answered: answered_by.clone(),
            };
            let end = Ended(ended_by.clone());
            let thread = thread::Builder::new().name(format!("smolcast-{number}")).spawn(move || {
                let _end = end;
                shard::run(job);
            })?;
            shards.clients.push(dealt);
            shards.threads.push(thread);
        }
        Ok(shards)
    }

    /// Deals connections to the shards in turn; returns only when a shard ends, which it should not.
    async fn deal(&mut self, listener: &mut Listener) -> io::Result<()> {
        let ended = self.ended.clone();
        let deal = async {
            loop {
                let client = listener.accept().await;
                let turn = self.next % self.clients.len();
                self.next += 1;
                if turn == 0 {
                    // However many clients wait, the end of the server is not kept waiting.
                    yield_now().await;
                }
                // Fails only for a shard that has ended, of which the other future tells.
                let _ = self.clients[turn].send(client).await;
            }
        };
        let watch = async {
            let _ = ended.recv().await;
        };
        deal.or(watch).await;
        Err(io::Error::other("a worker thread ended unexpectedly, which is a bug; its panic is on stderr"))
    }

    /// Has the shards end in order; returns whether all have within `time`.
    async fn drain(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        self.clients.clear();
        // Closed by the last shard that has answered its requests; nothing is ever sent. A request that does not come
        // to its end leaves half of the time, in which the streams can come to theirs.
        let _ = within(time / 2, self.answered.recv()).await;
        self.hub.close();
        let all = async {
            for _ in &self.threads {
                let _ = self.ended.recv().await;
            }
        };
        within(time.saturating_sub(start.elapsed()), all).await.is_some()
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.clients.clear();
        self.abort = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
        // The thread that writes the history is gone too, and its file free, whoever still has a publisher.
        self.hub.close();
    }
}

/// Tells that a shard's thread is ending, whatever ends it.
struct Ended(Sender<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        // There is room for a word from each shard, and nobody to tell where the server is gone.
        let _ = self.0.try_send(());
    }
}

/// Why a server could not be bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// A value of the configuration is out of range.
    Config(ConfigError),
    /// The process may not open enough files to have a connection.
    Descriptors,
    /// The history's file cannot be opened.
    History(PathBuf, io::Error),
    /// The thread that writes it cannot be started.
    Thread(io::Error),
    /// The address cannot be listened on.
    Listen(Address, io::Error),
    /// A socket that was handed over cannot be used.
    Inherited(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, error) = match self {
            Self::Config(error) => return error.fmt(f),
            Self::Descriptors => {
                return write!(
                    f,
                    "this process may open too few files: the server needs {RESERVED_DESCRIPTORS} for itself and one \
                     for each connection; raise the limit (ulimit -n)"
                );
            }
            Self::History(path, error) => {
                return write!(f, "cannot use {} as the history's file: {error}", path.display());
            }
            Self::Thread(error) => return write!(f, "cannot start a thread for the history's file: {error}"),
            Self::Inherited(error) => return write!(f, "cannot use a socket that was handed over: {error}"),
            Self::Listen(address, error) => (address, error),
        };
        match address {
            Address::Tcp(address) => write!(f, "cannot listen on {address}: ")?,
            Address::Unix { path, .. } => {
                return write!(f, "cannot listen on the unix socket {}: {}", path.display(), unix_advice(error));
            }
        }
        match error.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("the port is taken; end the program that has it, or choose another (0 picks a free one)")
            }
            io::ErrorKind::AddrNotAvailable => {
                f.write_str("this machine has no such address; choose one that it has, or 0.0.0.0 for all of them")
            }
            io::ErrorKind::PermissionDenied => f.write_str("this user may not listen there; choose a port above 1023"),
            _ => error.fmt(f),
        }
    }
}

fn unix_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens on it; end that, or choose another path".to_owned(),
        io::ErrorKind::AlreadyExists => format!("{error}; remove that, or choose another path"),
        io::ErrorKind::NotFound => "its folder does not exist; make it, or choose another path".to_owned(),
        _ => error.to_string(),
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Descriptors => None,
            Self::History(_, error) | Self::Thread(error) | Self::Listen(_, error) | Self::Inherited(error) => {
                Some(error)
            }
        }
    }
}

/// Why an event was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// A field of the event holds what the event-stream format cannot carry.
    InvalidField(InvalidField),
    /// The server has stopped, or was dropped.
    Stopped,
    /// The disk of the history's file is full.
    NoSpace,
    /// The history's file cannot be written.
    NotWritten,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidField(field) => field.fmt(f),
            Self::Stopped => f.write_str("the server has stopped"),
            Self::NoSpace => f.write_str("the disk of the history's file is full, so this was not published"),
            Self::NotWritten => f.write_str("the history's file cannot be written, so this was not published"),
        }
    }
}

impl std::error::Error for PublishError {}
