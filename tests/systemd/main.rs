//! The server as a service of systemd: its units, passed sockets, and its notifications.
//!
//! No systemd has to run: the tests stand in for it, with its own tools if they are installed. A missing tool prints
//! `SKIPPED` and the reason. A plain `cargo test` ignores all of it:
//!
//! ```sh
//! cargo test --test systemd -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! # Layout
//!
//! - `units`: the files in `deploy`, checked by systemd's own tools
//! - `activation`: sockets that are open before the server starts
//! - `notify`: the server's notifications

#![cfg(all(target_os = "linux", feature = "cli"))]

mod activation;
mod notify;
mod units;

use std::process::{Command, Stdio};

use support::measure::{report, skipped};

support::program_under_test!();

/// True if one of systemd's tools runs; prints its version or the reason.
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
