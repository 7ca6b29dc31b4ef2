//! The server under test, on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread::{self, JoinHandle};

use smolcast::{Config, Limits, Publisher, Server};

use super::{Client, EventStream, Response, get, post, wait_until};

/// A configuration for tests: any free port, two workers, no heartbeat that a test did not ask for.
pub(crate) fn config(limits: Limits) -> Config {
    Config { port: 0, workers: NonZeroUsize::new(2), heartbeat: None, limits, ..Config::default() }
}

/// A running server. Dropping it ends it and holds that it ended well, within the deadline.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) publisher: Publisher,
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
        raise_descriptor_limit();
        let server = Server::bind(config).unwrap_or_else(|error| panic!("cannot bind: {error}"));
        let (addr, publisher) = (server.local_addr(), server.publisher());
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let until = async move {
            // Only ever ends by the sender's drop.
            let _ = stopped.recv().await;
        };
        let thread = thread::spawn(move || smol::block_on(server.run(until)));
        Self { addr, publisher, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.addr)
    }

    /// Sends one request on a connection of its own and reads its answer.
    #[track_caller]
    pub(crate) fn request(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.connect().request(bytes)
    }

    /// Publishes by `POST` and holds the answer to be 202.
    #[track_caller]
    pub(crate) fn publish(&self, body: impl AsRef<[u8]>) {
        self.request(post(body)).expect_status(202);
    }

    /// Opens a stream and reads it up to its `:ok`.
    #[track_caller]
    pub(crate) fn stream(&self) -> EventStream {
        EventStream::open(self.connect())
    }

    /// What `GET /connections` says.
    #[track_caller]
    pub(crate) fn count(&self) -> usize {
        let response = self.request(get("/connections")).expect_status(200);
        let text = String::from_utf8(response.body).unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("no count: {text:?}"))
    }

    /// Waits for `GET /connections` to say `count`.
    #[track_caller]
    pub(crate) fn wait_for_count(&self, count: usize) {
        wait_until(&format!("{count} streams"), || self.count() == count);
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

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop = None;
        if !thread::panicking() {
            self.join();
        }
    }
}

/// Every test holds both ends of its connections, and the tests run at once in one process.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where it may not be raised, the tests with many clients say so themselves.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
