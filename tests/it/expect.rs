//! `Expect: 100-continue`: leave to send a body, or a refusal.

use smolcast::Limits;
use support::{Client, Response, Served, post, showing, with};

use crate::witness::Witness;

/// A publish that expects a `100` before its body.
fn asking(version: &str, fields: &str) -> String {
    format!("POST /broadcast HTTP/{version}\r\nHost: h\r\nExpect: 100-continue\r\n{fields}\r\n\r\n")
}

/// The final response, behind a `100` or without one.
#[track_caller]
fn final_response(client: &mut Client) -> Response {
    let first = client.response();
    if first.status == 100 { client.response() } else { first }
}

#[test]
fn a_publish_that_expects_100_gets_it() {
    let mut witness = Witness::start(Limits::default());
    for (name, head, body) in [
        ("a length", asking("1.1", "Content-Length: 5"), "hello"),
        ("chunks", asking("1.1", "Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n"),
        ("in other case", asking("1.1", "Content-Length: 5").replace("100-continue", "100-CONTINUE"), "hello"),
        ("the name in lower case", asking("1.1", "Content-Length: 5").replace("Expect", "expect"), "hello"),
    ] {
        let _row = showing(name, head.as_bytes());
        let mut client = witness.server.connect();
        client.request(&head).expect_status(100);
        client.send(body);
        let answer = client.response().expect_status(202);
        assert!(!answer.closes(), "publishers are kept alive: {answer:?}");
        witness.stream().expect_data("hello");
        client.request(post("next")).expect_status(202);
        witness.stream().expect_data("next");
    }
}

#[test]
fn a_body_need_not_wait_for_the_100() {
    let mut witness = Witness::start(Limits::default());
    let mut client = witness.server.connect();
    client.send([asking("1.1", "Content-Length: 5").as_bytes(), b"hello", &post("next")].concat());
    final_response(&mut client).expect_status(202);
    client.response().expect_status(202);
    witness.stream().expect(b"data: hello\n\ndata: next\n\n");
}

#[test]
fn a_refusal_replaces_the_100() {
    let mut witness = Witness::start(with!(Limits::default(), { body_bytes: 100 }));
    for (fields, status) in [
        ("Content-Length: 101", 413),
        ("Content-Length: 18446744073709551615", 413),
        ("Content-Length: x", 400),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400),
        ("X-No-Framing: 1", 411),
    ] {
        witness.refused(fields, asking("1.1", fields), &[status]);
    }
}

#[test]
fn an_error_may_follow_a_100() {
    let mut witness = Witness::start(with!(Limits::default(), { body_bytes: 100 }));
    for (name, head, body, status) in [
        ("no UTF-8", asking("1.1", "Content-Length: 2"), b"\xff\xfe".to_vec(), 400),
        ("bad chunks", asking("1.1", "Transfer-Encoding: chunked"), b"x\r\n".to_vec(), 400),
        ("chunks above the limit", asking("1.1", "Transfer-Encoding: chunked"), b"65\r\n".to_vec(), 413),
    ] {
        let _row = showing(name, &body);
        let mut client = witness.server.connect();
        client.request(&head).expect_status(100);
        client.request(&body).expect_status(status);
        witness.expect_nothing_published();
    }
}

#[test]
fn a_100_without_a_body_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    let mut client = witness.server.connect();
    client.request(asking("1.1", "Content-Length: 5")).expect_status(100);
    client.half_close();
    let rest = client.rest();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 400 "), "{:?}", rest.escape_ascii());
    witness.expect_nothing_published();
}

#[test]
fn an_http_1_0_client_gets_no_100() {
    let mut witness = Witness::start(Limits::default());
    let mut client = witness.server.connect();
    client.send(asking("1.0", "Content-Length: 5"));
    client.send("hello");
    client.response().expect_status(202);
    client.expect_closed();
    witness.stream().expect_data("hello");
}

#[test]
fn any_other_expectation_is_417_and_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    for value in ["x", "100", "continue", "200-ok", "100-continued", "x, 100-continue", "100-continue, x", "a=b;c"] {
        let request =
            format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\nhello");
        let _row = showing(value, request.as_bytes());
        let mut client = witness.server.connect();
        let response = client.request(&request).expect_status(417);
        if response.closes() {
            client.expect_closed();
        } else {
            client.request(post("next")).expect_status(202);
            witness.stream().expect_data("next");
        }
        witness.expect_nothing_published();
    }
}
