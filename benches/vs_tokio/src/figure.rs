//! What a run comes to, as data: figures by name, round by round and server by server. The scenarios fill it, the
//! reports read it, and neither knows the other.

use std::fmt::Display;

use hdrhistogram::Histogram;

/// One kind of figure.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Its name in the JSON, with the unit.
    pub(crate) key: &'static str,
    /// Its row in the tables, with the unit.
    pub(crate) label: &'static str,
    pub(crate) decimals: usize,
    /// Whether the tables also give it as a multiple of the floor's of the same round.
    pub(crate) by_floor: bool,
}

/// What one server came to in one round of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    /// In the order of the rows. One that has no meaning in this round (the latency of a run that lost messages) is
    /// NaN.
    pub(crate) figures: Vec<(&'static Figure, f64)>,
    /// Receipt minus due in microseconds, of every client and message; where the run lost none.
    pub(crate) latency: Option<Histogram<u64>>,
    /// The rates that were tried, in rising order, where the scenario tries several.
    pub(crate) steps: Vec<Step>,
    /// What the reader has to know to trust the figures: lost messages, a load generator that was the bottleneck.
    pub(crate) warnings: Vec<String>,
}

/// One offered rate of the saturation scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Deliveries per second, as all clients together would get them.
    pub(crate) offered: f64,
    pub(crate) delivered: f64,
    /// Received of what was expected: 1 where nothing was lost.
    pub(crate) reach: f64,
    pub(crate) p99_ms: f64,
}

/// All rounds of one server in one scenario.
#[derive(Debug)]
pub(crate) struct Rounds {
    pub(crate) server: String,
    pub(crate) samples: Vec<Sample>,
    /// Why there are no more of them.
    pub(crate) failure: Option<String>,
}

/// A scenario at one size, with every server that was measured; the floor is the first where it takes part.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Its name in the JSON and in the names of the plots, such as `fanout-10000`.
    pub(crate) key: String,
    /// What was done, in one line.
    pub(crate) title: String,
    pub(crate) servers: Vec<Rounds>,
}

/// A server that takes part, or would have.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// What it is made of, with versions; or its command.
    pub(crate) about: String,
    /// What it did otherwise than the contract says. Then it was not measured.
    pub(crate) objections: Vec<String>,
}

/// A whole comparison.
#[derive(Debug)]
pub(crate) struct Comparison {
    /// The words it was started with.
    pub(crate) arguments: Vec<String>,
    pub(crate) quick: bool,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) measured: Vec<Measured>,
}

impl Sample {
    pub(crate) fn value(&self, key: &str) -> Option<f64> {
        let found = self.figures.iter().find(|(figure, _)| figure.key == key);
        found.map(|&(_, value)| value)
    }
}

impl Measured {
    /// Every figure that some server has, in the order of the rows.
    pub(crate) fn figures(&self) -> Vec<&'static Figure> {
        let mut figures: Vec<&'static Figure> = Vec::new();
        for sample in self.servers.iter().flat_map(|rounds| &rounds.samples) {
            for (figure, _) in &sample.figures {
                if !figures.iter().any(|known| known.key == figure.key) {
                    figures.push(figure);
                }
            }
        }
        figures
    }

    pub(crate) fn rounds(&self, server: &str) -> Option<&Rounds> {
        self.servers.iter().find(|rounds| rounds.server == server)
    }

    /// A figure of one server, a value for each round.
    pub(crate) fn values(&self, server: &str, key: &str) -> Vec<f64> {
        let samples = self.rounds(server).map_or(&[][..], |rounds| &rounds.samples);
        samples.iter().filter_map(|sample| sample.value(key)).collect()
    }

    /// The same, each divided by that of `other` in the same round: whatever else the machine did in a round fell on
    /// both.
    pub(crate) fn ratios(&self, server: &str, other: &str, key: &str) -> Vec<f64> {
        let own = self.values(server, key);
        own.iter().zip(self.values(other, key)).map(|(own, other)| own / other).collect()
    }
}

/// The median; NaN where there is no value, or one that is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        _ if sorted.iter().any(|value| value.is_nan()) => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// `10000` as `10 000`.
pub(crate) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
