//! The plots of a report, as SVG: a scenario has those that its data is good for.
//!
//! plotters draws charts, axes and legends; this file says only what all plots share. A plot is drawn for a light page,
//! and its style sheet inverts it where the reader prefers a dark one.

mod bars;
mod curves;

use std::iter;

use anyhow::{Context, Result};
use plotters::coord::Shift;
use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};
use plotters::style::full_palette::{
    AMBER_800, BLUE_800, BROWN_500, CYAN_600, DEEPORANGE_800, GREEN_800, GREY_600, INDIGO_300, LIME_800, PINK_600,
};
use plotters::style::{RGBColor, WHITE};

use super::OURS;
use crate::figure::{Comparison, Measured};

pub(crate) use curves::{Panel, over_time};

const WIDTH: u32 = 860;
const FONT: &str = "sans-serif";
const INVERT_WHERE_DARK: &str =
    "<style>@media (prefers-color-scheme: dark) { svg { filter: invert(0.93) hue-rotate(180deg); } }</style>";

/// One colour a server, in the order of the report: the floor's grey, smolcast's orange, and the others'.
const COLOURS: [RGBColor; 10] =
    [GREY_600, DEEPORANGE_800, BLUE_800, CYAN_600, GREEN_800, AMBER_800, PINK_600, INDIGO_300, LIME_800, BROWN_500];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

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

/// The servers of a comparison, each with one colour in all plots.
struct Palette<'a>(Vec<&'a str>);

impl Palette<'_> {
    fn colour(&self, server: &str) -> RGBColor {
        let index = self.0.iter().position(|name| *name == server).unwrap_or(0);
        COLOURS[index % COLOURS.len()]
    }
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
    let measured = comparison.measured.iter().flat_map(|measured| &measured.servers).map(|rounds| &rounds.server);
    let named = comparison.contestants.iter().map(|contestant| &contestant.name);
    let mut servers: Vec<&str> = Vec::new();
    for name in named.chain(measured) {
        if !servers.contains(&name.as_str()) {
            servers.push(name);
        }
    }
    let palette = Palette(servers);
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

/// Draws below a title and its lines, and returns the SVG.
fn sheet(title: &str, lines: &[&str], height: u32, draw: impl FnOnce(&Area<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        root.fill(&WHITE)?;
        let sizes = iter::once((title, 24)).chain(lines.iter().map(|line| (*line, 15)));
        let mut area = root.margin(12, 0, 0, 0);
        for (text, size) in sizes.filter(|(text, _)| !text.is_empty()) {
            area = area.titled(text, (FONT, size))?;
        }
        draw(&area)?;
        root.present()?;
    }
    let (head, shapes) = svg.split_once('>').context("the SVG has no element")?;
    Ok(format!("{head} role=\"img\">\n{INVERT_WHERE_DARK}{shapes}"))
}

/// The width of a server's line: smolcast's stands out.
fn thickness(server: &str) -> u32 {
    if server == OURS { 4 } else { 2 }
}
