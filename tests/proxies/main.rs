//! The server behind real proxies: nginx, Caddy and HAProxy, as `deploy/` sets them up.
//!
//! The tests run the files of `deploy/`: they replace addresses, ports and paths, and timeouts that would take minutes.
//! So the tests hold the files that an operator copies. A plain `cargo test` ignores all of it, since it needs programs
//! that not every machine has:
//!
//! ```sh
//! cargo test --test proxies -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! A test runs for each installed proxy and prints `SKIPPED` for each other one. Every wait has a deadline, and no
//! process outlives its test.
//!
//! # Layout
//!
//! - `proxy`: a proxy, found, set up from its file and run; `certificate`: its certificate
//! - `curl`: a client that speaks TLS, HTTP/1.1 and HTTP/2; `child`: its process; `node`: a browser with many tabs
//! - `backend`: a stand-in for the server that reports each request
//! - `latency`, `idle`, `leaving`, `tabs`: streams, from their events to their ends
//! - `comeback`: a proxy that reloads, a server that restarts
//! - `gate`: the requests that are passed on; `unix`: a server on a unix socket

#![cfg(all(target_os = "linux", feature = "cli"))]

mod backend;
mod certificate;
mod child;
mod comeback;
mod curl;
mod gate;
mod idle;
mod latency;
mod leaving;
mod node;
mod proxy;
mod tabs;
mod unix;

use std::time::Duration;

support::program_under_test!();

/// Longest wait for a proxy, including its start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
