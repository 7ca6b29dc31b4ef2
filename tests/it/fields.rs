//! The fields of an event, by query or by header, and the receipt in the response.

use support::{Served, TestServer, assert_bytes, showing};

fn publish(target: &str, fields: &str, body: &str) -> String {
    format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn an_event_carries_its_publishers_fields() {
    let server = TestServer::start_default();
    let (mut stream, mut publisher) = (server.stream(), server.connect());
    for (target, fields, event) in [
        ("/broadcast?event=greeting", "", "event: greeting\ndata: x\n\n"),
        ("/broadcast?id=7&retry=1500&event=a%20b", "", "event: a b\nid: 7\nretry: 1500\ndata: x\n\n"),
        ("/broadcast", "X-EventSource-Event: greeting\r\n", "event: greeting\ndata: x\n\n"),
        ("/broadcast", "event-type: \tg \r\nEVENT-ID: 7\r\n", "event: g\nid: 7\ndata: x\n\n"),
        ("/broadcast?event=%c3%a9%00", "", "event: é\0\ndata: x\n\n"),
        ("/broadcast?event=", "", "event: \ndata: x\n\n"),
        ("http://h/broadcast?id=a=b+c", "", "id: a=b+c\ndata: x\n\n"),
        ("/broadcast?unknown=1&unknown=%ff&Event=a", "X-Event: b\r\n", "data: x\n\n"),
    ] {
        let _row = showing(target, fields.as_bytes());
        publisher.request(publish(target, fields, "x")).expect_status(202);
        stream.expect(event.as_bytes());
    }
}

/// A line break breaks a value. Nothing is published.
#[test]
fn a_broken_or_doubled_field_is_400() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (target, fields) in [
        ("/broadcast?event=a%0ab", ""),
        ("/broadcast?event=a%0D", ""),
        ("/broadcast?id=%0a", ""),
        ("/broadcast?event=&id=", ""),
        ("/broadcast?id=%00", ""),
        ("/broadcast?id=%ff", ""),
        ("/broadcast?retry=soon", ""),
        ("/broadcast?retry=", ""),
        ("/broadcast?event=a&event=a", ""),
        ("/broadcast?id=1&id=2", ""),
        ("/broadcast?retry=1&retry=2", ""),
        ("/broadcast?event=a", "Event-Type: a\r\n"),
        ("/broadcast", "Event-Type: a\r\nX-EventSource-Event: a\r\n"),
        ("/broadcast", "Event-Id: \u{ff}\u{0}\r\n"),
    ] {
        let _row = showing(target, fields.as_bytes());
        let answer = server.request(publish(target, fields, "x")).expect_status(400);
        assert!(answer.closes(), "{answer:?}");
    }
    server.publish("end");
    stream.expect_data("end");
}

#[test]
fn a_publisher_that_accepts_json_gets_the_number_of_streams() {
    let server = TestServer::start_default();
    let (mut streams, mut publisher) = ([server.stream(), server.stream()], server.connect());
    for accept in ["application/json", "text/html, Application/JSON;q=0.5"] {
        let request = publish("/broadcast", &format!("Accept: {accept}\r\n"), "x");
        let answer = publisher.request(request).expect_status(202);
        answer.expect_field("content-type", "application/json");
        assert_bytes("what became of it", b"{\"subscribers\":2}\n", &answer.body);
    }
    for accept in ["*/*", "text/plain", ""] {
        let answer = publisher.request(publish("/broadcast", &format!("Accept: {accept}\r\n"), "x"));
        assert_bytes("unasked", b"", &answer.expect_status(202).body);
    }
    streams.iter_mut().for_each(|stream| (0..5).for_each(|_| stream.expect_data("x")));
}
