//! Publish requests that a client sends without waiting, with a history on the disk: they are under way together, and
//! each response comes in its place.

use smolcast::{HistoryDir, Limits};
use support::{Client, EventStream, Folder, Served, TestServer, config, post, with};

/// A server with a history in this folder.
fn server(folder: &Folder, limits: Limits) -> TestServer {
    TestServer::start(with!(config(limits), { history_dir: Some(HistoryDir::new(folder.path("history"))) }))
}

fn few_at_once() -> Limits {
    with!(Limits::default(), { pipelined_publishes: 4 })
}

#[test]
fn responses_keep_the_order_of_requests() {
    let folder = Folder::new();
    let server = server(&folder, Limits::default());
    let mut stream = server.stream();
    let mut client = server.connect();
    let (not_text, json) = (post([0xff]), "POST /broadcast HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n");
    let receipt = format!("{json}Content-Length: 1\r\n\r\nc").into_bytes();
    let count = b"GET /connections HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    client.send([post("a"), not_text, post("b"), receipt, count].concat());
    let statuses: Vec<_> = (0..5).map(|_| client.response()).collect();
    assert_eq!(statuses.iter().map(|response| response.status).collect::<Vec<_>>(), [202, 400, 202, 202, 200]);
    assert!(statuses[3].body.ends_with(b"-3\",\"subscribers\":1}\n"), "{:?}", statuses[3]);
    assert_eq!(statuses[4].body, b"1");
    client.expect_closed();
    for line in ["a", "b", "c"] {
        assert_eq!(stream.message().data, line);
    }
}

#[test]
fn more_than_may_be_under_way_are_published_in_order() {
    let folder = Folder::new();
    let server = server(&folder, few_at_once());
    let (mut stream, mut client) = (server.stream(), server.connect());
    let lines: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    client.send(lines.iter().flat_map(post).collect::<Vec<_>>());
    for line in &lines {
        client.response().expect_status(202);
        assert_eq!(stream.message().data, *line);
    }
}

/// A client that waits for its responses before it goes on gets them.
#[test]
fn a_client_that_waits_gets_what_is_under_way() {
    let folder = Folder::new();
    let server = server(&folder, Limits::default());
    let rest_of = |request: &[u8], split: usize, client: &mut Client| {
        client.send([&post("before")[..], &request[..split]].concat());
        client.response().expect_status(202);
        client.send(&request[split..]);
        client.response().expect_status(202);
    };
    let request = post("behind");
    let mut client = server.connect();
    for split in [1, 20, request.len() - 6, request.len() - 1] {
        rest_of(&request, split, &mut client);
    }
    let chunked = b"POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
    rest_of(chunked, chunked.len() - 2, &mut client);

    let expecting = b"POST /broadcast HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    client.send([&post("before")[..], expecting].concat());
    client.response().expect_status(202);
    client.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("x");
    client.response().expect_status(202);
}

#[test]
fn what_is_under_way_is_answered_before_an_error() {
    let folder = Folder::new();
    let server = server(&folder, Limits::default());
    let mut stream = server.stream();
    for (bad, status) in [
        ("POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n", 411),
        ("nonsense\r\n\r\n", 400),
        ("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413),
        ("POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n", 400),
    ] {
        let mut client = server.connect();
        client.send([&post("a")[..], &post("b"), bad.as_bytes(), &post("never")].concat());
        let statuses = [0; 3].map(|_| client.response().status);
        assert_eq!(statuses, [202, 202, status], "{bad}");
        client.expect_closed();
        assert_eq!([stream.message().data, stream.message().data], ["a", "b"]);
    }
}

#[test]
fn the_last_request_ends_the_connection() {
    let folder = Folder::new();
    let server = server(&folder, few_at_once());
    let mut client = server.connect();
    let last = b"POST /broadcast HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    client.send([&post("a")[..], last, &post("never")].concat());
    assert!(!client.response().expect_status(202).closes());
    assert!(client.response().expect_status(202).closes());
    client.expect_closed();
    // A stream opened behind posts begins behind them.
    let mut client = server.connect();
    client.send([&post("b")[..], b"GET /sse HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
    client.response().expect_status(202);
    let mut stream = EventStream::open_with(client, b"").0;
    server.publish("live");
    assert_eq!(stream.message().data, "live");
}

#[test]
fn a_client_that_leaves_takes_no_room_with_it() {
    let folder = Folder::new();
    let limits = with!(Limits::default(), { publish_queue: 8 });
    let server = server(&folder, limits);
    let mut stream = server.stream();
    for _ in 0..50 {
        let mut client = server.connect();
        client.send(post("x").repeat(20));
        client.reset();
    }
    server.publish("still");
    while stream.message().data != "still" {}
}
