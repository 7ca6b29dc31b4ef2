//! Peers that are proxies trusted to name their clients.
//!
//! A value: peers are matched here, fields are read in `http::forwarded`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

/// Proxies of the operator: the peers of a network (`10.0.0.0/8`, `::1/128`, or one address), or every peer of a unix
/// socket (`unix`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy(Peers);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Peers {
    /// Never a network of mapped addresses (`::ffff:0:0/96`): those are stored as IPv4.
    Net(IpNet),
    Unix,
}

impl TrustedProxy {
    /// Returns true if the peer is one of these proxies; a peer of a unix socket has no address.
    pub(crate) fn is(&self, peer: Option<IpAddr>) -> bool {
        match (self.0, peer) {
            (Peers::Net(net), Some(address)) => net.contains(&address.to_canonical()),
            (Peers::Unix, None) => true,
            (Peers::Net(_), None) | (Peers::Unix, Some(_)) => false,
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peers::Net(net) => net.fmt(f),
            Peers::Unix => f.write_str("unix"),
        }
    }
}

impl FromStr for TrustedProxy {
    type Err = InvalidProxy;

    fn from_str(text: &str) -> Result<Self, InvalidProxy> {
        if text == "unix" {
            return Ok(Self(Peers::Unix));
        }
        let net = text.parse::<IpNet>().or_else(|_| text.parse().map(|address: IpAddr| address.into()));
        net.map(|net| Self(Peers::Net(canonical(net)))).map_err(|_| InvalidProxy)
    }
}

/// Returns the IPv4 network, if this is a network of mapped addresses.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(v6) = net else { return net };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    mapped.and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()).map_or(net, IpNet::V4)
}

/// Text that names no peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trusted proxy is a network such as 10.0.0.0/8 or fd00::/8, an address, or unix")]
pub struct InvalidProxy;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_contains_addresses_in_any_notation() {
        for (proxy, peer, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("10.1.2.3/8", "10.255.0.1", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::1/128", "::1", true),
            ("::1", "::2", false),
            ("::1", "127.0.0.1", false),
            ("fd00::/8", "fdff::1", true),
            ("::ffff:10.0.0.0/104", "10.255.0.1", true),
            ("::ffff:10.0.0.0/104", "::ffff:11.0.0.1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::/0", "2001:db8::1", true),
            ("::/0", "::ffff:10.0.0.1", false),
            ("unix", "127.0.0.1", false),
        ] {
            let trusted: TrustedProxy = proxy.parse().expect(proxy);
            let peer = peer.parse().expect("an address");
            assert_eq!(trusted.is(Some(peer)), expected, "{peer} of {proxy}");
            assert_eq!(trusted.is(None), proxy == "unix", "a unix socket's peer of {proxy}");
            assert_eq!(trusted.to_string().parse(), Ok(trusted), "{proxy} is shown as {trusted}");
        }
    }

    #[test]
    fn text_that_names_no_peers_is_rejected() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "/8", "localhost", "UNIX", "unix:/s", "*"] {
            assert_eq!(text.parse::<TrustedProxy>(), Err(InvalidProxy), "{text:?}");
        }
    }
}
