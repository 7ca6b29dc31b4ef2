//! The listening socket: bind, accept, and who gets in.
//!
//! This is the only module that accepts. An accept that fails never ends the loop and never makes it spin: what ails
//! one connection is passed over, and where the system has no descriptors or memory left, accepting pauses for a
//! while and the clients wait in the backlog.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use async_io::{Async, Timer};
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use socket2::SockRef;

use crate::config::Limits;
use crate::metrics::{self, Metrics};
use crate::network::{self, Networks};

/// Connections that the system has completed and nobody has accepted yet. With std's 128 a storm of connects overflows
/// it, and each SYN that is lost costs its client a second.
const BACKLOG: i32 = 4096;

/// Connections over the limit that are told to come back; those over this as well are closed at once.
const TURNED_AWAY_AT_ONCE: usize = 32;

const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A want that comes and goes is said once a minute, not with each time it comes.
const TIME_BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// What the server needs descriptors for besides its connections: the standard streams, the listener, the reactor,
/// and those whom it turns away.
pub(crate) const RESERVED_DESCRIPTORS: usize = 32 + TURNED_AWAY_AT_ONCE;

/// A bound socket that gives out connections within the limit.
#[derive(Debug)]
pub(crate) struct Listener {
    io: Async<TcpListener>,
    address: SocketAddr,
    connections: usize,
    limits: Limits,
    metrics: Metrics,
    networks: Networks,
    /// Connections turned away so far, by which those are told to come back at different times.
    turned_away: u64,
    /// How long the last pause was, while the system lacks what an accept needs.
    pause: Option<Duration>,
    /// When it was last said that the system does.
    warned: Option<Instant>,
}

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Client<S = Async<TcpStream>> {
    pub(crate) io: S,
    /// Set where there is no room, and the client is told to come back: a number that tells such clients apart.
    pub(crate) turned_away: Option<u64>,
    pub(crate) place: Place,
}

/// What there is room for, from all to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Room {
    Free,
    /// For being told to come back.
    ToBeTold,
    None,
}

impl Room {
    /// What is left of a limit of which `open` are taken.
    fn among(open: usize, limit: usize) -> Self {
        if open < limit {
            Self::Free
        } else if open < limit.saturating_add(TURNED_AWAY_AT_ONCE) {
            Self::ToBeTold
        } else {
            Self::None
        }
    }
}

/// A client's place in the count of connections, and in that of its network where those are counted.
#[derive(Debug)]
pub(crate) struct Place {
    _counted: metrics::Counted,
    /// In a box, since most servers have none and every stream holds a place.
    _in_network: Option<Box<network::Counted>>,
}

impl Place {
    /// A place among all connections.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { _counted: metrics.connection(), _in_network: None }
    }
}

impl Listener {
    /// Binds and listens. From here on clients can connect; they wait in the backlog until they are accepted.
    pub(crate) fn bind(address: SocketAddr, connections: usize, limits: Limits, metrics: Metrics) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        #[cfg(target_os = "linux")]
        set_options(&socket, &limits)?;
        // The same call that std made, for the one number that it does not take.
        rustix::net::listen(&socket, BACKLOG)?;
        let address = socket.local_addr()?;
        let io = Async::new(socket)?;
        let networks = Networks::default();
        Ok(Self { io, address, connections, limits, metrics, networks, turned_away: 0, pause: None, warned: None })
    }

    /// The address that clients connect to.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// The number of connections there is room for.
    pub(crate) fn connections(&self) -> usize {
        self.connections
    }

    /// The next client; waits for as long as there is none.
    pub(crate) async fn accept(&mut self) -> Client {
        loop {
            match self.io.accept().await {
                Ok((io, peer)) => {
                    self.pause = None;
                    if let Some(client) = self.admit(io, peer.ip()) {
                        return client;
                    }
                }
                Err(error) if ails_one_connection(&error) => {}
                Err(error) => self.wait_for_room(&error).await,
            }
        }
    }

    fn admit(&mut self, io: Async<TcpStream>, address: IpAddr) -> Option<Client> {
        let open = self.metrics.connections();
        let mut room = Room::among(open, self.connections);
        let mut in_network = None;
        if let Some(limit) = self.limits.connections_per_ip {
            let (open, counted) = self.networks.enter(address);
            let own = Room::among(open, limit.get());
            if own > Room::Free {
                self.metrics.connection_over_ip_limit();
            }
            room = room.max(own);
            in_network = Some(Box::new(counted));
        }
        if room == Room::None {
            self.metrics.connection_dropped();
            return None;
        }
        let place = Place { _in_network: in_network, ..Place::new(&self.metrics) };
        let turned_away = (room == Room::ToBeTold).then(|| {
            self.turned_away += 1;
            self.turned_away
        });
        // On Linux it has them of the listening one. They fail only on a socket that has failed already, which its
        // first read will tell.
        #[cfg(not(target_os = "linux"))]
        let _ = set_options(io.get_ref(), &self.limits);
        Some(Client { io, turned_away, place })
    }

    /// Pauses for longer each time, and says so now and then.
    async fn wait_for_room(&mut self, error: &io::Error) {
        self.metrics.accept_failed();
        if self.warned.is_none_or(|last| last.elapsed() >= TIME_BETWEEN_WARNINGS) {
            self.warned = Some(Instant::now());
            log::warn!("cannot accept connections for now, retrying: {error}");
        }
        let pause = self.pause.map_or(SHORTEST_PAUSE, |last| (last * 2).min(LONGEST_PAUSE));
        self.pause = Some(pause);
        Timer::after(pause).await;
    }
}

/// Small frames leave at once, the system keeps little that it cannot send, and a peer that acknowledges nothing for as
/// long as a write may stall is given up.
fn set_options(socket: &impl AsFd, limits: &Limits) -> io::Result<()> {
    rustix::net::sockopt::set_tcp_nodelay(socket, true)?;
    #[cfg(target_os = "linux")]
    {
        let timeout = u32::try_from(limits.user_timeout().as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(socket, timeout)?;
        let unsent = u32::try_from(limits.unsent_bytes).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs());
        SockRef::from(socket).set_tcp_notsent_lowat(unsent)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = limits;
    Ok(())
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
    use super::*;

    /// Setting them once, on the listening socket, spares each connection three calls.
    #[test]
    fn a_connection_has_the_options_of_its_listener() {
        let limits = Limits { write_timeout: Duration::from_secs(7), unsent_bytes: 12_345, ..Limits::default() };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = Listener::bind(address, 1, limits, Metrics::default()).expect("a free port");
        let _peer = TcpStream::connect(listener.local_addr()).expect("it listens");
        let client = smol::block_on(listener.accept());
        let socket = client.io.get_ref();
        assert!(socket.nodelay().expect("an option"));
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(socket).expect("an option"), 8000);
        assert_eq!(SockRef::from(socket).tcp_notsent_lowat().expect("an option"), 12_345);
    }
}
