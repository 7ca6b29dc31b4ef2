//! A plan: a scenario at one size, run in rounds; and the figures that several scenarios have.
//!
//! In each round every server has its turn, with a fresh process: the rest of the machine disturbs all of them alike.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::contender::{Contender, Server};
use crate::crowd::{Crowd, Opening};
use crate::figure::{Figure, Measured, Rounds, Sample};
use crate::load::{self, Load, Outcome};
use crate::number::grouped;
use crate::process::raise_descriptor_limit;
use crate::progress::Progress;

/// The sizes that were asked for, in place of a scenario's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Everything small, where nothing else was asked for.
    pub(crate) quick: bool,
    pub(crate) clients: Option<usize>,
    pub(crate) rate: Option<u64>,
    pub(crate) size: Option<usize>,
    pub(crate) seconds: Option<f64>,
    pub(crate) rounds: Option<usize>,
}

impl Sizes {
    pub(super) fn load(&self, rate: u64, size: usize, seconds: f64) -> Load {
        let (warm_up_seconds, seconds) = if self.quick { (0.2, 0.4) } else { (0.5, seconds) };
        Load {
            rate: self.rate.unwrap_or(rate),
            size: self.size.unwrap_or(size),
            seconds: self.seconds.unwrap_or(seconds),
            warm_up_seconds,
            ..Load::default()
        }
    }

    pub(super) fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { usual })
    }

    pub(super) fn clients(&self, quick: usize, usual: usize) -> usize {
        self.clients.unwrap_or(if self.quick { quick } else { usual })
    }
}

/// Starts a server and measures it.
pub(crate) type Run = Box<dyn Fn(&Contender) -> Result<Sample>>;

/// Runs to be made.
pub(crate) struct Plan {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) rounds: usize,
    /// Estimated seconds of one run.
    pub(crate) seconds: f64,
    /// The most descriptors that a process needs.
    pub(crate) descriptors: usize,
    pub(crate) run: Run,
}

impl Plan {
    /// A plan whose runs are one load, on streams that were opened before.
    pub(super) fn of_load(key: String, title: String, rounds: usize, clients: usize, load: Load) -> Self {
        Self {
            key,
            title,
            rounds,
            seconds: load.total_seconds() + OVERHEAD_SECONDS + clients as f64 / 10_000.0,
            descriptors: clients + SPARE_DESCRIPTORS,
            run: Box::new(move |contender| {
                let (mut server, mut crowd) = open(contender, clients)?;
                Ok(sample(load::run(&mut server, &mut crowd, load)?))
            }),
        }
    }

    /// Estimated seconds of all runs.
    pub(crate) fn estimate(&self, contenders: usize) -> f64 {
        self.seconds * (self.rounds * contenders) as f64
    }

    /// Runs all rounds. A server that fails has no more of them, and its failure stands in the result.
    pub(crate) fn measure(&self, contenders: &[Contender], progress: &Progress) -> Result<Measured> {
        let allowed = raise_descriptor_limit()?;
        ensure!(
            self.descriptors as u64 <= allowed,
            "{} needs {} descriptors and {allowed} are allowed: raise `ulimit -Hn`, or ask for \
             fewer clients with --clients",
            self.key,
            self.descriptors
        );
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
pub(super) const GENTLY: usize = 100;
/// Descriptors of a process that are no streams.
pub(super) const SPARE_DESCRIPTORS: usize = 64;
/// Seconds of a run beside its load: start, ramp, rest, end.
pub(super) const OVERHEAD_SECONDS: f64 = 1.0;

/// CPU time in microseconds below which its split into user and system is not told: the kernel samples it a hundred
/// times a second.
pub(super) const LEAST_SPLIT_US: f64 = 1e6;

pub(super) const P50: Figure = Figure::new("p50_ms", "latency p50, ms", 1);
pub(super) const P99: Figure = Figure::new("p99_ms", "latency p99, ms", 1).and_by_floor();
pub(super) const P999: Figure = Figure::new("p999_ms", "latency p99.9, ms", 1);
pub(super) const MAX: Figure = Figure::new("max_ms", "latency max, ms", 1);
pub(super) const LAST: Figure =
    Figure::new("last_subscriber_ms", "last subscriber has it, median ms", 1).and_by_floor();
pub(super) const CPU: Figure = Figure::new("cpu_us_per_delivery", "CPU a delivery, µs", 2).and_by_floor();
pub(super) const USER: Figure = Figure::new("user_us_per_delivery", "of it in user space, µs", 2);
pub(super) const SYSTEM: Figure = Figure::new("system_us_per_delivery", "of it in the kernel, µs", 2);
pub(super) const REACH: Figure = Figure::new("reach", "received of expected", 4);
pub(super) const GENERATOR: Figure = Figure::new("generator_cores", "load generator's own CPU, cores", 2);

/// The latency figures of a run; of one that lost messages they are none.
pub(super) fn latency(outcome: &Outcome) -> [(&'static Figure, f64); 5] {
    let Outcome { latency, last_subscriber, .. } = outcome;
    let at = |quantile: f64| latency.value_at_quantile(quantile);
    let last = last_subscriber.value_at_quantile(0.5);
    let microseconds = [(&P50, at(0.5)), (&P99, at(0.99)), (&P999, at(0.999)), (&MAX, latency.max()), (&LAST, last)];
    microseconds.map(|(figure, value)| (figure, if outcome.is_whole() { value as f64 / 1e3 } else { f64::NAN }))
}

pub(super) fn cpu(outcome: &Outcome) -> [(&'static Figure, f64); 3] {
    let per_delivery = |microseconds: f64| microseconds / outcome.window_receipts as f64;
    let total = outcome.server.total();
    let by_ticks = |microseconds: f64| if total < LEAST_SPLIT_US { f64::NAN } else { per_delivery(microseconds) };
    [(&CPU, per_delivery(total)), (&USER, by_ticks(outcome.server.user)), (&SYSTEM, by_ticks(outcome.server.system))]
}

pub(super) fn integrity(outcome: &Outcome) -> [(&'static Figure, f64); 2] {
    [(&REACH, outcome.reach()), (&GENERATOR, outcome.generator_cores())]
}

/// Everything that one run of a load says.
fn sample(outcome: Outcome) -> Sample {
    let figures = [&cpu(&outcome)[..], &latency(&outcome), &integrity(&outcome)].concat();
    let warnings = outcome.warnings();
    Sample { figures, warnings, latency: outcome.is_whole().then_some(outcome.latency), steps: Vec::new() }
}

/// `1 000 streams, 50 messages/s of 100 B, 3 s a run`.
pub(super) fn describe(clients: usize, load: &Load) -> String {
    format!(
        "{} streams, {} messages/s of {} B, {} s a run",
        grouped(clients),
        grouped(load.rate),
        load.size,
        load.seconds
    )
}

/// Lets a server finish what it does after a start or a ramp.
pub(super) fn rest() {
    thread::sleep(Duration::from_millis(300));
}

/// Starts a server and opens its streams.
pub(super) fn open(contender: &Contender, clients: usize) -> Result<(Server, Crowd)> {
    let server = Server::start(contender)?;
    let crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
    Ok((server, crowd))
}
