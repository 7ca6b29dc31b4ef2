//! `report.json`: every raw figure, and of each round's latencies enough to draw their curve again.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::figure::{self, Comparison, Figure, Measured, Rounds, Sample, Step};
use anyhow::{Context, Result};

use super::machine::Machine;

/// Points of the curve for each halving of the distance to 100 %.
const POINTS_PER_HALVING: u32 = 5;

#[derive(serde::Serialize)]
struct Document<'a> {
    arguments: &'a [String],
    quick: bool,
    machine: &'a Machine,
    contestants: Vec<Contestant<'a>>,
    measured: Vec<Scenario<'a>>,
}

#[derive(serde::Serialize)]
struct Contestant<'a> {
    name: &'a str,
    about: &'a str,
    objections: &'a [String],
}

#[derive(serde::Serialize)]
struct Scenario<'a> {
    key: &'a str,
    title: &'a str,
    /// What the keys of the figures mean.
    labels: BTreeMap<&'a str, &'a str>,
    servers: Vec<Server<'a>>,
}

#[derive(serde::Serialize)]
struct Server<'a> {
    server: &'a str,
    failure: Option<&'a str>,
    rounds: Vec<Round<'a>>,
}

#[derive(serde::Serialize)]
struct Round<'a> {
    figures: Figures<'a>,
    latency: Option<Latency>,
    steps: Vec<Box<RawValue>>,
    warnings: &'a [String],
}

/// By key, in the order of the rows; null where the figure has no meaning.
struct Figures<'a>(&'a [(&'static Figure, f64)]);

#[derive(serde::Serialize)]
struct Latency {
    count: u64,
    min_ms: f64,
    mean_ms: f64,
    max_ms: f64,
    /// Pairs of a percentile and its milliseconds, in one line.
    percentiles: Box<RawValue>,
}

#[derive(serde::Serialize)]
struct Rate {
    offered: f64,
    delivered: f64,
    reach: f64,
    p99_ms: f64,
}

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (figure, value) in self.0 {
            map.serialize_entry(figure.key, value)?;
        }
        map.end()
    }
}

pub(super) fn text(comparison: &Comparison, machine: &Machine) -> Result<String> {
    let document = Document {
        arguments: &comparison.arguments,
        quick: comparison.quick,
        machine,
        contestants: comparison.contestants.iter().map(contestant).collect(),
        measured: comparison.measured.iter().map(scenario).collect::<Result<_>>()?,
    };
    let mut text = serde_json::to_string_pretty(&document).context("writing the figures as JSON")?;
    text.push('\n');
    Ok(text)
}

fn contestant(contestant: &figure::Contestant) -> Contestant<'_> {
    let figure::Contestant { name, about, objections } = contestant;
    Contestant { name, about, objections }
}

fn scenario(measured: &Measured) -> Result<Scenario<'_>> {
    Ok(Scenario {
        key: &measured.key,
        title: &measured.title,
        labels: measured.figures().into_iter().map(|figure| (figure.key, figure.label)).collect(),
        servers: measured.servers.iter().map(server).collect::<Result<_>>()?,
    })
}

fn server(rounds: &Rounds) -> Result<Server<'_>> {
    Ok(Server {
        server: &rounds.server,
        failure: rounds.failure.as_deref(),
        rounds: rounds.samples.iter().map(round).collect::<Result<_>>()?,
    })
}

fn round(sample: &Sample) -> Result<Round<'_>> {
    Ok(Round {
        figures: Figures(&sample.figures),
        latency: sample.latency.as_ref().filter(|latency| !latency.is_empty()).map(latency).transpose()?,
        steps: sample.steps.iter().map(step).collect::<Result<_>>()?,
        warnings: &sample.warnings,
    })
}

fn step(step: &Step) -> Result<Box<RawValue>> {
    let &Step { offered, delivered, reach, p99_ms } = step;
    to_raw_value(&Rate { offered, delivered, reach, p99_ms }).context("writing a rate as JSON")
}

fn latency(histogram: &Histogram<u64>) -> Result<Latency> {
    let points = histogram.iter_quantiles(POINTS_PER_HALVING).map(|point| {
        let percentile = (1e8 * point.quantile_iterated_to()).round() / 1e6;
        (percentile, point.value_iterated_to() as f64 / 1e3)
    });
    Ok(Latency {
        count: histogram.len(),
        min_ms: histogram.min() as f64 / 1e3,
        mean_ms: (histogram.mean()).round() / 1e3,
        max_ms: histogram.max() as f64 / 1e3,
        percentiles: to_raw_value(&points.collect::<Vec<_>>()).context("writing latencies as JSON")?,
    })
}
