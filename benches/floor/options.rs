//! What was typed, and the sizes of each scenario that follow from it.

use std::str::FromStr;

use argh::FromArgs;

use crate::failure::{Failure, Result};
use crate::load::Load;
use crate::server::Contender;
use crate::stamp::STAMP_BYTES;

/// Measures the server beside a bare write loop, the floor, and prints each figure with its bound.
///
/// Scenarios: fanout, memory, saturation, connect, start. All of them where none is named.
#[derive(FromArgs)]
pub(crate) struct Options {
    /// what to measure: fanout, memory, saturation, connect, start
    #[argh(positional)]
    scenarios: Vec<Scenario>,

    /// every scenario small, half a minute in all: to see that it runs, not to compare
    #[argh(switch)]
    pub(crate) quick: bool,

    /// open streams
    #[argh(option)]
    clients: Option<usize>,

    /// messages per second offered
    #[argh(option)]
    rate: Option<u64>,

    /// bytes of a message, 33 or more
    #[argh(option)]
    size: Option<usize>,

    /// seconds measured in each round, after the warm-up
    #[argh(option)]
    seconds: Option<u64>,

    /// rounds, each with a fresh process of every server in turn
    #[argh(option)]
    rounds: Option<usize>,

    /// another server, as NAME=COMMAND; it prints `Listening on http://ADDRESS/`, or listens on the
    /// 127.0.0.1 port that `{port}` in its command stands for. The name smolcast replaces it
    #[argh(option)]
    server: Vec<Contender>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Fanout,
    Memory,
    Saturation,
    Connect,
    Start,
}

const ALL: [(&str, Scenario); 5] = [
    ("fanout", Scenario::Fanout),
    ("memory", Scenario::Memory),
    ("saturation", Scenario::Saturation),
    ("connect", Scenario::Connect),
    ("start", Scenario::Start),
];

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = ALL.iter().find(|&&(name, _)| name == text);
        let names = || ALL.map(|(name, _)| name).join(", ");
        found.map(|&(_, scenario)| scenario).ok_or_else(|| format!("no scenario has that name; there are {}", names()))
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) clients: usize,
    pub(crate) load: Load,
    pub(crate) rounds: usize,
}

impl Options {
    pub(crate) fn validate(&self) -> Result<()> {
        if self.size.is_some_and(|size| size < STAMP_BYTES) {
            return Err(Failure::new(format!(
                "a message carries a stamp of {STAMP_BYTES} bytes: --size must be that or more"
            )));
        }
        let none = self.clients == Some(0) || self.rate == Some(0) || self.seconds == Some(0) || self.rounds == Some(0);
        if none {
            return Err(Failure::new("--clients, --rate, --seconds and --rounds must be 1 or more"));
        }
        Ok(())
    }

    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        match self.scenarios.is_empty() {
            true => ALL.map(|(_, scenario)| scenario).to_vec(),
            false => self.scenarios.clone(),
        }
    }

    /// The floor first, then this package's own server, then the others.
    pub(crate) fn contenders(&self) -> Result<Vec<Contender>> {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let mut contenders = vec![Contender::floor(workers)?];
        let named = |name: &str| self.server.iter().any(|other| other.name == name);
        if let Some(program) = option_env!("CARGO_BIN_EXE_smolcast").filter(|_| !named("smolcast")) {
            contenders.push(Contender::new("smolcast", &[program, "--port", "0"]));
        }
        contenders.extend(self.server.iter().cloned());
        Ok(contenders)
    }

    pub(crate) fn sizes(&self, scenario: Scenario) -> Sizes {
        let usual = match self.quick {
            true => quick_sizes(scenario),
            false => full_sizes(scenario),
        };
        Sizes {
            clients: self.clients.unwrap_or(usual.clients),
            load: Load {
                rate: self.rate.unwrap_or(usual.load.rate),
                size: self.size.unwrap_or(usual.load.size),
                seconds: self.seconds.unwrap_or(usual.load.seconds),
            },
            rounds: self.rounds.unwrap_or(usual.rounds),
        }
    }
}

fn full_sizes(scenario: Scenario) -> Sizes {
    let (clients, rate, rounds) = match scenario {
        Scenario::Fanout => (10_000, 5, 5),
        Scenario::Saturation => (1_000, 6_000, 3),
        Scenario::Memory | Scenario::Connect => (10_000, 5, 3),
        Scenario::Start => (1, 5, 20),
    };
    let (size, seconds) = (100, 10);
    Sizes { clients, load: Load { rate, size, seconds }, rounds }
}

fn quick_sizes(scenario: Scenario) -> Sizes {
    let full = full_sizes(scenario);
    Sizes {
        clients: full.clients.min(1_000),
        load: Load { seconds: 2, ..full.load },
        rounds: if scenario == Scenario::Start { 5 } else { 1 },
    }
}
