//! The bound on the memory of topic filters: a stream beyond it is told to come back, and harms no other.

use std::num::NonZeroUsize;

use smolcast::Limits;
use support::{EventStream, Served, TestServer, config, get, with};

fn subscribe(server: &TestServer, topic: &str) -> EventStream {
    EventStream::open_with(server.connect(), &get(&format!("/sse?topic={topic}"))).0
}

#[test]
fn a_stream_beyond_the_memory_of_filters_comes_back_later() {
    // Room for one filter of a few bytes.
    let limits = with!(Limits::default(), { filter_bytes: 1000 });
    let server = TestServer::start(with!(config(limits), { workers: Some(NonZeroUsize::MIN) }));
    let mut first = subscribe(&server, "a");
    let mut refused = server.connect();
    refused.send(get("/sse?topic=b"));
    let text = String::from_utf8(refused.rest()).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("\r\n\r\nretry: "), "{text:?}");
    assert_eq!((server.count(), server.metrics.streams_over_filter_limit()), (1, 1));
    // The same filters take no more, nor does a stream without any.
    let (mut same, mut none) = (subscribe(&server, "a"), server.stream());
    server.publish("to all");
    for stream in [&mut first, &mut same, &mut none] {
        stream.expect_data("to all");
    }
    drop((first, same));
    server.wait_for_count(1);
    // Its memory is given back at a tick.
    support::wait_until("there is room again", || {
        let mut client = server.connect();
        client.send(get("/sse?topic=b"));
        client.read_until(b"\n\n").ends_with(b":ok\n\n")
    });
}
