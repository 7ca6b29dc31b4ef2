//! `cargo run --release -p vs_tokio`: smolcast beside the servers that one would write on tokio, and beside the floor,
//! a bare write loop.
//!
//! # Layout
//!
//! A module names only modules that are listed before it.
//!
//! - `clock`, `number`, `process`: time, numbers as text, the kernel's figures; `flags`, `progress`: the terminal
//! - `figure`: the results of a comparison as data; `stamp`: the content of a measured message
//! - `servers`: the measured servers, a file each
//! - `interrupt`: the end by a signal; `contender`: a server as a process, one of these or another
//! - `conformance`: the contract as a table of rules
//! - `crowd`: the subscribers; `publisher`: the publisher; `load`: one measured run with both
//! - `scenario`: the runs of a comparison, a file each, in interleaved rounds
//! - `goals`: the aims of smolcast in a comparison; `report`: tables, JSON and plots
//! - `soak`: everything at once, for long: leaks, losses, breaks
//! - `check`, `lone`, `compare`: the commands beside `serve` and `soak`

#![forbid(unsafe_code)]

mod check;
mod clock;
mod compare;
mod conformance;
mod contender;
mod crowd;
mod figure;
mod flags;
mod goals;
mod interrupt;
mod load;
mod lone;
mod number;
mod process;
mod progress;
mod publisher;
mod report;
mod scenario;
mod servers;
mod soak;
mod stamp;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, command)) if first == contender::GUARD => Err(contender::guard(command)),
        Some((first, rest)) if first == "serve" => servers::main(rest),
        Some((first, rest)) if first == "check" => check::main(rest),
        Some((first, rest)) if first == "load" => lone::main(rest),
        Some((first, rest)) if first == "soak" => soak::main(rest),
        _ => compare::main(&arguments),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure:#}");
        ExitCode::FAILURE
    })
}
