//! How many connections each client network has: an IPv4 address, or the /64 that an IPv6 customer is given.
//!
//! It is touched when a connection comes and when it goes, by any thread, and by nothing else; behind a trusted proxy,
//! when a request does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use async_io::Async;

use crate::config::TrustedProxy;
use crate::metrics::{GaugeGuard, Metrics};
use crate::sys::lock;

/// Connections over the limit that are told to come back; those over this as well are closed at once.
const MOST_REJECTING: usize = 32;

/// What the server needs descriptors for besides its connections: the standard streams, the listener, the reactor,
/// and those whom it turns away.
pub(crate) const RESERVED_DESCRIPTORS: usize = 32 + MOST_REJECTING;

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Client<S = Async<OwnedFd>> {
    pub(crate) io: S,
    /// Set where there is no room, and the client is told to come back: a number that tells such clients apart.
    pub(crate) rejection: Option<u64>,
    pub(crate) place: ConnectionPermit,
    /// Set where it is a trusted proxy, and connections are limited by where they come from.
    pub(crate) proxy: Option<Box<Proxy>>,
}

/// What there is room for, from all to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    Free,
    /// For being told to come back.
    ToBeTold,
    None,
}

impl Room {
    /// What is left of a limit of which `open` are taken.
    pub(super) fn among(open: usize, limit: usize) -> Self {
        if open < limit {
            Self::Free
        } else if open < limit.saturating_add(MOST_REJECTING) {
            Self::ToBeTold
        } else {
            Self::None
        }
    }
}

/// A client's place in the count of connections, and in that of its network where those are counted.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    pub(super) _counted: GaugeGuard,
    /// In a box, since most servers have none and every stream holds a place.
    pub(super) in_network: Option<Box<NetworkPermit>>,
}

impl ConnectionPermit {
    /// A place among all connections.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { _counted: metrics.connection(), in_network: None }
    }

    /// Counts for a client that came by way of a proxy from now on, if there is one.
    pub(crate) fn pass_on(&mut self, client: Option<Box<NetworkPermit>>) {
        self.in_network = client.or(self.in_network.take());
    }
}

/// The networks that have connections now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Networks(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Networks {
    /// Counts a connection from `address` until the guard is dropped; returns with it how many its network had before.
    pub(crate) fn enter(&self, address: IpAddr) -> (usize, NetworkPermit) {
        let network = network_of(address);
        let mut networks = lock(&self.0);
        let connections = networks.entry(network).or_default();
        *connections += 1;
        (*connections - 1, NetworkPermit { networks: self.clone(), network })
    }
}

/// One connection of a network.
#[derive(Debug)]
pub(crate) struct NetworkPermit {
    networks: Networks,
    network: IpAddr,
}

impl Drop for NetworkPermit {
    fn drop(&mut self) {
        let mut networks = lock(&self.networks.0);
        if let Some(connections) = networks.get_mut(&self.network) {
            *connections -= 1;
            if *connections == 0 {
                networks.remove(&self.network);
            }
        }
    }
}

fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        canonical => canonical,
    }
}

/// Where a proxy counts that has no address.
const BY_UNIX_SOCKET: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Where requests count that come from two clients at once: not with a proxy's own, or who forges a field could keep
/// a proxy from asking whether the server is well. Nobody connects from this address.
const IN_DISPUTE: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

/// A trusted proxy that has connected.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: IpAddr,
    limit: usize,
    networks: Networks,
    trusted: Arc<[TrustedProxy]>,
    /// The place of the client that it speaks for now in the count of its network.
    client: Option<Box<NetworkPermit>>,
}

impl Proxy {
    /// The proxy that this peer is, if it is one that is trusted.
    pub(super) fn of(
        peer: Option<IpAddr>,
        limit: usize,
        networks: &Networks,
        trusted: &Arc<[TrustedProxy]>,
    ) -> Option<Self> {
        let is_trusted = trusted.iter().any(|proxy| proxy.is(peer));
        is_trusted.then(|| Self {
            address: peer.map_or(BY_UNIX_SOCKET, |peer| peer.to_canonical()),
            limit,
            networks: networks.clone(),
            trusted: Arc::clone(trusted),
            client: None,
        })
    }

    /// The address that the proxy itself counts for.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether a proxy at this address may name the client of a request.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|proxy| proxy.is(Some(address)))
    }

    /// Counts a request for this client, or for one of its own where the head names two. Returns whether there is room.
    ///
    /// However many its client has, the proxy is to be told: it would take a connection that closes without an answer
    /// for a server that fails, and keep others from it.
    pub(crate) fn admit(&mut self, client: Option<IpAddr>) -> bool {
        let (open, counted) = self.networks.enter(client.unwrap_or(IN_DISPUTE));
        self.client = Some(Box::new(counted));
        Room::among(open, self.limit) == Room::Free
    }

    /// What it was asked has its answer.
    pub(crate) fn release_client(&mut self) {
        self.client = None;
    }

    /// The client whose stream its connection is from now on.
    pub(crate) fn into_client(self) -> Option<Box<NetworkPermit>> {
        self.client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_is_a_network_and_an_ipv4_address_is_one() {
        let networks = Networks::default();
        let mut open = Vec::new();
        for (address, before) in [
            ("10.0.0.1", 0),
            ("10.0.0.2", 0),
            ("10.0.0.1", 1),
            ("::ffff:10.0.0.1", 2),
            ("2001:db8:1:2::1", 0),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", 1),
            ("2001:db8:1:3::1", 0),
        ] {
            let (count, counted) = networks.enter(address.parse().expect("an address"));
            assert_eq!(count, before, "for {address}");
            open.push(counted);
        }
        assert_eq!(lock(&networks.0).len(), 4);
        open.truncate(1);
        assert_eq!(networks.enter(IpAddr::from([10, 0, 0, 1])).0, 1, "the first is still open");
        open.clear();
        assert!(lock(&networks.0).is_empty(), "who has no connection takes no memory");
    }
}
