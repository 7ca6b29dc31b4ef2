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
mod page;
mod publishers;
mod run;
mod stage;
mod visitors;

use std::process::{self, ExitCode};
use std::str::FromStr;

use anyhow::{Result, ensure};
use argh::FromArgs;

use crate::clock::now;
use crate::contender::Contender;
use crate::flags::{cores, typed};
use crate::interrupt;
use crate::process::raise_descriptor_limit;
use crate::report::{Machine, create_folder};

/// More would need a descriptor limit, and a pace, that a soak is not about.
const MOST_STREAMS: usize = 4000;
/// A quarter of the messages have a connection each, whose ports rest for a minute.
const MOST_MESSAGES: u64 = 1000;

/// Runs everything at once against one server, and then holds it to what has to be true: no message was lost, doubled,
/// torn or swapped on a healthy stream, the count is exact, memory does not grow, all descriptors come back, nothing
/// was said on standard error, SIGTERM ends it in order. Ctrl-C ends the run early, with all checks done.
#[derive(FromArgs)]
#[argh(example = "{command_name} --time 3m", example = "{command_name} --server mine='/usr/bin/mine --port {{port}}'")]
struct Options {
    /// how long, such as 30s or 15m, seconds without a unit; 15m where not given
    #[argh(option, default = "Time(900.0)")]
    time: Time,

    /// another server than smolcast, as NAME=COMMAND; it prints `Listening on http://ADDRESS/`, or listens on the
    /// 127.0.0.1 port that `{port}` in its command stands for. Its streams are to end by close, without chunks
    #[argh(option)]
    server: Option<Contender>,

    /// healthy streams, 200 where not given
    #[argh(option, default = "200")]
    streams: usize,

    /// messages a second, of all publishers together; 200 where not given
    #[argh(option, default = "200")]
    rate: u64,

    /// threads of the server; one a core where not given
    #[argh(option, default = "cores()")]
    workers: usize,

    /// number that all choices follow from; another one each time where not given
    #[argh(option, default = "now() ^ u64::from(process::id())")]
    seed: u64,

    /// folder of the report, target/vs_tokio where not given
    #[argh(option, default = "String::from(\"target/vs_tokio\")")]
    out: String,
}

impl Options {
    fn validate(&self) -> Result<()> {
        let in_bounds =
            (1..=MOST_STREAMS).contains(&self.streams) && (8..=MOST_MESSAGES).contains(&self.rate) && self.workers > 0;
        ensure!(
            in_bounds,
            "--streams must be between 1 and {MOST_STREAMS}, --rate between 8 and {MOST_MESSAGES}, --workers 1 or more"
        );
        Ok(())
    }
}

/// In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Time(f64);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let seconds = text.parse().ok().or_else(|| Some(humantime::parse_duration(text).ok()?.as_secs_f64()));
        let time = seconds.filter(|seconds| (1.0..=86_400.0).contains(seconds));
        time.map(Self).ok_or_else(|| "expected a time from 1s to 24h, such as 30s or 15m".to_owned())
    }
}

/// `soak [--time T] [--server NAME=COMMAND] ...`: fails if any check does.
pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = typed("cargo run --release -p vs_tokio -- soak", words);
    options.validate()?;
    let folder = create_folder(&options.out)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("15m", 900.0), ("30s", 30.0), ("3", 3.0), ("1500ms", 1.5), ("2h", 7200.0)] {
            assert_eq!(text.parse(), Ok(Time(seconds)), "{text}");
        }
        for text in ["", "m", "0", "1x", "-3s", "999h", "nan", "inf"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
