//! What was typed, checked.

use std::process::ExitCode;

use argh::FromArgs;

use crate::contender::Contender;
use crate::load::Load;
use crate::scenario::Scenario;
use crate::servers;
use crate::stamp::STAMP_BYTES;
use anyhow::{Result, anyhow};

/// Measures smolcast beside the servers that one would write on tokio, and beside the floor under them all; about ten
/// minutes, or one with --quick. Scenarios: idle, fanout, saturation, connect, slow, burst; all where none is named.
#[derive(Debug, FromArgs)]
#[argh(
    note = "Other uses of this program:
  load   the load alone, against a server that runs already
  soak   everything at once against one server, healthy and hostile, for 15 minutes or any other time
  check  whether a server does the five tasks
  serve  one of the servers, to look at
Each has a --help of its own.",
    example = "{command_name} fanout --only floor --only smolcast --rounds 5",
    example = "{command_name} --quick --server other='/usr/bin/other --port {{port}}'"
)]
pub(crate) struct Options {
    /// what to measure: idle, fanout, saturation, connect, slow, burst
    #[argh(positional)]
    scenarios: Vec<Scenario>,

    /// everything small, about a minute in all: to see that it runs, not to compare
    #[argh(switch)]
    pub(crate) quick: bool,

    /// a server to measure, by name, can be given again; without, all are
    #[argh(option)]
    only: Vec<String>,

    /// another server, as NAME=COMMAND; it prints `Listening on http://ADDRESS/`, or listens on the 127.0.0.1 port
    /// that `{port}` in its command stands for. A name that is taken replaces the server of that name
    #[argh(option)]
    server: Vec<Contender>,

    /// open streams
    #[argh(option)]
    pub(crate) clients: Option<usize>,

    /// messages offered a second
    #[argh(option)]
    rate: Option<u64>,

    /// bytes of a message, 33 or more
    #[argh(option)]
    size: Option<usize>,

    /// seconds measured in each run, behind the warm-up
    #[argh(option)]
    pub(crate) seconds: Option<f64>,

    /// rounds, in each of which every server has its turn with a fresh process
    #[argh(option)]
    rounds: Option<usize>,

    /// threads of each server; one a core where not given
    #[argh(option, default = "cores()")]
    pub(crate) workers: usize,

    /// folder of the report, target/vs_tokio where not given
    #[argh(option, default = "String::from(\"target/vs_tokio\")")]
    pub(crate) out: String,
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

impl Options {
    pub(crate) fn validate(&self) -> Result<()> {
        check_size(self.size)?;
        let numbers = [self.clients, self.rounds, Some(self.workers)];
        let none = numbers.contains(&Some(0)) || self.rate == Some(0);
        if none || self.seconds.is_some_and(|seconds| !(0.1..=3600.0).contains(&seconds)) {
            return Err(anyhow!(
                "--clients, --rate, --rounds and --workers must be 1 or more, --seconds between 0.1 and 3600",
            ));
        }
        Ok(())
    }

    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        match self.scenarios.is_empty() {
            true => Scenario::ALL.map(|(_, scenario)| scenario).to_vec(),
            false => self.scenarios.clone(),
        }
    }

    /// What a scenario offers in each run, where nothing else was typed.
    pub(crate) fn load(&self, rate: u64, size: usize, seconds: f64) -> Load {
        let (warm_up_seconds, seconds) = if self.quick { (0.2, 0.4) } else { (0.5, seconds) };
        Load {
            rate: self.rate.unwrap_or(rate),
            size: self.size.unwrap_or(size),
            seconds: self.seconds.unwrap_or(seconds),
            warm_up_seconds,
            ..Load::default()
        }
    }

    /// How often each server has its turn.
    pub(crate) fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { usual })
    }

    /// How many streams are open.
    pub(crate) fn clients(&self, quick: usize, usual: usize) -> usize {
        self.clients.unwrap_or(if self.quick { quick } else { usual })
    }

    /// The servers in the order in which they take turns: the yardstick first, the guests last.
    pub(crate) fn contenders(&self) -> Result<Vec<Contender>> {
        contenders(&self.only, &self.server, self.workers)
    }
}

/// The servers of these names, all where none is given, and the guests.
pub(crate) fn contenders(names: &[String], guests: &[Contender], workers: usize) -> Result<Vec<Contender>> {
    let is_guest = |name: &str| guests.iter().any(|guest| guest.name == name);
    if let Some(name) = names.iter().find(|name| servers::ALL.iter().all(|own| own.name != **name) && !is_guest(name)) {
        let all = servers::ALL.map(|server| server.name).join(", ");
        return Err(anyhow!("no server is named {name}; there are {all}"));
    }
    let is_asked_for = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let own = servers::ALL.iter().filter(|own| is_asked_for(own.name) && !is_guest(own.name));
    let mut contenders = own.map(|own| Contender::own(own.name, workers)).collect::<Result<Vec<_>>>()?;
    contenders.extend(guests.iter().cloned());
    Ok(contenders)
}

/// The options in `words`, or the exit code where they say no more than what to print.
pub(crate) fn typed<T: FromArgs>(command: &str, words: &[String]) -> std::result::Result<T, ExitCode> {
    // argh knows no `--name=value`.
    let split = words.iter().flat_map(|word| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name, value],
        _ => vec![word.as_str()],
    });
    T::from_args(&command.split(' ').collect::<Vec<_>>(), &split.collect::<Vec<_>>()).map_err(|exit| {
        match exit.status {
            Ok(()) => print!("{}", exit.output),
            Err(()) => eprint!("error: {}", exit.output),
        }
        if exit.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

pub(crate) fn check_size(size: Option<usize>) -> Result<()> {
    match size {
        Some(size) if size < STAMP_BYTES => {
            Err(anyhow!("a message carries a stamp of {STAMP_BYTES} bytes: --size must be that or more"))
        }
        _ => Ok(()),
    }
}
