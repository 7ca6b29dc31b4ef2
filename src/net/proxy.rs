//! A peer that speaks for others: what its requests count for, where connections are limited by where they come from.
//!
//! Its connection itself is nobody's, and only counts among all. A request on it is its client's from the moment its
//! head is read until its answer, and a stream for as long as it is open.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::admission::{NetworkPermit, Networks};
use super::listener::Room;
use crate::config::TrustedProxy;

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
