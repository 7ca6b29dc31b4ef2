//! `cargo run --release -p vs_tokio`: smolcast beside the servers that one would write on tokio, and beside the floor,
//! a bare write loop.
//!
//! # Layout
//!
//! - `options`: what was typed; `compare`: the whole comparison; `lone`: the load alone
//! - `servers`: the measured servers, a file each; `contender` starts and ends them, and any that is named on the
//!   command line; `interrupt` sees to it that none outlives a signal
//! - `conformance`: whether a server does the five tasks; what does not is not measured
//! - `scenario`: what is measured, a file each, in interleaved rounds
//! - `soak`: everything at once, for long: what a server leaks, loses or breaks at
//! - `load`: one measured run; `publisher` offers its messages, `crowd` is its subscribers
//! - `stamp`: what a measured message carries, written and read back
//! - `process`, `clock`: what the kernel counts
//! - `figure`: what a run comes to, as data; `goals`: what smolcast has to reach in it
//! - `report`: the same as tables, JSON and plots; `progress`: what is told meanwhile

#![forbid(unsafe_code)]

mod check;
mod clock;
mod compare;
mod conformance;
mod contender;
mod crowd;
mod figure;
mod goals;
mod interrupt;
mod load;
mod lone;
mod number;
mod options;
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
