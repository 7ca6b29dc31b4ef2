//! Limits on connections: of the whole server, and of each client network.
//!
//! A client network is an IPv4 address, or the /64 that an IPv6 customer is given. A trusted proxy speaks for others:
//! its own connection counts among all alone, and each request on it counts for the client that the request names.
//! The counts change when a connection or such a request begins and ends, and at no other time. The invariant: every
//! count is a guard's, which gives it back however the connection ends.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use async_io::Async;

use crate::config::{Limits, TrustedProxy};
use crate::metrics::{GaugeGuard, Metrics};
use crate::sys::lock;

/// Connections beyond a limit that are still told to retry. Any beyond these are closed without a response.
const MOST_REJECTING: usize = 32;

/// Descriptors that the server needs besides its connections: for the standard streams, the listening sockets, the
/// reactor, and the clients that it rejects.
pub(crate) const RESERVED_DESCRIPTORS: usize = 32 + MOST_REJECTING;

/// The network of a proxy that has no address.
const BY_UNIX_SOCKET: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The network of requests that name two clients at once, an address that nobody connects from.
///
/// They do not count for the proxy itself: else a client that forges a field could use up the proxy's health checks.
const IN_DISPUTE: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

/// The rule for new connections.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The most connections in all.
    limit: usize,
    /// Set if connections are limited by network.
    networks: Option<Networks>,
    trusted_proxies: Arc<[TrustedProxy]>,
    /// Clients rejected so far; the number spreads the times of their retries.
    rejections: u64,
    metrics: Metrics,
}

/// A client that was accepted.
#[derive(Debug)]
pub(crate) struct Client<S = Async<OwnedFd>> {
    pub(crate) io: S,
    /// Set if the client is to be told to retry: a number that tells such clients apart.
    pub(crate) rejection: Option<u64>,
    pub(crate) permit: ConnectionPermit,
    /// Set for a trusted proxy if connections are limited by network.
    pub(crate) proxy: Option<Box<Proxy>>,
}

/// The fate of a connection or request, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Admit,
    /// Told to retry.
    Reject,
    /// Closed without a response.
    Drop,
}

impl Admission {
    /// Admits up to `limit` connections in all, and what the limits allow for each network.
    pub(crate) fn new(limit: usize, limits: &Limits, trusted_proxies: &[TrustedProxy], metrics: Metrics) -> Self {
        let networks = limits.connections_per_ip.map(|limit| Networks::new(limit.get()));
        Self { limit, networks, trusted_proxies: trusted_proxies.into(), rejections: 0, metrics }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Counts a connection as a client; `None` if it is to be closed at once.
    pub(crate) fn admit(&mut self, io: Async<OwnedFd>, peer: Option<IpAddr>) -> Option<Client> {
        let mut verdict = Verdict::of(self.metrics.connections(), self.limit);
        let (mut proxy, mut in_network) = (None, None);
        if let Some(networks) = &self.networks {
            proxy = Proxy::of(peer, networks, &self.trusted_proxies).map(Box::new);
            if let Some(peer) = peer.filter(|_| proxy.is_none()) {
                let (own, permit) = networks.enter(peer);
                if own > Verdict::Admit {
                    self.metrics.connection_over_ip_limit();
                }
                verdict = verdict.max(own);
                in_network = Some(Box::new(permit));
            }
        }
        if verdict == Verdict::Drop {
            self.metrics.connection_dropped();
            return None;
        }
        let permit = ConnectionPermit { in_network, ..ConnectionPermit::new(&self.metrics) };
        let rejection = (verdict == Verdict::Reject).then(|| {
            self.rejections += 1;
            self.rejections
        });
        Some(Client { io, rejection, permit, proxy })
    }
}

impl Verdict {
    /// The fate of one more if `open` count against the limit already.
    fn of(open: usize, limit: usize) -> Self {
        if open < limit {
            Self::Admit
        } else if open < limit.saturating_add(MOST_REJECTING) {
            Self::Reject
        } else {
            Self::Drop
        }
    }
}

/// A client's place in the count of all connections, and in that of its network if networks are limited.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    _counted: GaugeGuard,
    /// Boxed, since most servers limit no network and every stream holds a permit.
    in_network: Option<Box<NetworkPermit>>,
}

impl ConnectionPermit {
    /// A place among all connections.
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self { _counted: metrics.connection(), in_network: None }
    }

    /// Counts the connection for the client that a proxy has opened a stream for, if there is one.
    pub(crate) fn pass_on(&mut self, client: Option<Box<NetworkPermit>>) {
        self.in_network = client.or(self.in_network.take());
    }
}

/// A trusted proxy that is connected.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: IpAddr,
    networks: Networks,
    trusted: Arc<[TrustedProxy]>,
    /// The place of the client that it speaks for now.
    client: Option<Box<NetworkPermit>>,
}

impl Proxy {
    fn of(peer: Option<IpAddr>, networks: &Networks, trusted: &Arc<[TrustedProxy]>) -> Option<Self> {
        trusted.iter().any(|proxy| proxy.is(peer)).then(|| Self {
            address: peer.map_or(BY_UNIX_SOCKET, |peer| peer.to_canonical()),
            networks: networks.clone(),
            trusted: Arc::clone(trusted),
            client: None,
        })
    }

    /// The address that requests of the proxy itself count for.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Tells if a proxy at this address may name the client of a request.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|proxy| proxy.is(Some(address)))
    }

    /// Counts a request for this client, `None` if the head names two. Returns true if its network is within the limit.
    ///
    /// Beyond it the proxy gets a response every time: it takes a connection that closes without one for a server that
    /// fails, and keeps other clients from it.
    pub(crate) fn admit(&mut self, client: Option<IpAddr>) -> bool {
        let (verdict, permit) = self.networks.enter(client.unwrap_or(IN_DISPUTE));
        self.client = Some(Box::new(permit));
        verdict == Verdict::Admit
    }

    /// Gives the client's place back once the response is written.
    pub(crate) fn release_client(&mut self) {
        self.client = None;
    }

    /// The place of the client whose stream the connection is from now on.
    pub(crate) fn into_client(self) -> Option<Box<NetworkPermit>> {
        self.client
    }
}

/// The connections of each network that has any now. Clones share them.
#[derive(Clone, Debug)]
struct Networks {
    /// The most connections of one network.
    limit: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection of a network.
#[derive(Debug)]
pub(crate) struct NetworkPermit {
    networks: Networks,
    network: IpAddr,
}

impl Networks {
    fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Counts a connection from this address until the permit is dropped.
    fn enter(&self, address: IpAddr) -> (Verdict, NetworkPermit) {
        let network = network_of(address);
        let mut open = lock(&self.open);
        let connections = open.entry(network).or_default();
        let verdict = Verdict::of(*connections, self.limit);
        *connections += 1;
        (verdict, NetworkPermit { networks: self.clone(), network })
    }
}

impl Drop for NetworkPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.networks.open);
        if let Some(connections) = open.get_mut(&self.network) {
            *connections -= 1;
            if *connections == 0 {
                open.remove(&self.network);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_an_ipv4_address_or_an_ipv6_64() {
        let networks = Networks::new(1);
        let mut permits = Vec::new();
        for (address, others) in [
            ("10.0.0.1", 0),
            ("10.0.0.2", 0),
            ("10.0.0.1", 1),
            ("::ffff:10.0.0.1", 2),
            ("2001:db8:1:2::1", 0),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", 1),
            ("2001:db8:1:3::1", 0),
        ] {
            let (verdict, permit) = networks.enter(address.parse().expect("an address"));
            assert_eq!(verdict, if others == 0 { Verdict::Admit } else { Verdict::Reject }, "for {address}");
            assert_eq!(lock(&networks.open)[&permit.network], others + 1, "for {address}");
            permits.push(permit);
        }
        assert_eq!(lock(&networks.open).len(), 4);
        permits.truncate(1);
        assert_eq!(networks.enter(IpAddr::from([10, 0, 0, 1])).0, Verdict::Reject, "the first is still open");
        permits.clear();
        assert!(lock(&networks.open).is_empty(), "a network without connections takes no memory");
    }

    #[test]
    fn connections_far_over_a_limit_are_dropped() {
        for (open, verdict) in [(1, Verdict::Admit), (2, Verdict::Reject), (33, Verdict::Reject), (34, Verdict::Drop)] {
            assert_eq!(Verdict::of(open, 2), verdict, "{open} of 2");
        }
    }
}
