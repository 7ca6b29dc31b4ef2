//! Hostile requests: a fixed list, so that a run can be had again. None of them may be carried out; a
//! part is refused, a part is never finished, a part is broken off.

/// The behaviour of a client that has sent the opening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Waits for the refusal, or for the end of the connection.
    AwaitRefusal,
    /// Goes on byte by byte, until it is thrown out or tired.
    Drip(u8),
    /// Does nothing, and does not read either, until it is tired.
    Wait,
    /// Resets the connection at once.
    Reset,
}

pub(super) struct Hostile {
    pub(super) name: &'static str,
    pub(super) opening: Vec<u8>,
    pub(super) then: Then,
}

/// Heads that are no heads, or are two in one.
const REFUSED: [(&str, &str); 21] = [
    ("a TLS hello", "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\r\n\r\n"),
    ("no target", "GET\r\n\r\n"),
    ("an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a version to come", "POST /broadcast HTTP/9.9\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"),
    ("no host", "POST /broadcast HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"),
    ("two hosts", "POST /broadcast HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1\r\n\r\nx"),
    ("a blank before the colon", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length : 1\r\n\r\nx"),
    ("a folded line", "POST /broadcast HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx"),
    ("NUL in a field", "POST /broadcast HTTP/1.1\r\nHost: h\r\nX: \0\r\nContent-Length: 1\r\n\r\nx"),
    ("CR in a field", "POST /broadcast HTTP/1.1\r\nHost: h\r\nX: a\rb\r\nContent-Length: 1\r\n\r\nx"),
    ("no length", "POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\nx"),
    ("a length with a sign", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx"),
    ("a length in words", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: one\r\n\r\nx"),
    ("two lengths", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
    ("a length beyond 64 bits", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\nx"),
    ("a terabyte", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1099511627776\r\n\r\nx"),
    ("another coding", "POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("a path of no page", "GET /nothing HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
    ("a way up", "GET /../../etc/passwd HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
    ("garbage behind a request", "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n\u{7f}\u{1}{}\r\n\r\n\r\n\r\n"),
    ("another method", "DELETE /broadcast HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
];

/// Bodies whose chunks are wrong.
const BAD_CHUNKS: [(&str, &str); 4] = [
    ("a chunk of no size", "zz\r\nx\r\n0\r\n\r\n"),
    ("a chunk below zero", "-1\r\nx\r\n0\r\n\r\n"),
    ("a chunk beyond 64 bits", "10000000000000001\r\nx\r\n0\r\n\r\n"),
    ("a chunk longer than said", "1\r\nxyz\r\n0\r\n\r\n"),
];

const HEAD: &str = "POST /broadcast HTTP/1.1\r\nHost: h\r\n";
const CHUNKED: &str = "POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

pub(super) fn all() -> Vec<Hostile> {
    let refused = REFUSED.map(|(name, opening)| hostile(name, opening, Then::AwaitRefusal));
    let bad_chunks = BAD_CHUNKS.map(|(name, body)| hostile(name, format!("{CHUNKED}{body}"), Then::AwaitRefusal));
    refused.into_iter().chain(bad_chunks).chain(oversized()).chain(unfinished()).collect()
}

/// More of something than there is room for, and bodies that are wrong.
fn oversized() -> [Hostile; 8] {
    let refused = |name, opening: String| hostile(name, opening, Then::AwaitRefusal);
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(64 << 10));
    let two_bytes = format!("{HEAD}Connection: close\r\nContent-Length: 2\r\n\r\n").into_bytes();
    [
        refused("a field of 64 KiB", format!("{HEAD}X: {}\r\n\r\n", "a".repeat(64 << 10))),
        refused("a target of 12 KiB", format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(12 << 10))),
        refused("a thousand fields", format!("{HEAD}{}\r\n", "X: a\r\n".repeat(1000))),
        refused("a body of 2 MiB", format!("{HEAD}Content-Length: 2097152\r\n\r\n{}", "a".repeat(64 << 10))),
        refused("chunks of 2 MiB", format!("{CHUNKED}{}0\r\n\r\n", chunk.repeat(32))),
        refused("a chunk's extensions of 16 KiB", format!("{CHUNKED}1;{}\r\n", "a".repeat(16 << 10))),
        refused("a length and chunks", CHUNKED.replace("\r\n\r\n", "\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")),
        hostile("a body that is no text", [&two_bytes, &b"\xc3\x28"[..]].concat(), Then::AwaitRefusal),
    ]
}

/// Requests that have no end, and such that are broken off.
fn unfinished() -> [Hostile; 13] {
    let nothing = "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n";
    [
        hostile("nothing at all", "", Then::Wait),
        hostile("a head that never ends", HEAD, Then::Wait),
        hostile("a head byte by byte", format!("{HEAD}X: "), Then::Drip(b'a')),
        hostile("a body byte by byte", format!("{HEAD}Content-Length: 100000\r\n\r\n"), Then::Drip(b'a')),
        hostile("a chunk byte by byte", format!("{CHUNKED}ffff\r\n"), Then::Drip(b'a')),
        hostile("a chunk's size byte by byte", CHUNKED, Then::Drip(b'0')),
        hostile("a connection kept for nothing", nothing, Then::Wait),
        hostile("answers that nobody reads", nothing.repeat(400), Then::Wait),
        hostile("a reset at once", "", Then::Reset),
        hostile("a reset amid the head", "POST /broad", Then::Reset),
        hostile("a reset amid the body", format!("{HEAD}Content-Length: 9\r\n\r\nhalf"), Then::Reset),
        hostile("a reset amid a chunk", format!("{CHUNKED}9\r\nhalf"), Then::Reset),
        hostile("a reset amid answers", nothing.repeat(100), Then::Reset),
    ]
}

fn hostile(name: &'static str, opening: impl Into<Vec<u8>>, then: Then) -> Hostile {
    Hostile { name, opening: opening.into(), then }
}

/// Returns true for an answer to a request that was carried out.
pub(super) fn is_carried_out(answer: &[u8]) -> bool {
    answer.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first()) == Some(&b'2')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_all_kinds_under_names_of_their_own() {
        let all = all();
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].iter().any(|other| other.name == one.name), "{} is there twice", one.name);
            let asks_for_a_stream = one.opening.windows(4).any(|bytes| bytes == b"/sse");
            assert!(!asks_for_a_stream, "{}: it would be counted", one.name);
        }
        let kinds = |then: fn(Then) -> bool| all.iter().filter(|one| then(one.then)).count();
        assert!(kinds(|then| then == Then::AwaitRefusal) > 30 && kinds(|then| then == Then::Reset) >= 5);
        assert!(kinds(|then| then == Then::Wait) >= 4 && kinds(|then| matches!(then, Then::Drip(_))) >= 4);
    }

    #[test]
    fn only_what_is_carried_out_is_told() {
        assert!(is_carried_out(b"HTTP/1.1 202 Accepted\r\n") && is_carried_out(b"HTTP/1.1 200 OK\r\n"));
        for refusal in [b"HTTP/1.1 400 Bad Request\r\n".as_slice(), b"", b"HTTP/1.1 ", b"HTTP/1.1 503"] {
            assert!(!is_carried_out(refusal), "{refusal:?}");
        }
    }
}
