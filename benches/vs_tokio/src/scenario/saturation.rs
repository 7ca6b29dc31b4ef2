//! How much is delivered with nothing lost: the offered rate is doubled until messages are lost or come too late, then
//! the gap between the last rate that was carried and the first that was not is halved twice, in the ratio.

use super::{GENERATOR, GENTLY, Plan, SPARE_DESCRIPTORS};
use crate::contender::{Contender, Server};
use crate::crowd::{Crowd, Opening};
use crate::failure::Result;
use crate::figure::{Figure, Sample, Step, grouped};
use crate::load::{self, Load};
use crate::options::Options;

/// Latency at which a rate counts as not carried.
const LATEST_P99_MS: f64 = 250.0;
const FIRST_RATE: u64 = 500;
/// Two million messages a second to a thousand streams are two billion deliveries, which no machine makes.
const LAST_RATE: u64 = 2_000_000;
const BISECTIONS: usize = 2;

const KNEE: Figure =
    Figure { key: "knee_per_second", label: "delivered with nothing lost, million/s", decimals: 2, by_floor: true };
const KNEE_P99: Figure = Figure { key: "p99_ms", label: "latency p99 there, ms", decimals: 1, by_floor: false };
const KNEE_CPU: Figure =
    Figure { key: "cpu_us_per_delivery", label: "CPU a delivery there, µs", decimals: 3, by_floor: false };

pub(super) fn plan(options: &Options) -> Plan {
    let clients = options.clients.unwrap_or(if options.quick { 200 } else { 1_000 });
    let bisections = if options.quick { 0 } else { BISECTIONS };
    let load = Load {
        rate: options.rate.unwrap_or(if options.quick { 4 * FIRST_RATE } else { FIRST_RATE }),
        size: options.size.unwrap_or(100),
        seconds: options.seconds.unwrap_or(if options.quick { 0.3 } else { 1.5 }),
        warm_up_seconds: if options.quick { 0.2 } else { 0.5 },
        // A server that is so far behind does not carry the rate, whether or not it would get there.
        drain_seconds: 1.0,
        ..Load::default()
    };
    let title = format!(
        "saturation: {} streams, messages of {} B, the rate doubled until some are lost or p99 is above {} ms",
        grouped(clients),
        load.size,
        LATEST_P99_MS
    );
    Plan {
        key: "saturation".into(),
        title,
        rounds: options.rounds.unwrap_or(1),
        seconds: (5 + bisections) as f64 * (load.total_seconds() + 0.8),
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| climb(contender, clients, load, bisections)),
    }
}

/// The best of the steps that were carried.
#[derive(Default)]
struct Knee {
    delivered: f64,
    p99_ms: f64,
    cpu_us: f64,
    generator_cores: f64,
}

fn climb(contender: &Contender, clients: usize, load: Load, bisections: usize) -> Result<Sample> {
    let mut knee = Knee { p99_ms: f64::NAN, cpu_us: f64::NAN, ..Knee::default() };
    let mut sample = Sample::default();
    let (mut carried, mut broken) = (None, None);
    let mut rate = load.rate;
    for _ in 0.. {
        if attempt(contender, clients, Load { rate, ..load }, &mut knee, &mut sample)? {
            carried = Some(rate);
        } else {
            broken = Some(rate);
            break;
        }
        rate *= 2;
        if rate > LAST_RATE {
            break;
        }
    }
    if let (Some(mut low), Some(mut high)) = (carried, broken) {
        for _ in 0..bisections {
            let rate = ((low * high) as f64).sqrt() as u64;
            match attempt(contender, clients, Load { rate, ..load }, &mut knee, &mut sample)? {
                true => low = rate,
                false => high = rate,
            }
        }
    }
    sample.steps.sort_by(|a, b| a.offered.total_cmp(&b.offered));
    sample.figures = vec![
        (&KNEE, knee.delivered / 1e6),
        (&KNEE_P99, knee.p99_ms),
        (&KNEE_CPU, knee.cpu_us),
        (&GENERATOR, knee.generator_cores),
    ];
    Ok(sample)
}

/// Whether the server carries this rate.
fn attempt(contender: &Contender, clients: usize, load: Load, knee: &mut Knee, sample: &mut Sample) -> Result<bool> {
    let mut server = Server::start(contender)?;
    let mut crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
    let outcome = load::run(&mut server, &mut crowd, load)?;
    let step = Step {
        offered: (load.rate * clients as u64) as f64,
        delivered: outcome.window_receipts as f64 / outcome.window_seconds,
        reach: outcome.reach(),
        p99_ms: outcome.latency.value_at_quantile(0.99) as f64 / 1e3,
    };
    sample.steps.push(step);
    let is_carried = outcome.is_whole() && step.p99_ms <= LATEST_P99_MS;
    if is_carried && step.delivered > knee.delivered {
        *knee = Knee {
            delivered: step.delivered,
            p99_ms: step.p99_ms,
            cpu_us: outcome.server.total() / outcome.window_receipts as f64,
            generator_cores: outcome.generator_cores(),
        };
    }
    Ok(is_carried)
}
