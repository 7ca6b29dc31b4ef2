//! The admin address: its responses, its figures, and its guard.
//!
//! Every response is read to the end of its connection, since each is the last of its own.
//!
//! # Layout
//!
//! - `answers`: every path, health, bad heads, and the connection limit; `guard`: requests that are allowed
//! - `exposition`: a strict reader of the metrics; `families`: the list of metrics; `counting`: the events that they
//!   count
//! - `live`: the live page's stream; `slowest`: the slowest streams, and their disconnect; `publish`: receipts
//! - `stuck`: a shard that really hangs
//! - `program`: the program's admin address, and the options on its page

mod answers;
mod counting;
mod exposition;
mod families;
mod guard;
mod live;
#[cfg(feature = "cli")]
mod program;
mod publish;
mod slowest;
mod stuck;

use smolcast::{Address, Config};
use support::{Client, Response, TestServer, parse_responses, wait_until};

use self::exposition::Exposition;

/// The configuration with an admin address, on a free port unless it has one.
fn watched(mut config: Config) -> Config {
    config.admin.get_or_insert_with(|| ([127, 0, 0, 1], 0).into());
    config
}

/// A running server with an admin address on a free port.
#[track_caller]
fn start(config: Config) -> TestServer {
    let server = TestServer::start(watched(config));
    wait_until("it has begun", || !get(admin(&server), "/readyz").body.ends_with(b"starting\n"));
    server
}

/// Connects to an admin address.
#[track_caller]
fn connect(admin: &Address) -> Client {
    match admin {
        Address::Tcp(address) => Client::connect(*address),
        Address::Unix { path, .. } => Client::connect_unix(path),
        other => panic!("no client for {other}"),
    }
}

/// The admin address of a server that has one.
#[track_caller]
fn admin(server: &TestServer) -> &Address {
    server.admin.as_ref().expect("the test gave it one")
}

/// A request as a program of this machine sends it.
fn request(method: &str, target: &str, body: &[u8]) -> Vec<u8> {
    let length = if method == "POST" { format!("Content-Length: {}\r\n", body.len()) } else { String::new() };
    let head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n");
    [head.as_bytes(), body].concat()
}

/// Sends these bytes on a new connection; holds that one response comes, announces the end, and the connection closes.
#[track_caller]
fn ask(admin: &Address, bytes: impl AsRef<[u8]>) -> Response {
    let (mut client, bytes) = (connect(admin), bytes.as_ref());
    client.send(bytes);
    let method = if bytes.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let mut responses = parse_responses(&client.rest(), &[method]);
    let response = responses.pop().expect("an answer");
    assert!(response.closes(), "no Connection: close: {response:?}");
    response
}

/// Requests a path.
#[track_caller]
fn get(admin: &Address, path: &str) -> Response {
    ask(admin, request("GET", path, b""))
}

/// The body of the response to a path, held to be 200 and text.
#[track_caller]
fn text(admin: &Address, path: &str) -> String {
    String::from_utf8(get(admin, path).expect_status(200).body).expect("it is UTF-8")
}

/// The metrics now.
#[track_caller]
fn metrics(server: &TestServer) -> Exposition {
    Exposition::parse(&text(admin(server), "/metrics"))
}
