//! Waits with a deadline: for a head, a body, the next request. A stream has none.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use smolcast::Limits;
use support::{Client, DEADLINE, Served, TestServer, config, get, post, post_chunked, showing, with};

use crate::witness::Witness;

const SHORT: Duration = Duration::from_millis(200);

/// Pause between two bytes of a client that drips: well below `SHORT`, so that each byte comes in time.
const DRIP: Duration = Duration::from_millis(40);

fn short_head() -> Limits {
    with!(Limits::default(), { head_timeout: SHORT })
}

/// Holds that a request gets 408 and the connection ends.
#[track_caller]
fn expect_timeout(client: &mut Client) {
    let response = client.response().expect_status(408);
    assert!(response.closes(), "no Connection: close: {response:?}");
    client.expect_closed();
}

/// Sends a byte now and then until the server responds.
#[track_caller]
fn drip(client: &mut Client, bytes: &[u8]) {
    let deadline = Instant::now() + DEADLINE;
    for byte in bytes {
        assert!(Instant::now() < deadline, "dripped for {DEADLINE:?}, and no deadline came");
        if client.try_send(&[*byte]).is_err() || client.readable_within(DRIP) {
            return;
        }
    }
    panic!("dripped {} bytes, and no deadline came", bytes.len());
}

/// Waits until a head timeout has passed on another connection, so that no test sleeps.
#[track_caller]
fn let_a_head_time_out(server: &TestServer) {
    let mut client = server.connect();
    client.send("GET /");
    expect_timeout(&mut client);
}

#[test]
fn a_head_that_never_ends_is_408() {
    let server = TestServer::with_limits(short_head());
    for begun in ["G", "GET /sse HTTP/1.1", "GET /sse HTTP/1.1\r\nHost: h", "GET /sse HTTP/1.1\r\nHost: h\r\n"] {
        let _row = showing("begun", begun.as_bytes());
        let mut client = server.connect();
        client.send(begun);
        expect_timeout(&mut client);
    }
    assert_eq!(server.count(), 0);
}

#[test]
fn a_silent_connection_is_closed_silently() {
    let server = TestServer::with_limits(short_head());
    server.connect().expect_closed();
}

#[test]
fn the_head_timeout_is_for_the_whole_head() {
    let server = TestServer::with_limits(short_head());
    let mut client = server.connect();
    drip(&mut client, &get(&format!("/sse?{}", "x".repeat(1000))));
    expect_timeout(&mut client);
    assert_eq!(server.count(), 0);
}

#[test]
fn a_later_head_has_a_timeout_too() {
    let server = TestServer::with_limits(short_head());
    let mut client = server.connect();
    client.request(post("x")).expect_status(202);
    client.send("POST /broad");
    expect_timeout(&mut client);
    let mut client = server.connect();
    client.request(post("x")).expect_status(202);
    drip(&mut client, &get(&format!("/sse?{}", "x".repeat(1000))));
    expect_timeout(&mut client);
}

#[test]
fn the_timeout_of_a_later_head_starts_at_its_first_byte() {
    let server = TestServer::with_limits(short_head());
    let mut client = server.connect();
    for _ in 0..2 {
        client.request(post("x")).expect_status(202);
        let_a_head_time_out(&server);
    }
    client.request(post("still there")).expect_status(202);
}

#[test]
fn an_idle_kept_alive_connection_is_closed_silently() {
    let server = TestServer::with_limits(with!(Limits::default(), { idle_timeout: SHORT }));
    let mut client = server.connect();
    for _ in 0..3 {
        client.request(post("x")).expect_status(202);
    }
    client.expect_closed();
}

#[test]
fn a_body_that_never_ends_is_408_and_publishes_nothing() {
    let mut witness = Witness::start(with!(Limits::default(), { body_timeout: SHORT }));
    let mut length = post("hello");
    length.pop();
    for (name, request) in [
        ("a byte short of its length", length),
        ("no byte of its length", b"POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n".to_vec()),
        ("no chunk", post_chunked("")),
        ("no last chunk", post_chunked("5\r\nhello\r\n")),
        ("within a chunk", post_chunked("5\r\nhel")),
        ("within the trailers", post_chunked("5\r\nhello\r\n0\r\nX: y\r\n")),
    ] {
        witness.refused(name, request, &[408]);
    }
}

#[test]
fn the_body_timeout_is_for_the_whole_body() {
    let mut witness = Witness::start(with!(Limits::default(), { body_timeout: SHORT }));
    for request in [post([b'x'; 1000]), post_chunked(format!("3e8\r\n{}", "x".repeat(1000)))] {
        let at = request.len() - 1000;
        let mut client = witness.server.connect();
        client.send(&request[..at]);
        drip(&mut client, &request[at..]);
        expect_timeout(&mut client);
        witness.expect_nothing_published();
    }
}

#[test]
fn a_body_that_never_follows_the_100_is_408() {
    let mut witness = Witness::start(with!(Limits::default(), { body_timeout: SHORT }));
    let mut client = witness.server.connect();
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    expect_timeout(&mut client);
    witness.expect_nothing_published();
}

#[test]
fn a_body_has_its_own_timeout() {
    let server = TestServer::with_limits(short_head());
    let mut stream = server.stream();
    let mut client = server.connect();
    let request = post("hello");
    client.send(&request[..request.len() - 2]);
    let_a_head_time_out(&server);
    client.send(&request[request.len() - 2..]);
    client.response().expect_status(202);
    stream.expect_data("hello");
}

#[test]
fn a_stream_outlives_every_deadline_of_a_request() {
    let limits = with!(Limits::default(), {
        head_timeout: SHORT,
        body_timeout: SHORT,
        idle_timeout: SHORT,
        write_timeout: SHORT,
        linger_timeout: SHORT,
    });
    let server = TestServer::with_limits(limits);
    let mut stream = server.stream();
    for number in 0..4 {
        let_a_head_time_out(&server);
        server.publish(number.to_string());
        stream.expect_data(&number.to_string());
    }
    assert_eq!(server.count(), 1);
}

#[test]
fn a_silent_stream_gets_a_comment_each_heartbeat() {
    let server = TestServer::start(with!(config(Limits::default()), { heartbeat: Some(SHORT) }));
    let (mut one, mut other) = (server.stream(), server.stream());
    for _ in 0..3 {
        one.expect(b":\n\n");
    }
    other.expect(b":\n\n:\n\n");
}

#[test]
fn a_heartbeat_is_never_within_an_event() {
    let server = TestServer::start(with!(config(Limits::default()), { heartbeat: Some(Duration::from_millis(20)) }));
    let mut stream = server.stream();
    let body = "line\n".repeat(20_000);
    let mut heartbeats = 0;
    for _ in 0..5 {
        server.publish(&body);
        let mut block = stream.block();
        while block == b":\n\n" {
            heartbeats += 1;
            block = stream.block();
        }
        assert_eq!(block.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"data: line")).count(), 20_000);
        assert!(!block.starts_with(b":") && !block.windows(2).any(|pair| pair == b"\n:"), "a comment in an event");
        // One more, so that heartbeats and events alternate.
        while stream.block() != b":\n\n" {}
        heartbeats += 1;
    }
    assert!(heartbeats >= 5);
}

#[test]
fn after_an_error_the_connection_lingers_briefly() {
    let server = TestServer::with_limits(with!(Limits::default(), { linger_timeout: SHORT }));
    let mut client = server.connect();
    client.send("BAD\r\n\r\n");
    let answer = client.rest();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", answer.escape_ascii());
    // The client sends on: only a closed socket answers with an error.
    let deadline = Instant::now() + DEADLINE;
    while client.try_send(b"x").is_ok() {
        assert!(Instant::now() < deadline, "the socket was still open after {DEADLINE:?}");
        std::thread::park_timeout(DRIP);
    }
}

#[test]
fn after_an_error_input_is_discarded_up_to_a_limit() {
    let limits = with!(Limits::default(), { linger_timeout: Duration::from_secs(600), linger_bytes: 256 * 1024 });
    let server = TestServer::with_limits(limits);
    let mut client = server.connect();
    client.send("BAD\r\n\r\n");
    let answer = client.rest();
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{:?}", answer.escape_ascii());
    let gone = (0..64).any(|_| client.try_send(&[b'x'; 256 * 1024]).is_err());
    assert!(gone, "16 MiB were taken");
}

/// The write timeout bounds responses too.
#[test]
fn a_publisher_that_never_reads_is_closed_in_time() {
    let server = TestServer::with_limits(with!(Limits::default(), { write_timeout: SHORT }));
    let mut client = server.connect();
    let segment = post("x").repeat(500);
    // It sends until the server stops reading. Then this write fails because the server has closed, or the next one
    // does.
    let deadline = Instant::now() + 2 * DEADLINE;
    loop {
        assert!(Instant::now() < deadline, "every publish was read, and no answer");
        match client.try_send(&segment) {
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => break,
            Err(error) => panic!("the server neither reads nor closes: {error}"),
            Ok(()) => {}
        }
    }
}
