//! The rules, one for each thing that a client may rely on. Each asks the server by itself, over connections of its
//! own, and panics with one line about the difference.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use support::Client;

use super::candidate::{Answer, Candidate, Stream};
use Standard::{StreamAndPublish as Every, Whole};

const STREAM_FIELDS: [(&str, &str); 3] =
    [("Content-Type", "text/event-stream"), ("Cache-Control", "no-cache"), ("Access-Control-Allow-Origin", "*")];
const COUNT_FIELDS: [(&str, &str); 4] = [
    ("Content-Type", "text/plain"),
    ("Cache-Control", "no-cache"),
    ("Access-Control-Allow-Origin", "*"),
    ("Connection", "close"),
];
const OPTIONS_FIELDS: [(&str, &str); 2] = [("Access-Control-Allow-Origin", "*"), ("Connection", "close")];

const PIPELINED: usize = 10;
const BURSTS: usize = 5;

/// Between the parts of a request that are to arrive as several.
const BETWEEN_PARTS: Duration = Duration::from_millis(1);

/// The part of the contract that a server is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// The five tasks.
    Whole,
    /// The floor's part: streams, and messages of one line with a Content-Length, pipelined.
    StreamAndPublish,
}

impl Standard {
    /// The standard for a server of this name.
    pub(crate) fn of(name: &str) -> Self {
        if name == "floor" { Self::StreamAndPublish } else { Self::Whole }
    }

    pub(super) fn includes(self, rule: &Rule) -> bool {
        self == Self::Whole || rule.of == self
    }
}

pub(super) struct Rule {
    pub(super) what: &'static str,
    /// The least that is asked of a server which is held to this rule.
    pub(super) of: Standard,
    pub(super) check: fn(&Candidate),
}

const fn rule(of: Standard, what: &'static str, check: fn(&Candidate)) -> Rule {
    Rule { what, of, check }
}

/// In the order of the five tasks.
pub(super) const ALL: [Rule; 38] = [
    rule(Every, "GET /sse: 200 and its headers", |server| server.stream().head.expect_fields(&STREAM_FIELDS)),
    rule(Every, "GET /sse: the body opens with :ok and stays open", stream_opens_and_stays),
    rule(Whole, "GET /sse?x=1 is GET /sse", |server| streams(server, &server.request("GET /sse?x=1"))),
    rule(Whole, "GET http://HOST/sse is GET /sse", |server| {
        streams(server, &server.request(&format!("GET http://{}/sse", server.address)));
    }),
    rule(Whole, "GET /sse over HTTP/1.0 is the same stream", old_client_streams),
    rule(Whole, "GET /connections: 200 and its headers", count_has_its_headers),
    rule(Whole, "GET /connections: a decimal number, then the end", count_is_a_number),
    rule(Whole, "the count has risen when :ok arrives", count_rises),
    rule(Whole, "the count falls when a stream is closed", |server| count_falls(server, Leaving::Close)),
    rule(Whole, "the count falls when a stream is half-closed", |server| count_falls(server, Leaving::HalfClose)),
    rule(Whole, "the count falls when a stream is reset", |server| count_falls(server, Leaving::Reset)),
    rule(Whole, "OPTIONS /sse: 204 without a body, then the end", |server| preflight(server, "OPTIONS /sse")),
    rule(Whole, "OPTIONS /connections: 204 without a body, then the end", |server| {
        preflight(server, "OPTIONS /connections");
    }),
    rule(Every, "POST /broadcast: 202", |server| server.ask(&server.post(b"hello")).expect_status(202)),
    rule(Whole, "POST /broadcast: a page may read the 202", |server| {
        server.ask(&server.post(b"hello")).expect_fields(&[("Access-Control-Allow-Origin", "*")]);
    }),
    rule(Whole, "POST /broadcast: chunked coding is decoded", chunked_message),
    rule(Whole, "POST /broadcast of unknown length: 411, then the end", unknown_length),
    rule(Whole, "POST /broadcast that is no UTF-8: 400", |server| {
        server.ask(&server.post(b"caf\xe9")).expect_status(400);
    }),
    rule(Whole, "POST /broadcast that is no UTF-8 reaches nobody", |server| delivers(server, b"caf\xe9", &[])),
    rule(Every, "a publisher's connection is kept", publisher_is_kept),
    rule(Every, "ten POSTs in one segment get ten answers", pipelined_answers),
    rule(Every, "ten POSTs in one segment become events in their order", pipelined_events),
    rule(Whole, "answers come in the order of their requests", answers_in_order),
    rule(Every, "an event is `data: MESSAGE` and reaches every stream", event_reaches_all),
    rule(Every, "two streams see two publishers in one order", one_order),
    rule(Whole, "LF: every line is a data line, empty ones too", |server| delivers(server, b"a\n\nb", &["a\n\nb"])),
    rule(Whole, "CR LF is one line break", |server| delivers(server, b"a\r\nb\r\n\r\nc", &["a\nb\n\nc"])),
    rule(Whole, "CR alone is a line break", |server| delivers(server, b"a\rb\r\rc", &["a\nb\n\nc"])),
    rule(Whole, "a line break at the end is kept", |server| delivers(server, b"a\n", &["a\n"])),
    rule(Whole, "a space at the start of a line is kept", |server| delivers(server, b" a\n  b", &[" a\n  b"])),
    rule(Whole, "an empty message is an event", |server| delivers(server, b"", &[""])),
    rule(Whole, "other bytes pass unchanged", |server| {
        let message = "\u{feff}id: a\u{0}: \u{2028}\u{e9}\u{1f600}";
        delivers(server, message.as_bytes(), &[message]);
    }),
    rule(Whole, "GET /sse/: 404", |server| unknown(server, &server.request("GET /sse/"))),
    rule(Whole, "another path: 404", |server| unknown(server, &server.request("GET /nowhere"))),
    rule(Whole, "POST /sse: 404", |server| unknown(server, &server.request_with("POST /sse", b""))),
    rule(Whole, "GET /broadcast: 404", |server| unknown(server, &server.request("GET /broadcast"))),
    rule(Whole, "PUT /connections: 404", |server| unknown(server, &server.request_with("PUT /connections", b""))),
    rule(Whole, "after all this the count is what it was", |server| {
        expect_count("with no stream left", server.at_rest, server.await_count(server.at_rest));
    }),
];

fn stream_opens_and_stays(server: &Candidate) {
    let mut stream = server.stream();
    assert!(stream.opening == b":ok\n\n", "the body: expected `:ok`, received {}", stream.opening.escape_ascii());
    until_now(server, [&mut stream]);
    until_now(server, [&mut stream]);
}

/// Holds that a request opens a stream like any other.
fn streams(server: &Candidate, request: &[u8]) {
    until_now(server, [&mut server.stream_by(request)]);
}

fn old_client_streams(server: &Candidate) {
    let request = b"GET /sse HTTP/1.0\r\n\r\n";
    // It would take the sizes of chunks for data.
    server.stream_by(request).head.expect_no_field("Transfer-Encoding");
    streams(server, request);
}

fn count_has_its_headers(server: &Candidate) {
    let answer = server.ask(&server.request("GET /connections"));
    answer.expect_status(200);
    answer.expect_fields(&COUNT_FIELDS);
}

fn count_is_a_number(server: &Candidate) {
    let mut client = server.connect();
    client.send(server.request("GET /connections"));
    let body = Answer::read(&mut client).body;
    let is_number = !body.is_empty() && body.iter().all(u8::is_ascii_digit);
    assert!(is_number, "the body: expected digits, received \"{}\"", body.escape_ascii());
    client.expect_closed();
}

fn count_rises(server: &Candidate) {
    let before = server.await_count(server.at_rest);
    let _stream = server.stream();
    expect_count("with one more stream", before + 1, server.count());
}

#[derive(Clone, Copy)]
enum Leaving {
    Close,
    HalfClose,
    Reset,
}

fn count_falls(server: &Candidate, leaving: Leaving) {
    let before = server.await_count(server.at_rest);
    let mut stream = server.stream();
    match leaving {
        Leaving::Close => drop(stream),
        Leaving::Reset => stream.client.reset(),
        Leaving::HalfClose => {
            stream.client.half_close();
            expect_count("with the stream gone", before, server.await_count(before));
            stream.client.rest_and_end();
        }
    }
    expect_count("with the stream gone", before, server.await_count(before));
}

fn expect_count(when: &str, expected: u64, received: u64) {
    assert!(expected == received, "the count {when}: expected {expected}, received {received}");
}

fn preflight(server: &Candidate, line: &str) {
    let mut client = server.connect();
    client.send(server.request(line));
    let head = Answer::read_head(&mut client);
    head.expect_status(204);
    head.expect_fields(&OPTIONS_FIELDS);
    head.expect_no_field("Content-Length");
    head.expect_no_field("Transfer-Encoding");
    client.expect_closed();
}

/// No boundary of a chunk is one of a segment.
fn chunked_message(server: &Candidate) {
    let mut stream = quiet_stream(server);
    let mut client = server.connect();
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n3", server.address);
    for part in [head.as_bytes(), b"\r\nc", b"hu\r\n4\r\nnked\r", b"\nA\r\n in pi", b"eces\r\n0\r\n\r", b"\n"] {
        client.send(part);
        thread::sleep(BETWEEN_PARTS);
    }
    Answer::read(&mut client).expect_status(202);
    let [messages] = until_now(server, [&mut stream]);
    expect_messages(&messages, &["chunked in pieces"]);
}

fn unknown_length(server: &Candidate) {
    let mut client = server.connect();
    client.send(server.request("POST /broadcast"));
    Answer::read(&mut client).expect_status(411);
    client.expect_closed();
}

fn publisher_is_kept(server: &Candidate) {
    let mut client = server.connect();
    for message in [b"one", b"two"] {
        client.send(server.post(message));
        Answer::read(&mut client);
    }
}

/// Messages such as `a1`, `a2`: as pipelined requests, and as their events' data.
fn numbered(server: &Candidate, prefix: &str, numbers: Range<usize>) -> (Vec<u8>, Vec<String>) {
    let messages: Vec<_> = numbers.map(|number| format!("{prefix}{number}")).collect();
    (messages.iter().flat_map(|message| server.post(message.as_bytes())).collect(), messages)
}

/// Holds that these requests, sent at once, have answers with these statuses. All are read before one is judged, so
/// that no message of this rule is under way at the next rule.
fn answered(server: &Candidate, requests: &[u8], statuses: &[u16]) {
    let mut client = server.connect();
    client.send(requests);
    let answers: Vec<Answer> = statuses.iter().map(|_| Answer::read(&mut client)).collect();
    answers.iter().zip(statuses).for_each(|(answer, status)| answer.expect_status(*status));
}

fn pipelined_answers(server: &Candidate) {
    answered(server, &numbered(server, "answered ", 0..PIPELINED).0, &[202; PIPELINED]);
}

fn pipelined_events(server: &Candidate) {
    let mut stream = quiet_stream(server);
    let mut client = server.connect();
    let (requests, expected) = numbered(server, "pipelined ", 0..PIPELINED);
    client.send(&requests);
    expect_messages(&stream.messages(PIPELINED), &expected);
}

/// Answers that are all alike would not show their order.
fn answers_in_order(server: &Candidate) {
    let post = server.post(b"in order");
    answered(server, &[&post, &server.request("GET /elsewhere")[..], &post].concat(), &[202, 404, 202]);
}

fn event_reaches_all(server: &Candidate) {
    let mut streams = two_quiet_streams(server);
    server.ask(&server.post(b"to all"));
    for stream in &mut streams {
        let raw = stream.message().1;
        assert!(raw == b"data: to all\n\n", "expected `data: to all`, received \"{}\"", raw.escape_ascii());
    }
}

/// The order of two publishers is the server's choice; but each publisher's own messages keep theirs.
fn one_order(server: &Candidate) {
    let mut streams = two_quiet_streams(server);
    let mut publishers: [(&str, Client); 2] = [("a", server.connect()), ("b", server.connect())];
    let mut is_sent = true;
    for burst in 0..BURSTS {
        for (prefix, client) in &mut publishers {
            let (requests, _) = numbered(server, prefix, burst * PIPELINED..(burst + 1) * PIPELINED);
            is_sent &= client.try_send(&requests).is_ok();
        }
    }
    let count = publishers.len() * BURSTS * PIPELINED;
    // Whatever was sent is waited for, or the next rule would have it.
    let [first, second] = streams.each_mut().map(|stream| stream.messages(count));
    assert!(is_sent, "the server closed a publisher's connection");
    for (prefix, _) in &publishers {
        let of_this: Vec<_> = first.iter().filter(|message| message.starts_with(prefix)).cloned().collect();
        expect_messages(&of_this, &numbered(server, prefix, 0..BURSTS * PIPELINED).1);
    }
    expect_messages(&second, &first);
}

/// Holds that a stream gets for `message` exactly `expected`, as a page would see it.
fn delivers(server: &Candidate, message: &[u8], expected: &[&str]) {
    let mut stream = quiet_stream(server);
    // Another rule judges the answer.
    server.ask(&server.post(message));
    let [messages] = until_now(server, [&mut stream]);
    expect_messages(&messages, expected);
}

/// A stream that gets nothing any more of earlier messages. No rule allows that, and none forbids it: a server that
/// hands a message on after its `202` may take newcomers for recipients.
fn quiet_stream(server: &Candidate) -> Stream {
    let mut stream = server.stream();
    until_now(server, [&mut stream]);
    stream
}

fn two_quiet_streams(server: &Candidate) -> [Stream; 2] {
    let [mut first, mut second] = [server.stream(), server.stream()];
    until_now(server, [&mut first, &mut second]);
    [first, second]
}

/// The messages that each of the streams has by now: publishes one more, and reads up to it.
fn until_now<const N: usize>(server: &Candidate, streams: [&mut Stream; N]) -> [Vec<String>; N] {
    let mark = server.mark();
    server.ask(&server.post(mark.as_bytes()));
    streams.map(|stream| stream.messages_before(&mark))
}

fn expect_messages(received: &[String], expected: &[impl AsRef<str>]) {
    for (number, (received, expected)) in received.iter().zip(expected).enumerate() {
        let expected = expected.as_ref();
        assert!(received == expected, "message {}: expected {expected:?}, received {received:?}", number + 1);
    }
    let (received, expected) = (received.len(), expected.len());
    assert!(received == expected, "expected {expected} messages, received {received}");
}

fn unknown(server: &Candidate, request: &[u8]) {
    server.ask(request).expect_status(404);
}
