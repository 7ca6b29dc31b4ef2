//! The results of a comparison as data: figures by name, round by round and server by server.
//!
//! The scenarios fill it and the report reads it; neither knows the other. Its JSON is the report's raw part.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::ser::{Error, SerializeStruct};
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Points of a latency curve in the JSON, for each halving of the distance to 100 %.
const POINTS_PER_HALVING: u32 = 5;

/// The bare write loop that the others are measured by, where it takes part.
pub(crate) const FLOOR: &str = "floor";
/// The server that all of this is about.
pub(crate) const OURS: &str = "smolcast";

/// One kind of figure.
#[derive(Debug)]
pub(crate) struct Figure {
    /// Its name in the JSON, with the unit.
    pub(crate) key: &'static str,
    /// Its row in the tables, with the unit.
    pub(crate) label: &'static str,
    pub(crate) decimals: usize,
    /// True if the tables also give it as a multiple of the floor's of the same round.
    pub(crate) by_floor: bool,
}

impl Figure {
    pub(crate) const fn new(key: &'static str, label: &'static str, decimals: usize) -> Self {
        Self { key, label, decimals, by_floor: false }
    }

    pub(crate) const fn and_by_floor(self) -> Self {
        Self { by_floor: true, ..self }
    }
}

/// The results of one server in one round of a scenario.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// In the order of the rows. One without a meaning in this round (the latency of a run that lost messages) is NaN.
    #[serde(serialize_with = "by_key")]
    pub(crate) figures: Vec<(&'static Figure, f64)>,
    /// Receipt minus due in microseconds, of every client and message; where the run lost none.
    #[serde(serialize_with = "curve")]
    pub(crate) latency: Option<Histogram<u64>>,
    /// The rates that were tried, in rising order, where the scenario tries several.
    pub(crate) steps: Vec<Step>,
    /// Reasons to doubt the figures: lost messages, a load generator that was the bottleneck.
    pub(crate) warnings: Vec<String>,
}

/// One offered rate of the saturation scenario.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Step {
    /// Deliveries per second, as all clients together would get them.
    pub(crate) offered: f64,
    pub(crate) delivered: f64,
    /// Received of expected: 1 where nothing was lost.
    pub(crate) reach: f64,
    pub(crate) p99_ms: f64,
}

/// All rounds of one server in one scenario.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) server: String,
    /// Why there are no more of them.
    pub(crate) failure: Option<String>,
    #[serde(rename = "rounds")]
    pub(crate) samples: Vec<Sample>,
}

/// A scenario at one size, with every server that was measured; the floor is the first where it takes part.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Its name in the JSON and in the names of the plots, such as `fanout-10000`.
    pub(crate) key: String,
    /// The work in one line.
    pub(crate) title: String,
    pub(crate) servers: Vec<Rounds>,
}

/// A server that takes part, or would have.
#[derive(Debug, Serialize)]
pub(crate) struct Contestant {
    pub(crate) name: String,
    /// Its parts, with versions; or its command.
    pub(crate) about: String,
    /// Its departures from the contract. With one of them it is not measured.
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

impl Measured {
    /// Every figure that some server has, in the order of the rows.
    pub(crate) fn figures(&self) -> Vec<&'static Figure> {
        let mut figures: Vec<&'static Figure> = Vec::new();
        for (figure, _) in self.servers.iter().flat_map(|rounds| &rounds.samples).flat_map(|sample| &sample.figures) {
            if !figures.iter().any(|known| known.key == figure.key) {
                figures.push(figure);
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
        let value = |sample: &Sample| Some(sample.figures.iter().find(|(figure, _)| figure.key == key)?.1);
        samples.iter().filter_map(value).collect()
    }

    /// The same, each divided by that of `other` in the same round: both had the same rest of the machine.
    pub(crate) fn ratios(&self, server: &str, other: &str, key: &str) -> Vec<f64> {
        let own = self.values(server, key);
        own.iter().zip(self.values(other, key)).map(|(own, other)| own / other).collect()
    }
}

impl Serialize for Measured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let labels: BTreeMap<_, _> = self.figures().into_iter().map(|figure| (figure.key, figure.label)).collect();
        let mut fields = serializer.serialize_struct("Measured", 4)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("title", &self.title)?;
        fields.serialize_field("labels", &labels)?;
        fields.serialize_field("servers", &self.servers)?;
        fields.end()
    }
}

/// By key, in the order of the rows; null where the figure has no meaning.
fn by_key<S: Serializer>(figures: &[(&'static Figure, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(figures.iter().map(|(figure, value)| (figure.key, value)))
}

/// Enough points of a histogram to draw its curve again.
fn curve<S: Serializer>(latency: &Option<Histogram<u64>>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(latency) = latency.as_ref().filter(|latency| !latency.is_empty()) else {
        return serializer.serialize_none();
    };
    let points = latency.iter_quantiles(POINTS_PER_HALVING).map(|point| {
        let percentile = (1e8 * point.quantile_iterated_to()).round() / 1e6;
        (percentile, point.value_iterated_to() as f64 / 1e3)
    });
    // In one line: there are many.
    let percentiles = to_raw_value(&points.collect::<Vec<_>>()).map_err(S::Error::custom)?;
    let (min_ms, max_ms) = (latency.min() as f64 / 1e3, latency.max() as f64 / 1e3);
    let mean_ms = latency.mean().round() / 1e3;
    Latency { count: latency.len(), min_ms, mean_ms, max_ms, percentiles }.serialize(serializer)
}

#[derive(Serialize)]
struct Latency {
    count: u64,
    min_ms: f64,
    mean_ms: f64,
    max_ms: f64,
    percentiles: Box<RawValue>,
}
