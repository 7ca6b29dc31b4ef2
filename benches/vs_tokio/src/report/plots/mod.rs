//! The plots of a report, as SVG: a scenario has those that its data is good for.

mod axis;
mod bars;
mod course;
mod curves;
mod palette;
mod rates;
mod sheet;

use crate::figure::{Comparison, Measured};
use crate::soak::Soaked;
use anyhow::Result;

use palette::Palette;

/// A plot, and where it belongs.
#[derive(Debug)]
pub(super) struct Plot {
    /// Its name in the folder of the report.
    pub(super) file: String,
    /// What it shows, for who cannot see it.
    pub(super) alt: String,
    /// The scenario's key.
    pub(super) scenario: String,
    pub(super) svg: String,
}

type Draw = fn(&Measured, &Palette<'_>) -> Result<Option<String>>;

/// In the order in which they stand in a scenario's section.
const KINDS: [(&str, &str, Draw); 4] = [
    ("cpu", "CPU per delivery of each server, as bars", bars::cpu),
    ("latency", "Latency by percentile, a curve for each server", curves::latency),
    ("memory", "Memory per idle stream of each server, as bars", bars::memory),
    ("rates", "Delivered against offered rate, a curve for each server", rates::delivered),
];

/// Of a soak there is one.
pub(super) fn course(soaked: &Soaked) -> Result<String> {
    course::draw(soaked)
}

pub(super) fn of(comparison: &Comparison) -> Result<Vec<Plot>> {
    let measured = comparison.measured.iter().flat_map(|measured| &measured.servers).map(|rounds| &rounds.server);
    let named = comparison.contestants.iter().map(|contestant| &contestant.name);
    let palette = Palette::of(named.chain(measured).map(String::as_str));
    let mut plots = Vec::new();
    for measured in &comparison.measured {
        for (name, alt, draw) in KINDS {
            if let Some(svg) = draw(measured, &palette)? {
                let scenario = measured.key.clone();
                let file = format!("{name}-{}.svg", measured.key.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
                plots.push(Plot { file, alt: alt.to_owned(), scenario, svg });
            }
        }
    }
    Ok(plots)
}
