//! Strict readers of the formats that the server reads and writes.
//!
//! Each follows the text of a standard in the simplest way: whole lines, no state between two calls, no thought of
//! speed. A reader names every broken rule, and the server may report any of them. If the rules leave a choice, it says
//! [`Reading::Open`]. The reader of an event stream is [`support::sse`], which the tests share.

pub mod access;
pub mod answer;
pub mod authority;
pub mod chunked;
pub mod connection;
pub mod framing;
pub mod head;
pub mod parameters;
pub mod publishing;
pub mod query;
pub mod topics;

use std::collections::BTreeSet;

/// The result of reading at the start of some octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// The thing, and its length.
    Whole(T, usize),
    /// The beginning of one that may still become valid.
    Partial,
    /// An invalid one.
    Refused(Refusals),
    /// One that the server may refuse, or read in more than one way.
    Open,
}

/// The statuses that a refusal may have, one for each broken rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// The status codes.
    pub statuses: BTreeSet<u16>,
    /// Forbids the server to wait for more before it refuses.
    pub at_once: bool,
}

impl Refusals {
    fn is_empty(&self) -> bool {
        self.statuses.is_empty()
    }

    fn add(&mut self, statuses: impl IntoIterator<Item = u16>) {
        self.statuses.extend(statuses);
    }

    fn add_if(&mut self, is_broken: bool, status: u16) {
        self.add(is_broken.then_some(status));
    }
}

/// `tchar` (RFC 9110, 5.6.2).
fn is_tchar(octet: u8) -> bool {
    matches!(octet, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
        || matches!(octet, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// `1*tchar`.
fn is_token(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|octet| is_tchar(*octet))
}

/// An octet of a field value (RFC 9110, 5.5): visible, beyond ASCII, space or tab.
fn is_field_octet(octet: u8) -> bool {
    matches!(octet, b'\t' | 0x20..=0x7e | 0x80..)
}

/// The octets without `OWS` at both ends.
fn trim(octets: &[u8]) -> &[u8] {
    let is_visible = |octet: &u8| *octet != b' ' && *octet != b'\t';
    let Some(start) = octets.iter().position(is_visible) else { return b"" };
    let end = octets.iter().rposition(is_visible).map_or(start, |last| last + 1);
    &octets[start..end]
}

/// The elements of a list, empty ones included.
fn elements(values: &[&[u8]]) -> Vec<Vec<u8>> {
    let joined = values.join(&b","[..]);
    if values.is_empty() {
        Vec::new()
    } else {
        joined.split(|octet| *octet == b',').map(|e| trim(e).to_vec()).collect()
    }
}

/// The first line without its LF; `None` if there is no LF.
fn line(octets: &[u8]) -> Option<&[u8]> {
    octets.iter().position(|octet| *octet == b'\n').map(|end| &octets[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_grammar() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t"), b"");
        assert!(is_token(b"a-!~") && !is_token(b"") && !is_token(b"a b") && !is_token(b"a(") && !is_token(b"\x7f"));
        assert_eq!((0..=255).filter(|octet| is_tchar(*octet)).count(), 15 + 10 + 52);
        assert_eq!((0..=255).filter(|octet| is_field_octet(*octet)).count(), 256 - 32);
        assert_eq!(elements(&[b"a, b", b""]), [&b"a"[..], b"b", b""]);
        assert_eq!(elements(&[b""]), [b""]);
        assert!(elements(&[]).is_empty());
        assert_eq!((line(b"a\r\nb"), line(b"a")), (Some(&b"a\r"[..]), None));
    }
}
