//! Everything at once, for long, against one server: `soak --time 15m`. A healthy crowd that has to hear everything,
//! amid streams that come and go, that read slowly or not at all, and hostile requests.
//!
//! It measures nothing that compares; it tells what a server leaks, loses or breaks at. Whatever fails, the server is
//! ended, and all checks are made.

mod check;
mod course;
mod healthy;
mod hostile;
mod ledger;
mod message;
mod options;
mod page;
mod publishers;
mod run;
mod stage;
mod visitors;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::flags::typed;
use crate::interrupt;
use crate::process::raise_descriptor_limit;
use crate::report::Machine;
use options::Options;

/// `soak [--time T] [--server NAME=COMMAND] ...`: fails if any check does.
pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = match typed("cargo run --release -p vs_tokio -- soak", words) {
        Ok(options) => options,
        Err(code) => return Ok(code),
    };
    options.validate()?;
    let folder = Path::new(&options.out);
    fs::create_dir_all(folder).context(format!("creating the report's folder {}", folder.display()))?;
    raise_descriptor_limit()?;
    let asked_to_end = interrupt::arm_gently()?;
    let soaked = run::soak(&options, words, &asked_to_end)?;
    for (name, figure) in &soaked.figures {
        println!("{name:<30}  {figure}");
    }
    println!();
    soaked.checks.iter().for_each(|check| println!("{check}"));
    println!();
    for path in page::write(&soaked, &Machine::of_this(), folder)? {
        println!("{}", path.display());
    }
    let holds = soaked.checks.iter().all(|check| check.holds);
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
