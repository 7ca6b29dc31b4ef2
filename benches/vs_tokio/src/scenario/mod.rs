//! What is measured: each scenario is one or more plans, and a plan is run in rounds.
//!
//! In each round every server has its turn, with a fresh process, so that whatever else the machine does falls on all
//! of them alike.

mod burst;
mod connect;
mod fanout;
mod idle;
mod saturation;
mod slow;

use std::str::FromStr;
use std::thread;
use std::time::Duration;

use crate::contender::Contender;
use crate::figure::{Figure, Measured, Rounds, Sample};
use crate::load::{Load, Outcome};
use crate::number::grouped;
use crate::options::Options;
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;
use anyhow::{Result, anyhow};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Idle,
    Fanout,
    Saturation,
    Connect,
    Slow,
    Burst,
}

impl Scenario {
    pub(crate) const ALL: [(&str, Self); 6] = [
        ("idle", Self::Idle),
        ("fanout", Self::Fanout),
        ("saturation", Self::Saturation),
        ("connect", Self::Connect),
        ("slow", Self::Slow),
        ("burst", Self::Burst),
    ];

    pub(crate) fn plans(self, options: &Options) -> Vec<Plan> {
        match self {
            Self::Idle => vec![idle::plan(options)],
            Self::Fanout => fanout::plans(options),
            Self::Saturation => vec![saturation::plan(options)],
            Self::Connect => vec![connect::plan(options)],
            Self::Slow => vec![slow::plan(options)],
            Self::Burst => vec![burst::plan(options)],
        }
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        let names = || Self::ALL.map(|(name, _)| name).join(", ");
        found.map(|(_, scenario)| *scenario).ok_or_else(|| format!("no scenario has that name; there are {}", names()))
    }
}

/// Starts a server and measures it.
pub(crate) type Run = Box<dyn Fn(&Contender) -> Result<Sample>>;

/// Runs to be made.
pub(crate) struct Plan {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) rounds: usize,
    /// How long one run is thought to take.
    pub(crate) seconds: f64,
    /// The most descriptors that a process needs.
    pub(crate) descriptors: usize,
    pub(crate) run: Run,
}

impl Plan {
    /// How long all of it is thought to take.
    pub(crate) fn estimate(&self, contenders: usize) -> f64 {
        self.seconds * (self.rounds * contenders) as f64
    }

    /// Runs all rounds. A server that fails has no more of them, and its failure stands in the result.
    pub(crate) fn measure(&self, contenders: &[Contender], progress: &mut Progress) -> Result<Measured> {
        let allowed = raise_descriptor_limit()?;
        if self.descriptors as u64 > allowed {
            return Err(anyhow!(
                "{} needs {} descriptors and {allowed} are allowed: raise `ulimit -Hn`, or ask for fewer clients \
                 with --clients",
                self.key,
                self.descriptors
            ));
        }
        let none = |contender: &Contender| Rounds { server: contender.name.clone(), samples: vec![], failure: None };
        let mut servers: Vec<Rounds> = contenders.iter().map(none).collect();
        for round in 1..=self.rounds {
            for (contender, rounds) in contenders.iter().zip(&mut servers) {
                progress.begin(&format!("{}, round {round} of {}, {}", self.key, self.rounds, contender.name));
                if rounds.failure.is_none() {
                    match (self.run)(contender) {
                        Ok(sample) => rounds.samples.push(sample),
                        Err(failure) => rounds.failure = Some(format!("round {round}: {failure:#}")),
                    }
                }
                progress.end(self.seconds);
            }
        }
        Ok(Measured { key: self.key.clone(), title: self.title.clone(), servers })
    }
}

/// Connects in flight while a scenario only wants its streams open, few enough for any backlog.
const GENTLY: usize = 100;
/// Descriptors of a process that are no streams.
const SPARE_DESCRIPTORS: usize = 64;
/// What a run takes beside its load: start, ramp, rest, end.
const OVERHEAD_SECONDS: f64 = 1.0;

/// CPU time in microseconds below which its split into user and system is not told: the kernel samples it a hundred
/// times a second.
const LEAST_SPLIT_US: f64 = 1e6;

const P50: Figure = Figure::new("p50_ms", "latency p50, ms", 1);
const P99: Figure = Figure::new("p99_ms", "latency p99, ms", 1).and_by_floor();
const P999: Figure = Figure::new("p999_ms", "latency p99.9, ms", 1);
const MAX: Figure = Figure::new("max_ms", "latency max, ms", 1);
const LAST: Figure = Figure::new("last_subscriber_ms", "last subscriber has it, median ms", 1).and_by_floor();
const CPU: Figure = Figure::new("cpu_us_per_delivery", "CPU a delivery, µs", 2).and_by_floor();
const USER: Figure = Figure::new("user_us_per_delivery", "of it in user space, µs", 2);
const SYSTEM: Figure = Figure::new("system_us_per_delivery", "of it in the kernel, µs", 2);
const REACH: Figure = Figure::new("reach", "received of expected", 4);
const GENERATOR: Figure = Figure::new("generator_cores", "load generator's own CPU, cores", 2);

/// The latency figures of a run; of one that lost messages they are none.
fn latency(outcome: &Outcome) -> [(&'static Figure, f64); 5] {
    let milliseconds = |microseconds: u64| match outcome.is_whole() {
        true => microseconds as f64 / 1e3,
        false => f64::NAN,
    };
    [
        (&P50, milliseconds(outcome.latency.value_at_quantile(0.5))),
        (&P99, milliseconds(outcome.latency.value_at_quantile(0.99))),
        (&P999, milliseconds(outcome.latency.value_at_quantile(0.999))),
        (&MAX, milliseconds(outcome.latency.max())),
        (&LAST, milliseconds(outcome.last_subscriber.value_at_quantile(0.5))),
    ]
}

fn cpu(outcome: &Outcome) -> [(&'static Figure, f64); 3] {
    let per_delivery = |microseconds: f64| microseconds / outcome.window_receipts as f64;
    let total = outcome.server.total();
    let by_ticks = |microseconds: f64| if total < LEAST_SPLIT_US { f64::NAN } else { per_delivery(microseconds) };
    [(&CPU, per_delivery(total)), (&USER, by_ticks(outcome.server.user)), (&SYSTEM, by_ticks(outcome.server.system))]
}

fn integrity(outcome: &Outcome) -> [(&'static Figure, f64); 2] {
    [(&REACH, outcome.reach()), (&GENERATOR, outcome.generator_cores())]
}

/// Everything that one run of a load says.
fn sample(outcome: Outcome) -> Sample {
    let figures = [&cpu(&outcome)[..], &latency(&outcome), &integrity(&outcome)].concat();
    let warnings = outcome.warnings();
    Sample { figures, warnings, latency: outcome.is_whole().then_some(outcome.latency), steps: Vec::new() }
}

/// `1 000 streams, 50 messages/s of 100 B, 3 s a run`.
fn describe(clients: usize, load: &Load) -> String {
    format!(
        "{} streams, {} messages/s of {} B, {} s a run",
        grouped(clients),
        grouped(load.rate),
        load.size,
        load.seconds
    )
}

/// Lets a server finish what it does after a start or a ramp.
fn rest() {
    thread::sleep(Duration::from_millis(300));
}
