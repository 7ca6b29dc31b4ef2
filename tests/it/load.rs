//! Many streams and many publishers at once: each message reaches each stream, once and in order.

use std::collections::HashMap;
use std::thread;

use smolcast::Event;
use support::{EventStream, Served, TestServer, post, within_deadline};

const PUBLISHERS: usize = 8;
const MESSAGES: usize = 40;

#[test]
fn three_hundred_streams_get_each_message_once_in_order() {
    let server = TestServer::start_default();
    let mut streams: Vec<_> = (0..300).map(|_| server.stream()).collect();
    assert_eq!(server.count(), 300);
    let mut publisher = server.connect();
    let mut expected = Vec::new();
    for number in 0..300 {
        publisher.request(post(format!("message {number}"))).expect_status(202);
        expected.extend(format!("data: message {number}\n\n").bytes());
    }
    expected.extend(b"data: the end\n\n");
    publisher.request(post("the end")).expect_status(202);
    for stream in &mut streams {
        stream.expect(&expected);
    }
    assert_eq!(server.count(), 300);
    drop(streams);
    server.wait_for_count(0);
}

#[test]
fn three_hundred_messages_in_one_segment_reach_every_stream() {
    let server = TestServer::start_default();
    let mut streams: Vec<_> = (0..20).map(|_| server.stream()).collect();
    let lines: Vec<_> = (0..300).map(|number| format!("message {number}")).collect();
    let mut publisher = server.connect();
    publisher.send(lines.iter().map(post).collect::<Vec<_>>().concat());
    for _ in &lines {
        publisher.response().expect_status(202);
    }
    for stream in &mut streams {
        for line in &lines {
            stream.expect_data(line);
        }
    }
}

/// Reads all messages: each once, and each publisher's own in order. Returns the order.
#[track_caller]
fn expect_all_in_each_publishers_order(stream: &mut EventStream) -> Vec<String> {
    let mut next: HashMap<String, usize> = HashMap::new();
    let mut order = Vec::new();
    for _ in 0..PUBLISHERS * MESSAGES {
        let line = stream.message().data;
        let (publisher, number) = line.split_once(' ').unwrap_or_else(|| panic!("no publisher sent {line:?}"));
        let expected = next.entry(publisher.to_owned()).or_default();
        assert_eq!(number, expected.to_string(), "of publisher {publisher}, after {order:?}");
        *expected += 1;
        order.push(line);
    }
    order
}

/// Publishes from many threads at once, and holds that every stream sees the same order.
fn expect_order_of(publish: impl Fn(&TestServer, usize) + Sync) {
    let server = TestServer::start_default();
    let mut streams: Vec<_> = (0..10).map(|_| server.stream()).collect();
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let (server, publish) = (&server, &publish);
            scope.spawn(move || publish(server, publisher));
        }
    });
    server.publish("sentinel");
    let mut orders = Vec::new();
    for stream in &mut streams {
        orders.push(expect_all_in_each_publishers_order(stream));
        stream.expect_data("sentinel");
    }
    assert!(orders.windows(2).all(|pair| pair[0] == pair[1]), "there is one order, for every stream");
}

/// Each message is delivered once.
#[test]
fn concurrent_http_publishers_keep_their_order() {
    expect_order_of(|server, publisher| {
        let mut client = server.connect();
        for number in 0..MESSAGES {
            client.request(post(format!("{publisher} {number}"))).expect_status(202);
        }
    });
}

/// Each message is delivered once.
#[test]
fn concurrent_publishers_in_process_keep_their_order() {
    expect_order_of(|server, publisher| {
        let handle = server.publisher.clone();
        within_deadline(async {
            for number in 0..MESSAGES {
                handle.publish(Event::new(format!("{publisher} {number}"))).await.expect("the server runs");
            }
        });
    });
}

/// Each message is delivered once.
#[test]
fn concurrent_publishers_of_both_kinds_keep_their_order() {
    expect_order_of(|server, publisher| {
        let mut client = server.connect();
        for number in 0..MESSAGES {
            let line = format!("{publisher} {number}");
            if number % 2 == 0 {
                client.request(post(line)).expect_status(202);
            } else {
                within_deadline(server.publisher.publish(Event::new(line))).expect("the server runs");
            }
        }
    });
}

#[test]
fn a_stream_misses_no_message_after_its_ok() {
    let server = TestServer::start_default();
    let mut publisher = server.connect();
    let mut streams: Vec<(usize, EventStream)> = Vec::new();
    for number in 0..100 {
        streams.push((number, server.stream()));
        publisher.request(post(number.to_string())).expect_status(202);
    }
    for (first, stream) in &mut streams {
        for number in *first..100 {
            stream.expect_data(&number.to_string());
        }
    }
}
