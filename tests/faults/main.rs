//! Load, faults and shutdown from outside: the server while the network, the system or its clients fail.
//!
//! A plain `cargo test` ignores the slow and the heavy tests. All of them, one after the other, with their figures:
//!
//! ```sh
//! cargo test --test faults -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! A test that the machine cannot run (no namespaces, no compiler) prints `SKIPPED` and the reason. Bounds of time only
//! tell "served" from "stalled": precise figures are printed, and belong to the benches.
//!
//! # Layout
//!
//! - `crowd`: many raw sockets at a time; `network`: cables that can be cut; `shim`: system calls that fail
//! - `stalled`, `flood`: subscribers that never read, publishers that never stop; `memory`: the cost of the worst input
//! - `busy`: an overloaded shard
//! - `vanish`, `resets`, `slowloris`: peers that vanish, that reset at any moment, that are slow
//! - `descriptors`: accepts that fail; `capacity`: more clients than the server admits
//! - `ending`, `starting`, `threads`: the shutdown, starts that fail, limits of threads
//! - `disk`: disks under the history that are full, fail, hang, lose files or their power
//! - `resume`: clients that come and go over restarts
//! - `output`: an output that blocks or fails; `pause`: a stopped process, a wall clock that jumps

#![cfg(all(target_os = "linux", feature = "cli"))]

mod busy;
mod capacity;
mod crowd;
mod descriptors;
mod disk;
mod ending;
mod flood;
mod memory;
mod network;
mod output;
mod pause;
mod resets;
mod resume;
mod shim;
mod slowloris;
mod stalled;
mod starting;
mod threads;
mod vanish;

support::program_under_test!();
