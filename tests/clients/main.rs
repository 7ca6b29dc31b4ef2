//! The server seen by clients that others wrote.
//!
//! A plain `cargo test` ignores all of it, since it needs programs and packages that not every machine has:
//!
//! ```sh
//! cargo test --test clients -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! Missing programs print `SKIPPED` and the reason. Every wait has a deadline.
//!
//! # Layout
//!
//! - `cases`: the cases of every client, with `support::bodies`, `support::missed` and a `Relay`
//! - `ear`: a client as a process; `packages`: its installation
//! - `node`: the EventSource of npm; `python`: httpx-sse; `curl`
//! - `prometheus`: the metrics' own client
//!
//! Chromium runs the same cases in the tests of a browser, which has pages and origins.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod cases;
mod curl;
mod ear;
mod node;
mod packages;
mod prometheus;
mod python;

support::program_under_test!();
