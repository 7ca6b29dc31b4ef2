//! The reasons for which streams end, in the server's counters: each end once, under its own reason.

use std::time::Duration;

use smolcast::{Limits, Retention, StreamEnd};
use support::{Client, EventStream, Served, TestServer, assert_bytes, config, wait_until, with};

const ENDS: [StreamEnd; 6] =
    [StreamEnd::HangUp, StreamEnd::Lagged, StreamEnd::Stalled, StreamEnd::Input, StreamEnd::Stopped, StreamEnd::Cut];

/// Waits until so many streams have ended for this reason, and holds that none ended for another.
#[track_caller]
fn expect_ends(server: &TestServer, reason: StreamEnd, count: u64) {
    let ended = || ENDS.map(|end| server.metrics.streams_ended(end));
    wait_until(&format!("{count} streams have ended"), || ended().iter().sum::<u64>() >= count);
    let expected = ENDS.map(|end| if end == reason { count } else { 0 });
    assert_eq!(ended(), expected, "streams that have ended, of {ENDS:?}");
}

/// A message larger than any system buffers for a client that does not read.
fn large() -> Vec<u8> {
    vec![b'x'; 1024 * 1024]
}

#[test]
fn a_close_reset_or_half_close_counts_as_hang_up() {
    let server = TestServer::start_default();
    drop(server.stream());
    expect_ends(&server, StreamEnd::HangUp, 1);
    server.stream().reset();
    expect_ends(&server, StreamEnd::HangUp, 2);
    let mut stream = server.stream();
    stream.half_close();
    assert_bytes("behind the client's FIN", b"", &stream.rest());
    expect_ends(&server, StreamEnd::HangUp, 3);
    assert_eq!(server.publisher.streams(), 0);
}

#[test]
fn a_stream_too_far_behind_has_lagged() {
    const STALLED: u64 = 5;
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 64 * 1024 }));
    let mut healthy = server.stream();
    let stalled: Vec<_> = (0..STALLED).map(|_| EventStream::open_tight(server.connect())).collect();
    for _ in 0..200 {
        if server.publisher.streams() == 1 {
            break;
        }
        server.publish(large());
        healthy.block();
    }
    expect_ends(&server, StreamEnd::Lagged, STALLED);
    assert_eq!(server.publisher.streams(), 1);
    drop(stalled);
}

/// The system gives up on such a client too (`TCP_USER_TIMEOUT`). If it did so first, the client would seem to have
/// hung up; at this timeout the server's clock is slowest.
#[test]
fn a_stream_that_takes_nothing_has_stalled() {
    const STALLED: u64 = 20;
    let limits =
        with!(Limits::default(), { window_bytes: 1024 * 1024 * 1024, write_timeout: Duration::from_millis(2050) });
    let server = TestServer::with_limits(limits);
    let mut healthy = server.stream();
    let stalled: Vec<_> = (0..STALLED).map(|_| EventStream::open_tight(server.connect())).collect();
    for _ in 0..4 {
        server.publish(large());
        healthy.block();
    }
    expect_ends(&server, StreamEnd::Stalled, STALLED);
    assert_eq!(server.publisher.streams(), 1);
    drop(stalled);
}

#[test]
fn a_client_that_sends_too_much_ends_for_its_input() {
    let server = TestServer::with_limits(with!(Limits::default(), { stream_input_bytes: 100 }));
    let mut stream = server.stream();
    stream.send(&[b'x'; 101]);
    expect_ends(&server, StreamEnd::Input, 1);
    assert_bytes("on a stream that is ended", b"", &stream.rest());
}

#[test]
fn a_stream_up_to_date_at_the_shutdown_was_stopped() {
    let mut server = TestServer::start_default();
    let mut streams = [server.stream(), server.stream()];
    server.publish("x");
    server.join();
    for stream in &mut streams {
        stream.expect_end(b"data: x\n\n");
    }
    expect_ends(&server, StreamEnd::Stopped, 2);
}

#[test]
fn a_stream_not_up_to_date_at_the_shutdown_was_cut() {
    let limits =
        with!(Limits::default(), { window_bytes: 1024 * 1024 * 1024, drain_timeout: Duration::from_millis(300) });
    let mut server = TestServer::with_limits(limits);
    let stalled = [EventStream::open_tight(server.connect()), EventStream::open_tight(server.connect())];
    for _ in 0..8 {
        server.publish(large());
    }
    server.join();
    expect_ends(&server, StreamEnd::Cut, 2);
    drop(stalled);
}

/// It reads all the time, and little at a time.
#[test]
fn a_slow_reader_within_the_window_has_not_stalled() {
    let limits = with!(Limits::default(), { window_bytes: 64 * 1024 * 1024, write_timeout: Duration::from_secs(1) });
    let server = TestServer::with_limits(limits);
    let mut slow = EventStream::open_tight(server.connect());
    let event = [b"data: ", &large()[..], b"\n\n"].concat();
    server.publish(large());
    server.publish(large());
    // For three times the write timeout.
    for part in event.chunks(event.len() / 60) {
        slow.expect(part);
        std::thread::park_timeout(Duration::from_millis(50));
    }
    slow.expect(&event);
    assert_eq!(server.metrics.streams_ended(StreamEnd::Stalled), 0);
    assert_eq!(server.count(), 1);
}

/// A server with a history larger than any system buffers for a client that does not read.
fn with_long_history(limits: Limits) -> TestServer {
    let server = TestServer::start(with!(config(limits), { history: Some(Retention::default()) }));
    for _ in 0..16 {
        server.publish(large());
    }
    server
}

/// A client that resumes from the start and reads no more than it must.
fn comes_back(server: &TestServer) -> EventStream {
    let client = server.connect().tight();
    let request = b"GET /sse HTTP/1.1\r\nHost: h\r\nLast-Event-ID: nobody's\r\n\r\n";
    let (stream, _) = EventStream::open_with(client, request);
    assert_eq!(server.publisher.streams(), 1, "it counts from its opening on");
    stream
}

/// These streams were once counted as open, and under no reason when they ended.
#[test]
fn a_replaying_stream_ends_for_its_own_reason() {
    let server = with_long_history(Limits::default());
    comes_back(&server).reset();
    expect_ends(&server, StreamEnd::HangUp, 1);
    assert_eq!(server.publisher.streams(), 0);

    let server = with_long_history(with!(Limits::default(), { write_timeout: Duration::from_millis(500) }));
    let stalled = comes_back(&server);
    expect_ends(&server, StreamEnd::Stalled, 1);
    assert_eq!(server.publisher.streams(), 0);
    drop(stalled);

    let mut server = with_long_history(Limits::default());
    let mut interrupted = comes_back(&server);
    server.stop();
    wait_until("no new connection is taken", || Client::try_connect(server.addr).is_err());
    interrupted.rest_and_end();
    server.join();
    expect_ends(&server, StreamEnd::Cut, 1);
}
