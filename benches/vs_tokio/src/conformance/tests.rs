//! A rule that cannot object is worth nothing: each is held against a server that breaks it.
//!
//! The server is smolcast behind a relay that edits the bytes in both directions, so it is wrong in one thing at a
//! time.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use support::{Acceptor, FreePort, TestServer};

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

/// An edit of the answers on a stream's connection.
const fn stream(from: &'static str, to: &'static str) -> Edit {
    Answer("GET /sse", from, to)
}

/// Edits that no client can tell.
const TOLERATED: [Edit; 6] = [
    Edit::Nothing,
    stream("Content-Type: text/event-stream", "content-type: Text/Event-Stream;charset=utf-8"),
    stream("Cache-Control: no-cache", "CACHE-CONTROL: no-store, No-Cache"),
    stream(":ok\n\n", ":ok\n\nretry: 1000\n\n: hello\n\n"),
    stream("data: mark", "id: 7\r\ndata:mark"),
    Answer("GET /connections", "text/plain", "text/plain; charset=utf-8"),
];

/// Each with the rules that have to object, by the start of their names, among others where a fault breaks more than
/// one.
const FAULTS: [(Edit, &[&str]); 51] = [
    (stream("text/event-stream", "text/plain"), &["GET /sse: 200"]),
    (stream("Cache-Control: no-cache\r\n", ""), &["GET /sse: 200"]),
    (stream("Allow-Origin: *", "Allow-Origin: http://a"), &["GET /sse: 200"]),
    (stream(":ok\n\n", ":OK\n\n"), &["GET /sse: the body opens"]),
    (stream(":ok\n\n", ":ok\r\n\r\n"), &["GET /sse: the body opens"]),
    (stream(":ok\n\n", "retry: 1000\n\n:ok\n\n"), &["GET /sse: the body opens"]),
    (Answer("GET /sse?x=1", "200 OK", "404 Not Found"), &["GET /sse?x=1"]),
    (Answer("GET http://", "200 OK", "404 Not Found"), &["GET http://HOST/sse"]),
    (Answer("HTTP/1.0", "200 OK", "505 HTTP Version Not Supported"), &["GET /sse over HTTP/1.0"]),
    (
        Answer("HTTP/1.0", "\n\r\n:ok\n\n", "\nTransfer-Encoding: chunked\r\n\r\n5\r\n:ok\n\n\r\n"),
        &["GET /sse over HTTP/1.0"],
    ),
    (Answer("GET /connections", "text/plain", "text/html"), &["GET /connections: 200"]),
    (Answer("GET /connections", "no-cache", "max-age=1"), &["GET /connections: 200"]),
    (Answer("GET /connections", "200 OK", "203 Whatever"), &["GET /connections: 200"]),
    (Answer("GET /connections", "Connection: close\r\n", ""), &["GET /connections: 200"]),
    (Answer("GET /connections", "\r\n\r\n", "\r\n\r\n+"), &["GET /connections: a decimal"]),
    (Answer("GET /connections", "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"), &["GET /connections: a decimal"]),
    (Answer("GET /connections", "\r\n\r\n1", "\r\n\r\n0"), &["the count has risen"]),
    (KeepsStreams, &["the count falls when", "after all this"]),
    (Answer("OPTIONS /sse", "204 No Content", "200 OK"), &["OPTIONS /sse"]),
    (Answer("OPTIONS /sse", "Access-Control-Allow-Origin: *\r\n", ""), &["OPTIONS /sse"]),
    (Answer("OPTIONS /sse", "Connection: close\r\n", ""), &["OPTIONS /sse"]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"), &["OPTIONS /sse"]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\n\r\nbody"), &["OPTIONS /sse"]),
    (Answer("OPTIONS /connections", "204 No Content", "404 Not Found"), &["OPTIONS /connections"]),
    (Answer("POST /broadcast", "202 Accepted", "200 OK"), &["POST /broadcast: 202"]),
    (Answer("POST /broadcast", "Access-Control-Allow-Origin: *\r\n", ""), &["POST /broadcast: a page"]),
    (Answer("chunked", "202 Accepted", "411 Length Required"), &["POST /broadcast: chunked"]),
    (stream("data: chunked in", "data: 3\ndata: chu"), &["POST /broadcast: chunked"]),
    (Answer("POST /broadcast", "411 Length Required", "400 Bad Request"), &["POST /broadcast of unknown length"]),
    (
        Request(b"caf\xe9", b"cafe"),
        &["POST /broadcast that is no UTF-8: 400", "POST /broadcast that is no UTF-8 reaches"],
    ),
    (Request(b"\r\n\r\none", b"\r\nConnection: close\r\n\r\none"), &["a publisher's connection"]),
    (Request(b"answered 3", b"answered \xff"), &["ten POSTs in one segment get"]),
    (stream("data: pipelined 3\n", "data: pipelined 4\n"), &["ten POSTs in one segment become"]),
    (stream("data: pipelined 9\n\n", ""), &["ten POSTs in one segment become"]),
    (Request(b"GET /elsewhere", b"GET /connections"), &["answers come in the order"]),
    (stream("data: to all", "data:to all"), &["an event is `data: MESSAGE`"]),
    (stream("data: to all", "id: 1\ndata: to all"), &["an event is `data: MESSAGE`"]),
    (stream("data: a7\n", "data: a8\n"), &["two streams see"]),
    (stream("data: b49\n\n", ""), &["two streams see"]),
    (stream("data: a\ndata: \n", "data: a\n"), &["LF: every line", "a line break at the end"]),
    (stream("data: a\ndata: \n", "event: other\ndata: a\ndata: \n"), &["LF: every line", "a line break at the end"]),
    (Request(b"a\r\nb", b"a\n\nb"), &["CR LF"]),
    (Request(b"a\rb\r\r", b"a b  "), &["CR alone"]),
    (stream("data:  a\ndata:   b", "data: a\ndata: b"), &["a space at the start"]),
    (stream("data: \n\n", ""), &["an empty message"]),
    (stream("\u{feff}", ""), &["other bytes"]),
    (Answer("GET /sse/", "404 Not Found", "200 OK"), &["GET /sse/: 404"]),
    (Answer("GET /nowhere", "404 Not Found", "200 OK"), &["another path"]),
    (Answer("GET /broadcast", "404 Not Found", "405 Method Not Allowed"), &["GET /broadcast: 404"]),
    (Answer("POST /sse", "404 Not Found", "405 Method Not Allowed"), &["POST /sse: 404"]),
    (Answer("PUT /connections", "404 Not Found", "405 Method Not Allowed"), &["PUT /connections: 404"]),
];

/// The rules whose names start with one of these.
fn named(starts: &[&str]) -> BTreeSet<&'static str> {
    let names = || rules::ALL.iter().map(|rule| rule.what);
    assert!(starts.iter().all(|start| names().any(|name| name.starts_with(start))), "no rule of {starts:?}");
    names().filter(|name| starts.iter().any(|start| name.starts_with(start))).collect()
}

/// Serves each connection on a thread of its own, until it is dropped.
fn serving(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Acceptor {
    Acceptor::start(move |socket, _| {
        serve(socket);
        Ok(())
    })
}

fn address(server: &Acceptor) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.addr().port())
}

/// The server, as seen through the edit.
fn edited(server: SocketAddr, edit: Edit) -> Acceptor {
    serving(move |mut client| {
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
fn assert_objections(edit: Edit, starts: &[&str]) {
    let expected = named(starts);
    let mut rows = Vec::new();
    for patience in PATIENCES {
        let server = TestServer::start_default();
        rows = check_within(address(&edited(server.addr, edit)), Standard::Whole, patience);
        let objections = objections(&rows);
        if objections.is_empty() == expected.is_empty() && expected.is_subset(&objections) {
            let lines: Vec<_> = rows.iter().filter_map(|row| row.objection.as_deref()).collect();
            assert!(lines.iter().all(|line| !line.is_empty() && !line.contains('\n')), "{lines:?}");
            return;
        }
    }
    panic!("{edit:?}: expected {expected:?}, received\n{}", texts(&rows));
}

/// Several at the same time, each with a server of its own.
fn assert_all(table: &[(Edit, &[&str])]) {
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
    let broken: BTreeSet<_> = FAULTS.iter().flat_map(|(_, starts)| named(starts)).collect();
    let rules: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.what).collect();
    assert_eq!(rules.len(), rules::ALL.len(), "two rules of one name");
    assert_eq!(rules, broken);
}

#[test]
fn the_floor_is_held_to_its_two_tasks_alone() {
    let server = TestServer::start_default();
    let edit = Answer("GET /connections", "\r\n\r\n", "\r\n\r\n+");
    let rows = check_within(address(&edited(server.addr, edit)), Standard::StreamAndPublish, PATIENCES[1]);
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
    assert_dead("nobody listens", SocketAddrV4::new(Ipv4Addr::LOCALHOST, FreePort::new().number()));
    let assert_dead = |what, server: Acceptor| assert_dead(what, address(&server));
    assert_dead("closes at once", serving(drop));
    let silent = |mut socket: TcpStream| while socket.read(&mut [0; 512]).is_ok_and(|count| count > 0) {};
    assert_dead("never answers", serving(silent));
    assert_dead("no HTTP", serving(|mut socket| drop(socket.write_all(b"+OK POP3 ready\r\n"))));
    let dripping = |mut socket: TcpStream| {
        while socket.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    };
    assert_dead("is no HTTP, and slow", serving(dripping));
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
        let server = serving(move |mut socket| {
            let mut sending = socket.write_all(start.as_bytes());
            while sending.is_ok() {
                sending = socket.write_all(flood.as_bytes());
            }
        });
        assert_dead(start, address(&server));
    }
}
