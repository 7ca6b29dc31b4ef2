//! `cargo bench --bench floor`: the server beside the floor, a bare write loop that no server can
//! beat.
//!
//! # Layout
//!
//! - `options`: what was typed, and the sizes of each scenario
//! - `scenario`: the five scenarios, their bounds and tables
//! - `load`: one measured run; `publisher` offers its messages, `crowd` is its subscribers
//! - `stamp`: what a measured message carries, written and read back
//! - `server`: starts and ends the measured servers; `floor` is the yardstick among them
//! - `process`, `clock`: what the kernel counts
//! - `table`, `failure`: what the person at the terminal reads

#![forbid(unsafe_code)]

mod clock;
mod crowd;
mod failure;
mod floor;
mod load;
mod options;
mod process;
mod publisher;
mod scenario;
mod server;
mod stamp;
mod table;

use std::env;
use std::process::ExitCode;

use argh::FromArgs;

use crate::failure::{Context, Result};
use crate::options::Options;

const USAGE: &str = "cargo bench --bench floor --";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, command)) if first == server::GUARD => Err(server::guard(command)),
        Some((first, workers)) if first == server::SERVE_FLOOR => serve_floor(workers),
        _ => bench(&arguments),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure}");
        ExitCode::FAILURE
    })
}

fn serve_floor(workers: &[String]) -> Result<ExitCode> {
    let workers = workers.first().map_or(Ok(2), |count| count.parse());
    floor::serve(workers.context("the floor's number of writers")?)?;
    Ok(ExitCode::SUCCESS)
}

fn bench(arguments: &[String]) -> Result<ExitCode> {
    if arguments.is_empty() {
        // `cargo test --all-targets` runs it so; `cargo bench` adds `--bench`.
        println!("nothing measured; to measure: {USAGE} --quick");
        return Ok(ExitCode::SUCCESS);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let typed: Vec<&str> = (arguments.into_iter()).filter(|&word| word != "--bench").collect();
    match Options::from_args(&[USAGE], &typed) {
        Ok(options) => measure_all(&options),
        Err(exit) => {
            print!("{}", exit.output);
            Ok(if exit.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Every scenario asked for, the ones behind a failed one too.
fn measure_all(options: &Options) -> Result<ExitCode> {
    options.validate()?;
    let contenders = options.contenders()?;
    let mut failed = false;
    for scenario in options.scenarios() {
        crowd::raise_descriptor_limit(options.sizes(scenario).clients)?;
        match scenario::measure(scenario, options, &contenders) {
            Ok(report) => {
                println!("\n{}", report.table);
                if report.lost {
                    eprintln!("error: messages were lost, doubled or out of order; see the table");
                }
                failed |= report.lost;
            }
            Err(failure) => {
                eprintln!("error: {failure}");
                failed = true;
            }
        }
    }
    if options.quick {
        println!("These were quick runs: they show that it works, their figures compare nothing.");
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
