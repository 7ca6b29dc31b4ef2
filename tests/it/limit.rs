//! The limits of sizes and of connections, at the limit and one above it.

use std::net::Ipv4Addr;
use std::num::NonZeroUsize;

use smolcast::{Event, Limits};
use support::{
    Client, EventStream, Served, TestServer, assert_bytes, get, parse_responses, post, post_chunked, retry_of, showing,
    wait_until, with, within_deadline,
};

use crate::witness::Witness;

const KIB: usize = 1024;

/// A publish with a head of `bytes` including its empty line, and a request line of `line` including its end.
fn publish_with_head(line: usize, bytes: usize) -> Vec<u8> {
    let fixed = "POST /broadcast? HTTP/1.1\r\n".len();
    let first = format!("POST /broadcast?{} HTTP/1.1\r\n", "&".repeat(line - fixed));
    let second = "Host: h\r\nContent-Length: 5\r\nX: ";
    let padding = "x".repeat(bytes - first.len() - second.len() - "\r\n\r\n".len());
    let head = format!("{first}{second}{padding}\r\n\r\n");
    assert_eq!(head.len(), bytes);
    [head.as_bytes(), b"hello"].concat()
}

/// One byte more is 431.
#[test]
fn a_head_may_be_as_long_as_its_limit() {
    for limit in [16 * KIB, 512] {
        let mut witness = Witness::start(with!(Limits::default(), { head_bytes: limit }));
        witness.published("at the limit", publish_with_head(100, limit), "hello");
        // The limit may or may not count the empty line, so this is above it without that line.
        witness.refused("above the limit", publish_with_head(100, limit + 3), &[431]);
        witness.refused("far above the limit", publish_with_head(100, 8 * limit), &[431]);
    }
}

#[test]
fn a_head_above_its_limit_is_431_before_it_ends() {
    let mut witness = Witness::start(Limits::default());
    let endless = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(17 * KIB));
    witness.refused("a field that never ends", endless, &[431]);
    let endless = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{}", "X: y\r\n".repeat(3 * KIB));
    witness.refused("fields that never end", endless, &[431]);
}

/// One byte more is 414.
#[test]
fn a_request_line_may_be_as_long_as_its_limit() {
    for limit in [8 * KIB, 256] {
        let mut witness = Witness::start(with!(Limits::default(), { request_line_bytes: limit }));
        witness.published("at the limit", publish_with_head(limit, limit + 100), "hello");
        // This limit may or may not count the line's end.
        witness.refused("above the limit", publish_with_head(limit + 3, limit + 100), &[414]);
    }
}

#[test]
fn a_request_line_above_its_limit_is_414_before_it_ends() {
    let mut witness = Witness::start(Limits::default());
    witness.refused("9 KiB", format!("POST /broadcast?{}", "q".repeat(9 * KIB)), &[414]);
    witness.refused("1 MiB", format!("POST /broadcast?{}", "q".repeat(KIB * KIB)), &[414]);
}

/// One more is 431.
#[test]
fn a_hundred_fields_are_accepted() {
    let mut witness = Witness::start(Limits::default());
    let publish = |fields: usize| {
        let more = "X: y\r\n".repeat(fields - 2);
        format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{more}Content-Length: 5\r\n\r\nhello")
    };
    witness.published("a hundred", publish(100), "hello");
    witness.refused("one more", publish(101), &[431]);
    witness.refused("many more", publish(1000), &[431]);
}

/// One byte more is 413.
#[test]
fn a_body_may_be_as_long_as_its_limit() {
    for limit in [KIB * KIB, 10] {
        let mut witness = Witness::start(with!(Limits::default(), { body_bytes: limit }));
        let line = "x".repeat(limit);
        witness.published("at the limit", post(&line), &line);
        witness.refused("above the limit", post(format!("{line}x")), &[413]);
        let coded = format!("{limit:x}\r\n{line}\r\n0\r\n\r\n");
        witness.published("chunked, at the limit", post_chunked(coded), &line);
        let coded = format!("{:x}\r\n{line}x\r\n0\r\n\r\n", limit + 1);
        witness.refused("chunked, above the limit", post_chunked(coded), &[413]);
        let coded = format!("{limit:x}\r\n{line}\r\n1\r\nx\r\n0\r\n\r\n");
        witness.refused("chunked, above the limit with its last chunk", post_chunked(coded), &[413]);
    }
}

#[test]
fn many_small_chunks_count_by_their_data() {
    let mut witness = Witness::start(with!(Limits::default(), { body_bytes: 1000 }));
    let coded = |count: usize| post_chunked(format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(count)));
    witness.published("at the limit", coded(1000), &"x".repeat(1000));
    witness.refused("above the limit", coded(1001), &[413]);
}

#[test]
fn a_length_above_the_limit_is_413_at_once() {
    let mut witness = Witness::start(Limits::default());
    for length in ["1048577", "4294967296", "9223372036854775808", "18446744073709551615"] {
        let head = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n");
        witness.refused(&format!("{length}, the head alone"), &head, &[413]);
        witness.refused(&format!("{length}, with some of it"), format!("{head}hello"), &[413]);
    }
}

#[test]
fn a_client_that_sends_on_can_still_read_an_error() {
    let mut witness = Witness::start(Limits::default());
    let flood = vec![b'x'; 4 * KIB * KIB];
    for (name, head, status) in [
        ("413", "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 4194304\r\n\r\n", 413),
        ("411", "POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n", 411),
        ("400", "POST /broadcast HTTP/1.1\r\n\r\n", 400),
        ("bad chunks", "POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("431", "POST /broadcast HTTP/1.1\r\nHost: h\r\nX: ", 431),
        ("414", "POST /broadcast?", 414),
    ] {
        witness.refused(name, [head.as_bytes(), &flood].concat(), &[status]);
    }
}

/// A server with room for three connections, and two streams on it.
fn nearly_full() -> (TestServer, [EventStream; 2]) {
    let server = TestServer::with_limits(with!(Limits::default(), { connections: NonZeroUsize::new(3) }));
    let streams = [server.stream(), server.stream()];
    (server, streams)
}

/// It comes in a stream that ends: no EventSource returns after a 503.
#[test]
fn an_event_source_over_the_limit_gets_a_retry() {
    let (server, mut streams) = nearly_full();
    let mut third = server.stream();
    for _ in 0..3 {
        let mut client = server.connect();
        let request = "GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n";
        let response = client.request(request).expect_status(200);
        response.expect_field("content-type", "text/event-stream");
        // Without this field a page of another origin takes it for an error and never reconnects.
        response.expect_field("access-control-allow-origin", "*");
        let rest = if response.body.is_empty() { client.rest() } else { response.body };
        retry_of(&rest);
    }
    assert_eq!(server.publisher.streams(), 3, "they are no streams");
    publish_in_process(&server, "x");
    for stream in streams.iter_mut().chain([&mut third]) {
        stream.expect_data("x");
    }
}

#[test]
fn any_other_request_over_the_limit_is_503() {
    let (server, mut streams) = nearly_full();
    let third = server.stream();
    let publish = post("x");
    for request in [get("/connections"), get("/nope"), publish] {
        let _row = showing("the fourth", &request);
        let mut client = server.connect();
        let response = client.request(&request).expect_status(503);
        assert!(response.closes(), "no Connection: close: {response:?}");
        let after = response.field("retry-after").unwrap_or_default();
        assert!(!after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()), "Retry-After: {after:?}");
        client.expect_closed();
    }
    drop(third);
    wait_until("a place is free", || server.publisher.streams() == 2);
    serve_again(&server);
    publish_in_process(&server, "sentinel");
    for stream in &mut streams {
        stream.expect_data("sentinel");
    }
}

/// Publishes without a connection.
fn publish_in_process(server: &TestServer, line: &str) {
    within_deadline(server.publisher.publish(Event::new(line))).expect("the server runs");
}

/// Waits until the place of an ended connection is free.
#[track_caller]
fn serve_again(server: &TestServer) {
    wait_until("a place is free", || {
        // The place of this connection must be free again before the next.
        let mut client = server.connect();
        client.send(get("/connections"));
        parse_responses(&client.rest(), &["GET"]).iter().any(|response| response.status == 200)
    });
}

#[test]
fn open_connections_are_served_at_the_limit() {
    let (server, mut streams) = nearly_full();
    let mut publisher = server.connect();
    publisher.request(post("one")).expect_status(202);
    server.request(get("/connections")).expect_status(503);
    publisher.request(post("two")).expect_status(202);
    for stream in &mut streams {
        stream.expect(b"data: one\n\ndata: two\n\n");
    }
    let count = publisher.request(get("/connections")).expect_status(200);
    assert_bytes("the count", b"2", &count.body);
}

/// Its clients get a time to reconnect, and other addresses are served.
#[test]
fn an_address_over_its_limit_harms_no_other() {
    let mut server = TestServer::with_limits(with!(Limits::default(), { connections_per_ip: NonZeroUsize::new(2) }));
    let first = server.stream();
    let mut second = server.stream();
    let mut third = server.connect();
    let response = third.request(get("/sse")).expect_status(200);
    let rest = if response.body.is_empty() { third.rest() } else { response.body };
    retry_of(&rest);
    server.request(get("/connections")).expect_status(503);
    let mut other = EventStream::open(Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.addr));
    assert_eq!(server.publisher.streams(), 3, "two of the one address, one of the other");
    assert_eq!(server.metrics.connections_over_ip_limit(), 2);
    drop(first);
    serve_again(&server);
    publish_in_process(&server, "x");
    second.expect_data("x");
    other.expect_data("x");
    server.stop();
}

/// Waiting rejections are bounded too, or one address could take every place.
#[test]
fn an_address_far_over_its_limit_is_closed_at_once() {
    let server = TestServer::with_limits(with!(Limits::default(), { connections_per_ip: NonZeroUsize::new(1) }));
    let mut stream = server.stream();
    let mut waiting: Vec<_> = (0..40).map(|_| server.connect()).collect();
    // Accepted in turn, so the last ones are over the bound of rejections.
    waiting.split_off(32).iter_mut().for_each(Client::expect_closed);
    assert_eq!(server.metrics.connections_dropped(), 8);
    EventStream::open(Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.addr));
    publish_in_process(&server, "x");
    stream.expect_data("x");
}
