//! `POST /publish`: a message goes to every stream that it is for, and the answer is its receipt.

use serde_json::Value;
use smolcast::{AccessSettings, Limits, Retention, Server};
use support::{EventStream, Served, TestServer, assert_bytes, config, parse_responses, showing, with};

use super::{admin, ask, request, start, watched};

/// Publishes a message; returns its receipt, which has to name so many streams.
#[track_caller]
fn publish(server: &TestServer, target: &str, message: &str, streams: u64) -> Value {
    let response = ask(admin(server), request("POST", target, message.as_bytes())).expect_status(202);
    response.expect_field("content-type", "application/json");
    let receipt: Value = serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"));
    assert_eq!(receipt["subscribers"].as_u64(), Some(streams), "{receipt}");
    receipt
}

#[test]
fn a_message_reaches_every_stream() {
    let server = start(config(Limits::default()));
    let mut streams = [server.stream(), server.stream()];
    for (target, message, event) in [
        ("/publish", "hello", "data: hello\n\n"),
        ("/publish", "", "data: \n\n"),
        ("/publish", "a\nb\r\n\"é\" \\", "data: a\ndata: b\ndata: \"é\" \\\n\n"),
        ("/publish?event=greeting&id=7&retry=1500", "x", "event: greeting\nid: 7\nretry: 1500\ndata: x\n\n"),
        ("/publish?event=%22", "x", "event: \"\ndata: x\n\n"),
    ] {
        let _row = showing(target, message.as_bytes());
        let receipt = publish(&server, target, message, 2);
        assert_eq!(super::live::names(&receipt), ["subscribers"], "without a history there is no id");
        streams.iter_mut().for_each(|stream| stream.expect(event.as_bytes()));
    }
    assert_eq!((server.metrics.messages(), server.metrics.connections()), (5, 2));
}

/// Looking for the event of a long message on a stream of its own once kept the admin thread busy for seconds.
#[test]
fn a_long_message_has_its_receipt_at_once() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let message = "\n".repeat(1024 * 1024);
    publish(&server, "/publish", &message, 1);
    stream.expect(format!("{}\n", "data: \n".repeat(message.len() + 1)).as_bytes());
}

#[test]
fn a_message_may_have_many_long_topics() {
    let server = start(config(Limits::default()));
    let topics: Vec<_> = (0..16).map(|number| format!("topic={}{number:x}", "a/".repeat(20))).collect();
    publish(&server, &format!("/publish?{}", topics.join("&")), "x", 0);
}

#[test]
fn a_topic_reaches_the_streams_that_ask_for_it() {
    let server = start(config(Limits::default()));
    let mut all = server.stream();
    let open = |topic: &str| {
        let head = format!("GET /sse?topic={topic} HTTP/1.1\r\nHost: h\r\n\r\n");
        EventStream::open_with(server.connect(), head.as_bytes()).0
    };
    let (mut asks, mut asks_for_other) = (open("a/%23"), open("b"));
    publish(&server, "/publish?topic=a/1&topic=%C3%A9", "x", 1);
    asks.expect_data("x");
    server.publish("sentinel");
    [&mut all, &mut asks, &mut asks_for_other].into_iter().for_each(|stream| stream.expect_data("sentinel"));
}

#[test]
fn a_receipt_names_the_id_that_a_client_resumes_from() {
    let history = Some(Retention::default());
    let server = start(with!(config(Limits::default()), { history }));
    let mut stream = server.stream();
    let receipt = publish(&server, "/publish", "one", 1);
    let id = receipt["id"].as_str().unwrap_or_else(|| panic!("no id: {receipt}"));
    stream.resume_point();
    stream.expect(format!("id: {id}\ndata: one\n\n").as_bytes());
    let next = publish(&server, "/publish?id=own", "two", 1);
    assert_eq!(next["id"], "own");
    let head = format!("GET /sse HTTP/1.1\r\nHost: h\r\nLast-Event-ID: {id}\r\n\r\n");
    EventStream::open_with(server.connect(), head.as_bytes()).0.expect(b"id: own\ndata: two\n\n");
}

/// Anyone who reaches the admin address may publish, whatever the public side asks for.
#[test]
fn publishing_here_needs_no_token_and_no_listed_host() {
    for hosts in [&["example.com"][..], &["*.example.com", "b.example"], &["example.com:81"]] {
        let access = with!(AccessSettings::default(), {
            hosts: hosts.iter().map(|host| host.parse().expect("a host")).collect(),
            publish_tokens: vec!["let-me".parse().expect("a token")],
            origins: vec!["https://app.example".parse().expect("an origin")],
        });
        let server = start(with!(config(Limits::default()), { access }));
        publish(&server, "/publish", "x", 0);
        server.request("POST /broadcast HTTP/1.1\r\nHost: b.example\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(server.metrics.messages(), 1, "the public side still asks for it");
    }
}

#[test]
fn a_bad_publish_is_refused_and_reaches_nobody() {
    let server = start(config(with!(Limits::default(), { body_bytes: 1000 })));
    let mut stream = server.stream();
    let long = "x".repeat(1001);
    let sized = |target: &str, body: &[u8]| request("POST", target, body);
    let unsized_one = |fields: &str| format!("POST /publish HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes();
    for (name, bytes, status) in [
        ("a topic that is none", sized("/publish?topic=a/%2B", b"x"), 400),
        ("a long topic", sized(&format!("/publish?topic={}", "a".repeat(300)), b"x"), 400),
        ("two ids", sized("/publish?id=1&id=2", b"x"), 400),
        ("an event of two lines", sized("/publish?event=a%0ab", b"x"), 400),
        ("not UTF-8", sized("/publish", b"\xff"), 400),
        ("no length", unsized_one(""), 411),
        ("a bad chunk", [&unsized_one("Transfer-Encoding: chunked\r\n")[..], b"x\r\n"].concat(), 400),
        ("too long", sized("/publish", long.as_bytes()), 413),
        ("much too long, the head alone", unsized_one("Content-Length: 99999999999\r\n"), 413),
    ] {
        let _row = showing(name, &bytes);
        ask(admin(&server), &bytes).expect_status(status);
    }
    let mut early = super::connect(admin(&server));
    early.send(unsized_one("Content-Length: 5\r\n"));
    early.send("hell");
    early.half_close();
    assert_eq!(parse_responses(&early.rest(), &["POST"])[0].status, 400);
    server.publish("sentinel");
    stream.expect_data("sentinel");
    assert_eq!((server.metrics.messages(), server.publisher.streams()), (1, 1));
}

#[test]
fn a_server_that_is_starting_publishes_nothing() {
    let server = Server::bind(watched(config(Limits::default()))).expect("a free port");
    let admin = server.admin_address().cloned().expect("it was asked for");
    let response = ask(&admin, request("POST", "/publish", b"x")).expect_status(503);
    assert_bytes("why", b"The server is starting; try again later.\n", &response.body);
    ask(&admin, request("POST", "/disconnect?stream=0-0", b"")).expect_status(404);
    assert_eq!(server.metrics().messages(), 0);
}

#[test]
fn a_client_may_wait_for_100_continue() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let mut client = super::connect(admin(&server));
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    client.send("hello");
    client.response().expect_status(202);
    client.expect_closed();
    stream.expect_data("hello");
}

#[test]
fn a_body_may_come_in_chunks() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    ask(admin(&server), format!("{head}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")).expect_status(202);
    stream.expect_data("hello");
}
