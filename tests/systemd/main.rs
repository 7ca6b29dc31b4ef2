//! The server as a service of systemd: its units, sockets that it is handed, and what it says of itself.
//!
//! No systemd has to run, and none is asked for anything: the tests stand in its place, with its own tools where they
//! are there. What a machine lacks is `SKIPPED`, and said so. Ignored by a plain `cargo test`:
//!
//! ```sh
//! cargo test --test systemd -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! # Layout
//!
//! - `units`: the files in `deploy`, as systemd's own tools read them
//! - `activation`: sockets that are open before the server is
//! - `notify`: what the server says, and when

#![cfg(all(target_os = "linux", feature = "cli"))]

mod activation;
mod notify;
mod units;

use std::process::{Command, Stdio};

use support::measure::{report, skipped};

support::program_under_test!();

/// Whether one of systemd's tools is here, and a word about it.
fn has(tool: &str, test: &str) -> bool {
    let output = Command::new(tool).arg("--version").stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            report(test, text.lines().next().unwrap_or_default());
            true
        }
        Ok(output) => {
            skipped(test, format_args!("{tool} does not say its version: {output:?}"));
            false
        }
        Err(error) => {
            skipped(test, format_args!("{tool} does not run: {error}"));
            false
        }
    }
}
