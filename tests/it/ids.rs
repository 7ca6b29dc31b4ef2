//! The ids of events: which a publisher may give, and how clients come back with them.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use smolcast::{Event, HistoryDir, InvalidField, Limits, PublishError, Retention};
use support::{EventStream, Folder, Served, TestServer, assert_bytes, config, post, showing, with, within_deadline};

const BAD_ID: &[u8] = b"An id has 1 to 512 bytes, no control character, no blank at its ends, and is not earliest.\n";
const DUPLICATE: &[u8] = b"The history has an event with this id already, so this was not published again.\n";

fn with_history(events: usize) -> TestServer {
    let history = Some(with!(Retention::default(), { events }));
    TestServer::start(with!(config(Limits::default()), { history }))
}

fn with_history_in(folder: &Folder) -> TestServer {
    let history_dir = Some(HistoryDir::new(folder.path("history")));
    TestServer::start(with!(config(Limits::default()), { history_dir }))
}

/// A stream by this query and these fields of the head.
fn stream(server: &TestServer, query: &str, fields: impl AsRef<[u8]>) -> EventStream {
    let line = format!("GET /sse{query} HTTP/1.1\r\nHost: h\r\n");
    EventStream::open_with(server.connect(), &[line.as_bytes(), fields.as_ref(), b"\r\n"].concat()).0
}

/// A stream of a client that comes back with this id, as a browser sends it.
fn come_back(server: &TestServer, query: &str, id: &str) -> EventStream {
    stream(server, query, format!("Last-Event-ID: {id}\r\n"))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02x}")).collect()
}

fn post_with(fields: &str, query: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

/// Nothing is published.
#[test]
fn an_id_that_cannot_come_back_is_refused() {
    let server = with_history(10);
    let mut witness = server.stream();
    witness.resume_point();
    let long = "x".repeat(513);
    for id in
        ["", " ", " a", "a ", "a\t", "a\0", "a\nb", "\r", "a\u{c}b", "\u{1b}[0m", "\u{7f}", "\u{85}", "earliest", &long]
    {
        let _row = showing("the id", id.as_bytes());
        let response = server.request(post_with("", &format!("?id={}", encoded(id)), "x")).expect_status(400);
        assert_bytes("why", BAD_ID, &response.body);
        let outcome = within_deadline(server.publisher.publish(Event::new("x").with_id(id)));
        assert_eq!(outcome, Err(PublishError::InvalidField(InvalidField::Id)));
    }
    for field in ["Event-Id: \r\n", "Event-Id: earliest\r\n", &format!("Event-Id: {long}\r\n")] {
        server.request(post_with(field, "", "x")).expect_status(400);
    }
    let first = server.publish_for_id("", "sentinel");
    assert!(first.ends_with("-1"), "{first}");
    witness.expect(format!("id: {first}\ndata: sentinel\n\n").as_bytes());
}

#[test]
fn every_other_id_comes_back() {
    let server = with_history(100);
    let longest = "x".repeat(512);
    for id in ["0", "a b", "caf\u{e9}", "\u{1f980}", "a,b;c=\"d\"", "-", "7-3", &longest] {
        let _row = showing("the id", id.as_bytes());
        assert_eq!(server.request(post_with("", &format!("?id={}", encoded(id)), "x")).status, 202);
        let next = server.publish_for_id("", "next");
        for mut stream in [come_back(&server, "", id), stream(&server, &format!("?last_event_id={}", encoded(id)), "")]
        {
            stream.expect(format!("id: {next}\ndata: next\n\n").as_bytes());
            stream.expect_resume_point(&next);
        }
    }
}

/// A page that listens for `gap` believes it.
#[test]
fn the_type_of_a_gap_is_the_servers() {
    let server = TestServer::start_default();
    let mut witness = server.stream();
    server.request(post_with("", "?event=gap", "x")).expect_status(400);
    server.request(post_with("Event-Type: gap\r\n", "", "x")).expect_status(400);
    let outcome = within_deadline(server.publisher.publish(Event::new("x").with_type("gap")));
    assert_eq!(outcome, Err(PublishError::InvalidField(InvalidField::ReservedType)));
    server.publish("sentinel");
    witness.expect_data("sentinel");
}

/// The duplicates of one connection, sent at once; each has its response in its place.
#[track_caller]
fn expect_duplicates(server: &TestServer) {
    let mut witness = server.stream();
    witness.resume_point();
    let mut client = server.connect();
    let ids = ["?id=a", "?id=b", "?id=a", "", "?id=b", "?id=c"];
    client.send(ids.iter().flat_map(|query| post_with("", query, query)).collect::<Vec<_>>());
    for status in [202, 202, 409, 202, 409, 202] {
        let response = client.response().expect_status(status);
        if status == 409 {
            assert_bytes("why", DUPLICATE, &response.body);
        }
    }
    for data in ["?id=a", "?id=b", "", "?id=c"] {
        assert_eq!(witness.message().data, data);
    }
    // The connection stays open, and no number was lost.
    client.send(post_with("Accept: application/json\r\n", "", "x"));
    let receipt = client.response().expect_status(202);
    assert!(receipt.body.ends_with(b"-5\",\"subscribers\":1}\n"), "{receipt:?}");
    let outcome = within_deadline(server.publisher.publish(Event::new("x").with_id("a")));
    assert_eq!(outcome, Err(PublishError::Duplicate));
    let own = witness.message().last_event_id;
    server.request(post_with("", &format!("?id={own}"), "x")).expect_status(409);
}

#[test]
fn a_publish_with_the_id_of_a_held_event_is_409() {
    expect_duplicates(&with_history(10));
    let server = TestServer::start_default();
    (0..2).for_each(|_| drop(server.request(post_with("", "?id=a", "x")).expect_status(202)));
}

#[test]
fn a_publish_with_the_id_of_an_event_on_disk_is_409() {
    let folder = Folder::new();
    let server = with_history_in(&folder);
    expect_duplicates(&server);
    drop(server);
    let server = with_history_in(&folder);
    for id in ["a", "b", "c"] {
        server.request(post_with("", &format!("?id={id}"), "x")).expect_status(409);
    }
    assert!(server.publish_for_id("", "x").ends_with("-1"));
}

#[test]
fn an_id_that_went_with_its_event_is_free_again() {
    let server = with_history(1);
    server.publish_for_id("?id=a", "x");
    server.request(post_with("", "?id=a", "x")).expect_status(409);
    ["1", "2"].iter().for_each(|line| server.publish(line));
    assert_eq!(server.publish_for_id("?id=a", "x"), "a");
}

#[test]
fn no_resume_point_is_an_error() {
    let server = with_history(10);
    let ids = ["caf\u{e9}", "1", "2"].map(|id| server.publish_for_id(&format!("?id={}", encoded(id)), "x"));
    let long = "x".repeat(513);
    let twice = b"Last-Event-ID: 1\r\nLast-Event-ID: 1\r\n".to_vec();
    let field = |value: &[u8]| [b"Last-Event-ID: ", value, b"\r\n"].concat();
    for (query, fields, requested) in [
        ("", twice, Some("")),
        ("?last_event_id=1&last_event_id=1", vec![], Some("")),
        ("?last_event_id=%ff", vec![], Some("")),
        ("", field(long.as_bytes()), Some("")),
        (&*format!("?last_event_id={long}"), vec![], Some("")),
        ("", field(b"never"), Some("never")),
        ("", field(b"\xe9"), Some("\u{e9}")),
        // Some clients send Latin-1.
        ("", field(b"caf\xe9"), None),
        ("", field("caf\u{e9}".as_bytes()), None),
        // A client with an empty id has none.
        ("?last_event_id=caf%c3%a9", field(b""), None),
    ] {
        let _row = showing(query, &fields);
        let mut stream = stream(&server, query, &fields);
        let behind = if let Some(requested) = requested {
            let gap = stream.message();
            let data = format!("{{\"requested\":\"{requested}\",\"resumed_from\":\"{0}\",\"oldest\":\"{0}\"}}", ids[0]);
            assert_eq!((gap.event.as_str(), gap.data), ("gap", data));
            &ids[..]
        } else {
            &ids[1..]
        };
        for id in behind {
            stream.expect(format!("id: {id}\ndata: x\n\n").as_bytes());
        }
        stream.expect_resume_point("2");
    }
}

/// Its connection is lost before its first event.
#[test]
fn a_page_that_had_no_event_yet_misses_nothing() {
    let server = with_history(10);
    let start = stream(&server, "?topic=quiet", "").resume_point();
    let missed = server.publish_for_id("?topic=quiet", "missed");
    let other = server.publish_for_id("?topic=other", "x");
    let mut again = come_back(&server, "?topic=quiet", &start);
    again.expect(format!("id: {missed}\ndata: missed\n\n").as_bytes());
    again.expect_resume_point(&other);

    // Behind an event of its publisher's id, and behind one that is of no topic of the page.
    let own = server.publish_for_id("?topic=other&id=own", "x");
    let point = stream(&server, "?topic=quiet", "").resume_point();
    assert_eq!(point, own);
    let missed = server.publish_for_id("", "missed");
    come_back(&server, "?topic=quiet", &point).expect(format!("id: {missed}\ndata: missed\n\n").as_bytes());
}

#[test]
fn one_gap_is_told_once() {
    let server = with_history(2);
    let ids = ["1", "2", "3", "4"].map(|line| server.publish_for_id("", line));
    let gap = come_back(&server, "", &ids[0]).message();
    assert_eq!(gap.event, "gap");
    // It has the gap and nothing else.
    let mut again = come_back(&server, "", &gap.last_event_id);
    again.expect(format!("id: {}\ndata: 3\n\nid: {}\ndata: 4\n\n", ids[2], ids[3]).as_bytes());
    again.expect_resume_point(&ids[3]);
}

/// Streams that open amid messages.
#[test]
fn a_stream_goes_on_right_behind_its_resume_point() {
    expect_streams_amid("x", 20, 100);
}

/// These are sent from the history itself, each with a wait of its own.
#[test]
fn a_stream_of_long_events_goes_on_right_behind_them() {
    let server = with_history(10);
    let line = |number: usize| format!("{number} {}", "x".repeat(100_000));
    let ids: Vec<_> = (0..3).map(|number| server.publish_for_id("", &line(number))).collect();
    let mut behind_first = stream(&server, &format!("?last_event_id={}", ids[0]), "");
    let live = server.publish_for_id("", "live");
    for (number, id) in (1..).zip(&ids[1..]) {
        behind_first.expect(format!("id: {id}\ndata: {}\n\n", line(number)).as_bytes());
    }
    behind_first.expect(format!("id: {}\n\nid: {live}\ndata: live\n\n", ids[2]).as_bytes());
}

/// Opens streams amid publishes of this message; each goes on right behind its resume point.
#[track_caller]
fn expect_streams_amid(message: &str, at_once: usize, rounds: u64) {
    let server = with_history(100_000);
    let is_done = AtomicBool::new(false);
    let number_of = |id: &str| id.rsplit('-').next().and_then(|number| number.parse::<u64>().ok()).expect("a number");
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.connect();
            while !is_done.load(Relaxed) {
                client.send(post(message).repeat(at_once));
                (0..at_once).for_each(|_| drop(client.response().expect_status(202)));
            }
        });
        for round in 0..rounds {
            let mut stream = stream(&server, if round % 2 == 0 { "" } else { "?last_event_id=earliest" }, "");
            let mut last = 0;
            // The resume point of a replay comes behind its events.
            loop {
                let block = String::from_utf8(stream.block()).expect("text");
                let id = block.strip_prefix("id: ").and_then(|rest| rest.lines().next()).expect("an id");
                let (number, is_event) = (number_of(id), block.contains("\ndata: "));
                assert!(number == last + u64::from(is_event) || last == 0, "{number} after {last}");
                last = number;
                if !is_event {
                    break;
                }
            }
            assert_eq!(number_of(&stream.message().last_event_id), last + 1);
        }
        is_done.store(true, Relaxed);
    });
}
