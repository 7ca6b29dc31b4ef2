//! A made-up comparison: what the tests of the report are about, and what a change of its looks is judged by.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::figure::{Comparison, Contestant, Figure, Measured, Rounds, Sample, Step};

use super::machine::Machine;
use super::number::fixed;

const fn figure(key: &'static str, label: &'static str, decimals: usize, by_floor: bool) -> Figure {
    Figure { key, label, decimals, by_floor }
}

static CPU: Figure = figure("cpu_us_per_delivery", "CPU per delivery, us", 2, true);
static USER: Figure = figure("user_us_per_delivery", "in user space, us", 2, false);
static SYSTEM: Figure = figure("system_us_per_delivery", "in the kernel, us", 2, false);
static P50: Figure = figure("p50_ms", "latency p50, ms", 1, false);
static P99: Figure = figure("p99_ms", "latency p99, ms", 1, true);
static P999: Figure = figure("p999_ms", "latency p99.9, ms", 1, false);
static MAX: Figure = figure("max_ms", "latency max, ms", 1, false);
static LAST: Figure = figure("last_subscriber_ms", "last subscriber has it, median, ms", 1, true);
static REACH: Figure = figure("reach", "received of expected", 4, false);
static GENERATOR: Figure = figure("generator_cores", "generator, cores", 2, false);
static USER_BYTES: Figure = figure("user_bytes_per_stream", "memory per stream, B", 0, false);
static KERNEL_BYTES: Figure = figure("kernel_bytes_per_stream", "kernel memory per stream, B", 0, false);
static KNEE: Figure = figure("knee_per_second", "most without loss, million/s", 2, false);
static CONNECT: Figure = figure("connect_seconds", "all open, s", 3, false);
static UNKNOWN: Figure = figure("moons", "moons in sight", 1, false);

/// Name, CPU in user space and in all, bytes per stream, median latency, most deliveries per second.
type Made = (&'static str, f64, f64, f64, f64, f64);

const MADE: [Made; 7] = [
    ("floor", 0.05, 4.70, 93.0, 24.0, 7.1e6),
    ("smolcast", 0.30, 5.15, 525.0, 26.0, 6.2e6),
    ("tokio-raw", 1.35, 6.55, 3_272.0, 31.0, 0.73e6),
    ("hyper", 2.10, 7.80, 11_420.0, 36.0, 1.4e6),
    ("axum", 3.05, 9.30, 19_874.0, 41.0, 2.0e6),
    ("actix-web", 2.70, 8.90, 14_006.0, 39.0, 1.7e6),
    ("smol-naive", 1.45, 6.95, 2_994.0, 33.0, 0.25e6),
];

/// Numbers from 0 to 1 that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// About 1.
    fn factor(&mut self, spread: f64) -> f64 {
        1.0 + spread * (self.next() - 0.5)
    }
}

pub(super) fn machine() -> Machine {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    Machine {
        date: "2025-02-03T04:05:06Z".to_owned(),
        cpu: "Example CPU @ 2.00GHz".to_owned(),
        cores: 2,
        memory_bytes: 8 << 30,
        virtual_machine: true,
        kernel: "Linux 6.18.0 x86_64".to_owned(),
        rustc: "rustc 1.85.0".to_owned(),
        build: "release, opt-level = 3".to_owned(),
        crates: pairs(&[("tokio", "1.47.0"), ("axum", "0.8.4")]),
        settings: pairs(&[("net.core.somaxconn", "4096")]),
        descriptor_limit: Some(20_000),
    }
}

pub(super) fn comparison() -> Comparison {
    let about = |name: &str| Contestant {
        name: name.to_owned(),
        about: format!("{name} | with <bells> & whistles"),
        objections: Vec::new(),
    };
    let mut contestants: Vec<Contestant> = MADE.iter().map(|made| about(made.0)).collect();
    contestants.push(Contestant {
        objections: vec!["no `:ok` within 2 s".to_owned(), "GET /connections: 404".to_owned()],
        ..about("node")
    });
    Comparison {
        arguments: vec!["--rounds".to_owned(), "5".to_owned(), "--server".to_owned(), "node=node server.js".to_owned()],
        quick: false,
        contestants,
        measured: vec![
            fanout(10_000, 1.0),
            fanout(100, 0.004),
            measured("idle", "idle: 10 000 streams without messages, a heartbeat every 15 s, 20 s a run", 3, idle),
            measured(
                "saturation",
                "saturation: 1 000 streams, messages of 100 B, the rate doubled until some are lost",
                3,
                saturation,
            ),
            measured(
                "connect",
                "connect: 2 000 newcomers at once amid 1 000 streams, 5 messages/s of 100 B, 10 s a run",
                3,
                connect,
            ),
            measured("sky", "sky: what nobody has heard of", 1, |_, _| Sample {
                figures: vec![(&UNKNOWN, 2.0)],
                ..Sample::default()
            }),
        ],
    }
}

/// Nothing was measured, and nobody took part.
pub(super) fn nothing() -> Comparison {
    Comparison { arguments: Vec::new(), quick: true, contestants: Vec::new(), measured: Vec::new() }
}

fn measured(key: &str, title: &str, rounds: usize, round: fn(&Made, &mut Noise) -> Sample) -> Measured {
    let servers = MADE.iter().enumerate().map(|(index, made)| {
        let mut noise = Noise(1 + 7 * index as u64);
        Rounds {
            server: made.0.to_owned(),
            samples: (0..rounds).map(|_| round(made, &mut noise)).collect(),
            failure: None,
        }
    });
    Measured { key: key.to_owned(), title: title.to_owned(), servers: servers.collect() }
}

/// `hyper` ends early here, `smol-naive` loses messages.
fn fanout(streams: usize, latencies: f64) -> Measured {
    let title = format!("fanout: {} streams, 5 messages/s of 100 B, 10 s a run", fixed(streams as f64, 0));
    let mut all = measured(&format!("fanout-{streams}"), &title, 5, broadcast);
    for rounds in &mut all.servers {
        for sample in &mut rounds.samples {
            scale_latencies(sample, latencies);
            if rounds.server == "smol-naive" {
                lose(sample);
            }
        }
        if rounds.server == "hyper" {
            rounds.samples.truncate(2);
            rounds.failure = Some("round 3: 17 of 10 000 streams were closed by the server".to_owned());
        }
    }
    all
}

fn broadcast(made: &Made, noise: &mut Noise) -> Sample {
    let &(_, user, cpu, _, p50, _) = made;
    let factor = noise.factor(0.08);
    let mut latency = Histogram::new_with_max(60_000_000, 3).expect("valid bounds");
    let pace = noise.factor(0.1);
    for _ in 0..50_000 {
        let tail = if noise.next() > 0.97 { 1.0 - 0.9 * noise.next().ln() } else { 1.0 };
        let micros = 1e3 * p50 * pace * (0.1 + 1.8 * noise.next()) * tail;
        latency.record(micros as u64).expect("below the highest");
    }
    let ms = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
    let figures = vec![
        (&CPU, cpu * factor),
        (&USER, user * factor),
        (&SYSTEM, (cpu - user) * factor),
        (&P50, ms(0.5)),
        (&P99, ms(0.99)),
        (&P999, ms(0.999)),
        (&MAX, ms(1.0)),
        (&LAST, ms(0.9999)),
        (&REACH, 1.0),
        (&GENERATOR, noise.factor(0.1) * 0.62),
    ];
    Sample { figures, latency: Some(latency), ..Sample::default() }
}

/// As if everything had come in a fraction of the time; the smaller that is, the wider they are spread.
fn scale_latencies(sample: &mut Sample, scale: f64) {
    for (figure, value) in &mut sample.figures {
        if figure.key.ends_with("_ms") {
            *value *= scale;
        }
    }
    if let Some(before) = sample.latency.take() {
        let mut after = Histogram::new_with_max(60_000_000, 3).expect("valid bounds");
        let usual = before.value_at_quantile(0.5) as f64 * scale;
        for point in before.iter_recorded() {
            let micros = point.value_iterated_to() as f64 * scale;
            let micros = if scale < 1.0 { micros * micros / usual } else { micros };
            after.record_n(micros as u64, point.count_at_value()).expect("below the highest");
        }
        sample.latency = Some(after);
    }
}

fn lose(sample: &mut Sample) {
    for (figure, value) in &mut sample.figures {
        match figure.key {
            "reach" => *value = 0.9312,
            key if key.ends_with("_ms") => *value = f64::NAN,
            _ => (),
        }
    }
    sample.latency = None;
    sample.warnings.push("6.88 % of the messages were lost".to_owned());
}

fn idle(made: &Made, noise: &mut Noise) -> Sample {
    let figures = vec![(&USER_BYTES, made.3 * noise.factor(0.02)), (&KERNEL_BYTES, 6_200.0 * noise.factor(0.03))];
    Sample { figures, ..Sample::default() }
}

fn saturation(made: &Made, noise: &mut Noise) -> Sample {
    let knee = made.5;
    let mut steps = Vec::new();
    for step in 0..8 {
        let offered = 62_500.0 * f64::from(1 << step);
        let delivered = offered.min(knee * noise.factor(0.04) * (knee / offered).min(1.0).powf(0.1));
        let reach = delivered / offered;
        steps.push(Step { offered, delivered, reach, p99_ms: if reach < 1.0 { f64::NAN } else { 10.0 } });
        if reach < 0.2 {
            break;
        }
    }
    let whole = steps.iter().filter(|step| step.reach >= 1.0).map(|step| step.offered).fold(0.0, f64::max);
    Sample { figures: vec![(&KNEE, whole / 1e6)], steps, ..Sample::default() }
}

fn connect(made: &Made, noise: &mut Noise) -> Sample {
    let figures = vec![(&CONNECT, 0.31 + 0.1 * made.1 * noise.factor(0.2)), (&P99, 210.0 * noise.factor(0.3))];
    Sample { figures, ..Sample::default() }
}
