//! The highest rate without losses: the offered rate is doubled until messages are lost or come too late, then
//! the gap between the last rate that was carried and the first that was not is halved twice, in the ratio.

use super::plan::{GENERATOR, Plan, SPARE_DESCRIPTORS, Sizes, open};
use crate::contender::Contender;
use crate::figure::{Figure, Sample, Step};
use crate::load::{self, Load, Outcome};
use crate::number::grouped;
use anyhow::Result;

/// Latency at which a rate counts as not carried.
const LATEST_P99_MS: f64 = 250.0;
const FIRST_RATE: u64 = 1_000;
/// Two million messages a second to a thousand streams are two billion deliveries, which no machine makes.
const LAST_RATE: u64 = 2_000_000;
const BISECTIONS: usize = 2;

const KNEE: Figure = Figure::new("knee_per_second", "delivered with nothing lost, million/s", 2).and_by_floor();
const KNEE_P99: Figure = Figure::new("p99_ms", "latency p99 there, ms", 1);
const KNEE_CPU: Figure = Figure::new("cpu_us_per_delivery", "CPU a delivery there, µs", 3);

pub(super) fn plan(sizes: &Sizes) -> Plan {
    let clients = sizes.clients(100, 1_000);
    let (first_rate, bisections) = if sizes.quick { (16 * FIRST_RATE, 0) } else { (FIRST_RATE, BISECTIONS) };
    // A server that is a second behind does not carry the rate, whether or not it would get there.
    let load = Load { drain_seconds: 1.0, ..sizes.load(first_rate, 100, 1.0) };
    let title = format!(
        "saturation: {} streams, messages of {} B, the rate doubled until some are lost or p99 is above {} ms",
        grouped(clients),
        load.size,
        LATEST_P99_MS
    );
    Plan {
        key: "saturation".into(),
        title,
        rounds: sizes.rounds(1),
        seconds: (5 + bisections) as f64 * (load.total_seconds() + 0.8),
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| climb(contender, clients, load, bisections)),
    }
}

fn climb(contender: &Contender, clients: usize, load: Load, bisections: usize) -> Result<Sample> {
    let mut climb = Climb { contender, clients, load, sample: Sample::default(), knee: None };
    let (mut carried, mut broken) = (None, load.rate);
    while broken <= LAST_RATE && climb.carries(broken)? {
        carried = Some(broken);
        broken *= 2;
    }
    if let Some(mut carried) = carried {
        for _ in 0..bisections {
            let rate = ((carried * broken) as f64).sqrt() as u64;
            match climb.carries(rate)? {
                true => carried = rate,
                false => broken = rate,
            }
        }
    }
    let Climb { mut sample, knee, .. } = climb;
    sample.steps.sort_by(|a, b| a.offered.total_cmp(&b.offered));
    let figures = [&KNEE, &KNEE_P99, &KNEE_CPU, &GENERATOR];
    sample.figures = figures.into_iter().zip(knee.unwrap_or([f64::NAN; 4])).collect();
    Ok(sample)
}

/// One server on its way up.
struct Climb<'a> {
    contender: &'a Contender,
    clients: usize,
    load: Load,
    sample: Sample,
    /// The figures of the best of the rates that were carried, millions a second first.
    knee: Option<[f64; 4]>,
}

impl Climb<'_> {
    /// Returns true if the server carries this rate: nothing lost, and nothing late.
    fn carries(&mut self, rate: u64) -> Result<bool> {
        let outcome = match self.run(rate) {
            Ok(outcome) => outcome,
            // Whatever a server does at a rate that is too much for it, the rates that it carried stand.
            Err(failure) if self.knee.is_some() => {
                self.sample.warnings.push(format!("at {} messages/s: {failure:#}", grouped(rate)));
                return Ok(false);
            }
            Err(failure) => return Err(failure),
        };
        let step = Step {
            offered: (rate * self.clients as u64) as f64,
            delivered: outcome.window_receipts as f64 / outcome.window_seconds,
            reach: outcome.reach(),
            p99_ms: outcome.latency.value_at_quantile(0.99) as f64 / 1e3,
        };
        self.sample.steps.push(step);
        let is_carried = outcome.is_whole() && step.p99_ms <= LATEST_P99_MS;
        let millions = step.delivered / 1e6;
        if is_carried && self.knee.is_none_or(|[best, ..]| millions > best) {
            let cpu_us = outcome.server.total() / outcome.window_receipts as f64;
            self.knee = Some([millions, step.p99_ms, cpu_us, outcome.generator_cores()]);
        }
        Ok(is_carried)
    }

    fn run(&self, rate: u64) -> Result<Outcome> {
        let (mut server, mut crowd) = open(self.contender, self.clients)?;
        load::run(&mut server, &mut crowd, Load { rate, ..self.load })
    }
}
