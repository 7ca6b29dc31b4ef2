//! The rules, one for each thing that a client may rely on: each asks the server by itself, over connections of its
//! own, and says in one line what was otherwise.

use std::ops::Range;
use std::thread;
use std::time::Duration;

use super::Standard::{self, StreamAndPublish as Every, Whole};
use super::client::{Candidate, Client, differs, shown};
use super::stream::{Message, Stream};
use anyhow::{Result, anyhow};

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

pub(super) struct Rule {
    pub(super) what: &'static str,
    /// The least that is asked of a server which is held to this rule.
    pub(super) of: Standard,
    pub(super) check: fn(&Candidate) -> Result<()>,
}

const fn rule(of: Standard, what: &'static str, check: fn(&Candidate) -> Result<()>) -> Rule {
    Rule { what, of, check }
}

/// In the order of the five tasks.
pub(super) const ALL: [Rule; 38] = [
    rule(Every, "GET /sse: 200 and its headers", stream_has_its_headers),
    rule(Every, "GET /sse: the body opens with :ok and stays open", stream_opens_and_stays),
    rule(Whole, "GET /sse?x=1 is GET /sse", |server| streams(server, &server.request("GET /sse?x=1"))),
    rule(Whole, "GET http://HOST/sse is GET /sse", absolute_form_streams),
    rule(Whole, "GET /sse over HTTP/1.0 is the same stream", old_client_streams),
    rule(Whole, "GET /connections: 200 and its headers", count_has_its_headers),
    rule(Whole, "GET /connections: a decimal number, then the end", count_is_a_number),
    rule(Whole, "the count has risen when :ok arrives", count_rises),
    rule(Whole, "the count falls when a stream is closed", |server| count_falls(server, Leaving::Close)),
    rule(Whole, "the count falls when a stream is half-closed", |server| count_falls(server, Leaving::HalfClose)),
    rule(Whole, "the count falls when a stream is reset", |server| count_falls(server, Leaving::Reset)),
    rule(Whole, "OPTIONS /sse: 204 without a body, then the end", |server| preflight(server, "OPTIONS /sse")),
    rule(Whole, "OPTIONS /connections: 204 without a body, then the end", |server| {
        preflight(server, "OPTIONS /connections")
    }),
    rule(Every, "POST /broadcast: 202", publishing_is_accepted),
    rule(Whole, "POST /broadcast: a page may read the 202", publishing_is_readable),
    rule(Whole, "POST /broadcast: chunked coding is decoded", chunked_message),
    rule(Whole, "POST /broadcast of unknown length: 411, then the end", unknown_length),
    rule(Whole, "POST /broadcast that is no UTF-8: 400", |server| {
        server.ask(&server.post(b"caf\xe9"))?.head.expect_status(400)
    }),
    rule(Whole, "POST /broadcast that is no UTF-8 reaches nobody", |server| delivers(server, b"caf\xe9", &[])),
    rule(Every, "a publisher's connection is kept", publisher_is_kept),
    rule(Every, "ten POSTs in one segment get ten answers", pipelined_answers),
    rule(Every, "ten POSTs in one segment become events in their order", pipelined_events),
    rule(Whole, "answers come in the order of their requests", answers_in_order),
    rule(Every, "an event is `data: MESSAGE` and reaches every stream", event_reaches_all),
    rule(Every, "two streams see two publishers in one order", one_order),
    rule(Whole, "LF: every line is a data line, empty ones too", |server| delivers(server, b"a\n\nb", &[b"a\n\nb"])),
    rule(Whole, "CR LF is one line break", |server| delivers(server, b"a\r\nb\r\n\r\nc", &[b"a\nb\n\nc"])),
    rule(Whole, "CR alone is a line break", |server| delivers(server, b"a\rb\r\rc", &[b"a\nb\n\nc"])),
    rule(Whole, "a line break at the end is kept", |server| delivers(server, b"a\n", &[b"a\n"])),
    rule(Whole, "a space at the start of a line is kept", |server| delivers(server, b" a\n  b", &[b" a\n  b"])),
    rule(Whole, "an empty message is an event", |server| delivers(server, b"", &[b""])),
    rule(Whole, "other bytes pass unchanged", |server| {
        let message = "\u{feff}id: a\u{0}: \u{2028}\u{e9}\u{1f600}";
        delivers(server, message.as_bytes(), &[message.as_bytes()])
    }),
    rule(Whole, "GET /sse/: 404", |server| unknown(server, &server.request("GET /sse/"))),
    rule(Whole, "another path: 404", |server| unknown(server, &server.request("GET /nowhere"))),
    rule(Whole, "POST /sse: 404", |server| unknown(server, &server.request_with("POST /sse", b""))),
    rule(Whole, "GET /broadcast: 404", |server| unknown(server, &server.request("GET /broadcast"))),
    rule(Whole, "PUT /connections: 404", |server| unknown(server, &server.request_with("PUT /connections", b""))),
    rule(Whole, "after all this the count is what it was", count_has_not_drifted),
];

fn stream_has_its_headers(server: &Candidate) -> Result<()> {
    Stream::open(server)?.head.expect_fields(&STREAM_FIELDS)
}

fn stream_opens_and_stays(server: &Candidate) -> Result<()> {
    let mut stream = Stream::open(server)?;
    if stream.opening != b":ok\n\n" {
        return Err(differs("the body", b":ok\n\n", &stream.opening));
    }
    until_now(server, [&mut stream])?;
    until_now(server, [&mut stream]).map(drop)
}

/// That a request opens a stream like any other.
fn streams(server: &Candidate, request: &[u8]) -> Result<()> {
    let mut stream = Stream::open_with(server, request)?;
    until_now(server, [&mut stream]).map(drop)
}

fn absolute_form_streams(server: &Candidate) -> Result<()> {
    let target = format!("GET http://{}/sse", server.address);
    streams(server, &server.request(&target))
}

fn old_client_streams(server: &Candidate) -> Result<()> {
    let request = b"GET /sse HTTP/1.0\r\n\r\n";
    // It would take the sizes of chunks for data.
    Stream::open_with(server, request)?.head.expect_no_field("Transfer-Encoding")?;
    streams(server, request)
}

fn count_has_its_headers(server: &Candidate) -> Result<()> {
    let answer = server.ask(&server.request("GET /connections"))?;
    answer.head.expect_status(200)?;
    answer.head.expect_fields(&COUNT_FIELDS)
}

fn count_is_a_number(server: &Candidate) -> Result<()> {
    let mut client = Client::connect(server)?;
    client.send(&server.request("GET /connections"))?;
    let body = client.answer()?.body;
    if body.is_empty() || !body.iter().all(u8::is_ascii_digit) {
        return Err(differs("the body", b"0", &body));
    }
    client.expect_close()
}

fn count_rises(server: &Candidate) -> Result<()> {
    let before = server.await_count(server.at_rest)?;
    let _stream = Stream::open(server)?;
    expect_count("with one more stream", before + 1, server.count()?)
}

#[derive(Clone, Copy)]
enum Leaving {
    Close,
    HalfClose,
    Reset,
}

fn count_falls(server: &Candidate, leaving: Leaving) -> Result<()> {
    let before = server.await_count(server.at_rest)?;
    let mut stream = Stream::open(server)?;
    match leaving {
        Leaving::Close => drop(stream),
        Leaving::Reset => stream.client.reset()?,
        Leaving::HalfClose => {
            stream.client.half_close()?;
            expect_count("with the stream gone", before, server.await_count(before)?)?;
            return stream.client.await_end();
        }
    }
    expect_count("with the stream gone", before, server.await_count(before)?)
}

fn count_has_not_drifted(server: &Candidate) -> Result<()> {
    expect_count("with no stream left", server.at_rest, server.await_count(server.at_rest)?)
}

fn expect_count(when: &str, expected: u64, received: u64) -> Result<()> {
    match expected == received {
        true => Ok(()),
        false => Err(anyhow!("the count {when}: expected {expected}, received {received}")),
    }
}

fn preflight(server: &Candidate, line: &str) -> Result<()> {
    let mut client = Client::connect(server)?;
    client.send(&server.request(line))?;
    let head = client.head()?;
    head.expect_status(204)?;
    head.expect_fields(&OPTIONS_FIELDS)?;
    head.expect_no_field("Content-Length")?;
    head.expect_no_field("Transfer-Encoding")?;
    client.expect_close()
}

fn publishing_is_accepted(server: &Candidate) -> Result<()> {
    server.ask(&server.post(b"hello"))?.head.expect_status(202)
}

fn publishing_is_readable(server: &Candidate) -> Result<()> {
    server.ask(&server.post(b"hello"))?.head.expect_fields(&[("Access-Control-Allow-Origin", "*")])
}

/// No boundary of a chunk is one of a segment.
fn chunked_message(server: &Candidate) -> Result<()> {
    let mut stream = quiet_stream(server)?;
    let mut client = Client::connect(server)?;
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\r\n3", server.address);
    for part in [head.as_bytes(), b"\r\nc", b"hu\r\n4\r\nnked\r", b"\nA\r\n in pi", b"eces\r\n0\r\n\r", b"\n"] {
        client.send(part)?;
        thread::sleep(BETWEEN_PARTS);
    }
    client.answer()?.head.expect_status(202)?;
    let [messages] = until_now(server, [&mut stream])?;
    expect_messages(&messages, &[b"chunked in pieces"])
}

fn unknown_length(server: &Candidate) -> Result<()> {
    let mut client = Client::connect(server)?;
    client.send(&server.request("POST /broadcast"))?;
    client.answer()?.head.expect_status(411)?;
    client.expect_close()
}

fn publisher_is_kept(server: &Candidate) -> Result<()> {
    let mut client = Client::connect(server)?;
    for message in [b"one", b"two"] {
        client.send(&server.post(message))?;
        client.answer()?;
    }
    Ok(())
}

/// Messages such as `a1`, `a2`: as requests behind each other, and as they should arrive.
fn numbered(server: &Candidate, prefix: &str, numbers: Range<usize>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let messages: Vec<_> = numbers.map(|number| format!("{prefix}{number}").into_bytes()).collect();
    (messages.iter().flat_map(|message| server.post(message)).collect(), messages)
}

/// That these requests, sent at once, are answered with these statuses. All are read before one is judged, so that no
/// message of this rule is under way when the next rule begins.
fn answered(server: &Candidate, requests: &[u8], statuses: &[u16]) -> Result<()> {
    let mut client = Client::connect(server)?;
    client.send(requests)?;
    let objection = |number: usize, failure| anyhow!("answer {number} of {}: {failure:#}", statuses.len());
    let answers = (1..=statuses.len()).map(|number| client.answer().map_err(|failure| objection(number, failure)));
    let answers = answers.collect::<Result<Vec<_>>>()?;
    for (number, (answer, status)) in (1..).zip(answers.iter().zip(statuses)) {
        answer.head.expect_status(*status).map_err(|failure| objection(number, failure))?;
    }
    Ok(())
}

fn pipelined_answers(server: &Candidate) -> Result<()> {
    answered(server, &numbered(server, "answered ", 0..PIPELINED).0, &[202; PIPELINED])
}

fn pipelined_events(server: &Candidate) -> Result<()> {
    let mut stream = quiet_stream(server)?;
    let mut client = Client::connect(server)?;
    let (requests, expected) = numbered(server, "pipelined ", 0..PIPELINED);
    client.send(&requests)?;
    expect_messages(&stream.messages(PIPELINED)?, &expected)
}

/// Answers that are all alike would not show their order.
fn answers_in_order(server: &Candidate) -> Result<()> {
    let post = server.post(b"in order");
    answered(server, &[&post, &server.request("GET /elsewhere")[..], &post].concat(), &[202, 404, 202])
}

fn event_reaches_all(server: &Candidate) -> Result<()> {
    let mut streams = two_quiet_streams(server)?;
    server.ask(&server.post(b"to all"))?;
    for (number, stream) in streams.iter_mut().enumerate() {
        for message in stream.messages(1)? {
            if message.raw != b"data: to all\n\n" {
                return Err(differs(&format!("stream {}", number + 1), b"data: to all\n\n", &message.raw));
            }
        }
    }
    Ok(())
}

/// Which order it is, is the server's choice; but each publisher's own messages keep theirs.
fn one_order(server: &Candidate) -> Result<()> {
    let mut streams = two_quiet_streams(server)?;
    let mut publishers = [("a", Client::connect(server)?), ("b", Client::connect(server)?)];
    let mut sent = Ok(());
    for burst in 0..BURSTS {
        for (prefix, client) in &mut publishers {
            let (requests, _) = numbered(server, prefix, burst * PIPELINED..(burst + 1) * PIPELINED);
            sent = sent.and_then(|()| client.send(&requests));
        }
    }
    let count = publishers.len() * BURSTS * PIPELINED;
    let [first, second] = &mut streams;
    // Whatever was sent is waited for, or the next rule would have it.
    let received = first.messages(count);
    sent?;
    let (first, second) = (received?, second.messages(count)?);
    for (prefix, _) in &publishers {
        let of_this: Vec<&Message> =
            first.iter().filter(|message| message.data.starts_with(prefix.as_bytes())).collect();
        expect_messages(of_this, &numbered(server, prefix, 0..BURSTS * PIPELINED).1)?;
    }
    let expected: Vec<_> = first.iter().map(Message::text).collect();
    expect_messages(&second, &expected)
        .map_err(|failure| anyhow!("stream 2, held to the order of stream 1: {failure:#}"))
}

/// That a stream gets for `message` exactly `expected`, as a page would see it.
fn delivers(server: &Candidate, message: &[u8], expected: &[&[u8]]) -> Result<()> {
    let mut stream = quiet_stream(server)?;
    // The answer is another rule's business.
    server.ask(&server.post(message))?;
    let [messages] = until_now(server, [&mut stream])?;
    expect_messages(&messages, expected)
}

/// A stream that gets nothing any more of what was published before it. No rule says that it might, and none forbids
/// it: a server that hands a message on after its `202` may take newcomers for recipients.
fn quiet_stream(server: &Candidate) -> Result<Stream> {
    let mut stream = Stream::open(server)?;
    until_now(server, [&mut stream])?;
    Ok(stream)
}

fn two_quiet_streams(server: &Candidate) -> Result<[Stream; 2]> {
    let [mut first, mut second] = [Stream::open(server)?, Stream::open(server)?];
    until_now(server, [&mut first, &mut second])?;
    Ok([first, second])
}

/// What each of the streams has been sent by now: publishes one more message and reads up to it.
fn until_now<const N: usize>(server: &Candidate, streams: [&mut Stream; N]) -> Result<[Vec<Message>; N]> {
    let mark = server.mark();
    server.ask(&server.post(&mark))?;
    let mut received = [const { Vec::new() }; N];
    for (stream, messages) in streams.into_iter().zip(&mut received) {
        *messages = stream.messages_before(&mark)?;
    }
    Ok(received)
}

fn expect_messages<'a>(received: impl IntoIterator<Item = &'a Message>, expected: &[impl AsRef<[u8]>]) -> Result<()> {
    let mut received = received.into_iter().map(Message::text);
    let mut expected = expected.iter().map(AsRef::as_ref);
    for number in 1.. {
        let what = format!("message {number}");
        match (expected.next(), received.next()) {
            (None, None) => break,
            (Some(expected), Some(received)) if expected == received => {}
            (Some(expected), Some(received)) => return Err(differs(&what, expected, &received)),
            (Some(expected), None) => {
                return Err(anyhow!("{what}: expected {}, received none", shown(expected)));
            }
            (None, Some(received)) => {
                return Err(anyhow!("{what}: expected none, received {}", shown(&received)));
            }
        }
    }
    Ok(())
}

fn unknown(server: &Candidate, request: &[u8]) -> Result<()> {
    server.ask(request)?.head.expect_status(404)
}
