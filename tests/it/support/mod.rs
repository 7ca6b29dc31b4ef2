//! What every test needs: a server, clients of raw bytes, and failures that show the bytes.

mod alone;
mod bytes;
mod client;
mod date;
mod folder;
mod free_port;
#[cfg(feature = "cli")]
mod program;
mod request;
mod response;
mod served;
mod server;
mod stream;
mod witness;

pub(crate) use alone::alone;
pub(crate) use bytes::{assert_bytes, escaped};
pub(crate) use client::{Client, End};
pub(crate) use folder::Folder;
pub(crate) use free_port::FreePort;
#[cfg(feature = "cli")]
pub(crate) use program::{Finished, Process, Program, finished};
pub(crate) use request::{get, options, post, post_chunked};
pub(crate) use response::{Response, parse_responses};
pub(crate) use served::Served;
pub(crate) use server::{TestServer, config};
pub(crate) use stream::{EventStream, retry_of};
pub(crate) use witness::{Witness, showing};

use std::time::{Duration, Instant};

/// How long a test waits for anything that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

/// Asks again and again until `condition` holds, for what no socket tells.
///
/// # Panics
///
/// When it does not hold within the deadline.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
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
/// When it does not end within the deadline.
#[track_caller]
pub(crate) fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(DEADLINE).await;
        None
    };
    let outcome = smol::block_on(smol::future::or(async { Some(future.await) }, late));
    outcome.unwrap_or_else(|| panic!("the future is still pending after {DEADLINE:?}"))
}
