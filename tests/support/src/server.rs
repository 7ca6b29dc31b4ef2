//! The server under test, within this process, on its own thread.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::{self, JoinHandle};

use smolcast::{AccessControl, Address, Config, Health, Limits, Metrics, Publisher, Server};

use crate::{Served, wait_until};

/// A configuration for tests: any free port, two shards, no heartbeat.
pub fn config(limits: Limits) -> Config {
    with!(Config::on(([127, 0, 0, 1], 0)), { workers: NonZeroUsize::new(2), heartbeat: None, limits })
}

/// A running server. Its drop shuts it down and holds that it ends without an error within the deadline.
pub struct TestServer {
    /// Its first TCP address.
    pub addr: SocketAddr,
    /// All its addresses.
    pub addresses: Vec<Address>,
    /// Its admin address.
    pub admin: Option<Address>,
    /// Publishes without HTTP.
    pub publisher: Publisher,
    /// Its counters.
    pub metrics: Metrics,
    /// Its access lists and tokens.
    pub access_control: AccessControl,
    /// Its readiness.
    pub health: Health,
    /// Dropped to shut the server down.
    stop: Option<smol::channel::Sender<()>>,
    /// The thread of `Server::run`, until it is joined.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl TestServer {
    /// Starts one with default limits.
    pub fn start_default() -> Self {
        Self::start(config(Limits::default()))
    }

    /// Starts one with these limits.
    pub fn with_limits(limits: Limits) -> Self {
        Self::start(config(limits))
    }

    /// Starts one with this configuration.
    pub fn start(config: Config) -> Self {
        Self::raise_descriptor_limit();
        Self::run(Server::bind(config).unwrap_or_else(|error| panic!("cannot bind: {error}")))
    }

    /// Runs a bound server.
    pub fn run(server: Server) -> Self {
        let addresses: Vec<_> = server.addresses().cloned().collect();
        let addr = server.local_addr().expect("tests have a TCP address among others");
        let admin = server.admin_address().cloned();
        let (publisher, metrics, access_control) = (server.publisher(), server.metrics(), server.access_control());
        let health = server.health();
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let until = async move {
            // Ends by the sender's drop only.
            let _ = stopped.recv().await;
        };
        let thread = thread::spawn(move || smol::block_on(server.run(until)));
        Self {
            addr,
            addresses,
            admin,
            publisher,
            metrics,
            access_control,
            health,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Raises the descriptor limit: tests run in parallel in one process, and each holds both ends of its connections.
    pub fn raise_descriptor_limit() {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            limit.current = limit.maximum;
            // If that is forbidden, tests with many clients fail and say so.
            let _ = setrlimit(Resource::Nofile, limit);
        }
    }

    /// Begins the shutdown without waiting for it.
    pub fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits for the end of the server, and holds that it has no error.
    #[track_caller]
    pub fn join(&mut self) {
        self.stop = None;
        let Some(thread) = self.thread.take() else { return };
        wait_until("the server has ended", || thread.is_finished());
        thread.join().expect("the server has not panicked").expect("the server ends well");
    }
}

impl Served for TestServer {
    fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop = None;
        if !thread::panicking() {
            self.join();
        }
    }
}
