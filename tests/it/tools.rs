//! The tests' own tools, held to the standards that they are written from.

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use support::FreePort;
use support::date::unix_seconds;
use support::measure::Samples;
use support::sse::{self, Parser, normalised};

/// A stream, and its events as `(type, data, last event ID)`.
type Row = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

#[rustfmt::skip]
const STREAMS: &[Row] = &[
    // The standard's own examples.
    ("data: YHOO\ndata: +2\ndata: 10\n\n", &[("message", "YHOO\n+2\n10", "")]),
    (": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &[("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")]),
    ("data\n\ndata\ndata\n\ndata:", &[("message", "", ""), ("message", "\n", "")]),
    ("data:test\n\ndata: test\n\n", &[("message", "test", ""), ("message", "test", "")]),
    // Line ends.
    ("data: a\r\ndata: b\rdata: c\n\r\n", &[("message", "a\nb\nc", "")]),
    ("data: a\r\rdata: b\r\n\r\n", &[("message", "a", ""), ("message", "b", "")]),
    ("data: a\n\r", &[("message", "a", "")]),
    // An incomplete event is never dispatched.
    ("data: a\n", &[]),
    ("data: a", &[]),
    // A byte order mark, at the start and elsewhere.
    ("\u{feff}data: a\n\n", &[("message", "a", "")]),
    ("\u{feff}\u{feff}data: a\n\n", &[]),
    ("\n\u{feff}data: a\n\n", &[]),
    ("data: \u{feff}a\n\n", &[("message", "\u{feff}a", "")]),
    // Comments, unknown fields, and an event without data.
    (":ok\n\n:\n\ndatum: x\nDATA: y\n data: z\n\n", &[]),
    ("event: tick\n\ndata: a\n\n", &[("message", "a", "")]),
    ("event: add\ndata: 73\n\nevent: x\n\ndata: y\n\n", &[("add", "73", ""), ("message", "y", "")]),
    ("event: tick\ndata: a\n\ndata: b\n\n", &[("tick", "a", ""), ("message", "b", "")]),
    ("data: a:b: c\n\n", &[("message", "a:b: c", "")]),
    // An id stays until the next one; one with NUL is ignored.
    ("id: 7\ndata: a\n\ndata: b\n\nid: 8\n\ndata: c\n\n",
        &[("message", "a", "7"), ("message", "b", "7"), ("message", "c", "8")]),
    ("id: 1\ndata: a\n\nid: x\0y\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "1")]),
];

/// The bytes may be split anywhere.
#[test]
fn the_parser_reads_the_standards_examples() {
    for (stream, expected) in STREAMS {
        for at in 0..=stream.len() {
            let mut parser = Parser::default();
            let (first, second) = stream.as_bytes().split_at(at);
            let mut messages = parser.feed(first);
            messages.extend(parser.feed(second));
            let read: Vec<_> =
                messages.iter().map(|m| (m.event.as_str(), m.data.as_str(), m.last_event_id.as_str())).collect();
            assert_eq!(read, *expected, "stream {stream:?} split at {at}");
        }
    }
}

#[test]
fn the_parser_takes_every_line_end() {
    for (stream, _) in STREAMS.iter().filter(|(stream, _)| !stream.contains('\r')) {
        let (messages, _) = sse::parse([stream.as_bytes()]);
        for end in ["\r", "\r\n"] {
            let other = stream.replace('\n', end);
            assert_eq!(sse::parse([other.as_bytes()]).0, messages, "{other:?}");
        }
    }
}

#[test]
fn the_parser_keeps_comments() {
    let (messages, parser) = sse::parse([&b":ok\n\n: a\ndata: x\n\n:"[..]]);
    assert_eq!((messages.len(), &parser.comments[..]), (1, &["ok".to_owned(), " a".to_owned()][..]));
}

#[test]
fn the_parser_takes_a_retry_of_digits_alone() {
    for (stream, expected) in [
        ("retry: 3000\n", Some(3000)),
        ("retry:3000\r\n", Some(3000)),
        ("retry: 3000", None),
        ("retry: 3s\n", None),
        ("retry: -1\n", None),
        ("retry:\n", None),
        ("retry\n", None),
        ("retry: 1\nretry: x\n", Some(1)),
        ("retry: 18446744073709551616000\n", Some(18_446_744_073_709_551_616_000)),
    ] {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(stream.as_bytes()), [], "{stream:?}");
        assert_eq!(parser.retry, expected, "{stream:?}");
    }
}

#[test]
fn the_parser_knows_a_boundary_between_events() {
    for (stream, is_boundary) in
        [("", true), ("data: x\n\n", true), (":ok\n", true), ("data: x\n", false), ("event: x\n", false), ("d", false)]
    {
        let mut parser = Parser::default();
        parser.feed(stream.as_bytes());
        assert_eq!(parser.is_at_boundary(), is_boundary, "{stream:?}");
    }
}

#[test]
fn the_parser_replaces_invalid_utf8() {
    let messages = Parser::default().feed(b"data: \xff\n\n");
    assert_eq!(messages[0].data, "\u{fffd}");
}

#[test]
fn line_breaks_are_normalised() {
    assert_eq!(normalised("a\rb\nc\r\nd\n\re\r\r\n"), "a\nb\nc\nd\n\ne\n\n");
}

#[test]
fn the_date_reader_takes_imf_fixdate_alone() {
    assert_eq!(unix_seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(unix_seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(unix_seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
    for wrong in [
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "",
    ] {
        assert_eq!(unix_seconds(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_free_port_is_for_one_server() {
    let port = FreePort::new();
    let refused = TcpStream::connect(port.addr()).expect_err("nothing listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let server = TcpListener::bind(port.addr()).expect("it is free");
    TcpStream::connect(port.addr()).expect("it listens");
    assert_eq!(TcpListener::bind(port.addr()).expect_err("it has it").kind(), ErrorKind::AddrInUse);
    drop(server);
}

#[test]
fn percentiles_are_samples() {
    let samples = |numbers: &[u64]| numbers.iter().map(|number| Duration::from_millis(*number)).collect::<Samples>();
    let hundred: Vec<_> = (1..=100).rev().collect();
    assert_eq!(samples(&hundred).percentile(99), Duration::from_millis(99));
    assert_eq!(samples(&hundred).percentile(50), Duration::from_millis(50));
    assert_eq!(samples(&[7, 5]).percentile(99), Duration::from_millis(7));
    assert_eq!(samples(&[]).percentile(99), Duration::ZERO);
}
