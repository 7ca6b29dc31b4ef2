//! What arrives of what is offered: on the diagonal everything does, and where a curve leaves it, a server is full.

use plotters::style::text_anchor::HPos;

use crate::figure::{Measured, Rounds, Step, median};
use anyhow::Result;

use super::super::OURS;
use super::super::number::rounded;
use super::axis::{Axis, grid};
use super::curves::{End, label, thickness};
use super::palette::{GUIDE, Palette};
use super::sheet::{PALE, Script, WIDTH, card};

const HEIGHT: f64 = 500.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 226.0;
const TOP: f64 = 124.0;
const BOTTOM: f64 = HEIGHT - 62.0;

/// One point of a curve: a rate, and what the rounds made of it.
struct Point {
    offered: f64,
    delivered: f64,
    whole: bool,
}

pub(super) fn delivered(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    let curves = measured.servers.iter().map(|rounds| (rounds.server.as_str(), points(rounds)));
    let mut curves: Vec<(&str, Vec<Point>)> = curves.filter(|(_, points)| !points.is_empty()).collect();
    if curves.is_empty() {
        return Ok(None);
    }
    curves.sort_by_key(|(server, _)| *server == OURS);
    let all = || curves.iter().flat_map(|(_, points)| points);
    let smallest = all().map(|point| point.offered.min(point.delivered)).fold(f64::INFINITY, f64::min);
    let largest = all().map(|point| point.offered.max(point.delivered)).fold(0.0, f64::max);
    let across = Axis::logarithmic(smallest, largest, (LEFT, RIGHT), rounded);
    let up = Axis::logarithmic(smallest, largest, (BOTTOM, TOP), rounded);
    let explanation = "Hollow: some of it was lost. Beside the names: the most that arrived.";
    let title = "Delivered of what was offered, in deliveries per second";
    card(title, [&measured.title, explanation], HEIGHT, |sheet| {
        grid(sheet, (&across, &up), ("offered per second", "delivered per second"))?;
        sheet.line(&[(LEFT, BOTTOM), (RIGHT, TOP)], GUIDE, 1.4, 1.0)?;
        let beside = (LEFT + 0.6 * (RIGHT - LEFT) - 18.0, BOTTOM + 0.6 * (TOP - BOTTOM) - 8.0);
        sheet.words(beside, "all of it arrives", Script { align: HPos::Right, size: 12.0, ..PALE })?;
        let mut ends = Vec::new();
        for (server, points) in &curves {
            let ink = palette.ink(server);
            let places: Vec<_> =
                points.iter().map(|point| (across.at(point.offered), up.at(point.delivered))).collect();
            sheet.line(&places, ink, thickness(server), 1.0)?;
            let radius = if *server == OURS { 4.2 } else { 3.2 };
            for (point, place) in points.iter().zip(&places) {
                sheet.dot(*place, radius, ink, !point.whole)?;
            }
            let most = points.iter().map(|point| point.delivered).fold(0.0, f64::max);
            let at = places.last().copied().unwrap_or((RIGHT, BOTTOM));
            ends.push(End { server, ink, at, value: format!("{}/s", rounded(most)) });
        }
        label(sheet, &ends, RIGHT, (TOP, BOTTOM))
    })
    .map(Some)
}

/// The medians of what the rounds delivered at each rate that one of them tried.
fn points(rounds: &Rounds) -> Vec<Point> {
    let steps = || rounds.samples.iter().flat_map(|sample| &sample.steps).filter(|step| is_drawable(step));
    let mut offered: Vec<f64> = steps().map(|step| step.offered).collect();
    offered.sort_by(f64::total_cmp);
    // Rates that are meant to be the same differ by what a division leaves.
    offered.dedup_by(|one, other| (*one / *other - 1.0).abs() < 0.005);
    let point = |offered: f64| {
        let same = || steps().filter(move |step| (step.offered / offered - 1.0).abs() < 0.005);
        let delivered: Vec<f64> = same().map(|step| step.delivered).collect();
        Point { offered, delivered: median(&delivered), whole: same().all(|step| step.reach >= 1.0) }
    };
    offered.into_iter().map(point).collect()
}

/// Whether it has a place on a logarithmic scale.
fn is_drawable(step: &Step) -> bool {
    [step.offered, step.delivered].into_iter().all(|rate| rate.is_finite() && rate > 0.0)
}
