//! A host and perhaps a port, as a request names them and an origin does.

use std::net::Ipv6Addr;

/// A host without its port.
pub(crate) fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    }
}

/// `host [ ":" port ]` (RFC 3986, 3.2.2 and 3.2.3), with a host that is not empty.
///
/// The host has no comma, as a registered name might: it would make a list of the field.
pub(crate) fn is_host_and_port(authority: &[u8]) -> bool {
    let (host, port) = match authority.iter().rposition(|octet| *octet == b':') {
        Some(colon) if !authority.ends_with(b"]") => (&authority[..colon], &authority[colon + 1..]),
        _ => (authority, &b""[..]),
    };
    is_host(host) && is_port(port)
}

/// The same where it is written down to be compared with: a colon without a port would match nothing that is sent.
pub(super) fn is_comparable(authority: &str) -> bool {
    is_host_and_port(authority.as_bytes()) && !authority.ends_with(':')
}

fn is_host(host: &[u8]) -> bool {
    if let [b'[', address @ .., b']'] = host {
        return std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
    }
    let mut octets = host.iter();
    let mut is_name = !host.is_empty();
    while let Some(octet) = octets.next() {
        is_name &= match octet {
            b'%' => octets.by_ref().take(2).filter(|digit| digit.is_ascii_hexdigit()).count() == 2,
            _ => octet.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(octet),
        };
    }
    is_name
}

/// A port is digits, perhaps none, that name one (RFC 3986, 3.2.3).
fn is_port(port: &[u8]) -> bool {
    let digits = port.iter().all(u8::is_ascii_digit);
    digits && (port.is_empty() || std::str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok()))
}
