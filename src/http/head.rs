//! A request's head: found in the bytes, then read once.
//!
//! [`Scanner`] looks at each byte once as it arrives, and rejects early any bytes that cannot become a head. Only then
//! does [`RequestHead::parse`] read: httparse holds the grammar, and the rules that it lacks (line ends, Host, target,
//! framing) are here. Parameters and permissions are not.

use httparse::{EMPTY_HEADER, Header, Status};

use super::fields::OptionalFields;
use super::framing::{Framing, field_values, framing};
use super::{Persistence, RequestError, is_token, list_members, trim_whitespace};
use crate::auth::is_host_and_port;
use crate::config::Limits;

/// The most fields in one head; the table for them lives on the stack while a head is parsed.
const MAX_FIELDS: usize = 100;

/// Finds the end of a head in a buffer that grows.
#[derive(Debug, Default)]
pub struct Scanner {
    /// Number of bytes that have been looked at.
    seen: usize,
    /// Start of the current line.
    line_start: usize,
    /// The part of the request line that has been checked; before it, empty lines are skipped.
    request_line: RequestLine,
    /// Set after the request line.
    in_fields: bool,
}

/// The checked beginning of a request line: `method SP target SP version` (RFC 9112, 3).
#[derive(Debug, Default)]
struct RequestLine {
    /// Number of octets that have been checked.
    length: usize,
    /// Number of spaces among them.
    spaces: usize,
    /// Octets since the last space.
    part_length: usize,
}

impl RequestLine {
    const VERSION: &[u8] = b"HTTP/1.";

    /// Checks the rest of a line, complete or not, of which the beginning was checked before.
    ///
    /// A line that can begin no request of HTTP/1 is rejected with its first such octet: another protocol's greeting.
    fn check(&mut self, line: &[u8], is_complete: bool, limits: &Limits) -> Result<(), RequestError> {
        for octet in &line[self.length..] {
            if self.length == limits.request_line_bytes {
                return Err(RequestError::RequestLineTooLong);
            }
            let is_good = match (self.spaces, octet) {
                (0 | 1, b' ') => self.part_length > 0,
                (0, _) => is_token(*octet),
                (1, _) => *octet > b' ' && *octet != 0x7f,
                (2, b'0' | b'1') if self.part_length == Self::VERSION.len() => true,
                (2, _) => Self::VERSION.get(self.part_length) == Some(octet),
                _ => false,
            };
            if !is_good {
                return Err(RequestError::Malformed);
            }
            self.length += 1;
            self.part_length += 1;
            if *octet == b' ' {
                self.spaces += 1;
                self.part_length = 0;
            }
        }
        let is_cut = (self.spaces, self.part_length) != (2, Self::VERSION.len() + 1);
        if is_complete && is_cut { Err(RequestError::Malformed) } else { Ok(()) }
    }
}

impl Scanner {
    /// The length of the head at the start of `bytes`, once its end is there; `None` while more has to come.
    ///
    /// `bytes` may grow between two calls and must not change otherwise.
    pub fn scan(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, RequestError> {
        // Bytes over the limit are not looked at, so that a head is judged the same however it arrives.
        let is_over = bytes.len() >= limits.head_bytes;
        let bytes = &bytes[..bytes.len().min(limits.head_bytes)];
        while let Some(found) = bytes[self.seen..].iter().position(|octet| *octet == b'\n') {
            let end = self.seen + found + 1;
            let line = &bytes[self.line_start..end - 1];
            let (line, ends_well) = line.strip_suffix(b"\r").map_or((line, false), |line| (line, true));
            self.check(line, true, limits)?;
            if !ends_well {
                return Err(RequestError::BareLineFeed);
            }
            if line.is_empty() && self.in_fields {
                return Ok(Some(end));
            }
            self.in_fields |= !line.is_empty();
            self.line_start = end;
            self.seen = end;
        }
        self.seen = bytes.len();
        let line = &bytes[self.line_start..];
        self.check(line.strip_suffix(b"\r").unwrap_or(line), false, limits)?;
        if is_over { Err(RequestError::HeadTooLarge) } else { Ok(None) }
    }

    /// Rejects a request line, complete or not, that is too long or no HTTP.
    fn check(&mut self, line: &[u8], is_complete: bool, limits: &Limits) -> Result<(), RequestError> {
        if self.in_fields || line.is_empty() { Ok(()) } else { self.request_line.check(line, is_complete, limits) }
    }
}

/// The parts of a head that this server acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'b> {
    /// The method, case-sensitive (RFC 9110, 9.1).
    pub method: &'b str,
    /// The path of an origin-form or absolute-form target; any other form unchanged, which no route matches.
    pub path: &'b str,
    /// The part after the `?`, perhaps empty.
    pub(crate) query: &'b str,
    /// The host that the request is for: the target's, which wins (RFC 9112, 3.2.2), or that of its Host field.
    pub authority: Option<&'b [u8]>,
    /// The origin of the page that made the request (RFC 6454, 7), if there is one.
    pub origin: Option<&'b [u8]>,
    /// The framing of the body.
    pub framing: Framing,
    /// The fate of the connection after the response, as the client asks for.
    pub persistence: Persistence,
    /// Set if the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// All of its octets, for fields that may repeat.
    pub(crate) octets: &'b [u8],
    /// The optional fields.
    pub(crate) optional: OptionalFields<'b>,
}

impl<'b> RequestHead<'b> {
    /// Reads a whole head, as [`Scanner::scan`] found it.
    pub fn parse(bytes: &'b [u8]) -> Result<Self, RequestError> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooManyFields),
            Ok(Status::Partial) | Err(_) => return Err(RequestError::Malformed),
        }
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
            return Err(RequestError::Malformed);
        };
        let http_1_0 = minor == 0;
        let host = host(request.headers, http_1_0)?;
        let (authority, path_and_query) = authority_and_path(target)?;
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        Ok(Self {
            method,
            path,
            query,
            authority: authority.or(host),
            origin: origin(request.headers),
            framing: framing(request.headers, http_1_0)?,
            persistence: persistence(request.headers, http_1_0),
            expects_continue: expects_continue(request.headers, http_1_0)?,
            octets: bytes,
            optional: OptionalFields::find(request.headers),
        })
    }
}

/// The authority of an absolute-form target, and the path and query of any target (RFC 9112, 3.2).
fn authority_and_path(target: &str) -> Result<(Option<&[u8]>, &str), RequestError> {
    let Some(rest) = strip_scheme(target) else { return Ok((None, target)) };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if !is_host_and_port(authority.as_bytes()) {
        return Err(RequestError::Target);
    }
    Ok((Some(authority.as_bytes()), if path.starts_with('/') { path } else { "/" }))
}

/// The rest of an absolute-form target after `http://` or `https://`.
fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// Exactly one valid Host field, which HTTP/1.0 may leave out (RFC 9112, 3.2). It is empty for a target without a host;
/// no list of hosts has that one.
fn host<'b>(fields: &[Header<'b>], http_1_0: bool) -> Result<Option<&'b [u8]>, RequestError> {
    let mut hosts = field_values(fields, "host").map(trim_whitespace);
    match (hosts.next(), hosts.next()) {
        (None, _) if http_1_0 => Ok(None),
        (Some(host), None) if host.is_empty() || is_host_and_port(host) => Ok(Some(host)),
        _ => Err(RequestError::Host),
    }
}

/// The origin. More than one field counts as an origin that no list allows.
fn origin<'b>(fields: &[Header<'b>]) -> Option<&'b [u8]> {
    let mut origins = field_values(fields, "origin").map(trim_whitespace);
    let first = origins.next()?;
    Some(if origins.next().is_some() { b"" } else { first })
}

/// The persistence that the Connection options ask for (RFC 9112, 9.3); `close` wins.
fn persistence(fields: &[Header<'_>], http_1_0: bool) -> Persistence {
    let has = |option: &str| {
        let mut options = field_values(fields, "connection").flat_map(list_members);
        options.any(|member| member.eq_ignore_ascii_case(option.as_bytes()))
    };
    if has("close") || (http_1_0 && !has("keep-alive")) {
        Persistence::Close
    } else if http_1_0 {
        Persistence::KeepAliveTold
    } else {
        Persistence::KeepAlive
    }
}

/// Reads `Expect`, whose one expectation is `100-continue` (RFC 9110, 10.1.1); HTTP/1.0 has none.
fn expects_continue(fields: &[Header<'_>], http_1_0: bool) -> Result<bool, RequestError> {
    if http_1_0 {
        return Ok(false);
    }
    let members = field_values(fields, "expect").flat_map(list_members);
    let mut expectations = members.filter(|expectation| !expectation.is_empty()).peekable();
    let expected = expectations.peek().is_some();
    if expectations.all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue")) {
        Ok(expected)
    } else {
        Err(RequestError::Expectation)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(input: &str) -> Result<Option<usize>, RequestError> {
        Scanner::default().scan(input.as_bytes(), &Limits::default())
    }

    fn parse(input: &str) -> Result<RequestHead<'_>, RequestError> {
        assert_eq!(scan(input), Ok(Some(input.len())), "the head is whole: {input:?}");
        RequestHead::parse(input.as_bytes())
    }

    #[test]
    fn head_ends_at_its_empty_line() {
        assert_eq!(scan("GET / HTTP/1.1\r\n\r\n"), Ok(Some(18)));
        assert_eq!(scan("GET / HTTP/1.1\r\n\r\nbody"), Ok(Some(18)));
        assert_eq!(scan("\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Some(22)), "empty lines before it are skipped");
        assert_eq!(scan("GET / HTTP/1.1\r\nA: b\r\n"), Ok(None));
        assert_eq!(scan(""), Ok(None));
        assert_eq!(scan("\r\n\r"), Ok(None));
    }

    /// A head over the limit was once judged by the bytes after the limit as well, if they had arrived.
    #[test]
    fn oversized_head_fails_the_same_however_it_arrives() {
        let input = "\r\n".repeat(5000) + "GET /" + &"x".repeat(9000) + "\r\n\r\n";
        let mut scanner = Scanner::default();
        let drips = (1..=input.len()).map(|end| scanner.scan(&input.as_bytes()[..end], &Limits::default()));
        let first = drips.into_iter().find(|outcome| *outcome != Ok(None));
        assert_eq!(first, Some(scan(&input)));
        assert_eq!(first, Some(Err(RequestError::HeadTooLarge)));
    }

    #[test]
    fn bytes_that_are_no_head_are_rejected_at_once() {
        assert_eq!(scan("GET / HTTP/1.1\n"), Err(RequestError::BareLineFeed));
        assert_eq!(scan("GET / HTTP/1.1\r\nA: b\n"), Err(RequestError::BareLineFeed));
        assert_eq!(scan("\n"), Err(RequestError::BareLineFeed));
        assert_eq!(scan("\u{16}\u{3}\u{1}"), Err(RequestError::Malformed), "a TLS hello");
        assert_eq!(scan("\0"), Err(RequestError::Malformed));
        assert_eq!(scan(" GET"), Err(RequestError::Malformed));
    }

    #[test]
    fn other_protocols_are_rejected_with_their_first_octet() {
        for (good, bad) in [
            ("", " "),
            ("SSH-2.0-OpenSSH_9.9", "\r\n"),
            ("SSH-2.0-OpenSSH_9.9 Debian", "\r\n"),
            ("EHLO", "\r\n"),
            ("EHLO mail.example", "\r\n"),
            ("PRI * HTTP/", "2.0"),
            ("GET / ", "http/1.1"),
            ("GET / HTTP/1.1", "0"),
            ("GET / HTTP/1.1", " "),
            ("GET / HTTP/1.", "2"),
            ("GET /", "\r\n"),
            ("GET / HTTP/1.", "\r\n"),
            ("GET ", " "),
            ("GET /\r", "x"),
            ("GET /", "\u{7f}"),
            ("GET /", "\t"),
            ("JRMI", "\0"),
            ("*1", "\r\n"),
            ("", "{\"a\":1}"),
        ] {
            assert_eq!(scan(good), Ok(None), "for {good:?}");
            let whole = format!("{good}{bad}");
            assert_eq!(scan(&whole), Err(RequestError::Malformed), "for {whole:?}");
            assert_eq!(scan(&format!("\r\n{whole}")), Err(RequestError::Malformed), "behind an empty line, {whole:?}");
        }
    }

    #[test]
    fn head_and_request_line_have_limits() {
        let limits = Limits { head_bytes: 40, request_line_bytes: 20, ..Limits::default() };
        let scan = |input: &str| Scanner::default().scan(input.as_bytes(), &limits);
        let line = "GET /12345 HTTP/1.1"; // 19 octets
        assert_eq!(scan("GET /123456 HTTP/1.1\r\n\r\n"), Ok(Some(24)), "20 octets in the line");
        assert_eq!(scan("GET /1234567 HTTP/1.1\r\n\r\n"), Err(RequestError::RequestLineTooLong));
        assert_eq!(scan("GET /1234567 HTTP/1.1"), Err(RequestError::RequestLineTooLong), "before its end is there");
        assert_eq!(scan(&format!("{line}\r\nA: 123456789012\r\n\r\n")), Ok(Some(40)), "exactly the bound");
        assert_eq!(scan(&format!("{line}\r\nA: 1234567890123\r\n\r\n")), Err(RequestError::HeadTooLarge));
        assert_eq!(
            scan(&format!("{line}\r\nA: {}", "1".repeat(30))),
            Err(RequestError::HeadTooLarge),
            "before its end"
        );
        assert_eq!(scan(&"\r\n".repeat(30)), Err(RequestError::HeadTooLarge), "empty lines count");
    }

    #[test]
    fn httparse_errors_are_malformed() {
        for head in [
            "GET\r\n\r\n",
            "GET /\r\n\r\n",
            "G@T / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.10\r\nHost: h\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
            "GET / http/1.1\r\nHost: h\r\n\r\n",
            "GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n: empty\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: \u{7f}\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
        ] {
            let parsed = scan(head).and_then(|_| RequestHead::parse(head.as_bytes()));
            assert_eq!(parsed, Err(RequestError::Malformed), "for {head:?}");
        }
        let fields = |count| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(count));
        assert!(parse(&fields(99)).is_ok(), "100 fields");
        assert_eq!(parse(&fields(100)), Err(RequestError::TooManyFields));
    }

    #[test]
    fn targets_are_reduced_to_their_path() {
        for (target, path) in [
            ("/sse", Ok("/sse")),
            ("/sse?x=1", Ok("/sse")),
            ("/sse?", Ok("/sse")),
            ("/sse/", Ok("/sse/")),
            ("/sse#x", Ok("/sse#x")),
            ("http://h/sse", Ok("/sse")),
            ("HTTPS://h:443/sse?x=http://i/", Ok("/sse")),
            ("http://[::1]:80/sse", Ok("/sse")),
            ("http://h", Ok("/")),
            ("http://h?/sse", Ok("/")),
            ("*", Ok("*")),
            ("h:80", Ok("h:80")),
            ("ftp://h/sse", Ok("ftp://h/sse")),
            ("http://u@h/sse", Err(RequestError::Target)),
            ("http:///sse", Err(RequestError::Target)),
            ("http://h:x/sse", Err(RequestError::Target)),
        ] {
            let head = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
            assert_eq!(parse(&head).map(|head| head.path), path, "for {target:?}");
        }
    }

    #[test]
    fn one_valid_host_is_required() {
        for good in ["", "h", "a.b-c_d~e", "127.0.0.1:1942", "localhost:", "[::1]", "[::1]:65535", "%41", "xn--p1ai"] {
            let head = format!("GET / HTTP/1.1\r\nhOsT:\t{good} \r\n\r\n");
            assert!(parse(&head).is_ok(), "for {good:?}");
        }
        for bad in [
            ":80", "u@h", "h/p", "a b", "a,b", "a, b", "h:x", "h:65536", "h:-1", "[::1", "::1", "[h]", "a:b:80", "h%",
            "h%zz",
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: {bad}\r\n\r\n");
            assert_eq!(parse(&head), Err(RequestError::Host), "for {bad:?}");
        }
        assert_eq!(parse("GET / HTTP/1.1\r\n\r\n"), Err(RequestError::Host));
        assert_eq!(parse("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"), Err(RequestError::Host));
        assert!(parse("GET / HTTP/1.0\r\n\r\n").is_ok(), "HTTP/1.0 needs none");
        assert_eq!(parse("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), Err(RequestError::Host), "but a good one if any");
    }

    #[test]
    fn connection_options_decide_persistence() {
        for (version, connection, expected) in [
            ("1.1", "", Persistence::KeepAlive),
            ("1.1", "Connection: keep-alive\r\n", Persistence::KeepAlive),
            ("1.1", "CONNECTION: x,\tClose \r\n", Persistence::Close),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", Persistence::Close),
            ("1.1", "Connection: closed\r\n", Persistence::KeepAlive),
            ("1.0", "", Persistence::Close),
            ("1.0", "Connection: Keep-Alive\r\n", Persistence::KeepAliveTold),
            ("1.0", "Connection: keep-alive, close\r\n", Persistence::Close),
        ] {
            let head = format!("GET / HTTP/{version}\r\nHost: h\r\n{connection}\r\n");
            assert_eq!(parse(&head).map(|head| head.persistence), Ok(expected), "for {head:?}");
        }
    }

    #[test]
    fn only_100_continue_may_be_expected() {
        for (version, expect, expected) in [
            ("1.1", "", Ok(false)),
            ("1.1", "Expect: 100-Continue\r\n", Ok(true)),
            ("1.1", "Expect: 200-ok\r\n", Err(RequestError::Expectation)),
            ("1.1", "Expect: 100-continue, x\r\n", Err(RequestError::Expectation)),
            ("1.1", "Expect: ,100-continue ,\r\n", Ok(true)),
            ("1.1", "Expect:\r\n", Ok(false)),
            ("1.0", "Expect: 100-continue\r\n", Ok(false)),
            ("1.0", "Expect: x\r\n", Ok(false)),
        ] {
            let head = format!("POST / HTTP/{version}\r\nHost: h\r\n{expect}\r\n");
            assert_eq!(parse(&head).map(|head| head.expects_continue), expected, "for {head:?}");
        }
    }

    proptest! {
        #[test]
        fn heads_are_found_in_any_portions(
            input in "(\r\n){0,2}G(ET /|\u{16}| )( HTTP/1.1)?[\r\na: ]{0,12}(\r\n){0,3}x?",
            step in 1_usize..8,
        ) {
            let limits = Limits { head_bytes: 32, request_line_bytes: 16, ..Limits::default() };
            let whole = Scanner::default().scan(input.as_bytes(), &limits);
            let mut scanner = Scanner::default();
            let ends = (0..input.len()).step_by(step).chain([input.len()]);
            let portions = ends.map(|end| scanner.scan(&input.as_bytes()[..end], &limits));
            let dripped = portions.into_iter().find(|found| *found != Ok(None)).unwrap_or(Ok(None));
            prop_assert_eq!(dripped, whole);
        }

        #[test]
        fn no_input_panics(input in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = RequestHead::parse(&input);
            let _ = Scanner::default().scan(&input, &Limits::default());
        }
    }
}
