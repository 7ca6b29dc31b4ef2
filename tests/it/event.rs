//! A message on its way to the page: its bytes on the wire, and a browser's view of them.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy};
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use smolcast::{Event, PublishError};
use support::sse::{Message, Parser, normalised};
use support::{EventStream, Served, TestServer, assert_bytes, escaped, post_chunked, showing, within_deadline};

/// A block in which an empty line is `data: `; the server may also write `data:`.
fn canonical(block: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = block.split(|byte| *byte == b'\n').collect();
    for line in lines.iter_mut().filter(|line| **line == b"data:") {
        *line = b"data: ";
    }
    lines.join(&b'\n')
}

/// A name, a body, and its bytes on the wire.
type Row = (&'static str, &'static str, &'static str);

const MESSAGES: &[Row] = &[
    ("one line", "hello", "data: hello\n\n"),
    ("an empty line", "a\n\nb", "data: a\ndata: \ndata: b\n\n"),
    ("LF at the end", "a\n", "data: a\ndata: \n\n"),
    ("CR at the end", "a\r", "data: a\ndata: \n\n"),
    ("CRLF at the end", "a\r\n", "data: a\ndata: \n\n"),
    ("two LF at the end", "a\n\n", "data: a\ndata: \ndata: \n\n"),
    ("LF at the start", "\na", "data: \ndata: a\n\n"),
    ("LF alone", "\n", "data: \ndata: \n\n"),
    ("CR alone", "\r", "data: \ndata: \n\n"),
    ("CRLF alone", "\r\n", "data: \ndata: \n\n"),
    ("LF CR is two breaks", "a\n\rb", "data: a\ndata: \ndata: b\n\n"),
    ("CR CR LF is two breaks", "a\r\r\nb", "data: a\ndata: \ndata: b\n\n"),
    ("CRLF is one break", "a\r\nb", "data: a\ndata: b\n\n"),
    ("each kind of break", "a\nb\rc\r\nd", "data: a\ndata: b\ndata: c\ndata: d\n\n"),
    ("a leading space", " a", "data:  a\n\n"),
    ("two leading spaces", "  a\n b", "data:   a\ndata:  b\n\n"),
    ("a space alone", " ", "data:  \n\n"),
    ("a tab", "\ta\t", "data: \ta\t\n\n"),
    ("a colon", ":", "data: :\n\n"),
    ("a comment", ":ok", "data: :ok\n\n"),
    (
        "field names",
        "event: x\ndata: y\nid: 1\nretry: 1",
        "data: event: x\ndata: data: y\ndata: id: 1\ndata: retry: 1\n\n",
    ),
    ("NUL", "a\0b", "data: a\0b\n\n"),
    ("NUL alone", "\0", "data: \0\n\n"),
    ("BOM at the start", "\u{feff}a", "data: \u{feff}a\n\n"),
    ("BOM on each line", "\u{feff}\n\u{feff}", "data: \u{feff}\ndata: \u{feff}\n\n"),
    ("emoji", "🦀 und 👩‍👩‍👧", "data: 🦀 und 👩‍👩‍👧\n\n"),
    ("other line separators are no breaks", "a\u{b}b\u{c}c\u{85}d\u{2028}e", "data: a\u{b}b\u{c}c\u{85}d\u{2028}e\n\n"),
    ("JSON", "{\"a\": [1, 2],\n \"b\": null}", "data: {\"a\": [1, 2],\ndata:  \"b\": null}\n\n"),
    ("control octets", "\u{1}\u{1b}[0m\u{7f}", "data: \u{1}\u{1b}[0m\u{7f}\n\n"),
];

#[test]
fn each_message_has_its_bytes_and_comes_back() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (name, body, wire) in MESSAGES {
        let _row = showing(name, body.as_bytes());
        server.publish(body);
        let block = stream.block();
        assert_bytes("on the wire", wire.as_bytes(), &canonical(&block));
        let messages = Parser::default().feed(&block);
        let data: Vec<_> = messages.iter().map(|message| message.data.as_str()).collect();
        assert_eq!(data, [normalised(body)], "received: {}", escaped(&block));
    }
}

#[test]
fn an_empty_body_is_an_event_of_empty_data() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    server.publish("");
    stream.expect(b"data: \n\n");
    server.request(post_chunked("0\r\n\r\n")).expect_status(202);
    stream.expect(b"data: \n\n");
    server.publish("");
    assert_eq!(stream.message(), message("message", "", ""));
}

/// Publishes by `POST` and holds that the stream hands the same text to its page.
#[track_caller]
fn expect_round_trip(server: &TestServer, stream: &mut EventStream, body: &str) {
    server.publish(body);
    let received = stream.message();
    assert_bytes("what the page gets", normalised(body).as_bytes(), received.data.as_bytes());
    assert_eq!(received.event, "message");
}

#[test]
fn a_body_of_a_mebibyte_of_anything_comes_back() {
    const MEBIBYTE: usize = 1024 * 1024;
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (name, pattern) in [
        ("one line", "x"),
        ("line breaks alone, seven bytes on the wire for each", "\n"),
        ("CRLF", "\r\n"),
        ("short lines", "abc def\n"),
        ("four-byte characters", "🦀"),
    ] {
        let body = pattern.repeat(MEBIBYTE / pattern.len());
        let _row = showing(name, pattern.as_bytes());
        expect_round_trip(&server, &mut stream, &body);
    }
    expect_round_trip(&server, &mut stream, "and the stream lives on");
}

/// Texts that an encoder could get wrong.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "\n", "\r", "\r\n", " ", ":", "\0", "\u{feff}", "a", "é", "🦀", "data", "data: ", "id: 1", "event:", "\u{2028}",
];

fn text() -> impl Strategy<Value = String> {
    vec(select(PIECES), 0..24).prop_map(|pieces| pieces.concat())
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases,
        max_shrink_iters: 40,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

#[test]
fn a_browser_gets_back_any_text() {
    let server = TestServer::start_default();
    let outcome = runner(64).run(&vec(text(), 1..4), |bodies| {
        let mut stream = server.stream();
        for body in &bodies {
            server.publish(body);
        }
        for body in &bodies {
            assert_eq!(stream.message().data, normalised(body));
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// The chunked coding of `body` in chunks of these sizes, repeated.
fn in_chunks(mut body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !body.is_empty() {
        let size = sizes.next().map_or(1, |size| *size).min(body.len());
        let (chunk, rest) = body.split_at(size);
        coded.extend(format!("{size:X}\r\n").bytes());
        coded.extend([chunk, b"\r\n"].concat());
        body = rest;
    }
    coded.extend(b"0\r\n\r\n");
    coded
}

#[test]
fn a_browser_gets_back_any_text_in_any_chunks() {
    let server = TestServer::start_default();
    let outcome = runner(64).run(&(text(), vec(1_usize..7, 1..5)), |(body, sizes)| {
        let mut stream = server.stream();
        let coded = in_chunks(body.as_bytes(), &sizes);
        server.request(post_chunked(coded)).expect_status(202);
        assert_eq!(stream.message().data, normalised(&body));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

fn message(event: &str, data: &str, id: &str) -> Message {
    Message { event: event.to_owned(), data: data.to_owned(), last_event_id: id.to_owned() }
}

#[test]
fn type_id_and_retry_precede_the_data() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (event, wire) in [
        (Event::new("x"), "data: x\n\n"),
        (Event::new("x").with_type("tick"), "event: tick\ndata: x\n\n"),
        (Event::new("x").with_id("1"), "id: 1\ndata: x\n\n"),
        (Event::new("x").with_retry(Duration::from_secs(3)), "retry: 3000\ndata: x\n\n"),
        (Event::new("x").with_retry(Duration::from_millis(250)), "retry: 250\ndata: x\n\n"),
        (Event::new("a\r\nb").with_type("multi line: ok"), "event: multi line: ok\ndata: a\ndata: b\n\n"),
        (Event::new("").with_id("caf\u{e9} 7"), "id: caf\u{e9} 7\ndata: \n\n"),
    ] {
        within_deadline(server.publisher.publish(event)).expect("the event is fine");
        stream.expect(wire.as_bytes());
    }
}

#[test]
fn a_browser_reads_every_field() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let event = Event::new("a\nb").with_type("tick").with_id("7").with_retry(Duration::from_secs(5));
    within_deadline(server.publisher.publish(event)).expect("the event is fine");
    let block = stream.block();
    let mut lines: Vec<_> = block.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line)).collect();
    lines[..3].sort();
    assert_eq!(lines, ["event: tick", "id: 7", "retry: 5000", "data: a", "data: b", "", ""]);
    let mut parser = Parser::default();
    assert_eq!(parser.feed(&block), [message("tick", "a\nb", "7")]);
    assert_eq!(parser.retry, Some(5000));
}

/// Nothing is published.
#[test]
fn a_type_or_id_with_a_line_break_is_an_error() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (name, event) in [
        ("LF in the type", Event::new("x").with_type("a\nb")),
        ("CR in the type", Event::new("x").with_type("a\rb")),
        ("CRLF at the end of the type", Event::new("x").with_type("a\r\n")),
        ("LF in the id", Event::new("x").with_id("a\nb")),
        ("CR in the id", Event::new("x").with_id("\r")),
        ("NUL in the id", Event::new("x").with_id("a\0b")),
        ("a good type and a bad id", Event::new("x").with_type("tick").with_id("1\n")),
    ] {
        let outcome = within_deadline(server.publisher.publish(event));
        assert!(matches!(outcome, Err(PublishError::InvalidField { .. })), "{name}: {outcome:?}");
    }
    server.publish("sentinel");
    stream.expect_data("sentinel");
}
