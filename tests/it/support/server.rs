//! The server under test, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::{self, JoinHandle};

use smolcast::{Address, Config, Health, Limits, Metrics, Publisher, Server, Settings};

use super::{Served, wait_until};

/// A configuration for tests: any free port, two workers, no heartbeat that a test did not ask for.
pub(crate) fn config(limits: Limits) -> Config {
    Config { workers: NonZeroUsize::new(2), heartbeat: None, limits, ..Config::on(([127, 0, 0, 1], 0)) }
}

/// A running server. Dropping it ends it and holds that it ended well, within the deadline.
pub(crate) struct TestServer {
    /// The first of its TCP addresses, and all of them.
    pub(crate) addr: SocketAddr,
    pub(crate) addresses: Vec<Address>,
    pub(crate) admin: Option<Address>,
    pub(crate) publisher: Publisher,
    pub(crate) metrics: Metrics,
    pub(crate) settings: Settings,
    pub(crate) health: Health,
    /// Dropped, this ends the server.
    stop: Option<smol::channel::Sender<()>>,
    /// Where `Server::run` runs, until it has been joined.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl TestServer {
    pub(crate) fn start_default() -> Self {
        Self::start(config(Limits::default()))
    }

    pub(crate) fn with_limits(limits: Limits) -> Self {
        Self::start(config(limits))
    }

    pub(crate) fn start(config: Config) -> Self {
        Self::raise_descriptor_limit();
        Self::run(Server::bind(config).unwrap_or_else(|error| panic!("cannot bind: {error}")))
    }

    /// Runs a server that is bound already.
    pub(crate) fn run(server: Server) -> Self {
        let addresses: Vec<_> = server.addresses().cloned().collect();
        let addr = server.local_addr().expect("tests have a TCP address, whatever else they have");
        let admin = server.admin_address().cloned();
        let (publisher, metrics, settings) = (server.publisher(), server.metrics(), server.settings());
        let health = server.health();
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let until = async move {
            // Only ever ends by the sender's drop.
            let _ = stopped.recv().await;
        };
        let thread = thread::spawn(move || smol::block_on(server.run(until)));
        Self { addr, addresses, admin, publisher, metrics, settings, health, stop: Some(stop), thread: Some(thread) }
    }

    /// Every test holds both ends of its connections, and the tests run at once in one process.
    pub(crate) fn raise_descriptor_limit() {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            limit.current = limit.maximum;
            // Where it may not be raised, the tests with many clients say so themselves.
            let _ = setrlimit(Resource::Nofile, limit);
        }
    }

    /// Tells the server to end, and goes on at once.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }

    /// Waits for the server to have ended, and holds that it did so without an error.
    #[track_caller]
    pub(crate) fn join(&mut self) {
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
