//! The listening sockets: bind, accept, and who gets in.
//!
//! This is the only module that accepts. An accept that fails never ends the loop and never makes it spin: what ails
//! one connection is passed over, a door that fails is left out for a while, and where the system has no descriptors or
//! memory left, accepting pauses and the clients wait in the backlog.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use rustix::io::Errno;
use smol::future::yield_now;

use super::Acceptor;
use super::admission::{Client, ConnectionPermit, Networks, Proxy, Room};
use crate::config::{Address, Limits, TrustedProxy};
use crate::metrics::Metrics;
use crate::sys::Throttle;

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Sockets that listen, and give out connections within the limit.
#[derive(Debug)]
pub(crate) struct Listener {
    acceptors: Vec<Entrance>,
    /// The door that is looked at first, so that each comes to its turn.
    next: usize,
    connections: usize,
    limits: Limits,
    metrics: Metrics,
    networks: Networks,
    trusted_proxies: Arc<[TrustedProxy]>,
    /// Connections turned away so far, by which those are told to come back at different times.
    rejection: u64,
    /// For while the system lacks what an accept needs.
    pauses: Pauses,
}

/// A door, and the time for which it is left out where it fails: whoever comes by another is not to wait for it.
#[derive(Debug)]
struct Entrance {
    acceptor: Acceptor,
    pauses: Pauses,
    pause: Option<Timer>,
}

/// The pauses of accepting while it fails.
#[derive(Debug, Default)]
struct Pauses {
    /// How long the last was, until an accept succeeds.
    last: Option<Duration>,
    warnings: Throttle,
}

impl Listener {
    /// Has these doors open. From here on clients can connect; they wait in the backlog until they are accepted.
    pub(crate) fn new(
        acceptors: Vec<Acceptor>,
        connections: usize,
        limits: Limits,
        trusted_proxies: &[TrustedProxy],
        metrics: Metrics,
    ) -> Self {
        let entrance = |acceptor| Entrance { acceptor, pauses: Pauses::default(), pause: None };
        Self {
            acceptors: acceptors.into_iter().map(entrance).collect(),
            next: 0,
            connections,
            limits,
            metrics,
            networks: Networks::default(),
            trusted_proxies: trusted_proxies.into(),
            rejection: 0,
            pauses: Pauses::default(),
        }
    }

    /// Where clients connect to.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.acceptors.iter().map(|entrance| entrance.acceptor.address())
    }

    /// The number of connections there is room for.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// The next client; waits for as long as there is none.
    pub(crate) async fn accept(&mut self) -> Client {
        loop {
            match poll_fn(|cx| self.poll_doors(cx)).await {
                Ok((io, peer)) => {
                    self.pauses.end();
                    if let Some(client) = self.admit(io, peer) {
                        return client;
                    }
                    // However many are closed at once, whoever shares this thread gets his turn.
                    yield_now().await;
                }
                // However many fail, whoever shares this thread gets his turn.
                Err(error) if ails_one_connection(&error) => yield_now().await,
                Err(error) => drop(self.pauses.begin(&self.metrics, "for now", &error).await),
            }
        }
    }

    /// Takes a connection from the first door that has one.
    fn poll_doors(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<(Async<OwnedFd>, Option<IpAddr>)>> {
        for turn in 0..self.acceptors.len() {
            let number = (self.next + turn) % self.acceptors.len();
            if let Poll::Ready(taken) = self.acceptors[number].poll_accept(cx, &self.metrics) {
                self.next = number + 1;
                let (io, peer) = taken?;
                self.acceptors[number].acceptor.prepare(&io, &self.limits);
                return Poll::Ready(Ok((Async::new(io)?, peer)));
            }
        }
        Poll::Pending
    }

    fn admit(&mut self, io: Async<OwnedFd>, peer: Option<IpAddr>) -> Option<Client> {
        let open = self.metrics.connections();
        let mut room = Room::among(open, self.connections);
        let (mut proxy, mut in_network) = (None, None);
        if let Some(limit) = self.limits.connections_per_ip {
            proxy = Proxy::of(peer, limit.get(), &self.networks, &self.trusted_proxies).map(Box::new);
            if let Some(peer) = peer.filter(|_| proxy.is_none()) {
                let (open, counted) = self.networks.enter(peer);
                let own = Room::among(open, limit.get());
                if own > Room::Free {
                    self.metrics.connection_over_ip_limit();
                }
                room = room.max(own);
                in_network = Some(Box::new(counted));
            }
        }
        if room == Room::None {
            self.metrics.connection_dropped();
            return None;
        }
        let place = ConnectionPermit { in_network, ..ConnectionPermit::new(&self.metrics) };
        let rejection = (room == Room::ToBeTold).then(|| {
            self.rejection += 1;
            self.rejection
        });
        Some(Client { io, rejection, place, proxy })
    }
}

impl Entrance {
    /// Takes a connection; while the door is left out there is none.
    fn poll_accept(
        &mut self,
        cx: &mut task::Context<'_>,
        metrics: &Metrics,
    ) -> Poll<io::Result<(OwnedFd, Option<IpAddr>)>> {
        loop {
            if let Some(pause) = &mut self.pause {
                task::ready!(Pin::new(pause).poll(cx));
                self.pause = None;
            }
            match task::ready!(self.acceptor.poll_accept(cx)) {
                Err(error) if ails_the_door(&error) => {
                    let place = format!("at {}", self.acceptor.address());
                    self.pause = Some(self.pauses.begin(metrics, &place, &error));
                }
                taken => {
                    if taken.is_ok() {
                        self.pauses.end();
                    }
                    return Poll::Ready(taken);
                }
            }
        }
    }
}

impl Pauses {
    /// A pause, longer each time. Now and then it is said what cannot be accepted, and why.
    fn begin(&mut self, metrics: &Metrics, what: &str, error: &io::Error) -> Timer {
        metrics.accept_failed();
        if self.warnings.permits(Instant::now()) {
            log::warn!("cannot accept connections {what}, retrying: {error}");
        }
        let pause = self.last.map_or(SHORTEST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.last = Some(pause);
        Timer::after(pause)
    }

    /// An accept has succeeded.
    fn end(&mut self) {
        self.last = None;
    }
}

/// Errors that are neither one connection's nor the system's, but the listening socket's: such as that its owner has
/// shut it down.
fn ails_the_door(error: &io::Error) -> bool {
    let system =
        matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM));
    !system && !ails_one_connection(error)
}

/// Errors that accept(2) reports about the connection it was about to return, or that the next call will not have.
fn ails_one_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
        )
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::task::Waker;

    use rustix::net::Shutdown;
    use smol::future::FutureExt;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(20);

    /// All connections waited for the pauses of a socket that its owner had shut down, a second each.
    #[test]
    fn a_door_that_fails_holds_nobody_up_who_comes_by_another_and_is_tried_again() {
        let limits = Limits::default();
        let owners = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let handed = owners.try_clone().expect("a descriptor is free");
        let failing = Acceptor::over(handed.into(), &limits).expect("it listens");
        rustix::net::shutdown(&owners, Shutdown::Both).expect("it listens");
        // A unix socket's connection waits to be accepted as soon as it is made.
        let path = std::env::temp_dir().join(format!("smolcast-listener-{}", std::process::id()));
        let good = Acceptor::bind(&Address::unix(&path), false, &limits).expect("nobody is there");
        let _peers = [(); 8].map(|()| UnixStream::connect(&path).expect("it listens"));
        let metrics = Metrics::of_shards(1);
        let mut listener = Listener::new(vec![failing, good], 100, limits, &[], metrics.clone());
        for number in 0..8 {
            let taken = pin!(listener.accept()).poll(&mut task::Context::from_waker(Waker::noop()));
            assert!(taken.is_ready(), "connection {number} waits");
        }
        assert!(metrics.accept_failures() > 0, "the other door has failed");
        rustix::net::listen(&owners, 1).expect("it is bound");
        let _peer = TcpStream::connect(owners.local_addr().expect("it is bound")).expect("it listens");
        let in_time = async { Some(listener.accept().await) }.or(async {
            Timer::after(DEADLINE).await;
            None
        });
        assert!(smol::block_on(in_time).is_some(), "it is left out for ever");
    }
}
