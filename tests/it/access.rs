//! The lists of hosts and origins: listed requests, and refused ones.

use smolcast::{AccessSettings, Limits};
use support::{Client, EventStream, Served, TestServer, config, get, post, showing, with};

const PAGE: &str = "https://app.example";

fn guarded() -> TestServer {
    let read = |text: &str| text.parse().expect("a host");
    let access = with!(AccessSettings::default(), {
        hosts: ["smol.example", "*.cast.example"].map(read).into(),
        origins: vec![PAGE.parse().expect("an origin"), "*.pages.example".parse().expect("an origin")],
    });
    TestServer::start(with!(config(Limits::default()), { access }))
}

fn publish_from(origin: &str) -> String {
    format!("POST /broadcast HTTP/1.1\r\nHost: smol.example\r\n{origin}Content-Length: 1\r\n\r\nx")
}

fn stream_for(server: &TestServer, origin: &str) -> (EventStream, Option<String>) {
    let request = format!("GET /sse HTTP/1.1\r\nHost: smol.example\r\n{origin}\r\n");
    let (stream, response) = EventStream::open_with(Client::connect(server.addr), request.as_bytes());
    (stream, response.field("access-control-allow-origin").map(str::to_owned))
}

#[test]
fn a_request_for_another_host_is_421_and_publishes_nothing() {
    let server = guarded();
    let (mut stream, _) = stream_for(&server, "");
    for head in [
        "POST /broadcast HTTP/1.1\r\nHost: evil.example",
        "POST /broadcast HTTP/1.1\r\nHost: smol.example.evil.example",
        "POST /broadcast HTTP/1.1\r\nHost: 127.0.0.1",
        "POST http://evil.example/broadcast HTTP/1.1\r\nHost: smol.example",
        "POST /broadcast HTTP/1.0",
    ] {
        let _row = showing("the head", head.as_bytes());
        let answer = server.request(format!("{head}\r\nContent-Length: 4\r\n\r\nevil")).expect_status(421);
        assert!(answer.closes(), "{answer:?}");
    }
    server.request(get("/connections")).expect_status(421);
    server.request("GET /connections HTTP/1.1\r\nHost:\r\n\r\n").expect_status(421);
    server
        .request("POST http://a.cast.example:80/broadcast HTTP/1.1\r\nHost: evil\r\nContent-Length: 1\r\n\r\n1")
        .expect_status(202);
    server.request(publish_from("")).expect_status(202);
    stream.expect(b"data: 1\n\ndata: x\n\n");
}

#[test]
fn a_page_of_another_origin_publishes_nothing() {
    let server = guarded();
    let (mut stream, _) = stream_for(&server, "");
    for origin in ["https://evil.example", "null", "http://app.example", "https://app.example.evil.example"] {
        let _row = showing("the origin", origin.as_bytes());
        // Decided by the head alone: no body is awaited.
        let head = format!("POST /broadcast HTTP/1.1\r\nHost: smol.example\r\nOrigin: {origin}\r\n");
        let answer = server.request(format!("{head}Content-Length: 1\r\n\r\n")).expect_status(403);
        assert!(answer.closes(), "{answer:?}");
        assert_eq!(answer.field("access-control-allow-origin"), None);
    }
    server.request(publish_from("Origin: https://app.example\r\nOrigin: https://app.example\r\n")).expect_status(403);
    for origin in ["Origin: https://app.example\r\n", "Origin: https://b.pages.example:8443\r\n", ""] {
        server.request(publish_from(origin)).expect_status(202);
        stream.expect_data("x");
    }
}

#[test]
fn a_response_names_the_origin_that_may_read_it() {
    let server = guarded();
    let (_stream, allowed) = stream_for(&server, "Origin: https://app.example\r\n");
    assert_eq!(allowed.as_deref(), Some(PAGE));
    let asks = "Access-Control-Request-Headers: last-event-id\r\n";
    let preflight = format!("OPTIONS /sse HTTP/1.1\r\nHost: smol.example\r\nOrigin: {PAGE}\r\n{asks}\r\n");
    let answer = server.request(preflight).expect_status(204);
    answer.expect_field("access-control-allow-origin", PAGE);
    answer.expect_field("access-control-allow-credentials", "true");
    answer.expect_field("access-control-allow-headers", "Last-Event-ID, Authorization, Cache-Control");
    for origin in ["Origin: https://evil.example\r\n", ""] {
        let (_stream, allowed) = stream_for(&server, origin);
        assert_eq!(allowed, None, "for {origin:?}");
    }
    let mut publisher = server.connect();
    for (origin, allowed) in
        [("Origin: https://app.example\r\n", Some(PAGE)), ("", None), ("Origin: https://app.example\r\n", Some(PAGE))]
    {
        let answer = publisher.request(publish_from(origin)).expect_status(202);
        assert_eq!(answer.field("access-control-allow-origin"), allowed, "each request by its own origin");
        let credentials = answer.field("access-control-allow-credentials");
        assert_eq!(credentials, allowed.map(|_| "true"), "for a listed origin alone");
        assert_eq!(answer.field("vary"), Some("Origin"));
    }
}

/// The origin of an earlier request was once in the response to a malformed head.
#[test]
fn a_response_never_names_another_requests_origin() {
    let server = guarded();
    let mut client = server.connect();
    let answer = client.request(publish_from("Origin: https://app.example\r\n")).expect_status(202);
    assert_eq!(answer.field("access-control-allow-origin"), Some(PAGE));
    let answer = client.request("GARBAGE\r\n\r\n").expect_status(400);
    assert_eq!(answer.field("access-control-allow-origin"), None);
}

#[test]
fn without_lists_any_host_and_origin_is_served() {
    let server = TestServer::start_default();
    let answer = server
        .request("POST /broadcast HTTP/1.1\r\nHost: any\r\nOrigin: https://any\r\nContent-Length: 1\r\n\r\nx")
        .expect_status(202);
    assert_eq!(answer.field("access-control-allow-origin"), Some("*"));
    assert_eq!((answer.field("vary"), answer.field("access-control-allow-credentials")), (None, None));
    server.request(post("x")).expect_status(202);
}
