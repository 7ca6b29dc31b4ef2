//! A made-up comparison: the input of the report's tests, and of a look at its plots.

use hdrhistogram::Histogram;

use crate::figure::{Comparison, Contestant, Figure, Measured, Rounds, Sample, Step};

static CPU: Figure = Figure::new("cpu_us_per_delivery", "CPU per delivery, us", 2).and_by_floor();
static USER: Figure = Figure::new("user_us_per_delivery", "in user space, us", 2);
static P99: Figure = Figure::new("p99_ms", "latency p99, ms", 1).and_by_floor();
static REACH: Figure = Figure::new("reach", "received of expected", 4);
static USER_BYTES: Figure = Figure::new("user_bytes_per_stream", "memory per stream, B", 0);
static KERNEL_BYTES: Figure = Figure::new("kernel_bytes_per_stream", "kernel memory per stream, B", 0);
static KNEE: Figure = Figure::new("knee_per_second", "most without loss, million/s", 2);
static UNKNOWN: Figure = Figure::new("moons", "moons in sight", 1);

/// Name, CPU in user space and in all, bytes per stream, median latency, most deliveries per second.
const MADE: [(&str, f64, f64, f64, f64, f64); 7] = [
    ("floor", 0.05, 4.70, 93.0, 24.0, 7.1e6),
    ("smolcast", 0.30, 5.15, 525.0, 26.0, 6.2e6),
    ("tokio-raw", 1.35, 6.55, 3_272.0, 31.0, 0.73e6),
    ("hyper", 2.10, 7.80, 11_420.0, 36.0, 1.4e6),
    ("axum", 3.05, 9.30, 19_874.0, 41.0, 2.0e6),
    ("actix-web", 2.70, 8.90, 14_006.0, 39.0, 1.7e6),
    ("smol-naive", 1.45, 6.95, 2_994.0, 33.0, 0.25e6),
];

pub(super) fn comparison() -> Comparison {
    let about = |name: &str| Contestant {
        name: name.to_owned(),
        about: format!("{name} | with <bells> & whistles"),
        objections: Vec::new(),
    };
    let mut contestants: Vec<Contestant> = MADE.iter().map(|made| about(made.0)).collect();
    contestants.push(Contestant { objections: vec!["no `:ok` within 2 s".to_owned()], ..about("node") });
    Comparison {
        arguments: ["--rounds", "5", "--server", "node=node server.js"].map(str::to_owned).to_vec(),
        quick: false,
        contestants,
        measured: vec![
            fanout(),
            measured("idle", "idle: 10 000 streams without messages, 20 s a run", 3, |index, round| {
                let figures = vec![(&USER_BYTES, MADE[index].3 * factor(round)), (&KERNEL_BYTES, 6_200.0)];
                Sample { figures, ..Sample::default() }
            }),
            measured("saturation", "saturation: 1 000 streams, the rate doubled until some are lost", 3, saturation),
            measured("sky", "sky: a scenario that the report does not know", 1, |_, _| Sample {
                figures: vec![(&UNKNOWN, 2.0)],
                ..Sample::default()
            }),
        ],
    }
}

/// Rounds differ a little, and always alike.
fn factor(round: usize) -> f64 {
    1.0 + 0.02 * round as f64
}

fn measured(key: &str, title: &str, rounds: usize, sample: fn(usize, usize) -> Sample) -> Measured {
    let servers = MADE.iter().enumerate().map(|(index, made)| {
        let samples = (0..rounds).map(|round| sample(index, round)).collect();
        Rounds { server: made.0.to_owned(), samples, failure: None }
    });
    Measured { key: key.to_owned(), title: title.to_owned(), servers: servers.collect() }
}

/// `hyper` ends early here, `smol-naive` loses messages.
fn fanout() -> Measured {
    let title = "fanout: 10 000 streams, 5 messages/s of 100 B, 10 s a run";
    let mut fanout = measured("fanout-10000", title, 5, |index, round| {
        let (_, user, cpu, _, p50, _) = MADE[index];
        let mut latency = Histogram::new_with_max(60_000_000, 3).expect("valid bounds");
        for delivery in 1..=20_000_u32 {
            // Half of them around the median, a few far above it.
            let micros = 1e3 * p50 * factor(round) * (0.5 + f64::from(delivery) / 20_000.0 + 9.0 / f64::from(delivery));
            latency.record(micros as u64).expect("below the highest");
        }
        let p99 = latency.value_at_quantile(0.99) as f64 / 1e3;
        let figures = vec![(&CPU, cpu * factor(round)), (&USER, user * factor(round)), (&P99, p99), (&REACH, 1.0)];
        Sample { figures, latency: Some(latency), ..Sample::default() }
    });
    for rounds in &mut fanout.servers {
        match rounds.server.as_str() {
            "hyper" => {
                rounds.samples.truncate(2);
                rounds.failure = Some("round 3: 17 of 10 000 streams were closed by the server".to_owned());
            }
            "smol-naive" => rounds.samples.iter_mut().for_each(lose),
            _ => {}
        }
    }
    fanout
}

fn lose(sample: &mut Sample) {
    sample.figures[2..].copy_from_slice(&[(&P99, f64::NAN), (&REACH, 0.9312)]);
    sample.latency = None;
    sample.warnings.push("6.88 % of the messages were lost".to_owned());
}

fn saturation(index: usize, round: usize) -> Sample {
    let knee = MADE[index].5 * factor(round);
    let step = |step: i32| {
        let offered = 62_500.0 * 2_f64.powi(step);
        let delivered = offered.min(knee);
        let reach = delivered / offered;
        Step { offered, delivered, reach, p99_ms: if reach < 1.0 { f64::NAN } else { 10.0 } }
    };
    let steps: Vec<Step> = (0..8).map(step).filter(|step| step.reach > 0.2).collect();
    Sample { figures: vec![(&KNEE, knee / 1e6)], steps, ..Sample::default() }
}
