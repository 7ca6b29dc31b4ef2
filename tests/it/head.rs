//! Request heads: refused ones, accepted ones, and no echo of either.

use std::thread;
use std::time::Duration;

use smolcast::Limits;
use support::{EventStream, Served, TestServer, escaped, get, post, post_chunked, showing};

use crate::witness::Witness;

/// A good publish, except for a replacement in its head.
fn spoiled(from: &str, to: &str) -> Vec<u8> {
    let good = "POST /broadcast HTTP/1.1\r\nHost: h\r\nX-Field: value\r\nContent-Length: 5\r\n\r\nhello";
    assert!(good.contains(from), "{from:?} is not in the request");
    good.replacen(from, to, 1).into_bytes()
}

#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str)] = &[
    // Replacements in a good publish: a name, from, to.
    ("a method that is no token", "POST", "P@ST"),
    ("a method in quotes", "POST", "\"POST\""),
    ("a method with a slash", "POST", "PO/ST"),
    ("a space before the method", "POST", " POST"),
    ("a tab before the method", "POST", "\tPOST"),
    ("no method", "POST ", ""),
    ("NUL in the method", "POST", "PO\0ST"),
    ("a control octet in the target", "/broadcast", "/broad\u{1}cast"),
    ("NUL in the target", "/broadcast", "/broadcast\0"),
    ("DEL in the target", "/broadcast", "/broadcast\u{7f}"),
    ("a space in the target", "/broadcast", "/broad cast"),
    ("a tab in the target", "/broadcast", "/broadcast?\tx"),
    ("HTTP/1.10", "HTTP/1.1", "HTTP/1.10"),
    ("HTTP/1.", "HTTP/1.1", "HTTP/1."),
    ("HTTP/01.1", "HTTP/1.1", "HTTP/01.1"),
    ("HTTP/0.9 written out", "HTTP/1.1", "HTTP/0.9"),
    ("HTTP/2.0", "HTTP/1.1", "HTTP/2.0"),
    ("http/1.1", "HTTP/1.1", "http/1.1"),
    ("another protocol", "HTTP/1.1", "RTSP/1.1"),
    ("a word behind the version", "HTTP/1.1", "HTTP/1.1 x"),
    ("HTTP/0.9", " HTTP/1.1", ""),
    ("a space before the colon", "X-Field:", "X-Field :"),
    ("a tab before the colon", "X-Field:", "X-Field\t:"),
    ("a space before the colon of Content-Length", "Content-Length:", "Content-Length :"),
    ("a folded line", "value", "val\r\n ue"),
    ("a line folded with a tab", "value", "val\r\n\tue"),
    ("a first field that begins with a space", "Host: h", " X: y\r\nHost: h"),
    ("no colon", "X-Field: value", "X-Field value"),
    ("an empty name", "X-Field:", ":"),
    ("a name with a space", "X-Field", "X Field"),
    ("a name with a slash", "X-Field", "X/Field"),
    ("a name in parentheses", "X-Field", "(X)"),
    ("a name that is not ASCII", "X-Field", "X-F\u{ef}eld"),
    ("NUL in a name", "X-Field", "X\0Field"),
    ("NUL in a value", "value", "val\0ue"),
    ("a control octet in a value", "value", "val\u{1}ue"),
    ("DEL in a value", "value", "val\u{7f}ue"),
    ("a bare CR in a value", "value", "val\rue"),
    ("a bare CR that hides a field", "value", "value\rTransfer-Encoding: chunked"),
    ("a bare CR before CRLF", "value\r\n", "value\r\r\n"),
    ("a bare CR as the end of the request line", "HTTP/1.1\r\n", "HTTP/1.1\r"),
    ("a bare LF behind the request line", "HTTP/1.1\r\n", "HTTP/1.1\n"),
    ("a bare LF behind Host", "Host: h\r\n", "Host: h\n"),
    ("a bare LF behind a field", "value\r\n", "value\n"),
    ("a bare LF behind the last field", "Length: 5\r\n", "Length: 5\n"),
    ("a bare LF as the empty line", "5\r\n\r\n", "5\r\n\n"),
    ("a bare LF twice at the end", "5\r\n\r\n", "5\n\n"),
    ("a bare LF before the request line", "POST", "\nPOST"),
    ("a bare LF behind an empty line", "POST", "\r\n\nPOST"),
    ("the preface of HTTP/2", "POST /broadcast HTTP/1.1\r\nHost: h\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
];

#[test]
fn a_malformed_head_is_400_and_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    for (name, from, to) in REFUSED {
        witness.refused(name, spoiled(from, to), &[400]);
    }
}

#[test]
fn a_head_of_bare_line_feeds_is_400() {
    let mut witness = Witness::start(Limits::default());
    let all = String::from_utf8(post("hello")).expect("ASCII").replace("\r\n", "\n");
    witness.refused("LF everywhere", all, &[400]);
    witness.refused("LF everywhere, without a body", "GET /sse HTTP/1.1\nHost: h\n\n", &[400]);
    assert_eq!(witness.server.count(), 1, "no stream but the witness");
}

#[test]
fn bytes_other_than_http_are_400_or_dropped() {
    let mut witness = Witness::start(Limits::default());
    let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\x5a\x5a\x5a\x5a\x00\x00\x02\x13\x01\x01\x00";
    for (name, octets) in [
        ("a TLS hello", hello.as_slice()),
        ("a TLS hello with an empty line in it", b"\x16\x03\x01\x00\x2f\x01\r\n\r\n\x00"),
        ("binary octets", b"\x00\x01\x02\xff\xfe\xfd\r\n\r\n"),
        ("a SOCKS greeting", b"\x05\x01\x00\r\n\r\n"),
        ("UTF-8 text", "grüß dich\r\n\r\n".as_bytes()),
    ] {
        witness.refused_or_dropped(name, octets, &[400]);
    }
}

/// Each client waits for the server; the time for a head is ten seconds, and a read of a test has less.
#[test]
fn another_protocol_is_400_with_its_first_octets() {
    let server = TestServer::start_default();
    for (name, octets) in [
        ("a TLS hello", b"\x16\x03\x01\x00\x2f".as_slice()),
        ("SSH", b"SSH-2.0-OpenSSH_9.9\r\n"),
        ("SMTP", b"EHLO mail.example\r\n"),
        ("Redis", b"*1\r\n"),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n"),
        ("JSON", b"{\"a\":1}"),
        ("a PROXY line", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"),
        ("binary octets behind an empty line", b"\r\n\x00"),
    ] {
        let _row = showing(name, octets);
        let mut client = server.connect();
        client.send(octets);
        assert!(client.response().expect_status(400).closes());
        client.expect_closed();
    }
}

#[test]
fn empty_lines_before_the_request_line_are_skipped() {
    let mut witness = Witness::start(Limits::default());
    for count in [1, 2, 5] {
        let request = ["\r\n".repeat(count).as_bytes(), &post("hello")].concat();
        witness.published(&format!("{count} empty lines"), request, "hello");
    }
    let mut client = witness.server.connect();
    client.send([post("one"), b"\r\n\r\n".to_vec(), post("two")].concat());
    client.response().expect_status(202);
    client.response().expect_status(202);
    witness.stream().expect(b"data: one\n\ndata: two\n\n");
}

#[test]
fn a_target_other_than_a_path_is_404_or_400() {
    let mut witness = Witness::start(Limits::default());
    for line in ["OPTIONS *", "GET *", "POST *", "CONNECT h:443", "GET h:80", "POST broadcast", "GET sse", "GET ?/sse"]
    {
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        let _row = showing(line, request.as_bytes());
        let mut client = witness.server.connect();
        let response = client.request(&request);
        assert!([404, 400].contains(&response.status), "{response:?}");
        if response.closes() {
            client.expect_closed();
        }
        witness.expect_nothing_published();
    }
    assert_eq!(witness.server.count(), 1, "no stream but the witness");
}

#[test]
fn field_names_may_have_any_case_and_blanks() {
    let mut witness = Witness::start(Limits::default());
    for (name, fields, coded) in [
        ("lower case", "content-length: 5", "hello"),
        ("upper case", "CONTENT-LENGTH: 5", "hello"),
        ("mixed case, no blank", "cOnTeNt-LeNgTh:5", "hello"),
        ("blanks around", "Content-Length: \t 5 \t", "hello"),
        ("CHUNKED", "Transfer-Encoding: CHUNKED", "5\r\nhello\r\n0\r\n\r\n"),
        ("Chunked, blanks around", "transfer-encoding:\t Chunked \t", "5\r\nhello\r\n0\r\n\r\n"),
        ("Host last and in lower case", "Content-Length: 5\r\nhost:h", "hello"),
        ("unknown fields", "X-A: \u{e9}\t\"x\"\r\nX-B:\r\nX-!#$%&'*+.^_`|~: y\r\nContent-Length: 5", "hello"),
    ] {
        let host = if fields.contains("host:") { "" } else { "Host: h\r\n" };
        let request = format!("POST /broadcast HTTP/1.1\r\n{host}{fields}\r\n\r\n{coded}");
        witness.published(name, request, "hello");
    }
}

#[test]
fn connection_options_may_have_any_case_and_place() {
    let server = TestServer::start_default();
    for fields in [
        "Connection: close",
        "connection: close",
        "CONNECTION: CLOSE",
        "Connection:close",
        "Connection: \tClose\t ",
        "Connection: keep-alive, close",
        "Connection: close, keep-alive",
        "Connection: x ,\tclose ,y",
        "Connection: keep-alive\r\nConnection: close",
        "Connection: close\r\nX: y\r\nConnection: keep-alive",
    ] {
        let request = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}\r\nContent-Length: 1\r\n\r\nx");
        let _row = showing(fields, request.as_bytes());
        let mut client = server.connect();
        let response = client.request(request).expect_status(202);
        assert!(response.closes(), "it is the last answer and must say so: {response:?}");
        client.expect_closed();
    }
}

#[test]
fn a_lookalike_of_close_closes_nothing() {
    let server = TestServer::start_default();
    for option in ["closed", "not-close", "clos", "\"close\"", "keep-alive", "upgrade", "x"] {
        let request =
            format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nConnection: {option}\r\nContent-Length: 1\r\n\r\nx");
        let _row = showing(option, request.as_bytes());
        let mut client = server.connect();
        for _ in 0..2 {
            assert!(!client.request(&request).expect_status(202).closes());
        }
    }
}

#[test]
fn an_upgrade_is_ignored() {
    let server = TestServer::start_default();
    for fields in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ==",
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
        "Connection: upgrade\r\nUpgrade: TLS/1.0",
    ] {
        let _row = showing(fields, b"");
        let request = format!("GET /sse HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
        let (mut stream, _) = EventStream::open_with(server.connect(), request.as_bytes());
        server.request(format!("GET /connections HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).expect_status(200);
        let publish = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}\r\nContent-Length: 1\r\n\r\nx");
        server.request(publish).expect_status(202);
        stream.expect_data("x");
    }
}

#[test]
fn no_response_echoes_the_request() {
    const MARK: &str = "Reflected7";
    let server = TestServer::start_default();
    for request in [
        "GET /MARK HTTP/1.1\r\nHost: h\r\n\r\n",
        "MARK /sse HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /sse/MARK?MARK=MARK HTTP/1.1\r\nHost: MARK\r\n\r\n",
        "GET http://MARK/MARK HTTP/1.1\r\nHost: MARK\r\n\r\n",
        "GET /sse HTTP/1.1\r\nHost: MARK MARK\r\n\r\n",
        "GET /sse MARK/1.1\r\nHost: h\r\n\r\n",
        "GET /sse HTTP/1.1\r\nHost: h\r\nMARK : x\r\n\r\n",
        "GET /sse HTTP/1.1\r\nHost: h\r\nX: MARK\u{1}\r\n\r\n",
        "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: MARK\r\n\r\n",
        "POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: MARK\r\n\r\n",
        "POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nMARK\r\n",
        "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: MARK\r\n\r\nhello",
        "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\nX: MARK\r\n\r\nMARK",
        "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nConnection: MARK\r\n\r\nReflected7",
        "OPTIONS /sse HTTP/1.1\r\nHost: MARK\r\nOrigin: http://MARK\r\n\
         Access-Control-Request-Method: MARK\r\nAccess-Control-Request-Headers: MARK\r\n\r\n",
        "GET /connections HTTP/1.1\r\nHost: MARK\r\nOrigin: http://MARK\r\nX-Request-Id: MARK\r\nVia: MARK\r\n\r\n",
    ] {
        let request = request.replace("MARK", MARK);
        let _row = showing("marked", request.as_bytes());
        let mut client = server.connect();
        client.send(&request);
        client.half_close();
        let answer = client.rest();
        assert!(answer.starts_with(b"HTTP/1.1 "), "expected an answer: {}", escaped(&answer));
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        assert!(!text.contains(&MARK.to_ascii_lowercase()), "reflected: {}", escaped(&answer));
    }
    let request =
        format!("GET /sse?{MARK} HTTP/1.1\r\nHost: {MARK}\r\nOrigin: {MARK}\r\nLast-Event-ID: {MARK}\r\n\r\n");
    let (_stream, head) = EventStream::open_with(server.connect(), request.as_bytes());
    assert!(!format!("{head:?}").contains(MARK), "reflected: {head:?}");
}

#[test]
fn a_request_may_drip_in_byte_by_byte() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    for request in [post("length"), post_chunked("6\r\nchunks\r\n0\r\n\r\n")] {
        for byte in request {
            client.send([byte]);
        }
        client.response().expect_status(202);
    }
    stream.expect(b"data: length\n\ndata: chunks\n\n");
    let mut dripped = server.connect();
    for byte in get("/sse") {
        dripped.send([byte]);
    }
    dripped.response().expect_status(200);
    dripped.expect(b":ok\n\n");
}

#[test]
fn a_request_may_be_split_at_any_byte() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let request = [b"\r\n".as_slice(), &post("hello")].concat();
    let mut client = server.connect();
    for at in 1..request.len() {
        let (first, second) = request.split_at(at);
        let _row = showing(format!("split at {at}"), first);
        client.send(first);
        // Lets the server see the first part alone; the test does not depend on it.
        thread::park_timeout(Duration::from_micros(500));
        client.send(second);
        client.response().expect_status(202);
        stream.expect_data("hello");
    }
}
