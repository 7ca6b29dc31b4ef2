//! The plots of a report, as SVG: a scenario has those that its data is good for.

mod bars;
mod curves;
mod sheet;

use anyhow::Result;

use crate::figure::{Comparison, Measured};
use sheet::Palette;

pub(crate) use curves::{Panel, over_time};

/// A plot, and its place in the report.
#[derive(Debug)]
pub(super) struct Plot {
    /// Its name in the folder of the report.
    pub(super) file: String,
    /// The same in words, for a reader who cannot see it.
    pub(super) alt: &'static str,
    /// The scenario's key.
    pub(super) scenario: String,
    pub(super) svg: String,
}

type Draw = fn(&Measured, &Palette<'_>) -> Result<Option<String>>;

/// The kinds of plots in the order of a scenario's section: name, words, and the function that draws it.
const KINDS: [(&str, &str, Draw); 4] = [
    ("cpu", "CPU per delivery of each server, as bars", bars::cpu),
    ("latency", "Latency by percentile, a curve for each server", curves::latency),
    ("memory", "Memory per idle stream of each server, as bars", bars::memory),
    ("rates", "Delivered against offered rate, a curve for each server", curves::rates),
];

/// Draws every plot that the comparison has data for.
pub(super) fn of(comparison: &Comparison) -> Result<Vec<Plot>> {
    let palette = Palette::new(comparison.contestants.iter().map(|contestant| contestant.name.as_str()).collect());
    let mut plots = Vec::new();
    for measured in &comparison.measured {
        for (name, alt, draw) in KINDS {
            if let Some(svg) = draw(measured, &palette)? {
                let file = format!("{name}-{}.svg", measured.key.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
                plots.push(Plot { file, alt, scenario: measured.key.clone(), svg });
            }
        }
    }
    Ok(plots)
}
