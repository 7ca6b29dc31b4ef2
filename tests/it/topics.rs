//! Topics: a message reaches the subscribers of its topics, each once, in one order.

use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size;
use smolcast::{Event, Limits};
use support::{
    End, EventStream, Served, TestServer, assert_bytes, get, post, showing, wait_until, with, within_deadline,
};

fn stream(server: &TestServer, query: &str) -> EventStream {
    EventStream::open_with(server.connect(), &get(&format!("/sse{query}"))).0
}

fn publish(server: &TestServer, query: &str, line: &str) {
    let request = String::from_utf8(post(line)).expect("text").replacen("/broadcast", &format!("/broadcast{query}"), 1);
    server.request(request).expect_status(202);
}

fn count(server: &TestServer, query: &str) -> String {
    let answer = server.request(get(&format!("/connections{query}"))).expect_status(200);
    String::from_utf8(answer.body).expect("digits")
}

/// A broadcast reaches every stream.
#[test]
fn a_message_with_topics_reaches_their_subscribers() {
    let server = TestServer::start_default();
    let table = [
        ("", "0 9"),
        ("?topic=a", "0 1 4 9"),
        ("?topic=a/b", "0 2 4 9"),
        ("?topic=a/%2B", "0 2 4 9"),
        ("?topic=a/+", "0 2 4 9"),
        ("?topic=a/%20", "0 2 4 9"),
        ("?topic=a/%23", "0 1 2 3 4 9"),
        ("?topic=%23", "0 1 2 3 4 5 9"),
        ("?topic=c&topic=a/b&topic=a&x=1&topic=a", "0 1 2 4 9"),
        ("?topic=%61", "0 1 4 9"),
    ];
    let mut streams = table.map(|(query, _)| stream(&server, query));
    for (query, line) in [
        ("", "0"),
        ("?topic=a", "1"),
        ("?topic=a/b", "2"),
        ("?topic=a/b/c", "3"),
        ("?topic=a&topic=a/b&topic=d", "4"),
        ("?topic=A", "5"),
        ("?topic=$sys", "6"),
        ("", "9"),
    ] {
        publish(&server, query, line);
    }
    for ((query, lines), stream) in table.iter().zip(&mut streams) {
        let _row = showing(query, lines.as_bytes());
        let events: String = lines.split(' ').map(|line| format!("data: {line}\n\n")).collect();
        stream.expect(events.as_bytes());
    }
}

/// Without a topic it counts all of them.
#[test]
fn connections_counts_the_streams_of_a_topic() {
    let server = TestServer::start_default();
    let queries = ["", "?topic=a", "?topic=a&topic=b", "?topic=%23", "?topic=b/%2B"];
    let mut streams: Vec<_> = queries.iter().map(|query| stream(&server, query)).collect();
    for (query, expected) in
        [("", "5"), ("?topic=a", "3"), ("?topic=b", "2"), ("?topic=b/c", "2"), ("?topic=a&topic=b/c", "4"), ("?x", "5")]
    {
        assert_eq!(count(&server, query), expected, "for {query:?}");
    }
    let request =
        "POST /broadcast?topic=a HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nContent-Length: 0\r\n\r\n";
    assert_bytes("what became of it", b"{\"subscribers\":3}\n", &server.request(request).expect_status(202).body);
    streams.truncate(2);
    server.wait_for_count(2);
    assert_eq!(count(&server, "?topic=a"), "1");
}

#[test]
fn an_in_process_receipt_counts_the_same_streams() {
    let server = TestServer::start_default();
    let _streams = ["", "?topic=a", "?topic=%23"].map(|query| stream(&server, query));
    for (event, subscribers) in
        [(Event::new("x"), 3), (Event::new("x").with_topic("a"), 2), (Event::new("x").with_topic("b"), 1)]
    {
        let receipt = within_deadline(server.publisher.publish(event)).expect("the server runs");
        assert_eq!((receipt.id, receipt.subscribers), (None, subscribers));
    }
}

#[test]
fn an_invalid_topic_is_400_and_names_the_limit() {
    let server = TestServer::start_default();
    let mut witness = stream(&server, "?topic=%23");
    let long = format!("topic={}", "x".repeat(257));
    let many = |count: usize| (0..count).map(|number| format!("topic={number}")).collect::<Vec<_>>().join("&");
    for (query, advice) in [
        ("topic=", "1 to 256 bytes"),
        ("topic", "1 to 256 bytes"),
        (&*long, "1 to 256 bytes"),
        ("topic=a%00", "no NUL, CR or LF"),
        ("topic=a%0d", "no NUL, CR or LF"),
        ("topic=a%ff", "not valid UTF-8"),
        ("topic=a%23", ""),
        ("topic=a%2B", ""),
        ("topic=a/", "write # as %23"),
        ("topic=b&topic=/", "write # as %23"),
        ("topics=a", "topic is the nearest known one"),
        ("Topic=a", "topic is the nearest known one"),
        ("TOPIC=a", "topic is the nearest known one"),
        (&*many(65), "at most"),
    ] {
        let _row = showing("the query", query.as_bytes());
        let publish = format!("POST /broadcast?{query} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        for request in [publish.into_bytes(), get(&format!("/sse?{query}"))] {
            let answer = server.request(request).expect_status(400);
            let body = String::from_utf8_lossy(&answer.body);
            assert!(answer.closes() && body.contains(advice), "{body}");
        }
    }
    for (query, status) in [(many(16), 202), (many(17), 400), ("topic=%2B".to_owned(), 400)] {
        let publish = format!("POST /broadcast?{query} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        server.request(publish).expect_status(status);
    }
    drop(stream(&server, &format!("?{}", many(64))));
    witness.expect_data("x");
    publish(&server, "?topic=end", "end");
    witness.expect_data("end");
}

/// Beside those of the query.
#[test]
fn topics_of_a_message_may_come_as_fields() {
    let server = TestServer::start_default();
    let mut streams = ["?topic=a/b", "?topic=c", "?topic=d,%20e", ""].map(|query| stream(&server, query));
    for (query, fields, line) in [
        ("", "Topic: a/b\r\n", "1"),
        ("", "TOPIC: c\r\nX: y\r\ntopic:\ta/b \r\n", "2"),
        ("?topic=c", "Topic: d, e\r\n", "3"),
        ("", "X-Topic: c\r\n", "all"),
    ] {
        let request = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\n{fields}");
        server.request(format!("{request}Content-Length: {}\r\n\r\n{line}", line.len())).expect_status(202);
    }
    for (stream, lines) in streams.iter_mut().zip([&["1", "2", "all"][..], &["2", "3", "all"], &["3", "all"], &["all"]])
    {
        lines.iter().for_each(|line| stream.expect_data(line));
    }
    for field in ["Topic:", "Topic: a/", "Topic: a/+", "Topic: \u{e9}\u{0}"] {
        let request = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{field}\r\nContent-Length: 1\r\n\r\nx");
        server.request(request).expect_status(400);
    }
}

/// Cache busters and other programs' parameters; probable typos of known ones are refused.
#[test]
fn readers_may_have_unknown_parameters_but_no_typos() {
    let server = TestServer::start_default();
    for query in ["t=1", "_=1", "ts=1", "v=2", "token=x", "access_token=x", "id=1", "event=x", "show=1"] {
        drop(stream(&server, &format!("?{query}")));
        count(&server, &format!("?{query}"));
    }
    for (query, count_too) in
        [("topics=a", true), ("Topic=a", true), ("TOPIC=a", true), ("tpoic=a", true), ("last-event-id=1", false)]
    {
        let _row = showing("the query", query.as_bytes());
        server.request(get(&format!("/sse?{query}"))).expect_status(400);
        let status = if count_too { 400 } else { 200 };
        server.request(get(&format!("/connections?{query}"))).expect_status(status);
    }
    server.request(get("/connections?topic=a/+")).expect_status(400);
    server.request(get("/connections?topic=a/")).expect_status(400);
}

#[test]
fn a_stream_on_several_topics_sees_one_order() {
    let server = TestServer::start_default();
    let mut streams = ["?topic=0&topic=1&topic=2", "?topic=%2B"].map(|query| stream(&server, query));
    let mut publisher = server.connect();
    let requests: Vec<_> = (0..300)
        .map(|number: usize| {
            let (topic, line) = (number % 3, format!("{number:03}"));
            format!("POST /broadcast?topic={topic} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n{line}")
        })
        .collect();
    publisher.send(requests.concat());
    (0..300).for_each(|_| drop(publisher.response().expect_status(202)));
    for stream in &mut streams {
        (0..300).for_each(|number| stream.expect_data(&format!("{number:03}")));
    }
}

#[test]
fn a_slow_stream_of_a_topic_is_cut_alone() {
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 64 * 1024 }));
    let stalled = server.connect();
    set_socket_recv_buffer_size(stalled.socket(), 64 * 1024).expect("SO_RCVBUF can be set");
    let stalled = EventStream::open_with(stalled, &get("/sse?topic=a"));
    let (mut healthy, mut other) = (stream(&server, "?topic=a"), stream(&server, "?topic=b"));
    let large = "x".repeat(256 * 1024);
    for _ in 0..200 {
        if server.publisher.streams() == 2 {
            break;
        }
        publish(&server, "?topic=a", &large);
        healthy.block();
    }
    assert_eq!(server.publisher.streams(), 2);
    publish(&server, "?topic=b", "b");
    other.expect_data("b");
    drop(stalled);
}

/// All further blocks of a stream, up to the event with this data.
fn rest_up_to(stream: &mut EventStream, data: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    loop {
        blocks.push(String::from_utf8(stream.block()).expect("events are text"));
        if blocks.last().is_some_and(|block| block.ends_with(&format!("data: {data}\n\n"))) {
            return blocks;
        }
    }
}

/// With `slow=latest`; a `gap` event precedes the latest ones.
#[test]
fn a_slow_stream_may_skip_to_the_latest_of_each_topic() {
    let limits = with!(Limits::default(), { window_bytes: 64 * 1024, window_time: Duration::ZERO });
    let server = TestServer::with_limits(limits);
    let client = server.connect();
    set_socket_recv_buffer_size(client.socket(), 64 * 1024).expect("SO_RCVBUF can be set");
    let mut slow = EventStream::open_with(client, &get("/sse?topic=a&topic=b&slow=latest")).0;
    let mut healthy = stream(&server, "?topic=%23");
    let large = "x".repeat(32 * 1024);
    for (query, line) in [("?topic=b", "b 1"), ("?topic=c", "c"), ("", "all")] {
        publish(&server, query, line);
        healthy.expect_data(line);
    }
    let mut number = 0;
    while server.metrics.streams_skipped() == 0 {
        assert!(number < 1000, "it does not lag");
        publish(&server, "?topic=a", &format!("a {number} {large}"));
        healthy.block();
        number += 1;
    }
    publish(&server, "?topic=b", "end");
    let blocks = rest_up_to(&mut slow, "end");
    assert!(blocks.iter().all(|block| block.starts_with("data: ") || block.starts_with("event: gap\n")));
    let gap = blocks.iter().position(|block| block.starts_with("event: gap\n")).expect("it is told");
    let first_words = |blocks: &[String]| -> Vec<String> {
        blocks.iter().map(|block| block.trim_end().chars().take("data: a 100".len()).collect()).collect()
    };
    let newest = first_words(&blocks[gap + 1..]);
    assert_eq!(newest[..2], ["data: b 1", "data: all"], "the newest that are no longer in the window");
    assert!(newest[2].starts_with("data: a ") && newest.last().is_some_and(|last| last == "data: end"), "{newest:?}");
    assert_eq!(server.publisher.streams(), 2, "no stream was cut");
}

/// Its client must not take the end for orderly. The stream's own task once wrote the rest of an event, while its
/// membership stood between two events.
#[test]
fn a_stream_that_ends_while_it_skips_is_reset() {
    let limits =
        with!(Limits::default(), { window_bytes: 64 * 1024, window_time: Duration::ZERO, stream_input_bytes: 100 });
    let server = TestServer::with_limits(limits);
    let client = server.connect();
    set_socket_recv_buffer_size(client.socket(), 64 * 1024).expect("SO_RCVBUF can be set");
    let mut slow = EventStream::open_with(client, &get("/sse?topic=a&slow=latest")).0;
    let large = "x".repeat(512 * 1024);
    for _ in 0..1000 {
        if server.metrics.streams_skipped() > 0 {
            break;
        }
        publish(&server, "?topic=a", &large);
    }
    assert!(server.metrics.streams_skipped() > 0, "it does not lag");
    slow.send(&[b'x'; 101]);
    wait_until("it is ended", || server.publisher.streams() == 0);
    let (received, end) = slow.rest_and_end();
    assert!(end == End::Reset || received.ends_with(b"\n\n"), "{} bytes, then an orderly end", received.len());
}

#[test]
fn an_unknown_slow_policy_is_400() {
    let server = TestServer::start_default();
    for query in ["slow=", "slow=Latest", "slow=latest&slow=latest"] {
        server.request(get(&format!("/sse?{query}"))).expect_status(400);
    }
    drop(stream(&server, "?slow=disconnect"));
}
