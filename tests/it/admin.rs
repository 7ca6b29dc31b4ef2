//! The admin address: what it answers, what it tells of the server, and whom it obeys.
//!
//! Every answer is read up to the end of its connection, since each is the last of its own.
//!
//! # Layout
//!
//! - `answers`: every path, health, bad heads, and how many connections there may be; `guard`: whose requests are
//!   carried out
//! - `exposition`: a strict reader of what Prometheus reads; `families`: what is there; `counting`: what counts when
//! - `live`: the live page's stream; `slowest`: the streams that are behind, and their end; `publish`: receipts
//! - `stuck`: a worker that really hangs, and all of that meanwhile
//! - `program`: the same of the program, and what its page says of its options

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

use self::exposition::Exposition;
use crate::support::{Client, Response, TestServer, parse_responses, wait_until};

/// The configuration with an admin address, on a free port unless it has one.
fn watched(config: Config) -> Config {
    Config { admin: config.admin.or(Some(([127, 0, 0, 1], 0).into())), ..config }
}

/// A server with an admin address on a free port, which has begun to serve.
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
    }
}

/// The admin address of a server that was given one.
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

/// Sends these bytes on a connection of their own; holds that there is one answer, which says that it is the last, and
/// then the connection's end.
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

/// Asks for a path.
#[track_caller]
fn get(admin: &Address, path: &str) -> Response {
    ask(admin, request("GET", path, b""))
}

/// The body of the answer to a path, which has to be good and text.
#[track_caller]
fn text(admin: &Address, path: &str) -> String {
    String::from_utf8(get(admin, path).expect_status(200).body).expect("it is UTF-8")
}

/// The metrics as they are now.
#[track_caller]
fn metrics(server: &TestServer) -> Exposition {
    Exposition::parse(&text(admin(server), "/metrics"))
}
