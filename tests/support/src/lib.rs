//! The tools of the tests: servers to test, a client of raw bytes, strict readers, and failures that show the bytes.
//!
//! Shared by every test binary, the fuzz references and the benches. Everything here panics with the bytes at hand,
//! never waits longer than a deadline, and takes no code from the server: its readers are written from the standards.
//!
//! # Layout
//!
//! For any server at an address:
//!
//! - [`Client`]: a connection of raw bytes; `request`: well-formed requests; [`Response`]: a strict reader of responses
//! - [`sse`]: the event-stream parser of the HTML standard; [`EventStream`]: a stream that a client reads
//! - [`Served`]: the requests that any server answers; [`Relay`]: a path to a server that breaks
//! - [`bodies`], [`missed`]: messages that every client must receive intact
//!
//! Servers:
//!
//! - [`TestServer`]: a server within this process; [`Program`]: the program as a process
//! - [`Acceptor`]: a stand-in of a test's own; [`Child`]: any other process
//!
//! The rest:
//!
//! - [`measure`]: timed waits and samples; [`procfs`]: the kernel's figures of a process
//! - [`Folder`], [`FreePort`], [`alone`]: a test's own folder, port and process
//! - [`bytes`], [`date`]: bytes and dates in failures

/// Sets fields of a value whose type may get more of them: `with!(Limits::default(), { head_bytes: 40 })`.
#[macro_export]
macro_rules! with {
    ($base:expr, { $($field:ident $(: $value:expr)?),* $(,)? }) => {{
        let mut value = $base;
        $($crate::with!(@set value, $field $(, $value)?);)*
        value
    }};
    (@set $value:ident, $field:ident) => { $value.$field = $field };
    (@set $value:ident, $field:ident, $new:expr) => { $value.$field = $new };
}

mod acceptor;
mod alone;
pub mod bodies;
pub mod bytes;
mod child;
mod client;
pub mod date;
mod folder;
mod free_port;
pub mod measure;
pub mod missed;
pub mod procfs;
mod program;
mod relay;
mod request;
mod response;
mod served;
mod server;
pub mod sse;
mod stream;

pub use acceptor::Acceptor;
pub use alone::alone;
pub use bytes::{assert_bytes, escaped, showing};
pub use child::Child;
pub use client::{Client, End};
pub use folder::Folder;
pub use free_port::FreePort;
pub use program::{Binary, Finished, Process, Program};
pub use relay::Relay;
pub use request::{get, options, post, post_chunked};
pub use response::{Response, parse_responses};
pub use served::Served;
pub use server::{TestServer, config};
pub use stream::{EventStream, retry_of};

use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Polls until `condition` holds, for changes that no socket announces.
///
/// # Panics
///
/// If it does not hold within the deadline.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Runs a future to its end.
///
/// # Panics
///
/// If it does not end within the deadline.
#[track_caller]
pub fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(DEADLINE).await;
        None
    };
    let outcome = smol::block_on(smol::future::or(async { Some(future.await) }, late));
    outcome.unwrap_or_else(|| panic!("the future is still pending after {DEADLINE:?}"))
}
