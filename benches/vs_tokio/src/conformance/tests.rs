//! A rule that cannot object is worth nothing: each is held against a server that breaks it.
//!
//! The server is smolcast behind a relay that edits the bytes in both directions, so it is wrong in one thing at a
//! time.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::TestServer;

use super::{Row, Standard, check_within, rules};
use Edit::{Answer, KeepsStreams, Request};

/// Short, because a fault costs mostly waiting; and long, in case a busy machine made one of the first wrong.
const PATIENCES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(4)];

/// The one thing that the relay does to the bytes.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Nothing,
    /// On a connection whose first request contains the first text, this in the answers becomes that.
    Answer(&'static str, &'static str, &'static str),
    /// In the requests, this becomes that.
    Request(&'static [u8], &'static [u8]),
    /// A stream's client may leave in any way; its stream stays.
    KeepsStreams,
}

const OPENING: &str = "GET /sse: the body opens with :ok and stays open";
const NUMBER: &str = "GET /connections: a decimal number, then the end";
const OPTIONS: &str = "OPTIONS /sse: 204 without a body, then the end";
const STREAM: &str = "GET /sse: 200 and its headers";

/// Edits that no client can tell.
const TOLERATED: [Edit; 6] = [
    Edit::Nothing,
    Answer("GET /sse", "Content-Type: text/event-stream", "content-type: Text/Event-Stream;charset=utf-8"),
    Answer("GET /sse", "Cache-Control: no-cache", "CACHE-CONTROL: no-store, No-Cache"),
    Answer("GET /sse", ":ok\n\n", ":ok\n\nretry: 1000\n\n: hello\n\n"),
    Answer("GET /sse", "data: mark", "id: 7\r\ndata:mark"),
    Answer("GET /connections", "text/plain", "text/plain; charset=utf-8"),
];

/// Each with the rules that have to object, among others where a fault breaks more than one.
const FAULTS: [(Edit, &[&str]); 51] = [
    (Answer("GET /sse", "text/event-stream", "text/plain"), &[STREAM]),
    (Answer("GET /sse", "Cache-Control: no-cache\r\n", ""), &[STREAM]),
    (Answer("GET /sse", "Allow-Origin: *", "Allow-Origin: http://a"), &[STREAM]),
    (Answer("GET /sse", ":ok\n\n", ":OK\n\n"), &[OPENING]),
    (Answer("GET /sse", ":ok\n\n", ":ok\r\n\r\n"), &[OPENING]),
    (Answer("GET /sse", ":ok\n\n", "retry: 1000\n\n:ok\n\n"), &[OPENING]),
    (Answer("GET /sse?x=1", "200 OK", "404 Not Found"), &["GET /sse?x=1 is GET /sse"]),
    (Answer("GET http://", "200 OK", "404 Not Found"), &["GET http://HOST/sse is GET /sse"]),
    (Answer("HTTP/1.0", "200 OK", "505 HTTP Version Not Supported"), &["GET /sse over HTTP/1.0 is the same stream"]),
    (
        Answer("HTTP/1.0", "\r\n\r\n:ok\n\n", "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n:ok\n\n\r\n"),
        &["GET /sse over HTTP/1.0 is the same stream"],
    ),
    (Answer("GET /connections", "text/plain", "text/html"), &["GET /connections: 200 and its headers"]),
    (Answer("GET /connections", "no-cache", "max-age=1"), &["GET /connections: 200 and its headers"]),
    (Answer("GET /connections", "200 OK", "203 Whatever"), &["GET /connections: 200 and its headers"]),
    (Answer("GET /connections", "Connection: close\r\n", ""), &["GET /connections: 200 and its headers"]),
    (Answer("GET /connections", "\r\n\r\n", "\r\n\r\n+"), &[NUMBER]),
    (Answer("GET /connections", "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"), &[NUMBER]),
    (Answer("GET /connections", "\r\n\r\n1", "\r\n\r\n0"), &["the count has risen when :ok arrives"]),
    (
        KeepsStreams,
        &[
            "the count falls when a stream is closed",
            "the count falls when a stream is half-closed",
            "the count falls when a stream is reset",
            "after all this the count is what it was",
        ],
    ),
    (Answer("OPTIONS /sse", "204 No Content", "200 OK"), &[OPTIONS]),
    (Answer("OPTIONS /sse", "Access-Control-Allow-Origin: *\r\n", ""), &[OPTIONS]),
    (Answer("OPTIONS /sse", "Connection: close\r\n", ""), &[OPTIONS]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"), &[OPTIONS]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\n\r\nbody"), &[OPTIONS]),
    (
        Answer("OPTIONS /connections", "204 No Content", "404 Not Found"),
        &["OPTIONS /connections: 204 without a body, then the end"],
    ),
    (Answer("POST /broadcast", "202 Accepted", "200 OK"), &["POST /broadcast: 202"]),
    (
        Answer("POST /broadcast", "Access-Control-Allow-Origin: *\r\n", ""),
        &["POST /broadcast: a page may read the 202"],
    ),
    (Answer("chunked", "202 Accepted", "411 Length Required"), &["POST /broadcast: chunked coding is decoded"]),
    (Answer("GET /sse", "data: chunked in", "data: 3\ndata: chu"), &["POST /broadcast: chunked coding is decoded"]),
    (
        Answer("POST /broadcast", "411 Length Required", "400 Bad Request"),
        &["POST /broadcast of unknown length: 411, then the end"],
    ),
    (
        Request(b"caf\xe9", b"cafe"),
        &["POST /broadcast that is no UTF-8: 400", "POST /broadcast that is no UTF-8 reaches nobody"],
    ),
    (Request(b"\r\n\r\none", b"\r\nConnection: close\r\n\r\none"), &["a publisher's connection is kept"]),
    (Request(b"answered 3", b"answered \xff"), &["ten POSTs in one segment get ten answers"]),
    (
        Answer("GET /sse", "data: pipelined 3\n", "data: pipelined 4\n"),
        &["ten POSTs in one segment become events in their order"],
    ),
    (Answer("GET /sse", "data: pipelined 9\n\n", ""), &["ten POSTs in one segment become events in their order"]),
    (Request(b"GET /elsewhere", b"GET /connections"), &["answers come in the order of their requests"]),
    (Answer("GET /sse", "data: to all", "data:to all"), &["an event is `data: MESSAGE` and reaches every stream"]),
    (
        Answer("GET /sse", "data: to all", "id: 1\ndata: to all"),
        &["an event is `data: MESSAGE` and reaches every stream"],
    ),
    (Answer("GET /sse", "data: a7\n", "data: a8\n"), &["two streams see two publishers in one order"]),
    (Answer("GET /sse", "data: b49\n\n", ""), &["two streams see two publishers in one order"]),
    (
        Answer("GET /sse", "data: a\ndata: \n", "data: a\n"),
        &["LF: every line is a data line, empty ones too", "a line break at the end is kept"],
    ),
    (
        Answer("GET /sse", "data: a\ndata: \n", "event: other\ndata: a\ndata: \n"),
        &["LF: every line is a data line, empty ones too", "a line break at the end is kept"],
    ),
    (Request(b"a\r\nb", b"a\n\nb"), &["CR LF is one line break"]),
    (Request(b"a\rb\r\r", b"a b  "), &["CR alone is a line break"]),
    (Answer("GET /sse", "data:  a\ndata:   b", "data: a\ndata: b"), &["a space at the start of a line is kept"]),
    (Answer("GET /sse", "data: \n\n", ""), &["an empty message is an event"]),
    (Answer("GET /sse", "\u{feff}", ""), &["other bytes pass unchanged"]),
    (Answer("GET /sse/", "404 Not Found", "200 OK"), &["GET /sse/: 404"]),
    (Answer("GET /nowhere", "404 Not Found", "200 OK"), &["another path: 404"]),
    (Answer("GET /broadcast", "404 Not Found", "405 Method Not Allowed"), &["GET /broadcast: 404"]),
    (Answer("POST /sse", "404 Not Found", "405 Method Not Allowed"), &["POST /sse: 404"]),
    (Answer("PUT /connections", "404 Not Found", "405 Method Not Allowed"), &["PUT /connections: 404"]),
];

/// Serves each connection on a thread of its own, until the tests are over.
fn background(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(socket));
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// The server, as seen through the edit.
fn edited(server: SocketAddr, edit: Edit) -> SocketAddrV4 {
    background(move |mut client| {
        let mut upstream = TcpStream::connect(server).expect("the server listens");
        let mut first = vec![0; 16 * 1024];
        let Ok(length @ 1..) = client.read(&mut first) else { return };
        first.truncate(length);
        let text = String::from_utf8_lossy(&first).into_owned();
        let (to_server, to_client) = match edit {
            Request(from, to) => (Some((from, to)), None),
            Answer(when, from, to) if text.contains(when) => (None, Some((from.as_bytes(), to.as_bytes()))),
            _ => (None, None),
        };
        let _ = upstream.write_all(&replaced(&first, to_server));
        let keeps = matches!(edit, KeepsStreams) && text.starts_with("GET /sse");
        let (from, to) = (client.try_clone().expect("a socket"), upstream.try_clone().expect("a socket"));
        thread::spawn(move || {
            let outcome = copy(from, &to, to_server);
            if keeps {
                thread::sleep(Duration::from_secs(60));
            }
            let _ = to.shutdown(if outcome.is_ok() { Shutdown::Write } else { Shutdown::Both });
        });
        let _ = copy(upstream, &client, to_client);
        let _ = client.shutdown(Shutdown::Both);
    })
}

type Replacement = Option<(&'static [u8], &'static [u8])>;

fn copy(mut from: TcpStream, mut to: &TcpStream, edit: Replacement) -> std::io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            count => to.write_all(&replaced(&buffer[..count], edit))?,
        }
    }
}

fn replaced(bytes: &[u8], edit: Replacement) -> Vec<u8> {
    let (mut rest, mut out) = (bytes, Vec::new());
    while let Some((from, to)) = edit {
        let Some(at) = rest.windows(from.len()).position(|window| window == from) else { break };
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn objections(rows: &[Row]) -> BTreeSet<&'static str> {
    rows.iter().filter(|row| row.objection.is_some()).map(|row| row.what).collect()
}

fn texts(rows: &[Row]) -> String {
    rows.iter().filter_map(|row| Some(format!("{}: {}\n", row.what, row.objection.as_ref()?))).collect()
}

/// Holds that these rules object, and without any that none does.
fn assert_objections(edit: Edit, expected: &[&'static str]) {
    let mut rows = Vec::new();
    for patience in PATIENCES {
        let server = TestServer::start_default();
        rows = check_within(edited(server.addr, edit), Standard::Whole, patience);
        let objections = objections(&rows);
        if objections.is_empty() == expected.is_empty() && expected.iter().all(|what| objections.contains(what)) {
            let lines: Vec<_> = rows.iter().filter_map(|row| row.objection.as_deref()).collect();
            assert!(lines.iter().all(|line| !line.is_empty() && !line.contains('\n')), "{lines:?}");
            return;
        }
    }
    panic!("{edit:?}: expected {expected:?}, received\n{}", texts(&rows));
}

/// Several at the same time, each with a server of its own.
fn assert_all(table: &[(Edit, &[&'static str])]) {
    thread::scope(|scope| {
        for part in table.chunks(table.len().div_ceil(8)) {
            scope.spawn(move || part.iter().for_each(|(edit, expected)| assert_objections(*edit, expected)));
        }
    });
}

#[test]
fn nothing_is_objected_to_where_nothing_is_wrong() {
    assert_all(&TOLERATED.map(|edit| (edit, &[][..])));
}

#[test]
fn each_fault_is_objected_to() {
    assert_all(&FAULTS);
}

#[test]
fn no_rule_is_without_a_fault_that_it_objects_to() {
    let broken: BTreeSet<_> = FAULTS.iter().flat_map(|(_, rules)| rules.iter().copied()).collect();
    let rules: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.what).collect();
    assert_eq!(rules.len(), rules::ALL.len(), "two rules of one name");
    assert_eq!(rules, broken);
}

#[test]
fn the_floor_is_held_to_its_two_tasks_alone() {
    let server = TestServer::start_default();
    let edit = Answer("GET /connections", "\r\n\r\n", "\r\n\r\n+");
    let rows = check_within(edited(server.addr, edit), Standard::StreamAndPublish, PATIENCES[1]);
    assert!(rows.len() == 8 && objections(&rows).is_empty(), "{}", texts(&rows));
}

/// Holds that every rule objects, soon.
fn assert_dead(what: &str, server: SocketAddrV4) {
    let start = Instant::now();
    let rows = check_within(server, Standard::Whole, Duration::from_millis(50));
    let elapsed = start.elapsed();
    assert_eq!(objections(&rows).len(), rules::ALL.len(), "{what}: {}", texts(&rows));
    assert!(elapsed < Duration::from_secs(10), "{what} took {elapsed:?}");
}

#[test]
fn a_dead_server_is_objected_to_and_not_waited_for() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let closed = SocketAddrV4::new(Ipv4Addr::LOCALHOST, closed.expect("a free port").port());
    assert_dead("nobody listens", closed);
    assert_dead("closes at once", background(drop));
    let silent = |mut socket: TcpStream| while socket.read(&mut [0; 512]).is_ok_and(|count| count > 0) {};
    assert_dead("never answers", background(silent));
    assert_dead("no HTTP", background(|mut socket| drop(socket.write_all(b"+OK POP3 ready\r\n"))));
    let dripping = |mut socket: TcpStream| {
        while socket.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    };
    assert_dead("is no HTTP, and slow", background(dripping));
}

#[test]
fn a_server_that_never_stops_sending_is_objected_to() {
    let floods = [
        ("HTTP/1.1 200 ", "a"),
        ("HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        ("HTTP/1.1 200 OK\r\n\r\n", ":"),
        ("HTTP/1.1 200 OK\r\n\r\n:ok\n\n", "data: a\n\n"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "0"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\na\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", "a: b\r\n"),
    ];
    for (start, flood) in floods {
        let flood = flood.repeat(10_000);
        let server = background(move |mut socket| {
            let mut sending = socket.write_all(start.as_bytes());
            while sending.is_ok() {
                sending = socket.write_all(flood.as_bytes());
            }
        });
        assert_dead(start, server);
    }
}
