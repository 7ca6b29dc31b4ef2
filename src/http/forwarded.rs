//! The client of a request that came through proxies, by `Forwarded` (RFC 7239) or `X-Forwarded-For`.
//!
//! A proxy appends the address of its peer to the list that it received. So the list is read from its end, for as long
//! as the proxy that added an entry is trusted. A client's own entries come before those and are never reached; an
//! open quote in them hides nothing.
//!
//! The caller reads this only for a peer that is a trusted proxy. Nothing is rejected, because proxies write odd
//! entries. An entry that is not understood is no address.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{trim_whitespace, values};

/// The client of a request that `proxy` has passed on: the nearest address that is no trusted proxy, or else the
/// farthest known one.
///
/// `None` if the two fields disagree: a proxy that writes one passes the other on unchanged, so either may be forged.
/// `head` was parsed before, so its lines are its fields.
pub(crate) fn client(head: &[u8], proxy: IpAddr, is_trusted: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let by_forwarded = values(head, b"Forwarded").flat_map(|value| members(value, b',')).map(node_of_element);
    let by_x_forwarded_for =
        values(head, b"X-Forwarded-For").flat_map(|value| value.rsplit(|octet| *octet == b',').map(trim_whitespace));
    let forwarded = nearest(by_forwarded.map(|node| address(&node?)), proxy, &is_trusted);
    let x_forwarded_for = nearest(by_x_forwarded_for.filter(is_some_text).map(address), proxy, &is_trusted);
    match (forwarded, x_forwarded_for) {
        (Some(one), Some(other)) => (one == other).then_some(one),
        (one, other) => Some(one.or(other).unwrap_or(proxy)),
    }
}

/// Walks from entry to entry, the last one first; `None` if there is none.
fn nearest(
    entries: impl Iterator<Item = Option<IpAddr>>,
    proxy: IpAddr,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let mut known = None;
    for entry in entries {
        // A trusted proxy wrote this one and names no address. Clients may have written the entries before it.
        let Some(address) = entry else { return known.or(Some(proxy)) };
        known = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    known
}

/// The members between the delimiters that are not in quotes, the last first, without the empty ones.
///
/// Read backwards, a quoted string begins and ends at the same quotes if all are closed. If one is open, the members
/// after it are found all the same.
fn members(list: &[u8], delimiter: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    let all = std::iter::from_fn(move || {
        let list = rest.take()?;
        let mut is_quoted = false;
        for (at, octet) in list.iter().enumerate().rev() {
            if *octet == b'"' && !is_escaped(&list[..at]) {
                is_quoted = !is_quoted;
            } else if *octet == delimiter && !is_quoted {
                rest = Some(&list[..at]);
                return Some(trim_whitespace(&list[at + 1..]));
            }
        }
        Some(trim_whitespace(list))
    });
    all.filter(is_some_text)
}

/// Returns true if a backslash escapes the octet after these.
fn is_escaped(before: &[u8]) -> bool {
    before.iter().rev().take_while(|octet| **octet == b'\\').count() % 2 == 1
}

fn is_some_text(octets: &&[u8]) -> bool {
    !octets.is_empty()
}

/// The value of the one `for=` in an element (RFC 7239, 4).
fn node_of_element(element: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut nodes = members(element, b';').filter_map(|pair| {
        let (name, value) = pair.split_at_checked(b"for=".len())?;
        name.eq_ignore_ascii_case(b"for=").then_some(value)
    });
    let node = nodes.next()?;
    nodes.next().is_none().then(|| unquoted(node))
}

/// The text of a token or of a quoted string (RFC 9110, 5.6.4).
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', text @ .., b'"'] = value else { return value.into() };
    if !text.contains(&b'\\') {
        return text.into();
    }
    let mut octets = text.iter();
    let plain = std::iter::from_fn(|| match octets.next()? {
        b'\\' => octets.next(),
        octet => Some(octet),
    });
    plain.copied().collect()
}

/// The address of a node (RFC 7239, 6), with or without a port. `unknown` and made-up names are none. An IPv6 address
/// without brackets is one, since `X-Forwarded-For` has them so.
fn address(node: impl AsRef<[u8]>) -> Option<IpAddr> {
    let node = std::str::from_utf8(node.as_ref()).ok()?;
    let bare = node.parse().ok();
    bare.or_else(|| with_port(node)).map(|address| address.to_canonical())
}

fn with_port(node: &str) -> Option<IpAddr> {
    if let Some((address, port)) = node.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().ok().filter(|_| is_good).map(IpAddr::V6);
    }
    let (address, port) = node.split_once(':')?;
    address.parse::<Ipv4Addr>().ok().filter(|_| is_port(port)).map(IpAddr::V4)
}

/// Returns true if the text is a port: a number, or a name in its place.
fn is_port(port: &str) -> bool {
    !port.is_empty() && port.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"._-".contains(&octet))
}

#[cfg(test)]
mod tests {
    use httparse::{EMPTY_HEADER, Request};
    use proptest::prelude::*;

    use super::*;

    const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

    fn is_trusted(address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(address) if address.octets()[0] == 10)
    }

    /// The client of a request with these fields, as text; empty if the fields disagree.
    fn client_by(fields: &str) -> String {
        let head = format!("GET /sse HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        client(head.as_bytes(), PROXY, is_trusted).map_or_else(String::new, |address| address.to_string())
    }

    #[test]
    fn node_is_an_address_or_none() {
        for (node, expected) in [
            ("192.0.2.43", Some("192.0.2.43")),
            ("192.0.2.43:4711", Some("192.0.2.43")),
            ("192.0.2.43:_gazonk", Some("192.0.2.43")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("::ffff:192.0.2.43", Some("192.0.2.43")),
            ("[::ffff:192.0.2.43]:1", Some("192.0.2.43")),
            ("", None),
            ("unknown", None),
            ("_hidden", None),
            ("unix:", None),
            ("localhost", None),
            ("192.0.2.43:", None),
            ("192.0.2.43:1:2", None),
            ("192.0.2", None),
            ("192.0.2.043", None),
            ("192.0.2.256", None),
            ("[192.0.2.43]", None),
            ("[2001:db8::1", None),
            ("[2001:db8::1]4711", None),
            ("[2001:db8::1]:", None),
            ("fe80::1%eth0", None),
            ("\u{e9}", None),
        ] {
            assert_eq!(address(node), expected.map(|text| text.parse().expect("an address")), "for {node:?}");
        }
    }

    #[test]
    fn forwarded_follows_rfc_7239() {
        for (value, expected) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("proto=https; FOR=192.0.2.60 ;host=\"a,for=1.1.1.1;b\"", "192.0.2.60"),
            ("host=\"\\\",for=1.1.1.1,\\\\\";for=192.0.2.60", "192.0.2.60"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=\"192.0\\.2.43\\:80\"", "192.0.2.43"),
            ("for=192.0.2.43,, ,", "192.0.2.43"),
            ("for=[2001:db8::1]:80", "2001:db8::1"),
            // No entry, or none that is understood.
            ("", "10.0.0.1"),
            (",", "10.0.0.1"),
            ("for=unknown", "10.0.0.1"),
            ("for=\"_gazonk\"", "10.0.0.1"),
            ("for=", "10.0.0.1"),
            ("for=\"", "10.0.0.1"),
            ("for = 192.0.2.43", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
            ("before=192.0.2.43", "10.0.0.1"),
            ("192.0.2.43", "10.0.0.1"),
            ("for=192.0.2.43;for=192.0.2.44", "10.0.0.1"),
            // The client's own entries.
            ("for=\", for=192.0.2.43", "192.0.2.43"),
            ("for=\"1.1.1.1\\, for=192.0.2.43", "192.0.2.43"),
            ("for=\"1.1.1.1;a=\", for=\"192.0.2.43\"", "192.0.2.43"),
            ("\\, for=192.0.2.43", "192.0.2.43"),
        ] {
            assert_eq!(client_by(&format!("fORWARDED:{value}\r\n")), expected, "for {value:?}");
        }
    }

    #[test]
    fn x_forwarded_for_is_read_in_all_its_forms() {
        for (value, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1,[::1]:80,2001:db8::1,1.2.3.4:5678", "1.2.3.4"),
            ("192.0.2.1, [::1]:80, 2001:db8::1", "2001:db8::1"),
            ("192.0.2.1\t, [::1]:80", "::1"),
            ("192.0.2.1,", "192.0.2.1"),
            ("\", 192.0.2.1", "192.0.2.1"),
            ("", "10.0.0.1"),
            ("unknown", "10.0.0.1"),
            ("192.0.2.1, unknown", "10.0.0.1"),
            ("192.0.2.1 192.0.2.2", "10.0.0.1"),
            ("for=192.0.2.1", "10.0.0.1"),
        ] {
            assert_eq!(client_by(&format!("x-forwarded-FOR: {value}\r\n")), expected, "for {value:?}");
        }
    }

    #[test]
    fn client_is_the_nearest_untrusted_address() {
        for (value, expected) in [
            ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
            ("1.1.1.1, 192.0.2.1, 10.0.0.3, ::ffff:10.0.0.2", "192.0.2.1"),
            ("1.1.1.1, 10.0.0.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("1.1.1.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("1.1.1.1, unknown", "10.0.0.1"),
        ] {
            assert_eq!(client_by(&format!("X-Forwarded-For: {value}\r\n")), expected, "for {value:?}");
            let elements: Vec<_> = value.split(", ").map(|node| format!("for=\"{node}\"")).collect();
            assert_eq!(client_by(&format!("Forwarded: {}\r\n", elements.join(","))), expected, "for {value:?}");
            let fields: String = value.split(", ").map(|node| format!("X-Forwarded-For: {node}\r\nA: b\r\n")).collect();
            assert_eq!(client_by(&fields), expected, "for {value:?} in as many fields");
        }
    }

    #[test]
    fn two_fields_have_to_agree() {
        let both = |forwarded: &str, other: &str| {
            client_by(&format!("Forwarded: {forwarded}\r\nX-Forwarded-For: {other}\r\nX-Forwarded-Fo: 1.1.1.1\r\n"))
        };
        assert_eq!(both("for=192.0.2.1", "192.0.2.1"), "192.0.2.1");
        assert_eq!(both("for=\"192.0.2.1:80\"", "1.1.1.1, ::ffff:192.0.2.1, 10.0.0.2"), "192.0.2.1");
        assert_eq!(both("", "192.0.2.1"), "192.0.2.1");
        assert_eq!(both("for=192.0.2.1", ""), "192.0.2.1");
        assert_eq!(both("for=192.0.2.1", "192.0.2.2"), "");
        assert_eq!(both("for=unknown", "192.0.2.2"), "");
        assert_eq!(client_by("X-Real-IP: 192.0.2.1\r\n"), "10.0.0.1", "there is no other field");
    }

    proptest! {
        #[test]
        fn only_entries_of_trusted_proxies_are_reached(
            forged in prop::collection::vec(prop::sample::select(&b"\",;\\= for1.:[]_\t\xff"[..]), 0..40),
            address in (11_u8..=255, any::<[u8; 3]>()).prop_map(|(first, [b, c, d])| Ipv4Addr::new(first, b, c, d)),
        ) {
            for (name, added) in [("Forwarded", format!("for={address}")), ("X-Forwarded-For", address.to_string())] {
                let start = format!("GET / HTTP/1.1\r\nHost: h\r\n{name}: ");
                let own = [start.as_bytes(), &forged, b"\r\n\r\n"].concat();
                client(&own, PROXY, is_trusted);
                let in_its_field = [start.as_bytes(), &forged, b", ", added.as_bytes(), b"\r\n\r\n"].concat();
                prop_assert_eq!(client(&in_its_field, PROXY, is_trusted), Some(IpAddr::V4(address)));
                let behind = [start.as_bytes(), &forged, format!("\r\n{name}: {added}\r\n\r\n").as_bytes()].concat();
                prop_assert_eq!(client(&behind, PROXY, is_trusted), Some(IpAddr::V4(address)));
            }
        }

        #[test]
        fn no_octets_panic(head in prop::collection::vec(any::<u8>(), 0..200)) {
            client(&head, PROXY, is_trusted);
        }

        #[test]
        fn lines_are_the_parsers_fields(fields in "((Forwarded|forwarded|Forwarde|A):[ \tab:;]{0,4}\r\n){0,4}") {
            let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
            let mut found = [EMPTY_HEADER; 8];
            let mut request = Request::new(&mut found);
            prop_assert!(request.parse(head.as_bytes()).is_ok_and(|status| status.is_complete()));
            let theirs = request.headers.iter().rev().filter(|field| field.name.eq_ignore_ascii_case("Forwarded"));
            let theirs: Vec<_> = theirs.map(|field| trim_whitespace(field.value)).collect();
            prop_assert_eq!(values(head.as_bytes(), b"Forwarded").collect::<Vec<_>>(), theirs);
        }
    }
}
