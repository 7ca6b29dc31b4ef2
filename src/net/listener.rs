//! The one accept loop of the server, on the public side and on the admin side.
//!
//! It accepts every connection: limits are the work of [`Admission`](super::Admission). The invariant: a failed accept
//! neither ends the loop nor makes it spin. An error of one connection is passed over. A socket that fails is left out
//! for a while. If the system lacks descriptors or memory, accepting pauses and clients wait in the backlog.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use rustix::io::Errno;
use smol::future::yield_now;

use super::Acceptor;
use crate::config::Address;
use crate::metrics::Metrics;
use crate::sys::Throttle;

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A connection that was accepted, and the address of its peer unless it came by a unix socket.
type Accepted = (Async<OwnedFd>, Option<IpAddr>);

/// Listening sockets, accepted from in turn.
#[derive(Debug)]
pub(crate) struct Listener {
    sources: Vec<Source>,
    /// The source that is polled first, so that none starves.
    next: usize,
    /// For errors of the system, which hold up all sources.
    backoff: Backoff,
    metrics: Metrics,
}

/// An acceptor with a back-off of its own: connections at other acceptors do not wait for its pauses.
#[derive(Debug)]
struct Source {
    acceptor: Acceptor,
    backoff: Backoff,
}

/// Growing pauses while accepts fail, with a warning once a minute.
#[derive(Debug, Default)]
struct Backoff {
    /// The length of the last pause; none once an accept succeeds.
    last: Option<Duration>,
    pause: Option<Timer>,
    warnings: Throttle,
}

/// The part that an error of accept(2) is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The connection that it was about to return, or this one call.
    Connection,
    /// The listening socket: its owner has shut it down, for one.
    Socket,
    /// The system, which is out of descriptors or memory.
    System,
}

impl Listener {
    /// A listener over these sockets, and the counters that failed accepts go to.
    pub(crate) fn new(acceptors: Vec<Acceptor>, metrics: Metrics) -> Self {
        let source = |acceptor| Source { acceptor, backoff: Backoff::default() };
        let sources = acceptors.into_iter().map(source).collect();
        Self { sources, next: 0, backoff: Backoff::default(), metrics }
    }

    /// The addresses that clients connect to.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.sources.iter().map(|source| source.acceptor.address())
    }

    /// Returns the next connection; waits as long as there is none, and through every error.
    ///
    /// Cancel safe. It yields before each accept: other tasks of the thread run however many clients connect.
    pub(crate) async fn accept(&mut self) -> Accepted {
        loop {
            yield_now().await;
            match poll_fn(|cx| self.poll_sources(cx)).await {
                Ok(accepted) => {
                    self.backoff.reset();
                    return accepted;
                }
                Err(error) if Fault::of(&error) == Fault::Connection => {}
                Err(error) => self.backoff.begin(&self.metrics, "for now", &error),
            }
        }
    }

    /// Takes a connection from the first source that has one.
    fn poll_sources(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<Accepted>> {
        task::ready!(self.backoff.poll_over(cx));
        for turn in 0..self.sources.len() {
            let number = (self.next + turn) % self.sources.len();
            if let Poll::Ready(accepted) = self.sources[number].poll_accept(cx, &self.metrics) {
                self.next = number + 1;
                let (io, peer) = accepted?;
                return Poll::Ready(Ok((Async::new(io)?, peer)));
            }
        }
        Poll::Pending
    }
}

impl Source {
    /// Takes a connection; pending during a pause.
    fn poll_accept(
        &mut self,
        cx: &mut task::Context<'_>,
        metrics: &Metrics,
    ) -> Poll<io::Result<(OwnedFd, Option<IpAddr>)>> {
        loop {
            task::ready!(self.backoff.poll_over(cx));
            let accepted = task::ready!(self.acceptor.poll_accept(cx));
            match &accepted {
                Ok(_) => self.backoff.reset(),
                Err(error) if Fault::of(error) == Fault::Socket => {
                    self.backoff.begin(metrics, &format!("at {}", self.acceptor.address()), error);
                    // Polls the pause, which wakes the task at its end.
                    continue;
                }
                Err(_) => {}
            }
            return Poll::Ready(accepted);
        }
    }
}

impl Backoff {
    /// Begins a pause twice as long as the last, counts the failure, and warns if the last warning is a minute old.
    fn begin(&mut self, metrics: &Metrics, scope: &str, error: &io::Error) {
        metrics.accept_failed();
        if self.warnings.permits(Instant::now()) {
            log::warn!("cannot accept connections {scope}, retrying: {error}{}", advice(error));
        }
        let pause = self.last.map_or(SHORTEST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.last = Some(pause);
        self.pause = Some(Timer::after(pause));
    }

    /// Ready unless a pause is under way.
    fn poll_over(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            task::ready!(Pin::new(pause).poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// Has the next pause be the shortest again.
    fn reset(&mut self) {
        self.last = None;
    }
}

/// The limit behind an error of the system, and the way to raise it.
fn advice(error: &io::Error) -> &'static str {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => "; raise the limit of this process (ulimit -n, LimitNOFILE=)",
        Some(Errno::NFILE) => "; raise the limit of the system (sysctl fs.file-max)",
        Some(Errno::NOBUFS | Errno::NOMEM) => "; give the system or the container more memory (MemoryMax=)",
        _ => "",
    }
}

impl Fault {
    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(
                Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH,
            ) => Self::Connection,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::System,
            _ => Self::Socket,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::task::Waker;

    use rustix::net::Shutdown;

    use super::*;
    use crate::config::Limits;
    use crate::net::within;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// Every connection waited up to a second for the pauses of a socket that its owner had shut down.
    #[test]
    fn failing_socket_holds_up_no_other_and_is_retried() {
        let limits = Limits::default();
        let owners = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let handed = owners.try_clone().expect("a descriptor is free");
        let failing = Acceptor::over(handed.into(), &limits).expect("it listens");
        rustix::net::shutdown(&owners, Shutdown::Both).expect("it listens");
        // A connection over a unix socket can be accepted as soon as it is made.
        let path = std::env::temp_dir().join(format!("smolcast-listener-{}", std::process::id()));
        let good = Acceptor::bind(&Address::unix(&path), false, &limits).expect("nobody is there");
        let _peers = [(); 8].map(|()| UnixStream::connect(&path).expect("it listens"));
        let metrics = Metrics::of_shards(1);
        let mut listener = Listener::new(vec![failing, good], metrics.clone());
        for number in 0..8 {
            let mut accept = pin!(listener.accept());
            let mut poll = || accept.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
            assert!(poll().is_pending(), "it yields first");
            assert!(poll().is_ready(), "connection {number} waits");
        }
        assert!(metrics.accept_failures() > 0, "the other socket has failed");
        rustix::net::listen(&owners, 1).expect("it is bound");
        let _peer = TcpStream::connect(owners.local_addr().expect("it is bound")).expect("it listens");
        let accepted = smol::block_on(within(DEADLINE, listener.accept()));
        assert!(accepted.is_some(), "the failing socket is never retried");
    }
}
