//! The requests that a test sends to a server, within this process or in another.

use std::net::SocketAddr;

use crate::{Client, EventStream, Response, get, post, wait_until};

/// A server at an address.
pub trait Served {
    /// Its first TCP address.
    fn addr(&self) -> SocketAddr;

    /// Connects to it.
    fn connect(&self) -> Client {
        Client::connect(self.addr())
    }

    /// Sends one request on a new connection and reads the response.
    #[track_caller]
    fn request(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.connect().request(bytes)
    }

    /// Publishes by `POST` and expects 202.
    #[track_caller]
    fn publish(&self, body: impl AsRef<[u8]>) {
        self.request(post(body)).expect_status(202);
    }

    /// Publishes by `POST` with this query; returns the event's id.
    #[track_caller]
    fn publish_for_id(&self, query: &str, body: &str) -> String {
        let head = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n");
        let response = self.request(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).expect_status(202);
        let receipt = String::from_utf8(response.body).expect("JSON is text");
        receipt.split('"').nth(3).unwrap_or_else(|| panic!("no id in {receipt}")).to_owned()
    }

    /// Opens a stream and reads it up to its `:ok`.
    #[track_caller]
    fn stream(&self) -> EventStream {
        EventStream::open(self.connect())
    }

    /// The number of open streams, from `GET /connections`.
    #[track_caller]
    fn count(&self) -> usize {
        let response = self.request(get("/connections")).expect_status(200);
        let text = String::from_utf8(response.body).unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("no count: {text:?}"))
    }

    /// Waits until `GET /connections` says `count`.
    #[track_caller]
    fn wait_for_count(&self, count: usize) {
        wait_until(&format!("{count} streams"), || self.count() == count);
    }
}

/// Any server, by its address alone.
impl Served for SocketAddr {
    fn addr(&self) -> SocketAddr {
        *self
    }
}
