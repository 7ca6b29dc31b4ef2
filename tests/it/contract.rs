//! The five tasks, row by row and rule by rule.

use smolcast::Limits;
use support::{
    Client, EventStream, Response, Served, TestServer, assert_bytes, get, options, parse_responses, post, post_chunked,
    showing, wait_until,
};

use crate::witness::Witness;

/// Holds that the connection does as the response says: close, or serve on.
#[track_caller]
fn expect_promised_fate(client: &mut Client, response: &Response) {
    if response.closes() {
        client.expect_closed();
    } else {
        client.request(get("/connections")).expect_status(200);
    }
}

#[test]
fn a_stream_opens_with_its_fields_and_ok_and_stays_open() {
    let server = TestServer::start_default();
    let (mut stream, head) = EventStream::open_with(server.connect(), &get("/sse"));
    head.expect_field("content-type", "text/event-stream");
    head.expect_field("cache-control", "no-cache");
    head.expect_field("access-control-allow-origin", "*");
    head.expect_field("x-accel-buffering", "no");
    head.expect_only(&[
        "content-type",
        "cache-control",
        "access-control-allow-origin",
        "x-accel-buffering",
        "date",
        "connection",
    ]);
    for line in ["one", "two"] {
        server.publish(line);
        stream.expect_data(line);
    }
}

/// Then the connection closes.
#[test]
fn the_count_is_decimal_digits_alone() {
    let server = TestServer::start_default();
    let mut streams = Vec::new();
    for expected in ["0", "12"] {
        let mut client = server.connect();
        let response = client.request(get("/connections")).expect_status(200);
        assert_bytes("the count", expected.as_bytes(), &response.body);
        response.expect_field("content-type", "text/plain");
        response.expect_field("cache-control", "no-cache");
        response.expect_field("access-control-allow-origin", "*");
        response.expect_field("connection", "close");
        response.expect_only(&[
            "content-type",
            "cache-control",
            "access-control-allow-origin",
            "connection",
            "content-length",
            "date",
        ]);
        client.expect_closed();
        streams.extend((0..12).map(|_| server.stream()));
    }
}

#[test]
fn options_is_204_without_a_body_or_its_framing_and_closes() {
    let server = TestServer::start_default();
    for target in ["/sse", "/connections"] {
        let mut client = server.connect();
        let response = client.request(options(target)).expect_status(204);
        response.expect_field("access-control-allow-origin", "*");
        response.expect_field("connection", "close");
        response.expect_only(&["access-control-allow-origin", "connection", "date"]);
        client.expect_closed();
    }
}

/// Clients over fetch set these fields themselves, which takes a preflight.
#[test]
fn a_preflight_that_asks_for_fields_is_told_them() {
    let server = TestServer::start_default();
    for target in ["/sse", "/connections"] {
        let asks = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id\r\n";
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: h\r\nOrigin: https://app.example\r\n{asks}\r\n");
        let response = server.request(request).expect_status(204);
        response.expect_field("access-control-allow-origin", "*");
        response.expect_field("access-control-allow-headers", "Last-Event-ID, Authorization, Cache-Control");
        response.expect_field("access-control-max-age", "86400");
        response.expect_only(&[
            "access-control-allow-origin",
            "access-control-allow-headers",
            "access-control-max-age",
            "connection",
            "date",
        ]);
    }
}

#[test]
fn a_page_may_read_the_202_of_its_publish() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let response = server.request(post("hello")).expect_status(202);
    response.expect_field("access-control-allow-origin", "*");
    assert!(!response.closes(), "publishers are kept alive: {response:?}");
    stream.expect(b"data: hello\n\n");
}

#[test]
fn the_date_follows_the_clock() {
    let server = TestServer::start_default();
    let date = || server.request(get("/nope")).field("date").map(str::to_owned);
    let first = date();
    wait_until("another date", || date() != first);
    let second = date();
    wait_until("and another", || date() != second);
}

#[test]
fn a_publish_without_any_stream_is_202() {
    let server = TestServer::start_default();
    server.publish("to no stream");
}

#[test]
fn a_stream_gets_no_earlier_message() {
    let server = TestServer::start_default();
    server.publish("early");
    let mut stream = server.stream();
    server.publish("late");
    stream.expect_data("late");
}

#[test]
fn a_publish_without_length_or_chunks_is_411_and_closes() {
    let mut witness = Witness::start(Limits::default());
    for (name, request) in [
        ("no body", "POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("a body nonetheless", "POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\nhello"),
        ("HTTP/1.0", "POST /broadcast HTTP/1.0\r\n\r\nhello"),
        ("with a query", "POST /broadcast?topic=x HTTP/1.1\r\nHost: h\r\n\r\nhello"),
    ] {
        witness.refused(name, request, &[411]);
    }
}

#[test]
fn a_chunked_publish_is_decoded_and_broadcast() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let response = server.request(post_chunked("5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n")).expect_status(202);
    assert!(!response.closes(), "publishers are kept alive: {response:?}");
    stream.expect(b"data: hello, world\n\n");
}

#[test]
fn anything_else_is_404() {
    let mut witness = Witness::start(Limits::default());
    for line in [
        "GET /",
        "GET /sse/",
        "GET //sse",
        "GET /SSE",
        "GET /ssee",
        "GET /ss",
        "GET /sse/x",
        "GET /sse%2F",
        "GET /connections/",
        "GET /broadcast",
        "GET /broadcast?x=/sse",
        "GET /?/sse",
        "get /sse",
        "POST /",
        "POST /sse",
        "POST /connections",
        "POST /broadcast/",
        "PUT /broadcast",
        "DELETE /sse",
        "PATCH /connections",
        "TRACE /sse",
        "OPTIONS /",
        "OPTIONS /broadcast",
        "OPTIONS /sse/",
        "BREW /sse",
        "GET http://h/",
        "GET http://h",
    ] {
        for body in ["", "Content-Length: 0\r\n"] {
            let request = format!("{line} HTTP/1.1\r\nHost: h\r\n{body}\r\n");
            let _row = showing(line, request.as_bytes());
            let mut client = witness.server.connect();
            let response = client.request(&request).expect_status(404);
            expect_promised_fate(&mut client, &response);
        }
    }
    witness.expect_nothing_published();
    assert_eq!(witness.server.count(), 1, "no stream but the witness");
}

#[test]
fn a_404_with_a_body_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    for line in ["PUT /broadcast", "POST /sse", "POST /connections", "POST /broadcast/", "POST /"] {
        let request = format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
        let _row = showing(line, request.as_bytes());
        let mut client = witness.server.connect();
        let response = client.request(&request).expect_status(404);
        expect_promised_fate(&mut client, &response);
        witness.expect_nothing_published();
    }
}

#[test]
fn head_is_404_without_a_body_on_other_paths() {
    let server = TestServer::start_default();
    for target in ["/broadcast", "/", "/sse/"] {
        let mut client = server.connect();
        client.send(format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.half_close();
        let responses = parse_responses(&client.rest(), &["HEAD"]);
        assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [404], "HEAD {target}");
    }
    assert_eq!(server.count(), 0);
}

/// Monitors and `curl -I` send it. The connection closes, and no stream is counted.
#[test]
fn head_is_answered_as_get_without_a_body() {
    let server = TestServer::start_default();
    let _stream = server.stream();
    for (target, fields) in [
        (
            "/sse",
            "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\n\
                  X-Accel-Buffering: no\r\n",
        ),
        (
            "/connections",
            "Content-Type: text/plain\r\nCache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\n\
                          Content-Length: 1\r\n",
        ),
    ] {
        let mut client = server.connect();
        client.send(format!("HEAD {target}?t=1 HTTP/1.1\r\nHost: h\r\n\r\nGET /nope HTTP/1.1\r\nHost: h\r\n\r\n"));
        let text = String::from_utf8(client.rest()).expect("a head is text");
        let (status, rest) = text.split_once("\r\nDate: ").expect("it has its date");
        let (_, rest) = rest.split_once("\r\n").expect("a line ends");
        assert_eq!(status, "HTTP/1.1 200 OK");
        assert_bytes("its fields alone", format!("{fields}Connection: close\r\n\r\n").as_bytes(), rest.as_bytes());
        assert_eq!(server.count(), 1, "HEAD {target} is no stream");
    }
    let mut client = server.connect();
    client.send("HEAD /sse?topic=a/ HTTP/1.1\r\nHost: h\r\n\r\n");
    let responses = parse_responses(&client.rest(), &["HEAD"]);
    assert_eq!(responses.iter().map(|response| response.status).collect::<Vec<_>>(), [400], "as GET");
}

#[test]
fn the_count_has_risen_before_ok_is_sent() {
    let server = TestServer::start_default();
    let mut streams = Vec::new();
    for count in 1..=40 {
        streams.push(server.stream());
        assert_eq!(server.publisher.streams(), count, "right after :ok");
        assert_eq!(server.count(), count, "right after :ok");
    }
}

#[test]
fn only_streams_are_counted() {
    let server = TestServer::start_default();
    let mut idle = server.connect();
    idle.request(post("x")).expect_status(202);
    let mut begun = server.connect();
    begun.send(b"GET /sse HTTP/1.1\r\nHost: h\r\n");
    assert_eq!(server.count(), 0);
    assert_eq!(server.publisher.streams(), 0);
}

#[test]
fn the_count_falls_at_a_close_reset_or_half_close() {
    type Leave = fn(EventStream) -> Option<EventStream>;
    let server = TestServer::start_default();
    let stay = server.stream();
    let ways: [(&str, Leave); 3] = [
        ("close", |stream| {
            drop(stream);
            None
        }),
        ("reset", |stream| {
            stream.reset();
            None
        }),
        ("half-close", |mut stream| {
            stream.half_close();
            Some(stream)
        }),
    ];
    for (name, leave) in ways {
        let _row = showing(name, b"");
        let (first, second) = (server.stream(), server.stream());
        assert_eq!(server.count(), 3);
        let left = leave(first);
        server.wait_for_count(2);
        let left = [left, leave(second)];
        server.wait_for_count(1);
        assert_eq!(server.publisher.streams(), 1);
        drop(left);
    }
    drop(stay);
    server.wait_for_count(0);
}

#[test]
fn a_fin_from_the_client_ends_its_stream() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    stream.half_close();
    assert_bytes("behind the client's FIN", b"", &stream.rest());
    server.wait_for_count(0);
}

#[test]
fn a_fin_right_behind_the_request_ends_its_stream() {
    let server = TestServer::start_default();
    let mut client = server.connect();
    client.send(get("/sse"));
    client.half_close();
    let sent = client.rest();
    assert!(sent.is_empty() || sent.ends_with(b"\r\n\r\n:ok\n\n"), "a stream, or nothing: {:?}", sent.escape_ascii());
    server.wait_for_count(0);
}

#[test]
fn a_publish_with_a_half_close_is_answered() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    client.send(post("last words"));
    client.half_close();
    client.response().expect_status(202);
    client.expect_closed();
    stream.expect_data("last words");
}

#[test]
fn the_query_is_ignored_by_routing() {
    let server = TestServer::start_default();
    for query in ["?", "?x=1", "?x=/sse&y=%00", "?/connections", "??"] {
        let _row = showing(query, b"");
        let (mut stream, _) = EventStream::open_with(server.connect(), &get(&format!("/sse{query}")));
        server.publish("x");
        stream.expect_data("x");
        server.request(get(&format!("/connections{query}"))).expect_status(200);
        server.request(options(&format!("/sse{query}"))).expect_status(204);
        server.request(options(&format!("/connections{query}"))).expect_status(204);
    }
    let mut stream = server.stream();
    for query in ["?", "?&&"] {
        let publish = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        server.request(publish).expect_status(202);
        stream.expect_data("x");
    }
}

#[test]
fn an_absolute_target_equals_its_path() {
    let server = TestServer::start_default();
    for base in ["http://h", "http://other.example:8080", "HTTP://H", "http://[::1]:1942", "http://127.0.0.1"] {
        let _row = showing(base, b"");
        let (mut stream, _) = EventStream::open_with(server.connect(), &get(&format!("{base}/sse?x=1")));
        let publish = format!("POST {base}/broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        server.request(publish).expect_status(202);
        stream.expect_data("x");
        let count = server.request(get(&format!("{base}/connections"))).expect_status(200);
        assert!(count.closes(), "{count:?}");
        server.request(options(&format!("{base}/sse"))).expect_status(204);
        server.request(get(&format!("{base}/nope"))).expect_status(404);
        server.request(get(&format!("{base}/nope?/sse"))).expect_status(404);
    }
}

/// One segment holds them all; responses and events keep the order.
#[test]
fn pipelined_publishes_keep_their_order() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    let lines: Vec<String> = (0..50).map(|number| format!("message {number}")).collect();
    let mut segment = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let chunked = format!("{:x}\r\n{line}\r\n0\r\n\r\n", line.len());
        segment.extend(if number % 2 == 0 { post(line) } else { post_chunked(chunked) });
    }
    client.send(segment);
    for _ in &lines {
        client.response().expect_status(202);
    }
    for line in &lines {
        stream.expect_data(line);
    }
    client.request(post("still alive")).expect_status(202);
}

#[test]
fn a_publisher_is_kept_alive() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    for line in ["one", "two", "three"] {
        let response = client.request(post(line)).expect_status(202);
        assert!(!response.closes(), "{response:?}");
        stream.expect_data(line);
    }
}

#[test]
fn every_client_gets_the_same_bytes() {
    let server = TestServer::start_default();
    let requests: [&[u8]; 4] = [
        b"GET /sse HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /sse HTTP/1.0\r\n\r\n",
        b"GET /sse HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept-Encoding: gzip\r\nTE: trailers\r\n\r\n",
        b"GET /sse HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ];
    let mut streams: Vec<_> =
        requests.iter().map(|request| EventStream::open_with(server.connect(), request).0).collect();
    assert_eq!(server.count(), 4);
    server.publish("a\nb");
    server.publish("c");
    for stream in &mut streams {
        stream.expect(b"data: a\ndata: b\n\ndata: c\n\n");
    }
}

#[test]
fn http_1_0_closes_unless_keep_alive_is_requested() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    client.request("POST /broadcast HTTP/1.0\r\nContent-Length: 3\r\n\r\none").expect_status(202);
    client.expect_closed();
    stream.expect_data("one");

    let mut client = server.connect();
    for option in ["keep-alive", "Keep-Alive"] {
        let head = format!("POST /broadcast HTTP/1.0\r\nConnection: {option}\r\nContent-Length: 3\r\n\r\ntwo");
        let response = client.request(head).expect_status(202);
        let kept = response.field("connection").map(str::to_ascii_lowercase);
        assert_eq!(kept.as_deref(), Some("keep-alive"), "an HTTP/1.0 client must be told: {response:?}");
        stream.expect_data("two");
    }
    client.request("GET /connections HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").expect_status(200);
    client.expect_closed();
}

/// Nothing is broadcast.
#[test]
fn a_body_of_other_bytes_than_utf_8_is_400() {
    let mut witness = Witness::start(Limits::default());
    for (name, body) in [
        ("a byte that is never used", b"a\xffb".as_slice()),
        ("a continuation alone", b"\x80"),
        ("a sequence cut off at the end", b"snow \xe2\x98"),
        ("a sequence cut off by another", b"\xe2\x98a"),
        ("an overlong form", b"\xc0\x80"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("above U+10FFFF", b"\xf4\x90\x80\x80"),
        ("Latin-1", b"caf\xe9"),
        ("UTF-16", b"\xff\xfea\0"),
    ] {
        let coded = [format!("{:x}\r\n", body.len()).as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
        for request in [post(body), post_chunked(coded)] {
            let _row = showing(name, &request);
            let mut client = witness.server.connect();
            let response = client.request(&request).expect_status(400);
            expect_promised_fate(&mut client, &response);
            witness.expect_nothing_published();
        }
    }
}
