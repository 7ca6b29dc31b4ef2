//! The running program: its output, its end, and the events that must not end it.

use std::time::Duration;

use rustix::process::Signal;
use support::{Client, EventStream, Finished, FreePort, Served, get, options, post, retry_of, showing, wait_until};

use crate::{Process, Program};

/// Every misbehaviour of a client, and some good behaviour.
fn misbehave(program: &Program) {
    for request in [
        b"".as_slice(),
        b"BAD\r\n\r\n",
        b"\x16\x03\x01\x00\x2f\x01\r\n\r\n",
        b"GET /sse HTTP/1.1\r\n\r\n",
        b"GET /sse HTTP/1.1\r\nHo",
        b"POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel",
        b"POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n",
        b"POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n\xff",
        &get("/sse"),
        &get("/nope"),
        &options("/sse"),
        &post("fine"),
    ] {
        let mut client = program.connect();
        client.send(request);
        client.reset();
        let mut client = program.connect();
        client.send(request);
        client.half_close();
        client.rest_and_end();
    }
}

#[test]
fn clients_never_make_it_print() {
    let program = Program::start(&[]);
    let expected = format!("Listening on http://127.0.0.1:{}/", program.addr.port());
    assert!(program.start_line.starts_with(&expected), "expected {expected:?}: {:?}", program.start_line);
    let mut stream = program.stream();
    stream.send(&vec![b'x'; 32 * 1024]);
    misbehave(&program);
    program.stream().reset();
    program.wait_for_count(1);
    let said = program.kill();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "it says nothing of its clients");
}

#[test]
fn it_accepts_once_it_has_printed_its_start_line() {
    for _ in 0..5 {
        Program::start(&[]).request(get("/connections")).expect_status(200);
    }
}

/// Holds that the program has succeeded and printed nothing after its start line.
#[track_caller]
fn expect_success(finished: &Finished) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), ""), "{finished:?}");
}

/// Then the program ends.
#[test]
fn a_signal_ends_every_stream_between_two_events() {
    for signal in [Signal::TERM, Signal::INT] {
        let program = Program::start(&[]);
        let mut streams: Vec<_> = (0..20).map(|_| program.stream()).collect();
        let mut idle = program.connect();
        idle.request(post("a\nb")).expect_status(202);
        program.signal(signal);
        let delays: Vec<_> = streams.iter_mut().map(|stream| stream.expect_end(b"data: a\ndata: b\n\n")).collect();
        assert!(delays.iter().any(|delay| *delay != delays[0]), "not jittered: {delays:?}");
        expect_success(&program.finish());
        idle.rest_and_end();
    }
}

/// A signal right behind the start line once killed the program, which caught signals too late.
#[test]
fn a_signal_right_behind_the_start_line_is_caught() {
    for _ in 0..20 {
        let program = Program::start(&[]);
        program.signal(Signal::TERM);
        expect_success(&program.finish());
    }
}

/// A publish whose body the program waits for.
#[track_caller]
fn begin_publish(program: &Program) -> Client {
    let mut client = program.connect();
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    client
}

/// Holds that these signals at once shut it down after a publish in flight is delivered.
#[track_caller]
fn expect_order_after(signals: &[Signal]) {
    let program = Program::start(&[]);
    let mut stream = program.stream();
    let mut client = begin_publish(&program);
    signals.iter().for_each(|signal| program.signal(*signal));
    wait_until("no new connection is taken", || Client::try_connect(program.addr).is_err());
    client.send("hello");
    client.response().expect_status(202);
    stream.expect_end(b"data: hello\n\n");
    expect_success(&program.finish());
}

#[test]
fn a_publish_in_flight_at_a_signal_is_answered_and_delivered() {
    expect_order_after(&[Signal::TERM]);
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let mut program = Program::start(&[]);
    // It would delay the shutdown for the drain, which is longer than the test waits.
    let _client = begin_publish(&program);
    program.signal(Signal::TERM);
    wait_until("no new connection is taken", || Client::try_connect(program.addr).is_err());
    assert!(program.is_running(), "it waits for the publish in flight");
    // A signal together with the first does not count as a second.
    wait_until("it has ended", || {
        program.signal(Signal::TERM);
        !program.is_running()
    });
    assert_eq!(program.finish().code, Some(128 + 15), "as a shell reports a process that a signal ended");
}

/// `timeout` signals its child and the child's group. The system may merge two signals of one kind.
#[test]
fn two_signals_at_once_shut_the_program_down() {
    expect_order_after(&[Signal::TERM, Signal::INT]);
}

#[test]
fn harmless_signals_end_nothing() {
    let mut program = Program::start(&[]);
    let mut stream = program.stream();
    for (name, signal) in
        [("SIGHUP", Signal::HUP), ("SIGPIPE", Signal::PIPE), ("SIGUSR1", Signal::USR1), ("SIGUSR2", Signal::USR2)]
    {
        let _row = showing(name, b"");
        program.signal(signal);
        program.publish(name);
        stream.expect_data(name);
        assert!(program.is_running());
    }
}

#[test]
fn it_goes_on_without_a_reader_of_its_output() {
    let port = FreePort::new();
    let mut process = Process::start_unheard(&["--port", &port.number().to_string()]);
    let mut client = None;
    wait_until("it serves", || {
        client = Client::try_connect(port.addr()).ok();
        client.is_some()
    });
    let mut stream = EventStream::open(client.expect("it is connected"));
    for line in ["one", "two"] {
        Client::connect(port.addr()).request("BAD\r\n\r\n").expect_status(400);
        Client::connect(port.addr()).request(post(line)).expect_status(202);
        stream.expect_data(line);
    }
    process.signal(Signal::TERM);
    stream.expect_end(b"");
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn clients_over_the_connection_limit_get_a_retry() {
    let program = Program::start(&["--max-connections", "2"]);
    let mut streams = [program.stream(), program.stream()];
    let mut client = program.connect();
    let response = client.request(get("/connections")).expect_status(503);
    assert!(response.closes(), "no Connection: close: {response:?}");
    let after = response.field("retry-after").unwrap_or_default();
    assert!(!after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()), "Retry-After: {after:?}");
    client.expect_closed();
    let mut client = program.connect();
    let request = "GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n";
    let response = client.request(request).expect_status(200);
    response.expect_field("content-type", "text/event-stream");
    let rest = if response.body.is_empty() { client.rest() } else { response.body };
    retry_of(&rest);
    program.signal(Signal::TERM);
    for stream in &mut streams {
        stream.expect_end(b"");
    }
    expect_success(&program.finish());
}

#[test]
fn a_lack_of_descriptors_is_logged_once_and_survived() {
    let program = Program::start(&[]);
    let mut stream = program.stream();
    let mut publisher = program.connect();
    publisher.request(post("one")).expect_status(202);
    program.limit_descriptors(Some(0));
    let mut waiting = program.connect();
    waiting.send(get("/connections"));
    // Long enough for several failed attempts; the server tries again at least once a second.
    assert!(!waiting.readable_within(Duration::from_millis(500)), "it was accepted without a descriptor");
    publisher.request(post("two")).expect_status(202);
    stream.expect(b"data: one\n\ndata: two\n\n");
    program.limit_descriptors(None);
    assert_eq!(waiting.response().expect_status(200).body, b"1");
    program.request(post("three")).expect_status(202);
    stream.expect_data("three");
    let said = program.kill();
    assert_eq!(said.stderr.lines().count(), 1, "logged once: {said:?}");
}

#[test]
fn stalled_streams_share_their_window() {
    const GROUPS: usize = 10;
    const STREAMS: usize = 60;
    let program = Program::start(&[]);
    let mut publisher = program.connect();
    let mut streams = Vec::new();
    // Each group stops elsewhere, so that some streams stop at the start of a large message.
    for _ in 0..GROUPS {
        streams.extend((0..STREAMS / GROUPS).map(|_| EventStream::open_tight(program.connect())));
        publisher.request(post(vec![b'x'; 100 * 1024])).expect_status(202);
    }
    let before = program.peak_memory();
    for _ in 0..16 {
        publisher.request(post(vec![b'x'; 1024 * 1024])).expect_status(202);
    }
    program.wait_for_count(0);
    let grown = program.peak_memory() - before;
    assert!(grown < STREAMS * 256, "{grown} KiB more for {STREAMS} streams that wait for messages of 1024 KiB");
    drop(streams);
}
