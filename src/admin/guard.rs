//! Whose requests the admin address carries out: pure functions of the head.
//!
//! The address is for people and programs of this machine, and so within reach of every page that a browser on it has
//! open. A page of another origin may send requests there, and one whose own name points there may read the answers.

use std::net::IpAddr;

use crate::access::Access;

/// Whether a request names a host that can only be meant: an address, `localhost`, or one that the operator listed. A
/// name that a foreign name server lets point here is none of these.
pub(super) fn is_own_host(authority: Option<&[u8]>, access: &Access) -> bool {
    let Some(authority) = authority.and_then(|octets| std::str::from_utf8(octets).ok()) else { return false };
    let host = match authority.rsplit_once(':') {
        Some((host, _)) if !authority.ends_with(']') => host,
        _ => authority,
    };
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    is_address || is_localhost || (!access.hosts.is_empty() && access.admits(Some(authority.as_bytes())))
}

/// Whether a request comes from no page, or from one of the host that it is sent to.
pub(super) fn is_own_page(origin: Option<&[u8]>, authority: Option<&[u8]>) -> bool {
    let Some(origin) = origin else { return true };
    let host = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
    host.is_some_and(|host| authority.is_some_and(|authority| host.eq_ignore_ascii_case(authority)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_that_can_only_be_meant() {
        let listed = Access { hosts: vec!["ops.example".parse().expect("a host")], ..Access::default() };
        for (host, alone, with_list) in [
            ("127.0.0.1:9942", true, true),
            ("10.0.0.7", true, true),
            ("[::1]:9942", true, true),
            ("localhost:9942", true, true),
            ("LOCALHOST", true, true),
            ("ops.example", false, true),
            ("evil.example:9942", false, false),
            ("localhost.evil.example", false, false),
            ("127.0.0.1.evil.example", false, false),
            ("", false, false),
        ] {
            let authority = Some(host.as_bytes());
            assert_eq!(is_own_host(authority, &Access::default()), alone, "{host}");
            assert_eq!(is_own_host(authority, &listed), with_list, "{host}");
        }
        assert!(!is_own_host(None, &Access::default()));
    }

    #[test]
    fn a_page_is_of_the_host_that_it_asks() {
        let host = Some(&b"localhost:9942"[..]);
        for (origin, expected) in [
            ("http://localhost:9942", true),
            ("https://LOCALHOST:9942", true),
            ("http://localhost", false),
            ("http://127.0.0.1:9942", false),
            ("https://evil.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_own_page(Some(origin.as_bytes()), host), expected, "{origin}");
        }
        assert!(is_own_page(None, host) && is_own_page(None, None));
        assert!(!is_own_page(Some(b"http://localhost:9942"), None));
    }
}
