//! Every path's response, health throughout a server's life, and malformed heads.

use std::net::SocketAddr;
use std::time::Duration;

use smolcast::{Limits, Server};
use support::{Client, Folder, Served, TestServer, assert_bytes, config, parse_responses, showing, wait_until, with};

use super::{admin, ask, connect, get, metrics, request, start, text, watched};

/// A publish whose body the server waits for, which delays its shutdown.
#[track_caller]
pub(super) fn begin_publish(addr: SocketAddr) -> Client {
    let mut client = Client::connect(addr);
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    client
}

/// Before it serves and while it shuts down, `/readyz` names the reason.
#[test]
fn readyz_follows_the_life_of_the_server() {
    let server = Server::bind(watched(config(Limits::default()))).expect("a free port");
    let admin = server.admin_address().cloned().expect("it was asked for");
    let not_ready = |reason: &str| {
        let response = get(&admin, "/readyz").expect_status(503);
        assert_bytes("the reason", format!("not ready: {reason}\n").as_bytes(), &response.body);
        assert_bytes("it lives", b"ok\n", &get(&admin, "/healthz").expect_status(200).body);
    };
    not_ready("the server is starting");
    assert!(text(&admin, "/metrics").contains("\nsmolcast_ready 0\n"));
    let mut server = TestServer::run(server);
    wait_until("it serves", || get(&admin, "/readyz").status == 200);
    assert_bytes("ready", b"ready\n", &get(&admin, "/readyz").body);
    assert_eq!(metrics(&server).value("smolcast_ready"), 1.0);
    let mut held = begin_publish(server.addr);
    server.stop();
    wait_until("it is ending", || get(&admin, "/readyz").status == 503);
    not_ready("the server is ending");
    held.send("hello");
    held.response().expect_status(202);
    server.join();
    let Some(port) = admin.tcp() else { panic!("{admin}") };
    assert!(Client::try_connect(port).is_err(), "it goes with its server");
}

/// No shard ticks within a limit of zero, so every shard counts as stuck here.
#[test]
fn readyz_names_a_stuck_shard() {
    let server = start(config(with!(Limits::default(), { turn_timeout: Duration::ZERO })));
    let response = get(admin(&server), "/readyz").expect_status(503);
    assert_bytes("the reason", b"not ready: worker 0 has not turned its loop for too long\n", &response.body);
    assert_eq!(metrics(&server).value("smolcast_ready"), 0.0);
    assert_eq!(metrics(&server).by_label("smolcast_worker_turn_age_seconds").len(), 2);
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    let server = start(config(Limits::default()));
    for (path, media_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
        ("/uplot.css", "text/css; charset=utf-8"),
        ("/uplot.js", "text/javascript; charset=utf-8"),
        ("/licenses", "text/plain; charset=utf-8"),
        ("/healthz", "text/plain; charset=utf-8"),
    ] {
        let _row = showing(path, b"");
        let response = get(admin(&server), path).expect_status(200);
        response.expect_field("content-type", media_type);
        response.expect_field("x-content-type-options", "nosniff");
        response.expect_field("cache-control", "no-cache");
        let policy = response.field("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; ") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!response.body.is_empty());
        let head = ask(admin(&server), request("HEAD", path, b"")).expect_status(200);
        assert_eq!(head.field("content-length"), Some(&*response.body.len().to_string()));
        assert_eq!(head.field("content-type"), Some(media_type));
    }
    for (host, path, status) in
        [("localhost", "/nowhere", 404), ("localhost", "/live", 404), ("evil.example", "/", 421)]
    {
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask(admin(&server), head).expect_status(status);
    }
    let page = text(admin(&server), "/");
    for file in ["uplot.css", "page.css", "uplot.js", "page.js", "licenses"] {
        assert!(page.contains(&format!("=\"{file}\"")), "{file} is not asked for");
    }
}

#[test]
fn neither_side_answers_for_the_other() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let requests = |targets: &[(&str, &str)]| {
        targets.iter().map(|(method, target)| request(method, target, b"x")).collect::<Vec<_>>()
    };
    for bytes in requests(&[
        ("GET", "/sse"),
        ("POST", "/broadcast"),
        ("GET", "/connections"),
        ("OPTIONS", "/sse"),
        ("OPTIONS", "/broadcast"),
        ("POST", "/"),
        ("POST", "/live"),
        ("POST", "/metrics"),
        ("GET", "/publish"),
        ("GET", "/disconnect"),
        ("GET", "/page.html"),
        ("GET", "//"),
        ("GET", "/metrics/"),
    ]) {
        let _row = showing("the admin side", &bytes);
        ask(admin(&server), &bytes).expect_status(404);
    }
    for bytes in requests(&[
        ("GET", "/"),
        ("GET", "/metrics"),
        ("GET", "/healthz"),
        ("GET", "/readyz"),
        ("GET", "/live"),
        ("GET", "/page.js"),
        ("POST", "/publish"),
        ("POST", "/disconnect?stream=0-0"),
    ]) {
        let _row = showing("the public side", &bytes);
        server.request(&bytes).expect_status(404);
    }
    server.publish("sentinel");
    stream.expect_data("sentinel");
}

#[test]
fn a_bad_head_is_refused_as_on_the_public_side() {
    let server = start(config(Limits::default()));
    let long = "x".repeat(9 * 1024);
    for (name, bytes, status) in [
        ("no head", "BAD\r\n\r\n".to_owned(), 400),
        ("a bare line feed", "GET /metrics HTTP/1.1\nHost: localhost\n\n".to_owned(), 400),
        ("no host", "GET /metrics HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_owned(), 400),
        (
            "two framings",
            "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\
                          Transfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            400,
        ),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"), 414),
        ("long fields", format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\nY: {long}\r\n\r\n"), 431),
        ("many fields", format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: y\r\n".repeat(100)), 431),
    ] {
        let _row = showing(name, bytes.as_bytes());
        let response = ask(admin(&server), &bytes).expect_status(status);
        let public = server.request(&bytes).expect_status(status);
        assert_bytes("the same words", &public.body, &response.body);
    }
}

#[test]
fn an_incomplete_head_is_answered_as_the_public_side_does() {
    let limits = with!(Limits::default(), { head_timeout: Duration::from_millis(300) });
    let server = start(config(limits));
    for half_closes in [false, true] {
        let mut client = connect(admin(&server));
        if half_closes {
            client.half_close();
        }
        client.expect_closed();
        for is_admin in [true, false] {
            let mut client = if is_admin { connect(admin(&server)) } else { server.connect() };
            client.send(b"GET /metrics HTTP/1.1\r\nHo");
            if half_closes {
                client.half_close();
            }
            let response = &parse_responses(&client.rest(), &["GET"])[0];
            assert_eq!(response.status, if half_closes { 400 } else { 408 }, "{response:?}");
        }
    }
}

#[test]
fn a_second_request_on_a_connection_is_ignored() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    let mut client = connect(admin(&server));
    client.send([request("GET", "/healthz", b""), request("POST", "/publish", b"x")].concat());
    assert_eq!(parse_responses(&client.rest(), &["GET"]).len(), 1);
    server.publish("sentinel");
    stream.expect_data("sentinel");
}

/// They are served again as soon as others leave.
#[test]
fn connections_over_the_limit_are_closed_at_once() {
    let server = TestServer::start(watched(config(with!(Limits::default(), { admin_connections: 2 }))));
    let mut held = [connect(admin(&server)), connect(admin(&server))];
    for _ in 0..3 {
        let (bytes, _) = connect(admin(&server)).rest_and_end();
        assert_bytes("over the limit", b"", &bytes);
    }
    held[0].send(request("GET", "/healthz", b""));
    assert_eq!(parse_responses(&held[0].rest(), &["GET"])[0].status, 200);
    // A client that was served makes room when it has closed.
    let [first, mut second] = held;
    drop(first);
    wait_until("there is room", || {
        let mut client = connect(admin(&server));
        // It may be closed before this is sent.
        let _ = client.try_send(&request("GET", "/healthz", b""));
        client.rest_and_end().0.starts_with(b"HTTP/1.1 200 OK\r\n")
    });
    second.send(request("GET", "/healthz", b""));
    assert_eq!(parse_responses(&second.rest(), &["GET"])[0].status, 200);
}

#[test]
fn the_public_side_is_served_while_the_admin_side_is_full() {
    let server = TestServer::start(watched(config(with!(Limits::default(), { admin_connections: 1 }))));
    let _held = connect(admin(&server));
    let mut stream = server.stream();
    server.publish("x");
    stream.expect_data("x");
}

#[test]
fn the_admin_address_may_be_a_unix_socket() {
    let folder = Folder::new();
    let path = folder.path("admin");
    let config = with!(config(Limits::default()), { admin: Some(smolcast::Address::unix(&path)) });
    let mut server = start(config);
    let mut stream = server.stream();
    assert_bytes("health", b"ok\n", text(admin(&server), "/healthz").as_bytes());
    ask(admin(&server), request("POST", "/publish", b"by a file")).expect_status(202);
    stream.expect_data("by a file");
    assert!(path.exists());
    server.join();
    assert!(!path.exists(), "it goes with its server");
}
