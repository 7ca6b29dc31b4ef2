//! The slowest streams: listed while they are slow, and disconnected on request.

use std::time::Duration;

use serde_json::{Value, json};
use smolcast::{Address, Limits, StreamEnd};
use support::{End, EventStream, Served, TestServer, assert_bytes, config, showing, wait_until, with};

use super::live::{Page, names};
use super::{admin, ask, request, start};

/// More messages than the system buffers for a stalled stream.
const MESSAGES: usize = 8;

fn event() -> Vec<u8> {
    [b"data: ", &vec![b'x'; 1024 * 1024][..], b"\n\n"].concat()
}

/// A server that keeps slow streams, as long as `write_timeout` allows.
fn patient(write_timeout: Duration) -> TestServer {
    let limits = with!(Limits::default(), { window_bytes: 1024 * 1024 * 1024, write_timeout });
    start(config(limits))
}

/// A stream of this topic that reads nothing of many messages.
#[track_caller]
fn stalled(server: &TestServer, topic: &str) -> EventStream {
    let head = format!("GET /sse?topic={topic} HTTP/1.1\r\nHost: h\r\n\r\n");
    let stream = EventStream::open_with(server.connect().tight(), head.as_bytes()).0;
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n";
    for _ in 0..MESSAGES {
        server.request([head.as_bytes(), &vec![b'x'; 1024 * 1024]].concat()).expect_status(202);
    }
    stream
}

/// The only stream in the list.
#[track_caller]
fn listed(page: &mut Page) -> Value {
    let sample = page.sample_where("one is behind", |sample| sample["slowest"] != json!([]));
    let [one] = &sample["slowest"].as_array().expect("an array")[..] else { panic!("not one: {sample}") };
    one.clone()
}

#[track_caller]
fn disconnect(admin: &Address, id: &str) -> u16 {
    ask(admin, request("POST", &format!("/disconnect?stream={id}"), b"")).status
}

/// Its operator sees it, disconnects it, and it ends between two events.
#[test]
fn a_slow_stream_is_listed_and_disconnected_cleanly() {
    let server = patient(Duration::from_secs(60));
    let mut stream = stalled(&server, "a/%2B");
    let (mut page, _) = Page::open(admin(&server));
    let one = listed(&mut page);
    assert_eq!(names(&one), ["behind", "id", "peer", "seconds", "topics", "worker"]);
    let peer = stream.client().socket().local_addr().expect("it is connected").to_string();
    assert_eq!((&one["peer"], &one["topics"]), (&json!(peer), &json!(["a/+"])));
    assert!(one["behind"].as_u64() > Some(1024 * 1024) && one["worker"].as_u64() < Some(2), "{one}");
    let later = listed(&mut page);
    assert_eq!(later["id"], one["id"]);
    // The system may still have taken some of it.
    assert!(later["behind"].as_u64() <= one["behind"].as_u64(), "{one}, then {later}");
    assert!(later["seconds"].as_f64() > one["seconds"].as_f64(), "{one}, then {later}");

    let id = one["id"].as_str().expect("text");
    assert_eq!(disconnect(admin(&server), id), 204);
    wait_until("it is counted", || server.metrics.streams_ended(StreamEnd::Disconnected) == 1);
    assert_eq!(server.publisher.streams(), 0);
    assert_eq!(disconnect(admin(&server), id), 404);
    let (bytes, event) = (stream.rest(), event());
    let whole = bytes.len() / event.len();
    assert!((1..MESSAGES).contains(&whole), "{whole} events, not all of them");
    assert_bytes("whole events", &event.repeat(whole), &bytes);
    let sample = page.sample_where("no stream is slow", |sample| sample["slowest"] == json!([]));
    assert_eq!((&sample["ended"]["disconnected"], &sample["streams"]), (&json!(1), &json!(0)));
}

#[test]
fn a_disconnected_stream_that_never_reads_is_reset() {
    let server = patient(Duration::from_millis(1500));
    let mut stream = stalled(&server, "a");
    let (mut page, _) = Page::open(admin(&server));
    let id = listed(&mut page)["id"].as_str().expect("text").to_owned();
    assert_eq!(disconnect(admin(&server), &id), 204);
    wait_until("its connection is closed", || server.metrics.connections() == 0);
    assert_eq!(server.metrics.streams_ended(StreamEnd::Disconnected), 1);
    assert_eq!(stream.rest_and_end().1, End::Reset);
}

/// A disconnect meant for a slow stream touches no other stream either.
#[test]
fn a_stream_that_caught_up_is_not_disconnected() {
    let server = patient(Duration::from_secs(60));
    let mut stream = stalled(&server, "a");
    let mut others = [server.stream(), server.stream()];
    let (mut page, _) = Page::open(admin(&server));
    let id = listed(&mut page)["id"].as_str().expect("text").to_owned();
    let event = event();
    (0..MESSAGES).for_each(|_| stream.expect(&event));
    page.sample_where("it has caught up", |sample| sample["slowest"] == json!([]));
    for id in [&*id, "", "0", "-", "0-", "-0", "0-999", "9-0", "x-y", "1-99999999999999999999999", "%ff"] {
        let _row = showing(id, b"");
        assert_eq!(disconnect(admin(&server), id), 404);
    }
    assert_eq!(ask(admin(&server), request("POST", "/disconnect", b"")).status, 404);
    server.publish("sentinel");
    stream.expect_data("sentinel");
    others.iter_mut().for_each(|stream| stream.expect_data("sentinel"));
    assert_eq!(server.metrics.streams_ended(StreamEnd::Disconnected), 0);
}

#[test]
fn the_twenty_slowest_streams_are_listed() {
    let server = patient(Duration::from_secs(60));
    let mut streams = Vec::new();
    let message = vec![b'x'; 512 * 1024];
    // Later ones are behind by less.
    for _ in 0..MESSAGES {
        streams.extend((0..3).map(|_| EventStream::open_tight(server.connect())));
        server.publish(&message);
    }
    (0..MESSAGES).for_each(|_| server.publish(&message));
    let (mut page, _) = Page::open(admin(&server));
    let slow = |sample: &Value| {
        sample["workers"].as_array().map_or(0, |workers| workers.iter().filter_map(|one| one["slow"].as_u64()).sum())
    };
    let sample = page.sample_where("all are behind", |sample| slow(sample) == streams.len() as u64);
    let behind: Vec<_> = sample["slowest"].as_array().into_iter().flatten().map(|one| one["behind"].as_u64()).collect();
    assert_eq!(behind.len(), 20);
    assert!(behind.is_sorted_by(|one, next| one >= next), "{behind:?}");
    let ids: std::collections::BTreeSet<_> =
        sample["slowest"].as_array().into_iter().flatten().map(|one| one["id"].to_string()).collect();
    assert_eq!(ids.len(), 20, "each once");
}
