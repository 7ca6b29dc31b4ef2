//! A connection from response to response: the order, and the end, behind which no request runs.

use smolcast::Limits;
use support::{
    EventStream, Served, TestServer, assert_bytes, config, escaped, get, options, parse_responses, post, showing, with,
};

use crate::witness::Witness;

#[test]
fn responses_come_in_the_order_of_their_requests() {
    let mut witness = Witness::start(Limits::default());
    let requests = [post("one"), post("two"), b"POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), post("three")];
    let mut client = witness.server.connect();
    client.send(requests.concat());
    let statuses: Vec<_> = parse_responses(&client.rest(), &["POST"; 4]).iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [202, 202, 411]);
    witness.stream().expect(b"data: one\n\ndata: two\n\n");
    witness.expect_nothing_published();
}

#[test]
fn a_404_between_two_publishes_keeps_its_place() {
    let server = TestServer::start_default();
    let mut client = server.connect();
    client.send([post("one"), get("/nope"), post("two")].concat());
    client.half_close();
    let answers = parse_responses(&client.rest(), &["POST", "GET", "POST"]);
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    let expected: &[u16] =
        if answers.get(1).is_some_and(|answer| answer.closes()) { &[202, 404] } else { &[202, 404, 202] };
    assert_eq!(statuses, expected);
}

#[test]
fn a_publish_behind_a_last_request_never_runs() {
    let mut witness = Witness::start(Limits::default());
    let close = "POST /broadcast HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\nX: y\r\n\r\n";
    let refused = "POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n";
    let rows: [(&str, Vec<u8>, u16, &str); 8] = [
        ("the count", get("/connections"), 200, ""),
        (
            "the count, kept alive",
            b"GET /connections HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n".to_vec(),
            200,
            "",
        ),
        ("OPTIONS of the stream", options("/sse"), 204, ""),
        ("OPTIONS of the count", options("/connections"), 204, ""),
        ("a publish that closes", close.into(), 202, "data: \n\n"),
        (
            "a publish of HTTP/1.0",
            b"POST /broadcast HTTP/1.0\r\nContent-Length: 1\r\n\r\nx".to_vec(),
            202,
            "data: x\n\n",
        ),
        ("a refused publish", refused.into(), 411, ""),
        ("a bad head", b"POST /broadcast HTTP/1.1\r\n\r\n".to_vec(), 400, ""),
    ];
    for (name, last, status, published) in rows {
        let _row = showing(name, &last);
        let mut client = witness.server.connect();
        client.send([last.as_slice(), &post("behind"), &post("and again")].concat());
        let answers = parse_responses(&client.rest(), &["GET"; 3]);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [status], "{answers:?}");
        witness.stream().expect(published.as_bytes());
        witness.expect_nothing_published();
    }
}

#[test]
fn a_publish_behind_a_stream_request_never_runs() {
    let mut witness = Witness::start(Limits::default());
    let request = [get("/sse"), post("behind")].concat();
    let (mut stream, _) = EventStream::open_with(witness.server.connect(), &request);
    stream.send(&post("and later"));
    witness.expect_nothing_published();
    stream.expect_data("sentinel 1");
    stream.half_close();
    assert_bytes("behind the client's FIN", b"", &stream.rest());
    witness.expect_nothing_published();
}

#[test]
fn a_publish_ahead_of_a_stream_request_runs_first() {
    let server = TestServer::start_default();
    let mut other = server.stream();
    let mut client = server.connect();
    client.send([post("before"), get("/sse")].concat());
    client.response().expect_status(202);
    let (mut stream, _) = EventStream::open_with(client, b"");
    other.expect_data("before");
    server.publish("after");
    stream.expect_data("after");
    other.expect_data("after");
}

/// Beyond the limit the stream is closed.
#[test]
fn input_on_a_stream_is_discarded_up_to_a_limit() {
    const LIMIT: usize = 64 * 1024;
    let server = TestServer::start_default();
    let stay = server.stream();
    let mut stream = server.stream();
    for (sent, line) in [(1, "one byte"), (LIMIT / 2, "half of it")] {
        stream.send(&vec![b'x'; sent]);
        server.publish(line);
        stream.expect_data(line);
    }
    // The server may close before it has read everything; then the write fails.
    let _ = stream.client().try_send(&vec![b'x'; LIMIT]);
    let (rest, _) = stream.rest_and_end();
    assert_bytes("on the closed stream", b"", &rest);
    server.wait_for_count(1);
    drop(stay);
}

#[test]
fn the_limit_of_stream_input_is_for_its_whole_life() {
    let limits = with!(Limits::default(), { stream_input_bytes: 1000 });
    let server = TestServer::with_limits(limits);
    let mut stream = server.stream();
    for number in 0..9 {
        stream.send(&[b'x'; 100]);
        server.publish(number.to_string());
        stream.expect_data(&number.to_string());
    }
    let _ = stream.client().try_send(&[b'x'; 200]);
    stream.rest_and_end();
    server.wait_for_count(0);
}

#[test]
fn a_bad_request_does_not_undo_earlier_ones() {
    let mut witness = Witness::start(Limits::default());
    let mut client = witness.server.connect();
    client.request(post("kept")).expect_status(202);
    let refusal = client.request("BAD\r\n\r\n").expect_status(400);
    assert!(refusal.closes(), "{refusal:?}");
    client.expect_closed();
    witness.stream().expect_data("kept");
    witness.expect_nothing_published();
}

#[test]
fn a_client_may_leave_before_its_response() {
    let mut witness = Witness::start(Limits::default());
    for request in [get("/connections"), get("/sse"), options("/sse"), get("/nope"), b"BAD\r\n\r\n".to_vec()] {
        for _ in 0..10 {
            let mut client = witness.server.connect();
            client.send(&request);
            client.reset();
        }
    }
    for _ in 0..10 {
        drop(witness.server.connect());
    }
    witness.expect_nothing_published();
    witness.server.wait_for_count(1);
}

#[test]
fn one_shard_serves_everything() {
    let server = TestServer::start(with!(config(Limits::default()), { workers: std::num::NonZeroUsize::new(1) }));
    let mut streams: Vec<_> = (0..3).map(|_| server.stream()).collect();
    server.publish("x");
    for stream in &mut streams {
        stream.expect_data("x");
    }
    assert_eq!(server.count(), 3);
}

#[test]
fn more_shards_than_cores_deliver_each_event_once() {
    let server = TestServer::start(with!(config(Limits::default()), { workers: std::num::NonZeroUsize::new(7) }));
    let mut streams: Vec<_> = (0..20).map(|_| server.stream()).collect();
    assert_eq!(server.count(), 20);
    for line in ["one", "two"] {
        server.publish(line);
    }
    for stream in &mut streams {
        stream.expect(b"data: one\n\ndata: two\n\n");
    }
}

#[test]
fn two_requests_may_arrive_in_halves() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let segment = [post("one"), post("two")].concat();
    let mut client = server.connect();
    let (first, second) = segment.split_at(segment.len() / 2 + 10);
    client.send(first);
    let answer = client.response().expect_status(202);
    assert!(answer.body.is_empty() || !answer.closes(), "{}", escaped(&answer.body));
    client.send(second);
    client.response().expect_status(202);
    stream.expect(b"data: one\n\ndata: two\n\n");
}
