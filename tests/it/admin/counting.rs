//! The events behind each metric: one event moves its own sample by its amount, and no other of the family.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::num::NonZeroUsize;
use std::time::Duration;

use smolcast::{AccessSettings, Event, Limits, Retention};
use support::{Client, EventStream, Served, TestServer, config, post, wait_until, with, within_deadline};

use super::answers::begin_publish;
use super::{Exposition, admin, get, metrics, start};

fn with_limits(limits: Limits) -> TestServer {
    start(config(limits))
}

/// Waits until a sample has this value.
#[track_caller]
fn wait_for(server: &TestServer, sample: &str, value: f64) -> Exposition {
    let mut last = metrics(server);
    wait_until(&format!("{sample} is {value}"), || {
        last = metrics(server);
        last.value(sample) == value
    });
    last
}

/// Holds that a family has these values, if it has any.
#[track_caller]
fn expect_only(all: &Exposition, family: &str, expected: &[(&str, f64)]) {
    let found: BTreeMap<_, _> = all.by_label(family).into_iter().filter(|(_, value)| *value != 0.0).collect();
    assert_eq!(found, expected.iter().copied().collect(), "{family}");
}

/// A publish with these fields in its head.
fn publish(fields: &str, body: &str) -> String {
    format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn messages_requests_and_publish_results_are_counted() {
    let access = with!(AccessSettings::default(), {
        publish_tokens: vec!["let-me".parse().expect("a token")],
        origins: vec!["https://app.example".parse().expect("an origin")],
    });
    let limits = with!(Limits::default(), { body_bytes: 100 });
    let server = start(with!(config(limits), { access }));
    let mut streams = [server.stream(), server.stream(), server.stream()];
    let token = "Authorization: Bearer let-me\r\n";
    for (fields, body, status, times) in [
        (token, "hello", 202, 4),
        ("", "hello", 401, 3),
        ("Origin: https://evil.example\r\nAuthorization: Bearer let-me\r\n", "hello", 403, 2),
        (token, &*"x".repeat(101), 413, 1),
        ("Authorization: Bearer let-me\r\nEvent-Id: a\r\nEvent-Id: b\r\n", "hello", 400, 5),
    ] {
        (0..times).for_each(|_| drop(server.request(publish(fields, body)).expect_status(status)));
    }
    server.request("GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n").expect_status(404);
    streams.iter_mut().for_each(|stream| (0..4).for_each(|_| stream.expect_data("hello")));
    let all = wait_for(&server, "smolcast_deliveries_total", 12.0);
    assert_eq!(all.value("smolcast_messages_total"), 4.0);
    assert_eq!(all.value("smolcast_delivered_bytes_total"), (12 * "data: hello\n\n".len()) as f64);
    assert_eq!(all.by_label("smolcast_worker_deliveries_total").values().sum::<f64>(), 12.0);
    let outcomes = [("accepted", 4.0), ("unauthorized", 3.0), ("forbidden", 2.0), ("too_large", 1.0), ("invalid", 5.0)];
    expect_only(&all, "smolcast_publishes_total", &outcomes);
    expect_only(&all, "smolcast_requests_total", &[("2xx", 7.0), ("4xx", 12.0)]);
    assert_eq!(all.value("smolcast_streams"), 3.0);
    // Dealt in turn, in either order; updated at the shards' next tick.
    wait_until("two and one", || {
        let mut streams: Vec<_> = metrics(&server).by_label("smolcast_worker_streams").into_values().collect();
        streams.sort_by(f64::total_cmp);
        streams == [1.0, 2.0]
    });
}

/// Two requests are held: one is answered once nothing can be published any more, the other delays the shutdown.
#[test]
fn refusals_and_ends_of_a_shutdown_are_counted() {
    let server = &mut with_limits(with!(Limits::default(), { drain_timeout: Duration::from_secs(4) }));
    let mut stream = server.stream();
    let (mut late, _never) = (begin_publish(server.addr), begin_publish(server.addr));
    server.stop();
    wait_until("nothing is taken any more", || within_deadline(server.publisher.publish(Event::new("x"))).is_err());
    late.send("hello");
    late.response().expect_status(503);
    let all = metrics(server);
    expect_only(&all, "smolcast_publishes_total", &[("unavailable", 1.0)]);
    expect_only(&all, "smolcast_requests_total", &[("2xx", 1.0), ("5xx", 1.0)]);
    stream.rest();
    let all = metrics(server);
    expect_only(&all, "smolcast_stream_ends_total", &[("stopped", 1.0)]);
    assert_eq!(all.value("smolcast_streams"), 0.0);
}

#[test]
fn ended_streams_are_counted_by_reason() {
    let limits = with!(Limits::default(), { window_bytes: 64 * 1024, stream_input_bytes: 100 });
    let server = with_limits(limits);
    drop(server.stream());
    server.stream().reset();
    let mut talker = server.stream();
    talker.send(&[b'x'; 101]);
    // The others must not wait behind a message for the last stream.
    wait_for(&server, "smolcast_streams", 0.0);
    let lagging = EventStream::open_tight(server.connect());
    for _ in 0..200 {
        if metrics(&server).value("smolcast_stream_ends_total{reason=\"lagged\"}") > 0.0 {
            break;
        }
        server.publish(vec![b'x'; 1024 * 1024]);
    }
    let all = wait_for(&server, "smolcast_streams", 0.0);
    let ends = [("hang_up", 2.0), ("input", 1.0), ("lagged", 1.0)];
    expect_only(&all, "smolcast_stream_ends_total", &ends);
    assert_eq!(all.value("smolcast_stream_falls_total"), 1.0);
    drop(lagging);
}

/// It counts as slow and its window as memory, then its end is counted by reason.
#[test]
fn a_stalled_stream_shows_in_its_metrics() {
    let limits = with!(Limits::default(), { window_bytes: 1024 * 1024 * 1024, write_timeout: Duration::from_secs(2) });
    let server = with_limits(limits);
    let healthy = server.stream();
    let stalled = EventStream::open_tight(server.connect());
    (0..8).for_each(|_| server.publish(vec![b'x'; 1024 * 1024]));
    let mut all = metrics(&server);
    // Neither reads.
    wait_until("both are behind", || {
        all = metrics(&server);
        all.value("smolcast_streams_behind") == 2.0 && all.value("smolcast_window_bytes") > 1024.0 * 1024.0
    });
    assert_eq!(all.value("smolcast_stream_falls_total"), 2.0);
    drop(healthy);
    let all = wait_for(&server, "smolcast_streams", 0.0);
    expect_only(&all, "smolcast_stream_ends_total", &[("hang_up", 1.0), ("stalled", 1.0)]);
    wait_for(&server, "smolcast_streams_behind", 0.0);
    wait_for(&server, "smolcast_window_bytes", 0.0);
    drop(stalled);
}

#[test]
fn refused_connections_are_counted_by_reason() {
    let server = with_limits(with!(Limits::default(), { connections: NonZeroUsize::new(2) }));
    let held = [server.stream(), server.stream()];
    assert_eq!(metrics(&server).value("smolcast_connections_limit"), 2.0);
    (0..3).for_each(|_| drop(server.request(support::get("/connections")).expect_status(503)));
    let all = wait_for(&server, "smolcast_connections", 2.0);
    expect_only(&all, "smolcast_connections_refused_total", &[("connections", 3.0)]);
    expect_only(&all, "smolcast_requests_total", &[("2xx", 2.0), ("5xx", 3.0)]);
    drop(held);

    let server = with_limits(with!(Limits::default(), { connections_per_ip: NonZeroUsize::new(1) }));
    let _held = server.stream();
    // Waiting rejections are bounded too.
    let mut waiting: Vec<_> = (0..40).map(|_| server.connect()).collect();
    waiting.split_off(32).iter_mut().for_each(Client::expect_closed);
    let _other = EventStream::open(Client::connect_from(Ipv4Addr::new(127, 0, 0, 2), server.addr));
    let all = metrics(&server);
    expect_only(&all, "smolcast_connections_refused_total", &[("address", 40.0), ("dropped", 8.0)]);
}

#[test]
fn connections_closed_for_silence_are_counted() {
    let limits = with!(Limits::default(), {
        idle_timeout: Duration::from_millis(300),
        linger_timeout: Duration::from_millis(300),
    });
    let server = with_limits(limits);
    let mut idle = server.connect();
    idle.request(post("x")).expect_status(202);
    let mut lingering = server.connect();
    lingering.request("BAD\r\n\r\n").expect_status(400);
    idle.expect_closed();
    let all = wait_for(&server, "smolcast_connections", 0.0);
    expect_only(&all, "smolcast_connections_closed_total", &[("idle", 1.0), ("lingered", 1.0)]);
}

/// Each message counts once, on the last shard, however few streams it is for.
#[test]
fn every_message_and_batch_is_in_a_histogram_once() {
    let server = with_limits(Limits::default());
    let family = "smolcast_publish_to_last_write_seconds";
    let mut messages = 0.0;
    let mut publish = |target: &str| {
        let request = format!("POST /broadcast{target} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        server.request(request).expect_status(202);
        messages += 1.0;
        let all = wait_for(&server, &format!("{family}_count"), messages);
        assert_eq!(all.value("smolcast_messages_total"), messages);
        all
    };
    (0..3).for_each(|_| drop(publish("")));
    let mut streams = [server.stream(), server.stream(), server.stream()];
    publish("");
    publish("?topic=nobody&topic=asks");
    let topical = b"GET /sse?topic=t HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut topical = EventStream::open_with(server.connect(), topical).0;
    let all = publish("?topic=t");
    streams.iter_mut().for_each(|stream| stream.expect_data("x"));
    topical.expect_data("x");
    let buckets = all.buckets(family);
    assert_eq!((buckets.len(), buckets[buckets.len() - 2]), (20, messages), "none took half a minute");
    let sum = all.value(&format!("{family}_sum"));
    assert!(sum > 0.0 && sum < 30.0, "{sum} seconds");
    // Each shard gets each message.
    let all = wait_for(&server, "smolcast_batch_messages_sum", 2.0 * messages);
    let batches = all.buckets("smolcast_batch_messages");
    assert_eq!((batches.len(), batches.last()), (11, Some(&(2.0 * messages))), "they came one by one");
    assert_eq!(batches[0], 2.0 * messages, "each alone");
}

#[test]
fn the_size_of_the_history_is_exposed() {
    let history = Some(with!(Retention::default(), { events: 3 }));
    let server = start(with!(config(Limits::default()), { history }));
    let history = |all: &Exposition| {
        ["events", "bytes", "oldest_age_seconds"].map(|what| all.value(&format!("smolcast_history_{what}")))
    };
    assert_eq!(history(&metrics(&server)), [0.0; 3]);
    server.publish("one");
    let [events, one, _] = history(&metrics(&server));
    assert!(events == 1.0 && one >= 3.0, "{events} events, {one} bytes");
    (0..4).for_each(|_| server.publish("x".repeat(1000)));
    let [events, bytes, age] = history(&metrics(&server));
    assert!(events == 3.0 && bytes > one + 2000.0 && age < 10.0, "{events} events, {bytes} bytes, {age} s");
    wait_until("it grows older", || history(&metrics(&server))[2] > age);
}

#[test]
fn admin_requests_are_not_counted() {
    let server = with_limits(Limits::default());
    let before = metrics(&server);
    (0..5).for_each(|_| drop(get(admin(&server), "/nowhere").expect_status(404)));
    let after = metrics(&server);
    for family in ["smolcast_requests_total", "smolcast_publishes_total", "smolcast_connections_refused_total"] {
        assert_eq!(before.by_label(family), after.by_label(family), "{family}");
    }
    assert_eq!(after.value("smolcast_connections"), 0.0);
}
