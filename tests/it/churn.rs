//! Streams that come and go, and streams that never read: their effect on the count and on others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use smolcast::{Event, Limits};
use support::{EventStream, Served, TestServer, escaped, get, post, wait_until, with, within_deadline};

/// The ways in which a stream leaves, in turn.
fn leave(number: usize, mut stream: EventStream) {
    match number % 4 {
        0 => drop(stream),
        1 => stream.reset(),
        2 => {
            stream.half_close();
            stream.rest_and_end();
        }
        _ => {
            stream.message();
            drop(stream);
        }
    }
}

#[test]
fn the_count_is_exact_after_churn_amid_messages() {
    let server = TestServer::start_default();
    let mut stay = server.stream();
    let stop = AtomicBool::new(false);
    let published = thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut client = server.connect();
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                client.request(post(format!("message {number}"))).expect_status(202);
                number += 1;
            }
            number
        });
        let churners: Vec<_> =
            (0..3).map(|_| scope.spawn(|| (0..80).for_each(|n| leave(n, server.stream())))).collect();
        let ended: Vec<_> = churners.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a churner has failed");
        publisher.join().expect("the publisher has not failed")
    });
    for number in 0..published {
        stay.expect_data(&format!("message {number}"));
    }
    server.wait_for_count(1);
    assert_eq!(server.publisher.streams(), 1);
    drop(stay);
    server.wait_for_count(0);
    assert_eq!(server.publisher.streams(), 0);
}

/// Clients leave before they have read a byte.
#[test]
fn the_count_is_exact_after_clients_that_never_read() {
    let server = TestServer::start_default();
    for number in 0..100 {
        let mut client = server.connect();
        client.send(get("/sse"));
        match number % 3 {
            0 => drop(client),
            1 => client.reset(),
            _ => client.half_close(),
        }
    }
    // The last of them may still be in the backlog.
    server.wait_for_count(0);
    let stream = server.stream();
    server.wait_for_count(1);
    drop(stream);
    server.wait_for_count(0);
}

#[test]
fn the_count_is_exact_after_a_crowd_leaves_at_once() {
    let server = TestServer::start_default();
    for _ in 0..3 {
        let crowd: Vec<_> = (0..100).map(|_| server.stream()).collect();
        assert_eq!(server.count(), 100);
        for (number, stream) in crowd.into_iter().enumerate() {
            if number % 2 == 0 { stream.reset() } else { drop(stream) }
        }
        server.wait_for_count(0);
    }
}

/// A large message that shows its number.
fn large(number: usize) -> String {
    format!("{number} {}", "x".repeat(64 * 1024))
}

/// Publishes large messages, which `healthy` reads at once, until it is the only stream.
#[track_caller]
fn publish_until_the_others_are_cut(server: &TestServer, healthy: &mut EventStream) -> usize {
    for number in 0..2000 {
        if server.publisher.streams() == 1 {
            return number;
        }
        let line = large(number);
        server.publish(&line);
        healthy.expect_data(&line);
    }
    panic!("131 MB later, a stream that reads nothing is still open");
}

/// Holds that a cut stream has whole events, from the first on.
#[track_caller]
fn expect_whole_events(stream: &mut EventStream, at_most: usize) {
    let (left, end) = stream.rest_and_end();
    let mut rest = left.as_slice();
    let mut number = 0;
    while !rest.is_empty() {
        assert!(number < at_most, "more events than were published: {}", escaped(rest));
        let event = format!("data: {}\n\n", large(number)).into_bytes();
        assert!(rest.starts_with(&event), "{end:?} amid event {number}: {}", escaped(rest));
        rest = &rest[event.len()..];
        number += 1;
    }
}

/// It delays no other stream and is cut between two events.
#[test]
fn a_stream_that_never_reads_is_cut_cleanly() {
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 256 * 1024 }));
    let mut healthy = server.stream();
    let mut stalled = EventStream::open_tight(server.connect());
    let published = publish_until_the_others_are_cut(&server, &mut healthy);
    expect_whole_events(&mut stalled, published);
    server.publish("still here");
    healthy.expect_data("still here");
    assert_eq!(server.count(), 1);
}

#[test]
fn fifty_stalled_streams_are_cut_and_no_others() {
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 256 * 1024 }));
    let mut healthy = server.stream();
    let mut stalled: Vec<_> = (0..50).map(|_| EventStream::open_tight(server.connect())).collect();
    let published = publish_until_the_others_are_cut(&server, &mut healthy);
    for stream in &mut stalled {
        expect_whole_events(stream, published);
    }
    assert_eq!(server.count(), 1);
}

#[test]
fn a_slow_stream_within_the_window_gets_everything() {
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 8 * 1024 * 1024 }));
    let mut slow = EventStream::open_tight(server.connect());
    let lines: Vec<_> = (0..64).map(large).collect();
    for line in &lines {
        server.publish(line);
    }
    for line in &lines {
        slow.expect_data(line);
    }
    assert_eq!(server.count(), 1);
}

/// The write timeout sets the time.
#[test]
fn a_stream_without_progress_is_cut_in_time() {
    let limits =
        with!(Limits::default(), { window_bytes: 1024 * 1024 * 1024, write_timeout: Duration::from_millis(300) });
    let server = TestServer::with_limits(limits);
    let mut healthy = server.stream();
    let stalled = EventStream::open_tight(server.connect());
    // More than any kernel buffers for one socket, and far less than the window.
    for number in 0..256 {
        let line = large(number);
        server.publish(&line);
        healthy.expect_data(&line);
    }
    wait_until("the stalled stream is cut", || server.publisher.streams() == 1);
    server.publish("still here");
    healthy.expect_data("still here");
    drop(stalled);
}

#[test]
fn a_message_larger_than_the_window_is_delivered() {
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 16 * 1024, batch_bytes: 4 * 1024 }));
    let mut streams = [server.stream(), server.stream()];
    for number in 0..5 {
        let line = large(number);
        server.publish(&line);
        for stream in &mut streams {
            stream.expect_data(&line);
        }
    }
    assert_eq!(server.count(), 2);
}

#[test]
fn a_publisher_waits_for_no_stream() {
    let server = TestServer::with_limits(with!(Limits::default(), { publish_queue: 2 }));
    let stalled = [
        EventStream::open_tight(server.connect()),
        EventStream::open_tight(server.connect()),
        EventStream::open_tight(server.connect()),
    ];
    within_deadline(async {
        for number in 0..400 {
            server.publisher.publish(Event::new(large(number))).await.expect("the server runs");
        }
    });
    wait_until("the stalled streams are cut", || server.publisher.streams() == 0);
    drop(stalled);
}
