//! Shutdown with a thousand streams: messages in flight are delivered, and each stream gets a delay.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::measure::{report, time_until, timed};
use support::{Client, DEADLINE, EventStream, Served, get, post, retry_of};

use crate::Program;
use crate::crowd::make_room;

const STREAMS: usize = 1000;

/// A publish whose body the program waits for.
#[track_caller]
fn begin_publish(program: &Program, length: usize) -> Client {
    let mut client = program.connect();
    let head =
        format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n");
    client.request(head).expect_status(100);
    client
}

/// Signals the program and waits until it has noticed.
#[track_caller]
fn tell_to_end(program: &Program) {
    program.signal(Signal::TERM);
    time_until("no new connection is taken", DEADLINE, || Client::try_connect(program.addr).is_err());
}

/// Holds that the delays cover 3 s to 9 s evenly, so that a thousand browsers do not return at once.
#[track_caller]
fn expect_spread(delays: &[u64]) {
    let mut seconds = [0; 6];
    delays.iter().for_each(|delay| seconds[usize::min((delay - 3000) as usize / 1000, 5)] += 1);
    let fair = delays.len() / seconds.len();
    assert!(seconds.iter().all(|count| *count > fair / 2), "streams that come back in each second: {seconds:?}");
}

/// A thousand streams get it whole and end between two events.
#[test]
#[ignore = "heavy: a thousand streams"]
fn a_signal_amid_a_publish_still_delivers_it() {
    make_room();
    let program = Program::start(&[]);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| program.stream()).collect();
    let body = "line\n".repeat(4000);
    let mut publisher = begin_publish(&program, body.len());
    let (first, second) = body.split_at(body.len() / 2);
    publisher.send(first);
    tell_to_end(&program);
    let start = Instant::now();
    publisher.send(second);
    let answer = publisher.response().expect_status(202);
    assert!(answer.closes(), "it is the last answer and must say so: {answer:?}");
    let event = format!("{}data: \n\n", "data: line\n".repeat(4000));
    let delays: Vec<_> = streams.iter_mut().map(|stream| stream.expect_end(event.as_bytes())).collect();
    let finished = program.finish();
    let took = start.elapsed();
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (Some(0), "", ""));
    assert!(took < DEADLINE, "{took:?} with no client to wait for");
    expect_spread(&delays);
    report("SIGTERM with 1000 streams", format_args!("all have the message and have ended after {took:.1?}"));
}

#[test]
#[ignore = "heavy: a thousand streams"]
fn a_second_signal_ends_a_thousand_streams_at_once() {
    make_room();
    let program = Program::start(&["--drain", "60s"]);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| program.stream()).collect();
    let _publisher = begin_publish(&program, 5);
    tell_to_end(&program);
    assert!(!streams[0].client().readable_within(Duration::from_millis(500)), "it waits for the publish in flight");
    program.signal(Signal::TERM);
    let (finished, took) = timed(|| program.finish());
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert_eq!(finished.code, Some(128 + 15), "as a shell reports a process that a signal ended: {finished:?}");
    for stream in &mut streams {
        let (rest, _) = stream.rest_and_end();
        assert!(rest.is_empty() || rest.starts_with(b"retry: "), "{:?}", rest.escape_ascii());
    }
    report("a second SIGTERM", format_args!("1000 streams and the program are gone after {took:.1?}"));
}

/// Other streams end at once.
#[test]
#[ignore = "slow: it waits for a drain of seconds"]
fn stalled_streams_delay_shutdown_for_the_drain_only() {
    make_room();
    let mut program = Program::start(&["--drain", "3s", "--max-lag", "64m"]);
    let mut healthy: Vec<_> = (0..50).map(|_| program.stream()).collect();
    let stalled: Vec<_> = (0..50).map(|_| EventStream::open_tight(program.connect())).collect();
    let line = "x".repeat(256 * 1024);
    for _ in 0..8 {
        program.publish(&line);
        healthy.iter_mut().for_each(|stream| stream.expect_data(&line));
    }
    assert_eq!(program.count(), 100, "no stream is too far behind");
    program.signal(Signal::TERM);
    let (_, ended) = timed(|| healthy.iter_mut().map(|stream| stream.expect_end(b"")).collect::<Vec<_>>());
    assert!(ended < Duration::from_secs(1), "streams that read have waited {ended:?}");
    assert!(program.is_running(), "stalled streams have the drain");
    let (finished, took) = timed(|| program.finish());
    assert_eq!((finished.code, finished.stderr.lines().count()), (Some(0), 1), "{finished:?}");
    report(
        "a drain of 3 s with 50 stalled streams",
        format_args!("readers end after {ended:.1?}, it after {took:.1?}"),
    );
    drop(stalled);
}

/// An `EventSource` whose request was under way at the shutdown gets a stream with a delay.
#[test]
fn a_stream_requested_during_the_drain_gets_a_retry() {
    let program = Program::start(&[]);
    let mut publisher = begin_publish(&program, 5);
    let mut late = program.connect();
    let request = get("/sse");
    let (first, second) = request.split_at(request.len() / 2);
    late.send(first);
    // Later requests have been served by each shard, so the program has noticed.
    for _ in 0..8 {
        program.request(post("")).expect_status(202);
    }
    tell_to_end(&program);
    late.send(second);
    late.response().expect_status(200).expect_field("content-type", "text/event-stream");
    publisher.send("hello");
    publisher.response().expect_status(202);
    let rest = late.rest();
    let rest = rest.strip_prefix(b":ok\n\n").unwrap_or(&rest);
    retry_of(rest.strip_prefix(b"data: hello\n\n").unwrap_or(rest));
    assert_eq!(program.finish().code, Some(0));
}
