//! A test message: published, received on a stream of its own, and shown.

use serde_json::Value;
use smolcast::{Access, Config, Limits, Retention, Server};
use support::{EventStream, Served, TestServer, assert_bytes, config, showing, wait_until};

use super::{admin, ask, request, start, watched};

/// The response once the message has arrived.
#[track_caller]
fn arrived(server: &TestServer, target: &str, message: &str, streams: u64) -> String {
    let response = ask(admin(server), request("POST", target, message.as_bytes())).expect_status(200);
    response.expect_field("content-type", "application/json");
    let told: Value = serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"));
    assert_eq!(super::live::names(&told), ["bytes", "event", "seconds", "streams"]);
    assert!(told["seconds"].as_f64().is_some_and(|time| time > 0.0 && time < 5.0), "{told}");
    assert_eq!(told["streams"].as_u64(), Some(streams), "its own is none of them: {told}");
    let event = told["event"].as_str().unwrap_or_else(|| panic!("no text: {told}"));
    assert!(told["bytes"].as_u64().is_some_and(|bytes| bytes >= event.len() as u64), "{told}");
    event.to_owned()
}

#[test]
fn a_trial_reaches_every_stream_and_is_shown() {
    let server = start(config(Limits::default()));
    let mut streams = [server.stream(), server.stream()];
    for (target, message, event) in [
        ("/publish", "hello", "data: hello\n\n"),
        ("/publish", "", "data: \n\n"),
        ("/publish", "a\nb\r\n\"é\" \\", "data: a\ndata: b\ndata: \"é\" \\\n\n"),
        ("/publish?event=greeting&id=7&retry=1500", "x", ""),
        ("/publish?event=%22", "x", "event: \"\ndata: x\n\n"),
    ] {
        let _row = showing(target, message.as_bytes());
        let told = arrived(&server, target, message, 2);
        if !event.is_empty() {
            assert_bytes("the event shown", event.as_bytes(), told.as_bytes());
        }
        streams.iter_mut().for_each(|stream| stream.expect(told.as_bytes()));
        wait_until("its own stream is gone", || server.publisher.streams() == 2);
    }
    assert_eq!(server.metrics.messages(), 5);
    wait_until("so is its connection", || server.metrics.connections() == 2);
}

/// The event of a long message was once searched for at each read, which blocked the thread for seconds.
#[test]
fn a_long_message_is_shown_in_part() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let message = "\n".repeat(1024 * 1024);
    let told = arrived(&server, "/publish", &message, 1);
    assert_bytes("its beginning", "data: \n".repeat(1 << 14).as_bytes()[..1 << 14].as_ref(), told.as_bytes());
    stream.expect(format!("{}\n", "data: \n".repeat(message.len() + 1)).as_bytes());
}

#[test]
fn a_trial_takes_long_topics() {
    let server = start(config(Limits::default()));
    let topics: Vec<_> = (0..16).map(|number| format!("topic={}{number:x}", "a/".repeat(20))).collect();
    arrived(&server, &format!("/publish?{}", topics.join("&")), "x", 0);
}

#[test]
fn a_trial_with_a_topic_reaches_its_subscribers() {
    let server = start(config(Limits::default()));
    let mut all = server.stream();
    let open = |topic: &str| {
        let head = format!("GET /sse?topic={topic} HTTP/1.1\r\nHost: h\r\n\r\n");
        EventStream::open_with(server.connect(), head.as_bytes()).0
    };
    let (mut asks, mut asks_for_other) = (open("a/%23"), open("b"));
    let told = arrived(&server, "/publish?topic=a/1&topic=%C3%A9", "x", 1);
    assert_bytes("the event shown", b"data: x\n\n", told.as_bytes());
    asks.expect_data("x");
    server.publish("sentinel");
    [&mut all, &mut asks, &mut asks_for_other].into_iter().for_each(|stream| stream.expect_data("sentinel"));
    wait_until("its own stream is gone", || server.publisher.streams() == 3);
}

#[test]
fn with_a_history_a_trial_can_be_resumed_from() {
    let history = Some(Retention::default());
    let server = start(Config { history, ..config(Limits::default()) });
    let mut stream = server.stream();
    let told = arrived(&server, "/publish", "one", 1);
    let id = told.strip_prefix("id: ").and_then(|rest| rest.strip_suffix("\ndata: one\n\n"));
    let id = id.unwrap_or_else(|| panic!("no id: {told:?}"));
    stream.expect(told.as_bytes());
    let next = arrived(&server, "/publish?id=own", "two", 1);
    assert_bytes("with an id of its own", b"id: own\ndata: two\n\n", next.as_bytes());
    let head = format!("GET /sse HTTP/1.1\r\nHost: h\r\nLast-Event-ID: {id}\r\n\r\n");
    EventStream::open_with(server.connect(), head.as_bytes()).0.expect(next.as_bytes());
}

/// Every client of the admin address may publish, whatever the public side demands.
#[test]
fn a_trial_needs_no_token() {
    for hosts in [&["example.com"][..], &["*.example.com", "b.example"], &["example.com:81"]] {
        let access = Access {
            hosts: hosts.iter().map(|host| host.parse().expect("a host")).collect(),
            publish_tokens: vec!["let-me".parse().expect("a token")],
            origins: vec!["https://app.example".parse().expect("an origin")],
        };
        let server = start(Config { access, ..config(Limits::default()) });
        let told = arrived(&server, "/publish", hosts[0], 0);
        assert_bytes("the event shown", format!("data: {}\n\n", hosts[0]).as_bytes(), told.as_bytes());
        server.request("POST /broadcast HTTP/1.1\r\nHost: b.example\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(server.metrics.messages(), 1, "the public side still asks for it");
    }
}

#[test]
fn an_invalid_trial_publishes_nothing() {
    let server = start(config(Limits { body_bytes: 1000, ..Limits::default() }));
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
        ("chunks", unsized_one("Transfer-Encoding: chunked\r\n"), 411),
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
    early.expect_closed();
    server.publish("sentinel");
    stream.expect_data("sentinel");
    assert_eq!((server.metrics.messages(), server.publisher.streams()), (1, 1));
}

#[test]
fn a_trial_before_the_server_runs_is_refused() {
    let server = Server::bind(watched(config(Limits::default()))).expect("a free port");
    let admin = server.admin_address().cloned().expect("it was asked for");
    let response = ask(&admin, request("POST", "/publish", b"x")).expect_status(503);
    assert_bytes("why", b"The server is starting; try again later.\n", &response.body);
    ask(&admin, request("POST", "/disconnect?stream=0-0", b"")).expect_status(404);
    assert_eq!(server.metrics().messages(), 0);
}

#[test]
fn a_client_that_expects_100_gets_it() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let mut client = super::connect(admin(&server));
    let head = "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    client.send("hello");
    client.response().expect_status(200);
    client.expect_closed();
    stream.expect_data("hello");
}
