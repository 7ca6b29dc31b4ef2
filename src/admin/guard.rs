//! Whose requests the admin address carries out: pure functions of the head.
//!
//! The address is for people and programs of this machine, and so within reach of every page that a browser on it has
//! open. A page of another origin may send requests there, and one whose own name points there may read the answers.

use std::net::IpAddr;

use crate::auth::{Access, host_of};
use crate::http;

/// Whether a request names a host that can only be meant: an address, `localhost`, or one that the operator listed by
/// its name. A name that a foreign name server lets point here is none of these, and neither is one below a listed
/// name: those may be anybody's.
pub(super) fn is_own_host(authority: Option<&[u8]>, access: &Access) -> bool {
    let Some(authority) = authority.and_then(|octets| std::str::from_utf8(octets).ok()) else { return false };
    let host = host_of(authority);
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    is_address || is_localhost || access.names(authority)
}

/// Whether a request comes from no page, or from one of the host that it is sent to: by its `Origin`, and by what the
/// browser says of it (`Sec-Fetch-Site`, Fetch Metadata), since not every request has an origin.
pub(super) fn is_own_page(head: &[u8], origin: Option<&[u8]>, authority: Option<&[u8]>) -> bool {
    let is_own = |site: &[u8]| site == b"same-origin" || site == b"none";
    if !http::values(head, b"Sec-Fetch-Site").all(is_own) {
        return false;
    }
    let Some(origin) = origin else { return true };
    let host = [&b"http://"[..], b"https://"].into_iter().find_map(|scheme| origin.strip_prefix(scheme));
    host.is_some_and(|host| authority.is_some_and(|authority| host.eq_ignore_ascii_case(authority)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_that_can_only_be_meant() {
        let hosts = ["ops.example", "*.tenants.example"].map(|host| host.parse().expect("a host"));
        let listed = Access { hosts: hosts.into(), ..Access::default() };
        for (host, alone, with_list) in [
            ("127.0.0.1:9942", true, true),
            ("10.0.0.7", true, true),
            ("[::1]:9942", true, true),
            ("localhost:9942", true, true),
            ("LOCALHOST", true, true),
            ("ops.example", false, true),
            ("ops.example:9942", false, true),
            ("a.tenants.example", false, false),
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
            assert_eq!(is_own_page(b"", Some(origin.as_bytes()), host), expected, "{origin}");
        }
        assert!(is_own_page(b"", None, host) && is_own_page(b"", None, None));
        assert!(!is_own_page(b"", Some(b"http://localhost:9942"), None));
        for (site, expected) in [("same-origin", true), ("none", true), ("cross-site", false), ("same-site", false)] {
            let head = format!("GET /live HTTP/1.1\r\nsec-fetch-site: {site}\r\n\r\n");
            assert_eq!(is_own_page(head.as_bytes(), None, host), expected, "{site}");
        }
    }
}
