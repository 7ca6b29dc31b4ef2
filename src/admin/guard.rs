//! Guards of the admin address against pages of other origins: pure functions of a request's head.
//!
//! Every page that a browser on this machine has open can reach the address. A page of another origin can send
//! requests. A page whose own host name points here (DNS rebinding) can read the responses too. Other clients are not
//! guarded against: they can send any head.

use std::net::IpAddr;

use crate::auth::{AccessSettings, host_of};
use crate::http;

/// Checks that a request names a host that can only mean this server. That is an address, `localhost`, or a host that
/// the operator lists by its own name. Any name server may point another name here. A wildcard of the list does not
/// count either: names below it may belong to others.
pub(super) fn is_own_host(authority: Option<&[u8]>, access: &AccessSettings) -> bool {
    let Some(authority) = authority.and_then(|octets| std::str::from_utf8(octets).ok()) else { return false };
    let host = host_of(authority);
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let is_localhost = host.eq_ignore_ascii_case("localhost");
    is_address || is_localhost || access.names(authority)
}

/// Checks that a request comes from a page of the host that it is sent to, or from no page. Not every request has an
/// `Origin`, so the browser's own word counts as well (`Sec-Fetch-Site`, Fetch Metadata).
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
    fn own_hosts_are_addresses_localhost_and_listed_names() {
        let hosts = ["ops.example", "*.tenants.example"].map(|host| host.parse().expect("a host"));
        let listed = AccessSettings { hosts: hosts.into(), ..AccessSettings::default() };
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
            assert_eq!(is_own_host(authority, &AccessSettings::default()), alone, "{host}");
            assert_eq!(is_own_host(authority, &listed), with_list, "{host}");
        }
        assert!(!is_own_host(None, &AccessSettings::default()));
    }

    #[test]
    fn own_pages_are_of_the_host_that_they_ask() {
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
