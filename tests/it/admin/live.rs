//! The live page's stream: the configuration first, then a sample each second, all of it JSON.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use smolcast::{AccessSettings, Address, Limits, Retention};
use support::sse::Parser;
use support::{Client, Served, TestServer, config, escaped, get, wait_until, with};

use super::{admin, connect, request, start, watched};

/// The stream of one page.
pub(super) struct Page {
    client: Client,
    parser: Parser,
}

impl Page {
    /// Opens it and reads the configuration.
    #[track_caller]
    pub(super) fn open(admin: &Address) -> (Self, Value) {
        let mut client = connect(admin);
        let response = client.request(request("GET", "/live", b"")).expect_status(200);
        response.expect_field("content-type", "text/event-stream");
        response.expect_field("x-accel-buffering", "no");
        let mut page = Self { client, parser: Parser::default() };
        let (kind, hello) = page.next();
        assert_eq!(kind, "hello");
        (page, hello)
    }

    /// The next event: its type and its data.
    #[track_caller]
    pub(super) fn next(&mut self) -> (String, Value) {
        let block = self.client.read_until(b"\n\n");
        let [message] = &self.parser.feed(&block)[..] else { panic!("not one event: {}", escaped(&block)) };
        let data = serde_json::from_str(&message.data);
        (message.event.clone(), data.unwrap_or_else(|error| panic!("{error} in {}", message.data)))
    }

    #[track_caller]
    pub(super) fn sample(&mut self) -> Value {
        let (kind, sample) = self.next();
        assert_eq!(kind, "sample", "{sample}");
        sample
    }

    /// The first sample for which `holds` is true.
    #[track_caller]
    pub(super) fn sample_where(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..8 {
            let sample = self.sample();
            if holds(&sample) {
                return sample;
            }
        }
        panic!("in none of eight seconds: {what}");
    }
}

/// The names of an object's members, in order.
#[track_caller]
pub(super) fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap_or_else(|| panic!("no object: {object}")).keys().map(String::as_str).collect()
}

/// The value of a row of the configuration.
#[track_caller]
fn option<'v>(rows: &'v Value, name: &str) -> &'v str {
    let row = rows.as_array().expect("an array").iter().find(|row| row["name"] == name);
    row.and_then(|row| row["value"].as_str()).unwrap_or_else(|| panic!("no {name}: {rows}"))
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    u64::try_from(since.as_millis()).expect("it is not the end of time")
}

#[test]
fn a_page_first_gets_the_configuration() {
    let started = unix_millis();
    let server = start(config(with!(Limits::default(), { body_bytes: 4321 })));
    let (_page, hello) = Page::open(admin(&server));
    let expected = ["addresses", "configuration", "connection_limit", "pid", "started", "version", "workers"];
    assert_eq!(names(&hello), expected);
    assert_eq!(hello["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&hello["workers"], &hello["pid"]), (&2.into(), &std::process::id().into()));
    assert_eq!(hello["addresses"], serde_json::json!([format!("http://{}/", server.addr)]));
    assert!(hello["connection_limit"].as_u64().is_some_and(|limit| limit > 0), "{hello}");
    let began = hello["started"].as_u64().expect("a number");
    assert!((started..=unix_millis()).contains(&began), "{began} is not between {started} and now");
    for row in hello["configuration"].as_array().expect("an array") {
        assert_eq!(names(row), ["group", "help", "name", "value"]);
        assert!(row.as_object().is_some_and(|row| row.values().all(|text| text.as_str() != Some(""))), "{row}");
    }
    assert_eq!(option(&hello["configuration"], "--max-body"), "4321 B");
    assert_eq!(option(&hello["configuration"], "--listen"), format!("http://{}/", server.addr));
}

#[test]
fn a_page_gets_a_sample_each_second() {
    let server = start(config(Limits::default()));
    let mut streams = [server.stream(), server.stream(), server.stream()];
    let (mut page, _) = Page::open(admin(&server));
    let first = page.sample();
    let expected = [
        "at",
        "bytes",
        "connections",
        "deliveries",
        "ended",
        "history",
        "latency",
        "messages",
        "publishes",
        "ready",
        "refused",
        "slowest",
        "streams",
        "workers",
    ];
    assert_eq!(names(&first), expected);
    assert_eq!(names(&first["ended"]), ["cut", "disconnected", "hang_up", "input", "lagged", "stalled", "stopped"]);
    let outcomes = ["accepted", "duplicate", "forbidden", "invalid", "too_large", "unauthorized", "unavailable"];
    assert_eq!(names(&first["publishes"]), outcomes);
    assert_eq!(names(&first["refused"]), ["address", "connections", "dropped", "filters"]);
    assert_eq!((&first["ready"], &first["history"], &first["latency"]), (&true.into(), &Value::Null, &Value::Null));
    assert_eq!((&first["streams"], &first["messages"]), (&3.into(), &0.into()));
    (0..5).for_each(|_| server.publish("hello"));
    streams.iter_mut().for_each(|stream| (0..5).for_each(|_| stream.expect_data("hello")));
    let sample = page.sample_where("fifteen deliveries", |sample| sample["deliveries"] == 15);
    assert_eq!((&sample["messages"], &sample["publishes"]["accepted"]), (&5.into(), &5.into()));
    assert_eq!(sample["bytes"], 15 * "data: hello\n\n".len());
    let sum = |of: &str| sample["workers"].as_array().expect("an array").iter().map(|one| one[of].as_u64()).sum();
    assert_eq!((sum("deliveries"), sum("slow")), (Some(15), Some(0)));
    assert_eq!(names(&sample["workers"][1]), ["bytes", "deliveries", "slow", "streams", "turned", "window_bytes"]);
    let (p50, p99) = (sample["latency"]["p50"].as_f64(), sample["latency"]["p99"].as_f64());
    assert!(p50.is_some_and(|p50| p50 > 0.0) && p50 <= p99, "{sample}");
    let next = page.sample();
    assert_eq!((&next["latency"], &next["messages"]), (&Value::Null, &5.into()), "nothing in this second");
    let between = next["at"].as_u64().zip(sample["at"].as_u64()).map(|(after, before)| after - before);
    assert!(between.is_some_and(|millis| (900..5000).contains(&millis)), "{between:?} ms");
    drop(streams);
    let sample = page.sample_where("they are gone", |sample| sample["ended"]["hang_up"] == 3);
    assert_eq!(sample["streams"], 0);
}

#[test]
fn a_page_gets_the_size_of_the_history() {
    let config = with!(config(Limits::default()), { history: Some(Retention::default()) });
    let server = start(config);
    (0..3).for_each(|_| server.publish("x"));
    let (mut page, hello) = Page::open(admin(&server));
    assert_eq!(option(&hello["configuration"], "--history"), "1000, 64 MiB, 24 h");
    let history = &page.sample()["history"];
    assert_eq!(names(history), ["bytes", "events", "oldest"]);
    assert_eq!(history["events"], 3);
    assert!(history["bytes"].as_u64() > Some(3) && history["oldest"].as_f64() < Some(60.0), "{history}");
}

#[test]
fn open_pages_get_a_changed_configuration() {
    let server = start(config(Limits::default()));
    let (mut page, hello) = Page::open(admin(&server));
    assert_eq!(option(&hello["configuration"], "--allow-host"), "any");
    page.sample();
    let secret = "dGhlIHNlY3JldA==";
    let access = with!(AccessSettings::default(), {
        hosts: vec!["*.example.com".parse().expect("a host")],
        publish_tokens: vec![secret.parse().expect("a token")],
    });
    server.access_control.replace(access);
    let (kind, rows) = page.next();
    assert_eq!(kind, "configuration");
    assert_eq!(option(&rows, "--allow-host"), "*.example.com");
    assert_eq!(option(&rows, "--publish-token-file"), "1 token");
    assert!(!rows.to_string().contains(secret), "{rows}");
    page.sample();
    page.sample();
}

/// A waiting page once held on to replaced tokens until its next event.
#[test]
fn open_pages_release_replaced_settings() {
    let server = start(config(Limits::default()));
    let (mut page, _) = Page::open(admin(&server));
    page.sample();
    // The server's own, and this one.
    wait_until("no page holds it", || Arc::strong_count(&server.access_control.settings()) == 2);
    server
        .access_control
        .replace(with!(AccessSettings::default(), { hosts: vec!["*.example.com".parse().expect("a host")] }));
    assert_eq!(page.next().0, "configuration");
    wait_until("no page holds the new one", || Arc::strong_count(&server.access_control.settings()) == 2);
}

#[test]
fn a_page_learns_of_the_shutdown_and_ends() {
    let mut server = start(config(Limits::default()));
    let (mut page, _) = Page::open(admin(&server));
    let mut held = super::answers::begin_publish(server.addr);
    server.stop();
    page.sample_where("not ready", |sample| sample["ready"] == false);
    held.send("hello");
    held.response().expect_status(202);
    page.client.rest_and_end();
    server.join();
}

/// However it leaves, and even if it sends unexpected bytes.
#[test]
fn a_closed_page_makes_room_for_another() {
    let server = TestServer::start(watched(config(with!(Limits::default(), { admin_connections: 1 }))));
    let open = || {
        let mut client = connect(admin(&server));
        wait_until("there is room", || {
            client = connect(admin(&server));
            client.try_send(&request("GET", "/live", b"")).is_ok()
                && client.readable_within(support::DEADLINE)
                && client.try_read_until(b"event: sample\n").is_some()
        });
        client
    };
    drop(open());
    open().reset();
    let mut talks = open();
    talks.send(get("/sse"));
    talks.half_close();
    drop(open());
    talks.rest_and_end();
}
