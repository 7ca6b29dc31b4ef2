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
        ("/broadcast?id=7&retry=1500&event=a+b", "", "event: a b\nid: 7\nretry: 1500\ndata: x\n\n"),
        ("/broadcast", "X-EventSource-Event: greeting\r\n", "event: greeting\ndata: x\n\n"),
        ("/broadcast", "event-type: \tg \r\nEVENT-ID: 7\r\n", "event: g\nid: 7\ndata: x\n\n"),
        ("/broadcast?event=%c3%a9%00", "", "event: é\0\ndata: x\n\n"),
        ("/broadcast?event=", "", "event: \ndata: x\n\n"),
        ("http://h/broadcast?id=a=b%2Bc", "", "id: a=b+c\ndata: x\n\n"),
        ("/broadcast?&&", "X-Event: b\r\n", "data: x\n\n"),
        ("/broadcast?retry=2147483647", "", "retry: 2147483647\ndata: x\n\n"),
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
        ("/broadcast?retry=2147483648", ""),
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

/// A typo in the name of a topic's parameter once sent a message for few to everybody.
#[test]
fn an_unknown_parameter_of_a_publish_is_400() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (query, advice) in [
        ("topics=hr", "topic is the nearest known one"),
        ("Topic=hr", "topic is the nearest known one"),
        ("topic%5b%5d=hr", "topic is the nearest known one"),
        ("topic=hr&tpoic=it", "topic is the nearest known one"),
        ("events=x", "event is the nearest known one"),
        ("Retry=1", "retry is the nearest known one"),
        ("ID=1", "id is the nearest known one"),
        ("channel=secret", "there are topic, event, id and retry"),
        ("access_token=secret", "there are topic, event, id and retry"),
        ("%ff=secret", "there are topic, event, id and retry"),
        ("_=1", "there are topic, event, id and retry"),
    ] {
        let _row = showing("the query", query.as_bytes());
        let answer = server.request(publish(&format!("/broadcast?{query}"), "", "x")).expect_status(400);
        let body = String::from_utf8_lossy(&answer.body);
        assert!(answer.closes() && body.contains(advice) && !body.contains("secret"), "{body}");
    }
    server.publish("end");
    stream.expect_data("end");
}

/// Nothing is published.
#[test]
fn a_body_that_is_coded_or_no_utf_8_is_415() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    for (fields, advice) in [
        ("Content-Encoding: gzip\r\n", "Content-Encoding is not undone"),
        ("content-encoding: identity, BR\r\n", "Content-Encoding is not undone"),
        ("Content-Type: text/plain; charset=iso-8859-1\r\n", "charset of a message is utf-8"),
        ("Content-Type: text/plain;CHARSET=\"windows-1252\"\r\n", "charset of a message is utf-8"),
        ("Content-Type: text/plain; charset=utf-16\r\n", "charset of a message is utf-8"),
    ] {
        let _row = showing("the fields", fields.as_bytes());
        let answer = server.request(publish("/broadcast", fields, "x")).expect_status(415);
        let body = String::from_utf8_lossy(&answer.body);
        assert!(answer.closes() && body.contains(advice), "{body}");
    }
    for fields in [
        "Content-Encoding: identity\r\n",
        "Content-Encoding:\r\n",
        "Content-Type: text/plain; charset=UTF-8\r\n",
        "Content-Type: text/plain;charset=\"utf-8\"\r\n",
        "Content-Type: text/plain; charset=us-ascii\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        let _row = showing("the fields", fields.as_bytes());
        server.request(publish("/broadcast", fields, "x")).expect_status(202);
        stream.expect_data("x");
    }
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
