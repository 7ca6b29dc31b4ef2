//! What real proxies make of the server: nginx, Caddy and HAProxy in front of it, as `deploy/` sets them up.
//!
//! The files of `deploy/` are what is run: only addresses, ports and paths are replaced, and where a test would wait
//! for minutes, a time. So what an operator copies is what is held. All of it is ignored by a plain `cargo test`, since
//! it needs programs that not every machine has:
//!
//! ```sh
//! cargo test --test proxies -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! A test runs for each proxy that is there, and says `SKIPPED` for each that is not. Every wait has a deadline, and
//! no process outlives its test.
//!
//! # Layout
//!
//! - `proxy`: a proxy, found, set up from its file and run; `certificate`: what it shows
//! - `curl`: a client that speaks TLS, HTTP/1.1 and HTTP/2; `child`: what it runs as; `node`: a browser with many tabs
//! - `backend`: stands in for the server, and tells what reaches it
//! - `latency`, `idle`, `leaving`, `tabs`: streams, from their events to their ends
//! - `comeback`: the proxy is reloaded, and the server goes and comes back
//! - `gate`: what is passed on, from whom, and how; `unix`: by a socket that is a file

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

/// How long a test waits for what a proxy does, its own start on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(20);
