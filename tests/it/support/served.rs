//! What a test asks of a server, whether it runs in this process or in one of its own.

use std::net::SocketAddr;

use super::{Client, EventStream, Response, get, post, wait_until};

pub(crate) trait Served {
    /// Where it listens.
    fn addr(&self) -> SocketAddr;

    fn connect(&self) -> Client {
        Client::connect(self.addr())
    }

    /// Sends one request on a connection of its own and reads its answer.
    #[track_caller]
    fn request(&self, bytes: impl AsRef<[u8]>) -> Response {
        self.connect().request(bytes)
    }

    /// Publishes by `POST` and holds the answer to be 202.
    #[track_caller]
    fn publish(&self, body: impl AsRef<[u8]>) {
        self.request(post(body)).expect_status(202);
    }

    /// Opens a stream and reads it up to its `:ok`.
    #[track_caller]
    fn stream(&self) -> EventStream {
        EventStream::open(self.connect())
    }

    /// What `GET /connections` says.
    #[track_caller]
    fn count(&self) -> usize {
        let response = self.request(get("/connections")).expect_status(200);
        let text = String::from_utf8(response.body).unwrap_or_default();
        text.parse().unwrap_or_else(|_| panic!("no count: {text:?}"))
    }

    /// Waits for `GET /connections` to say `count`.
    #[track_caller]
    fn wait_for_count(&self, count: usize) {
        wait_until(&format!("{count} streams"), || self.count() == count);
    }
}
