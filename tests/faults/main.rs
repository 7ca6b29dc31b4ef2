//! Load, faults and the way out, from outside: what the server does when the network, the system or its clients fail.
//!
//! What is slow or heavy is ignored by a plain `cargo test`. All of it, one after the other, with the figures that are
//! measured on the way:
//!
//! ```sh
//! cargo test --test faults -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! A test that the machine does not let run (no namespaces, no compiler) says `SKIPPED` and why. Times are held to
//! bounds that tell "served" from "stalled", and no closer: figures are printed, and belong to benches.
//!
//! # Layout
//!
//! - `measure`: what the system tells of a process, waits that are timed, samples and their percentiles
//! - `crowd`: many raw sockets at one time; `network`: cables that can be cut; `shim`: system calls that fail
//! - `stalled`, `flood`: subscribers that do not read, publishers that do not stop
//! - `busy`: a worker with more to do than it can
//! - `vanish`, `resets`, `slowloris`: peers that go without a word, that go at any moment, that take their time
//! - `descriptors`: what accepting lacks; `capacity`: more clients than there is room for
//! - `ending`, `starting`: the way out, and the way not in
//! - `disk`: there is no room for the history
//! - `resume`: clients that come and go, over restarts
//! - `output`: nobody reads what it says; `pause`: the process, or its clock, stands still or goes back

#![cfg(all(target_os = "linux", feature = "cli"))]

mod busy;
mod capacity;
mod crowd;
mod descriptors;
mod disk;
mod ending;
mod flood;
mod network;
mod output;
mod pause;
mod resets;
mod resume;
mod shim;
mod slowloris;
mod stalled;
mod starting;
mod vanish;

support::program_under_test!();
