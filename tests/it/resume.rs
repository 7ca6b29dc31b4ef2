//! Streams that reconnect: every missed event, once and in order, or a gap.

use std::thread;

use smolcast::{Limits, Retention};
use support::{Client, EventStream, Served, TestServer, assert_bytes, config, post, showing, sse, with};

fn with_history(events: usize) -> TestServer {
    let history = Some(with!(Retention::default(), { events }));
    TestServer::start(with!(config(Limits::default()), { history }))
}

fn stream(server: &TestServer, query: &str, id: Option<&str>) -> EventStream {
    let field = id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
    let request = format!("GET /sse{query} HTTP/1.1\r\nHost: h\r\n{field}\r\n");
    EventStream::open_with(server.connect(), request.as_bytes()).0
}

fn events(ids: &[String], lines: &[&str]) -> String {
    ids.iter().zip(lines).map(|(id, line)| format!("id: {id}\ndata: {line}\n\n")).collect()
}

/// A number follows the time of the server's start and random digits.
#[test]
fn every_event_has_its_publishers_id_or_a_number() {
    let server = with_history(10);
    let mut stream = stream(&server, "", None);
    let ids = [
        server.publish_for_id("", "a"),
        server.publish_for_id("?event=e&retry=5", "b"),
        server.publish_for_id("?id=own", "c"),
    ];
    let boot = ids[0].strip_suffix("-1").expect("the first");
    let is_digit = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
    assert!(boot.len() == 14 && boot.bytes().all(is_digit), "{boot}: the time and random digits, in base 36");
    assert_eq!(ids[1..], [format!("{boot}-2"), "own".to_owned()]);
    stream.expect_resume_point(&format!("{boot}-0"));
    stream.expect(format!("id: {boot}-1\ndata: a\n\nevent: e\nid: {boot}-2\nretry: 5\ndata: b\n\n").as_bytes());
    stream.expect(b"id: own\ndata: c\n\n");
    assert_eq!(server.publish_for_id("", "d"), format!("{boot}-4"));
}

#[test]
fn a_resumed_stream_gets_missed_events_then_live_ones() {
    let server = with_history(10);
    let ids = ["1", "2", "3"].map(|line| server.publish_for_id("", line));
    let all = events(&ids, &["1", "2", "3"]);
    let behind_first = events(&ids[1..], &["2", "3"]);
    let query = |name: &str| format!("?{name}={}", ids[0]);
    let mut table = [
        ("no id", stream(&server, "", None), ""),
        ("header", stream(&server, "", Some(&ids[0])), &*behind_first),
        ("Mercure", stream(&server, &query("last_event_id"), None), &*behind_first),
        ("polyfill", stream(&server, &query("lastEventId"), None), &*behind_first),
        ("better-sse", stream(&server, &query("evs_last_event_id"), None), &*behind_first),
        ("header first", stream(&server, "?last_event_id=x", Some(&ids[2])), ""),
        ("all", stream(&server, "?last_event_id=earliest", None), &*all),
        ("the last", stream(&server, "", Some(&ids[2])), ""),
    ];
    let live = server.publish_for_id("", "live");
    for (name, stream, expected) in &mut table {
        let _row = showing(*name, expected.as_bytes());
        stream.expect(expected.as_bytes());
        stream.expect_resume_point(&ids[2]);
        stream.expect(format!("id: {live}\ndata: live\n\n").as_bytes());
    }
}

#[test]
fn a_resumed_stream_of_topics_gets_those_alone() {
    let server = with_history(10);
    let first = server.publish_for_id("", "0");
    let ids: Vec<_> =
        ["?topic=a", "?topic=b", "", "?topic=a/x"].iter().map(|query| server.publish_for_id(query, "x")).collect();
    for (query, wanted) in [("", &[2][..]), ("?topic=a", &[0, 2]), ("?topic=a/%23", &[0, 2, 3]), ("?topic=b", &[1, 2])]
    {
        let _row = showing(query, b"");
        let expected: String =
            wanted.iter().map(|number: &usize| format!("id: {}\ndata: x\n\n", ids[*number])).collect();
        let mut stream = stream(&server, query, Some(&first));
        stream.expect(expected.as_bytes());
        // It covers the events of other topics as well.
        stream.expect_resume_point(&ids[3]);
    }
}

#[test]
fn an_unknown_resume_point_is_a_gap_in_band() {
    let server = with_history(2);
    let mut unknown = stream(&server, "", Some("a\"b"));
    let ids = ["1", "2", "3", "4"].map(|line| server.publish_for_id("", line));
    let start = format!("{}0", ids[0].strip_suffix('1').expect("the first"));
    let nothing = "{\"requested\":\"a\\\"b\",\"resumed_from\":null,\"oldest\":null}";
    unknown.expect(format!("event: gap\nid: {start}\ndata: {nothing}\n\n").as_bytes());
    unknown.expect_resume_point(&start);
    let held = events(&ids[2..], &["3", "4"]);
    unknown.expect(events(&ids, &["1", "2", "3", "4"]).as_bytes());
    for (id, has_gap) in [(&*ids[0], true), ("1-1", true), ("never", true), (&ids[1], false)] {
        let _row = showing("the id", id.as_bytes());
        let mut stream = stream(&server, "", Some(id));
        if has_gap {
            let (requested, oldest) = (id, &ids[2]);
            let data =
                format!("{{\"requested\":\"{requested}\",\"resumed_from\":\"{oldest}\",\"oldest\":\"{oldest}\"}}");
            stream.expect(format!("event: gap\nid: {}\ndata: {data}\n\n", ids[1]).as_bytes());
        }
        stream.expect(held.as_bytes());
        stream.expect_resume_point(&ids[3]);
    }
}

#[test]
fn without_a_history_ids_are_ignored() {
    let server = TestServer::start_default();
    server.publish("before");
    let mut streams = [stream(&server, "", Some("1-1")), stream(&server, "?last_event_id=a&last_event_id=b", None)];
    let request = "POST /broadcast HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nContent-Length: 1\r\n\r\nx";
    assert_bytes("the answer", b"{\"subscribers\":2}\n", &server.request(request).expect_status(202).body);
    streams.iter_mut().for_each(|stream| stream.expect(b"data: x\n\n"));
}

#[test]
fn a_history_larger_than_any_buffer_is_replayed_whole() {
    let server = with_history(1000);
    let line = "x".repeat(10_000);
    let first = server.publish_for_id("", "first");
    let mut publisher = server.connect();
    publisher.send(post(&line).repeat(500));
    (0..500).for_each(|_| drop(publisher.response().expect_status(202)));
    let mut stream = stream(&server, "", Some(&first));
    (0..500).for_each(|_| assert_eq!(stream.message().data, line));
    server.publish("live");
    assert_eq!(stream.message().data, "live");
}

const TOPICS: [&str; 4] = ["a", "b", "c/d", "c/e"];
const MESSAGES: usize = 2000;

/// A client that leaves after a few events, in one of several ways, and resumes.
fn wander(server: &TestServer, filters: &str, seed: usize) -> Vec<String> {
    let (mut lines, mut last, mut turn) = (Vec::new(), "earliest".to_owned(), seed);
    loop {
        let mut stream = stream(server, &format!("?{filters}last_event_id={last}"), None);
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        for _ in 0..=(turn >> 33) % 60 {
            let sse::Message { data, last_event_id, .. } = stream.message();
            if data == "end" {
                return lines;
            }
            lines.push(data);
            last = last_event_id;
        }
        match (turn >> 40) % 3 {
            0 => drop(stream),
            1 => stream.reset(),
            _ => stream.half_close(),
        }
    }
}

/// Clients that stay for some events at a time see, in pieces, the same as a client that stays.
#[test]
fn reconnecting_clients_get_each_message_once_in_order() {
    let server = with_history(MESSAGES + 1);
    let addr = server.addr;
    thread::scope(|scope| {
        let wanderers: Vec<_> = (0..20)
            .map(|seed| {
                let filters = ["", "topic=a&", "topic=c/%2B&topic=b&", "topic=%23&"][seed % 4];
                let server = &server;
                scope.spawn(move || (seed % 4, wander(server, filters, seed)))
            })
            .collect();
        let mut witness = stream(&server, "?topic=%23", None);
        let publishers: Vec<_> =
            (0..4).map(|publisher| scope.spawn(move || publish_many(Client::connect(addr), publisher))).collect();
        publishers.into_iter().for_each(|publisher| publisher.join().expect("it publishes"));
        server.publish("end");
        let order: Vec<String> = (0..MESSAGES).map(|_| witness.message().data).collect();
        for wanderer in wanderers {
            let (kind, lines) = wanderer.join().expect("it comes back");
            let wants = |line: &String| match (kind, line.split(' ').next().unwrap_or_default()) {
                (_, "") | (3, _) => true,
                (0, _) => false,
                (1, topic) => topic == "a",
                (_, topic) => topic == "b" || topic.starts_with("c/"),
            };
            let expected: Vec<_> = order.iter().filter(|line| wants(line)).collect();
            assert_eq!(lines.iter().collect::<Vec<_>>(), expected, "of kind {kind}");
        }
    });
}

fn publish_many(mut client: Client, publisher: usize) {
    let count = MESSAGES / 4;
    for number in 0..count {
        let topic = TOPICS.get((publisher + number) % (TOPICS.len() + 1)).copied().unwrap_or_default();
        let query = if topic.is_empty() { String::new() } else { format!("?topic={topic}") };
        let line = format!("{topic} {publisher} {number}");
        let length = line.len();
        client.send(format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{line}"));
        client.response().expect_status(202);
    }
}
