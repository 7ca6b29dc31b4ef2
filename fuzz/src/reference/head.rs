//! A request's head (RFC 9112, 2 to 5), read line by line.
//!
//! A line ends with CRLF and nothing else, and empty lines may come before the first. The size of a head counts from
//! the first octet, with those lines, because the server must not read without end.

use smolcast::Limits;
use smolcast::http::framing::Framing;

use super::framing::{self, Field, values};
use super::{Reading, Refusals, authority, elements, is_field_octet, is_tchar, is_token, line, trim};

const MOST_FIELDS: usize = 100;

/// The facts of a request that a server needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The method.
    pub method: String,
    /// The target's path.
    pub path: String,
    /// The part after the target's first question mark.
    pub query: String,
    /// All of its fields.
    pub fields: Vec<Field>,
    /// The host that the request names.
    pub authority: Option<Vec<u8>>,
    /// The origin of the page that made it; empty if there is more than one.
    pub origin: Option<Vec<u8>>,
    /// The end of the body.
    pub body: Framing,
    /// Marks a request of HTTP/1.0.
    pub is_http_1_0: bool,
    /// Says if another request may follow.
    pub keeps_alive: bool,
    /// Says if the client waits for `100 Continue`.
    pub expects_continue: bool,
}

/// The lines of a head that have arrived.
struct Lines<'b> {
    /// The lines without their ends; the last one without a CR that may begin its end.
    lines: Vec<&'b [u8]>,
    has_bare_line_feed: bool,
    /// The length up to the end of the empty line after the fields, if that has arrived.
    length: Option<usize>,
}

impl<'b> Lines<'b> {
    fn of(octets: &'b [u8]) -> Self {
        let mut found = Self { lines: Vec::new(), has_bare_line_feed: false, length: None };
        let mut start = 0;
        while let Some(ended) = line(&octets[start..]) {
            start += ended.len() + 1;
            let content = ended.strip_suffix(b"\r");
            found.has_bare_line_feed |= content.is_none();
            match content.unwrap_or(ended) {
                b"" if found.lines.is_empty() => {}
                b"" => {
                    found.length = Some(start);
                    return found;
                }
                content => found.lines.push(content),
            }
        }
        let last = &octets[start..];
        found.lines.push(last.strip_suffix(b"\r").unwrap_or(last));
        found
    }
}

/// Reads the head at the start of these octets.
pub fn read(octets: &[u8], limits: &Limits) -> Reading<Head> {
    let Lines { lines, has_bare_line_feed, length } = Lines::of(octets);
    let mut refusals = Refusals::default();
    let request_line = lines.first().copied().unwrap_or_default();
    let is_line_too_long = request_line.len() > limits.request_line_bytes;
    let is_head_too_long = length.map_or(octets.len() >= limits.head_bytes, |length| length > limits.head_bytes);
    refusals.add_if(is_line_too_long, 414);
    refusals.add_if(is_head_too_long, 431);
    refusals.at_once = is_line_too_long || is_head_too_long || length.is_some();
    refusals.add_if(has_bare_line_feed, 400);
    let is_line_whole = length.is_some() || lines.len() > 1;
    refusals.at_once |= !may_be_request_line(request_line, is_line_whole);
    let whole_lines = if length.is_some() { lines.len() } else { lines.len().saturating_sub(1) };
    let last = if length.is_some() { None } else { lines.last() };
    let (request, fields) = read_lines(&lines[..whole_lines], &mut refusals);
    if let Some(last) = last {
        let may_go_on = if whole_lines == 0 { may_begin_request_line(last) } else { may_begin_field(last) };
        refusals.add_if(!may_go_on, 400);
    }
    match (request, length) {
        _ if !refusals.is_empty() => Reading::Refused(refusals),
        (Some(request), Some(length)) => meaning(&request, &fields, length),
        _ => Reading::Partial,
    }
}

/// Method, target, and `true` for HTTP/1.0.
type RequestLine = (String, String, bool);

fn read_lines(lines: &[&[u8]], refusals: &mut Refusals) -> (Option<RequestLine>, Vec<Field>) {
    let Some((first, others)) = lines.split_first() else { return (None, Vec::new()) };
    let request = read_request_line(first);
    refusals.add_if(request.is_none(), 400);
    let mut fields = Vec::new();
    for line in others {
        let field = read_field(line);
        refusals.add_if(field.is_none(), 400);
        fields.extend(field);
    }
    refusals.add_if(others.len() > MOST_FIELDS, 431);
    (request, fields)
}

/// `method SP request-target SP HTTP-version`. Any visible text is a valid target here: an unknown path is a 404.
fn read_request_line(line: &[u8]) -> Option<RequestLine> {
    let parts: Vec<&[u8]> = line.split(|octet| *octet == b' ').collect();
    let [method, target, version] = parts[..] else { return None };
    let is_target = !target.is_empty() && target.iter().all(|octet| is_target_octet(*octet));
    let is_http_1_0 = match version {
        b"HTTP/1.0" => true,
        b"HTTP/1.1" => false,
        _ => return None,
    };
    if !is_token(method) || !is_target {
        return None;
    }
    Some((String::from_utf8(method.to_vec()).ok()?, String::from_utf8(target.to_vec()).ok()?, is_http_1_0))
}

fn is_target_octet(octet: u8) -> bool {
    octet != b' ' && octet != b'\t' && is_field_octet(octet)
}

/// Says if a line, whole or cut, has the octets of a request line. Its text in UTF-8 counts once the head is whole.
fn may_be_request_line(line: &[u8], is_whole: bool) -> bool {
    let ascii: Vec<u8> = line.iter().map(|octet| if octet.is_ascii() { *octet } else { b'x' }).collect();
    let has_method = line.split(|octet| *octet == b' ').next().is_some_and(<[u8]>::is_ascii);
    has_method && if is_whole { read_request_line(&ascii).is_some() } else { may_begin_request_line(&ascii) }
}

/// Says if a line with this beginning can become a request line.
fn may_begin_request_line(start: &[u8]) -> bool {
    let parts: Vec<&[u8]> = start.split(|octet| *octet == b' ').collect();
    let is_start_of_version = |version: &[u8]| b"HTTP/1.0".starts_with(version) || b"HTTP/1.1".starts_with(version);
    match parts[..] {
        [method] => method.iter().all(|octet| is_tchar(*octet)),
        [method, target] => is_token(method) && target.iter().all(|octet| is_target_octet(*octet)),
        [method, target, version] => {
            let is_target = std::str::from_utf8(target).is_ok_and(|text| !text.is_empty());
            is_token(method)
                && is_target
                && target.iter().all(|octet| is_target_octet(*octet))
                && is_start_of_version(version)
        }
        _ => false,
    }
}

/// `field-name ":" OWS field-value OWS`.
fn read_field(line: &[u8]) -> Option<Field> {
    let colon = line.iter().position(|octet| *octet == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) || !value.iter().all(|octet| is_field_octet(*octet)) {
        return None;
    }
    Some((String::from_utf8_lossy(name).to_lowercase(), trim(value).to_vec()))
}

/// Says if a line with this beginning can become a field, or the empty line.
fn may_begin_field(start: &[u8]) -> bool {
    start.iter().all(|octet| is_tchar(*octet)) || read_field(start).is_some()
}

/// The facts of a well-formed head, unless they contradict each other.
fn meaning((method, target, is_http_1_0): &RequestLine, fields: &[Field], length: usize) -> Reading<Head> {
    let is_http_1_0 = *is_http_1_0;
    let mut refusals = Refusals { at_once: true, ..Refusals::default() };
    let hosts = values(fields, "host");
    refusals.add_if(hosts.len() > 1 || (hosts.is_empty() && !is_http_1_0), 400);
    refusals.add_if(hosts.iter().any(|host| !host.is_empty() && !authority::is_host_and_port(host)), 400);
    let (target_authority, path, query) = parts(target);
    refusals.add_if(target_authority.is_some_and(|text| !authority::is_host_and_port(text.as_bytes())), 400);
    let body = framing::body(fields, is_http_1_0).unwrap_or_else(|broken| {
        refusals.add(broken);
        Framing::None
    });
    let expectations = elements(&values(fields, "expect"));
    let (empty, expectations): (Vec<_>, Vec<_>) = expectations.into_iter().partition(Vec::is_empty);
    let are_known = expectations.iter().all(|expectation| expectation.eq_ignore_ascii_case(b"100-continue"));
    refusals.add_if(!are_known && !is_http_1_0, 417);
    if !refusals.is_empty() {
        return Reading::Refused(refusals);
    }
    // Empty elements of a list mean nothing (RFC 9110, 5.6.1.2), and no client sends them here: both readings are good.
    if !empty.is_empty() && !is_http_1_0 {
        return Reading::Open;
    }
    let origins = values(fields, "origin");
    let options = elements(&values(fields, "connection"));
    let has_option = |name: &[u8]| options.iter().any(|option| option.eq_ignore_ascii_case(name));
    let head = Head {
        method: method.clone(),
        path: path.to_owned(),
        query: query.to_owned(),
        fields: fields.to_vec(),
        authority: target_authority.map(|text| text.as_bytes().to_vec()).or(hosts.first().map(|host| host.to_vec())),
        origin: origins.first().map(|origin| if origins.len() > 1 { Vec::new() } else { origin.to_vec() }),
        body,
        is_http_1_0,
        keeps_alive: !has_option(b"close") && (!is_http_1_0 || has_option(b"keep-alive")),
        expects_continue: !expectations.is_empty() && !is_http_1_0,
    };
    Reading::Whole(head, length)
}

/// Authority, path and query of a target in absolute form (RFC 9112, 3.2.2). Any other form counts as path and query.
fn parts(target: &str) -> (Option<&str>, &str, &str) {
    let (before_query, query) = target.split_once('?').unwrap_or((target, ""));
    let scheme = before_query
        .split_once("://")
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
    let Some((_, rest)) = scheme else { return (None, before_query, query) };
    let (authority, path) = rest.split_at(rest.find(['/', '#']).unwrap_or(rest.len()));
    (Some(authority), if path.starts_with('/') { path } else { "/" }, query)
}

#[cfg(test)]
mod tests {
    use support::with;

    use super::*;

    fn small() -> Limits {
        with!(Limits::default(), { head_bytes: 64, request_line_bytes: 24 })
    }

    fn statuses(octets: &str, limits: &Limits) -> Vec<u16> {
        match read(octets.as_bytes(), limits) {
            Reading::Refused(refusals) => refusals.statuses.into_iter().collect(),
            other => panic!("{octets:?} is {other:?}"),
        }
    }

    fn head(octets: &str) -> Head {
        match read(octets.as_bytes(), &Limits::default()) {
            Reading::Whole(head, length) => {
                assert_eq!(length, octets.len(), "{octets:?}");
                head
            }
            other => panic!("{octets:?} is {other:?}"),
        }
    }

    #[test]
    fn a_good_head_gives_its_facts() {
        let read = head("\r\nPOST http://a:1/broadcast?x HTTP/1.1\r\nHost: b\r\ncontent-LENGTH:5\r\nOrigin: o\r\n\r\n");
        let parts = (read.method.as_str(), read.path.as_str(), read.query.as_str());
        assert_eq!(parts, ("POST", "/broadcast", "x"));
        assert_eq!(
            read.fields.iter().map(|(name, _)| &**name).collect::<Vec<_>>(),
            ["host", "content-length", "origin"]
        );
        assert_eq!((read.authority.as_deref(), read.origin.as_deref()), (Some(&b"a:1"[..]), Some(&b"o"[..])));
        assert_eq!((read.body, read.keeps_alive, read.expects_continue), (Framing::Length(5), true, false));
        assert!(!head("GET / HTTP/1.0\r\n\r\n").keeps_alive);
        assert!(head("GET / HTTP/1.0\r\nConnection: x, KEEP-alive\r\n\r\n").keeps_alive);
        assert!(!head("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, keep-alive\r\n\r\n").keeps_alive);
        assert!(head("GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-CONTINUE\r\n\r\n").expects_continue);
        assert!(!head("GET / HTTP/1.0\r\nExpect: x\r\n\r\n").expects_continue);
        assert_eq!(head("GET * HTTP/1.0\r\n\r\n").path, "*");
        assert_eq!(head("GET * HTTP/1.1\r\nHost: \r\n\r\n").authority.as_deref(), Some(&b""[..]));
        assert_eq!(head("GET /?a?b#c=http://h/? HTTP/1.0\r\n\r\n").query, "a?b#c=http://h/?");
        assert_eq!(head("GET HTTPS://h?x HTTP/1.0\r\n\r\n").path, "/");
    }

    #[test]
    fn malformed_heads_are_refused() {
        for octets in [
            "\n",
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET  / HTTP/1.0\r\n\r\n",
            "GET /\tHTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0 \r\n\r\n",
            " GET / HTTP/1.0\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.10\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / http/1.0\r\n\r\n",
            "G(T / HTTP/1.0\r\n\r\n",
            "GET / HTTP/1.0\r\na : b\r\n\r\n",
            "GET / HTTP/1.0\r\na: b\r\n c\r\n\r\n",
            "GET / HTTP/1.0\r\n: b\r\n\r\n",
            "GET / HTTP/1.0\r\na\r\n\r\n",
            "GET / HTTP/1.0\r\na: \0\r\n\r\n",
            "GET / HTTP/1.0\r\na: \rb\r\n\r\n",
            "GET / HTTP/1.0\r\r\n\r\n",
            "\u{16}\u{3}",
        ] {
            assert_eq!(statuses(octets, &Limits::default()), [400], "{octets:?}");
        }
    }

    #[test]
    fn other_faults_have_their_own_statuses() {
        let fields = "a:b\r\n".repeat(101);
        assert_eq!(statuses(&format!("GET / HTTP/1.0\r\n{fields}\r\n"), &Limits::default()), [431]);
        assert_eq!(statuses("GET / HTTP/1.1\r\nHost: h\r\nExpect: y\r\n\r\n", &Limits::default()), [417]);
        let many = "GET / HTTP/1.1\r\nTransfer-Encoding: y, chunked\r\nExpect: y\r\n\r\n";
        assert_eq!(statuses(many, &Limits::default()), [400, 417, 501], "any of these is good");
        assert_eq!(statuses("GET /2345678901234567890123456789 HTTP/1.0\r\n\r\n", &small()), [414]);
        assert_eq!(statuses("GET /234567890123456789012345", &small()), [414]);
        assert_eq!(statuses(&format!("GET / HTTP/1.0\r\na: {}", "x".repeat(45)), &small()), [431]);
        assert_eq!(statuses(&"\r\n".repeat(32), &small()), [431]);
    }

    #[test]
    fn a_valid_beginning_is_partial() {
        let octets = b"\r\nPOST /\xc3\xa9 HTTP/1.1\r\nHost: h\r\nX:\r\n\r\n";
        for end in 0..octets.len() {
            assert_eq!(read(&octets[..end], &Limits::default()), Reading::Partial, "the first {end}");
        }
        assert!(matches!(read(octets, &Limits::default()), Reading::Whole(..)));
    }

    #[test]
    fn other_protocols_are_refused_at_once() {
        for (octets, at_once) in [
            ("SSH-2.0-x\r\n", true),
            ("\r\nEHLO x\r\n", true),
            ("PRI * HTTP/2", true),
            ("GET / HTTP/1.1 ", true),
            ("\u{16}", true),
            ("GET / HTTP/1.1\r\n:", false),
        ] {
            match read(octets.as_bytes(), &Limits::default()) {
                Reading::Refused(refusals) => assert_eq!(refusals.at_once, at_once, "{octets:?}"),
                other => panic!("{octets:?} is {other:?}"),
            }
        }
    }

    #[test]
    fn open_cases_stay_open() {
        let octets = b"GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue,\r\n\r\n";
        assert_eq!(read(octets, &Limits::default()), Reading::Open);
    }
}
