//! A rule that cannot object is worth nothing: each is held against a server that breaks it and, for most, nothing
//! else.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::fake::{Ending, Fault, background, frame, serve};
use super::{Row, Standard, check_within, rules};
use Fault::{Answer, Count, Delays, Drops, Frame, KeepsCounting, KeepsOpen, LateAnswer, NoAnswer};

/// Short, because most of what a fault costs is waiting; and where that finds something unexpected, which on a busy
/// machine it may, long.
const PATIENCES: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(4)];

/// Checks that run at once.
const AT_ONCE: usize = 6;

const STREAM: &str = "GET /sse: 200 and its headers";
const OPENING: &str = "GET /sse: the body opens with :ok and stays open";
const QUERY: &str = "GET /sse?x=1 is GET /sse";
const ABSOLUTE: &str = "GET http://HOST/sse is GET /sse";
const OLD: &str = "GET /sse over HTTP/1.0 is the same stream";
const COUNT: &str = "GET /connections: 200 and its headers";
const NUMBER: &str = "GET /connections: a decimal number, then the end";
const RISES: &str = "the count has risen when :ok arrives";
const CLOSED: &str = "the count falls when a stream is closed";
const HALF_CLOSED: &str = "the count falls when a stream is half-closed";
const RESET: &str = "the count falls when a stream is reset";
const DRIFT: &str = "after all this the count is what it was";
const OPTIONS_STREAM: &str = "OPTIONS /sse: 204 without a body, then the end";
const OPTIONS_COUNT: &str = "OPTIONS /connections: 204 without a body, then the end";
const ACCEPTED: &str = "POST /broadcast: 202";
const READABLE: &str = "POST /broadcast: a page may read the 202";
const CHUNKED: &str = "POST /broadcast: chunked coding is decoded";
const UNKNOWN_LENGTH: &str = "POST /broadcast of unknown length: 411, then the end";
const NO_UTF8: &str = "POST /broadcast that is no UTF-8: 400";
const NO_UTF8_SILENT: &str = "POST /broadcast that is no UTF-8 reaches nobody";
const KEPT: &str = "a publisher's connection is kept";
const TEN_ANSWERS: &str = "ten POSTs in one segment get ten answers";
const TEN_EVENTS: &str = "ten POSTs in one segment become events in their order";
const ANSWERS: &str = "answers come in the order of their requests";
const EVENT: &str = "an event is `data: MESSAGE` and reaches every stream";
const ONE_ORDER: &str = "two streams see two publishers in one order";
const LF: &str = "LF: every line is a data line, empty ones too";
const CRLF: &str = "CR LF is one line break";
const CR: &str = "CR alone is a line break";
const LAST_BREAK: &str = "a line break at the end is kept";
const SPACE: &str = "a space at the start of a line is kept";
const EMPTY: &str = "an empty message is an event";
const BYTES: &str = "other bytes pass unchanged";

/// What is as good as what the contract shows.
const TOLERATED: [Fault; 10] = [
    Fault::None,
    Fault::ChunkedStreams,
    Fault::RepeatsToNewcomers,
    Answer("GET /sse", "Content-Type: text/event-stream", "content-type: Text/Event-Stream;charset=utf-8"),
    Answer("GET /sse", "Cache-Control: no-cache", "CACHE-CONTROL: no-store, No-Cache"),
    Answer("GET /sse", ":ok\n\n", ":ok\n\nretry: 1000\n\n: hello\n\n"),
    Answer("GET /connections", "Connection: close", "connection: Close"),
    Answer("GET /connections", "text/plain", "text/plain; charset=utf-8"),
    Frame(|message| match message {
        "to all" => frame(message),
        _ => format!(":\n\nid: 1\n{}", frame(message)).replace('\n', "\r\n"),
    }),
    Frame(|message| match message.starts_with(' ') || message == "to all" {
        true => frame(message),
        false => frame(message).replace("data: ", "data:"),
    }),
];

const STREAMS: [(Fault, &[&str]); 13] = [
    (Answer("GET /sse", "text/event-stream", "text/plain"), &[STREAM]),
    (Answer("GET /sse", "Cache-Control: no-cache\r\n", ""), &[STREAM]),
    (Answer("GET /sse", "Allow-Origin: *", "Allow-Origin: http://a"), &[STREAM]),
    (Answer("GET /sse", ":ok\n\n", ":OK\n\n"), &[OPENING]),
    (Answer("GET /sse", ":ok\n\n", ":ok\r\n\r\n"), &[OPENING]),
    (Answer("GET /sse", ":ok\n\n", "retry: 1000\n\n:ok\n\n"), &[OPENING]),
    (
        Fault::EndsStreams,
        &[
            OPENING,
            CHUNKED,
            NO_UTF8_SILENT,
            TEN_EVENTS,
            EVENT,
            ONE_ORDER,
            LF,
            CRLF,
            CR,
            LAST_BREAK,
            SPACE,
            EMPTY,
            BYTES,
        ],
    ),
    (Answer("GET /sse?x=1", "200 OK", "404 Not Found"), &[QUERY]),
    (Answer("GET http://", "200 OK", "404 Not Found"), &[ABSOLUTE]),
    (Answer("HTTP/1.0", "200 OK", "505 HTTP Version Not Supported"), &[OLD]),
    (Answer("HTTP/1.0", "\r\n\r\n:ok\n\n", "\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n:ok\n\n\r\n"), &[OLD]),
    (Answer("GET /sse/", "404 Not Found", "200 OK"), &["GET /sse/: 404"]),
    (Answer("POST /sse", "404 Not Found", "405 Method Not Allowed"), &["POST /sse: 404"]),
];

const COUNTS: [(Fault, &[&str]); 22] = [
    (Answer("GET /connections", "200 OK", "203 Whatever"), &[COUNT, RISES, CLOSED, HALF_CLOSED, RESET, DRIFT]),
    (Answer("GET /connections", "text/plain", "text/html"), &[COUNT]),
    (Answer("GET /connections", "no-cache", "max-age=1"), &[COUNT]),
    (Answer("GET /connections", "Access-Control-Allow-Origin: *\r\n", ""), &[COUNT]),
    (Answer("GET /connections", "Connection: close\r\n", ""), &[COUNT]),
    (Count(|count| format!("{count}\n")), &[NUMBER]),
    (Count(|count| format!("+{count}")), &[NUMBER]),
    (KeepsOpen("GET /connections"), &[NUMBER]),
    (Count(|_| "0".to_owned()), &[RISES]),
    (Count(|count| (2 * count).to_string()), &[RISES]),
    (KeepsCounting(Ending::Fin), &[CLOSED, HALF_CLOSED, DRIFT]),
    (KeepsCounting(Ending::HalfClose), &[HALF_CLOSED]),
    (KeepsCounting(Ending::Reset), &[RESET, DRIFT]),
    (Answer("OPTIONS /sse", "204 No Content", "200 OK"), &[OPTIONS_STREAM]),
    (Answer("OPTIONS /sse", "Access-Control-Allow-Origin: *\r\n", ""), &[OPTIONS_STREAM]),
    (Answer("OPTIONS /sse", "Connection: close\r\n", ""), &[OPTIONS_STREAM]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n"), &[OPTIONS_STREAM]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n"), &[OPTIONS_STREAM]),
    (Answer("OPTIONS /sse", "\r\n\r\n", "\r\n\r\nbody"), &[OPTIONS_STREAM]),
    (KeepsOpen("OPTIONS /sse"), &[OPTIONS_STREAM]),
    (Answer("OPTIONS /connections", "204 No Content", "404 Not Found"), &[OPTIONS_COUNT]),
    (Answer("PUT /connections", "404 Not Found", "405 Method Not Allowed"), &["PUT /connections: 404"]),
];

const PUBLISHING: [(Fault, &[&str]); 21] = [
    (Answer("POST /broadcast", "202 Accepted", "200 OK"), &[ACCEPTED, CHUNKED, TEN_ANSWERS, ANSWERS]),
    (Answer("POST /broadcast", "Access-Control-Allow-Origin: *\r\n", ""), &[READABLE]),
    (Answer("chunked", "202 Accepted", "411 Length Required"), &[CHUNKED]),
    (Fault::RawChunks, &[CHUNKED]),
    (Answer("POST /broadcast", "411 Length Required", "400 Bad Request"), &[UNKNOWN_LENGTH]),
    (KeepsOpen("POST /broadcast"), &[UNKNOWN_LENGTH]),
    (Answer("POST /broadcast", "400 Bad Request", "422 Unprocessable Content"), &[NO_UTF8]),
    (Fault::BroadcastsAnything("202 Accepted"), &[NO_UTF8, NO_UTF8_SILENT]),
    (Fault::BroadcastsAnything("400 Bad Request"), &[NO_UTF8_SILENT]),
    (Fault::ClosesBehindMessages, &[KEPT, TEN_ANSWERS, TEN_EVENTS, ANSWERS, ONE_ORDER]),
    (NoAnswer("answered 3"), &[TEN_ANSWERS]),
    (NoAnswer("answered 9"), &[TEN_ANSWERS]),
    (LateAnswer("GET /elsewhere"), &[ANSWERS]),
    (Delays("pipelined 3", 0), &[TEN_EVENTS]),
    (Drops("pipelined 9", 0), &[TEN_EVENTS]),
    (Drops("to all", 1), &[EVENT]),
    (Delays("a7", 0), &[ONE_ORDER]),
    (Delays("a7", 1), &[ONE_ORDER]),
    (Drops("b49", 1), &[ONE_ORDER]),
    (Answer("GET /broadcast", "404 Not Found", "405 Method Not Allowed"), &["GET /broadcast: 404"]),
    (Answer("GET /nowhere", "404 Not Found", "200 OK"), &["another path: 404"]),
];

const ENCODING: [(Fault, &[&str]); 14] = [
    (Frame(|message| format!("data: {message}\n\n")), &[LF, CRLF, CR, LAST_BREAK, SPACE]),
    (Frame(|message| frame(message).replace("data: ", "data:")), &[EVENT, SPACE]),
    (Frame(|message| format!("id: 1\n{}", frame(message))), &[EVENT]),
    (
        Frame(|message| frame(message).replace("data: a\ndata: \n", "event: other\ndata: a\ndata: \n")),
        &[LF, LAST_BREAK],
    ),
    (Frame(|message| frame(&message.replace("\n\n", "\n"))), &[LF]),
    (Frame(|message| frame(&message.replace('\r', "\n"))), &[CRLF]),
    (Frame(|message| message.split("\r\n").map(without_cr_breaks).collect::<String>() + "\n"), &[CR]),
    (Frame(|message| frame(message.strip_suffix('\n').unwrap_or(message))), &[LAST_BREAK]),
    (Frame(|message| frame(message.trim_start_matches(' '))), &[SPACE]),
    (Frame(|message| if message.is_empty() { String::new() } else { frame(message) }), &[EMPTY]),
    (Frame(|message| if message.is_empty() { frame("\n") } else { frame(message) }), &[EMPTY]),
    (Frame(|message| frame(message.trim_start_matches('\u{feff}'))), &[BYTES]),
    (Frame(|message| frame(&message.replace('\0', ""))), &[BYTES]),
    (Frame(|message| frame(&message.replace('\u{2028}', "\n"))), &[BYTES]),
];

/// The data lines of a server to which only LF and CR LF are line breaks.
fn without_cr_breaks(part: &str) -> String {
    part.split('\n').map(|line| format!("data: {line}\n")).collect()
}

fn objections(rows: &[Row]) -> BTreeSet<&'static str> {
    rows.iter().filter(|row| row.objection.is_some()).map(|row| row.what).collect()
}

fn texts(rows: &[Row]) -> Vec<String> {
    let text = |row: &Row| Some(format!("{}: {}", row.what, row.objection.as_ref()?));
    rows.iter().filter_map(text).collect()
}

/// Holds that a check objects to exactly these rows.
fn assert_objections(fault: Fault, standard: Standard, expected: &[&str]) {
    let expected = BTreeSet::from_iter(expected.iter().copied());
    let mut rows = Vec::new();
    for patience in PATIENCES {
        rows = check_within(serve(fault), standard, patience);
        if objections(&rows) == expected {
            break;
        }
    }
    let texts = texts(&rows);
    assert_eq!(objections(&rows), expected, "{fault:?}\n{}", texts.join("\n"));
    assert!(!texts.iter().any(|text| text.contains('\n')), "{fault:?}: more than a line in {texts:?}");
}

/// Several at the same time.
fn assert_table(table: &[(Fault, &[&str])]) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((fault, expected)) = table.get(next.fetch_add(1, Ordering::Relaxed)) {
                    assert_objections(*fault, Standard::Whole, expected);
                }
            });
        }
    });
}

#[test]
fn nothing_is_objected_to_where_nothing_is_wrong() {
    assert_table(&TOLERATED.map(|fault| (fault, &[][..])));
}

#[test]
fn what_is_wrong_with_a_stream_is_objected_to() {
    assert_table(&STREAMS);
}

#[test]
fn what_is_wrong_with_the_count_or_with_options_is_objected_to() {
    assert_table(&COUNTS);
}

#[test]
fn what_is_wrong_with_publishing_is_objected_to() {
    assert_table(&PUBLISHING);
}

#[test]
fn what_is_wrong_with_the_encoding_is_objected_to() {
    assert_table(&ENCODING);
}

#[test]
fn no_rule_is_without_a_fault_that_it_objects_to() {
    let tables = [&STREAMS[..], &COUNTS, &PUBLISHING, &ENCODING];
    let broken: BTreeSet<_> = tables.into_iter().flatten().flat_map(|(_, rows)| rows.iter().copied()).collect();
    let rules: BTreeSet<_> = rules::ALL.iter().map(|rule| rule.what).collect();
    assert_eq!(rules.len(), rules::ALL.len(), "two rules of one name");
    assert_eq!(rules, broken);
}

#[test]
fn the_floor_is_held_to_its_two_tasks_alone() {
    for fault in [Fault::None, Count(|_| "none".to_owned()), Fault::RawChunks] {
        assert_objections(fault, Standard::StreamAndPublish, &[]);
    }
    assert_objections(Delays("pipelined 3", 0), Standard::StreamAndPublish, &[TEN_EVENTS]);
    let rows = check_within(serve(Fault::None), Standard::StreamAndPublish, PATIENCES[0]);
    assert_eq!(rows.len(), 8);
}

/// Holds that every rule objects, soon.
fn assert_dead(what: &str, server: SocketAddrV4) {
    let patience = Duration::from_millis(50);
    let start = Instant::now();
    let rows = check_within(server, Standard::Whole, patience);
    let elapsed = start.elapsed();
    assert_eq!(objections(&rows).len(), rules::ALL.len(), "{what}: {:?}", texts(&rows));
    assert!(elapsed < Duration::from_secs(10), "{what} took {elapsed:?}");
}

#[test]
fn a_dead_server_is_objected_to_and_not_waited_for() {
    let port = |listener: TcpListener| listener.local_addr().expect("it is bound").port();
    let closed = port(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback is free"));
    assert_dead("nobody listens", SocketAddrV4::new(Ipv4Addr::LOCALHOST, closed));
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
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0", "0"),
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
