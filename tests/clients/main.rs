//! What clients that others wrote make of the server.
//!
//! All of it is ignored by a plain `cargo test`, since it needs programs and packages that not every machine has:
//!
//! ```sh
//! cargo test --test clients -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! What cannot be had is `SKIPPED`, and said so. Every wait has a deadline.
//!
//! # Layout
//!
//! - `cases`: what every client has to hear; `bodies`: messages of every shape; `missed`: what was published meanwhile
//! - `relay`: the way to the server, which breaks
//! - `ear`: a client as a process; `packages`: what is installed for it
//! - `node`: the EventSource of npm; `python`: httpx-sse; `curl`
//! - `prometheus`: who reads the metrics
//!
//! What Chromium makes of the same is with the tests of a browser, which has pages and origins.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod cases;
mod curl;
mod ear;
mod node;
mod packages;
mod prometheus;
mod python;

support::program_under_test!();
