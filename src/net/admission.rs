//! How many connections each client network has: an IPv4 address, or the /64 that an IPv6 customer is given.
//!
//! It is touched when a connection comes and when it goes, by any thread, and by nothing else; behind a trusted proxy,
//! when a request does.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

use crate::sys::lock;

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
