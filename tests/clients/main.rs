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
//! - `node`: the EventSource of npm

#![cfg(all(target_os = "linux", feature = "cli"))]

#[expect(dead_code, reason = "shared with the tests of faults, which use the rest of it")]
#[path = "../faults/measure.rs"]
mod measure;
mod node;
#[path = "../it/sse.rs"]
mod sse;
#[expect(dead_code, unused_imports, reason = "shared with the tests of the contract, which use the rest of it")]
#[path = "../it/support/mod.rs"]
mod support;
