//! Latency by percentile: a curve for each server, of all its rounds together.

use hdrhistogram::Histogram;
use plotters::style::text_anchor::HPos;

use crate::figure::{Measured, Rounds};
use anyhow::{Context, Result};

use super::super::OURS;
use super::super::number::{shortened, shortest, significant};
use super::axis::{Axis, grid};
use super::palette::{Ink, PALE_WORDS, Palette, WORDS};
use super::sheet::{Drawn, MARGIN, PLAIN, Script, Sheet, WIDTH, apart, card};

const HEIGHT: f64 = 470.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 216.0;
const TOP: f64 = 124.0;
const BOTTOM: f64 = HEIGHT - 62.0;
/// How far one label stands below the other.
const LABELS_APART: f64 = 19.0;
const LONGEST_NAME: usize = 13;

/// Points of a curve for each nine of its scale.
const POINTS: u32 = 80;
const MOST_NINES: u32 = 4;
/// From this on, the highest and the lowest curve have no linear scale in common.
const WIDE: f64 = 20.0;

struct Curve<'a> {
    server: &'a str,
    ink: Ink,
    latency: Histogram<u64>,
}

impl Curve<'_> {
    fn ms(&self, quantile: f64) -> f64 {
        // No latency is nothing: what the histogram has as 0 was less than a microsecond.
        self.latency.value_at_quantile(quantile).max(1) as f64 / 1e3
    }
}

pub(super) fn latency<'a>(measured: &'a Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    let mut curves = Vec::new();
    for rounds in &measured.servers {
        if let Some(latency) = merged(rounds)? {
            curves.push(Curve { server: &rounds.server, ink: palette.ink(&rounds.server), latency });
        }
    }
    if curves.is_empty() {
        return Ok(None);
    }
    let missing: Vec<&str> = measured.servers.iter().map(|rounds| rounds.server.as_str()).collect();
    let missing = missing.into_iter().filter(|name| !curves.iter().any(|curve| curve.server == *name));
    let missing = missing.collect::<Vec<_>>().join(", ");
    let explanation = match missing.as_str() {
        "" => "From the moment a message was due until a client had it: every message, every client.".to_owned(),
        names => format!("From due until received. Without a curve, for losses or for a failure: {names}."),
    };
    // The most prominent is drawn last, above the others.
    curves.sort_by_key(|curve| curve.server == OURS);
    let title = "Latency by percentile, in milliseconds";
    card(title, [&measured.title, &explanation], HEIGHT, |sheet| {
        let nines = nines(&curves);
        let most = 1.0 - 0.1_f64.powi(nines as i32);
        let across = Axis::nines(nines, (LEFT, RIGHT));
        let up = heights(&curves, most);
        grid(sheet, (&across, &up), ("percentile of all deliveries", "ms"))?;
        for curve in &curves {
            let points = (0..=nines * POINTS).map(|point| 1.0 - 0.1_f64.powf(f64::from(point) / f64::from(POINTS)));
            let points = points.map(|quantile| (quantile, curve.ms(quantile))).filter(|(_, ms)| up.has(*ms));
            let points: Vec<_> = points.map(|(quantile, ms)| (across.at(quantile), up.at(ms))).collect();
            sheet.line(&points, curve.ink, thickness(curve.server), 1.0)?;
        }
        let end = |curve: &Curve<'a>| {
            let ms = curve.ms(most);
            End {
                server: curve.server,
                ink: curve.ink,
                at: (RIGHT, up.at(ms)),
                value: format!("{} ms", significant(ms)),
            }
        };
        label(sheet, &curves.iter().map(end).collect::<Vec<_>>(), RIGHT, (TOP, BOTTOM))
    })
    .map(Some)
}

/// The end of a curve, and what is written beside it.
pub(super) struct End<'a> {
    pub(super) server: &'a str,
    pub(super) ink: Ink,
    pub(super) at: (f64, f64),
    pub(super) value: String,
}

pub(super) fn thickness(server: &str) -> f64 {
    if server == OURS { 3.4 } else { 1.8 }
}

/// Names the curves to the right of `edge`, each beside its end or with a line to it.
pub(super) fn label(sheet: &Sheet<'_>, ends: &[End<'_>], edge: f64, (top, bottom): (f64, f64)) -> Drawn {
    let wanted: Vec<f64> = ends.iter().map(|end| end.at.1).collect();
    for (end, y) in ends.iter().zip(apart(&wanted, LABELS_APART, top, bottom)) {
        let (x, bend) = (edge + 26.0, edge + 20.0);
        sheet.line(&[(end.at.0 + 3.0, end.at.1), (edge + 4.0, end.at.1), (bend, y)], end.ink, 1.0, 0.55)?;
        let bold = end.server == OURS;
        sheet.words((x, y), &shortened(end.server, LONGEST_NAME), Script { ink: end.ink, bold, ..PLAIN })?;
        let ink = if bold { WORDS } else { PALE_WORDS };
        sheet.words((WIDTH - MARGIN, y), &end.value, Script { ink, bold, align: HPos::Right, ..PLAIN })?;
    }
    Ok(())
}

/// All rounds of a server in one; none if one round has none.
fn merged(rounds: &Rounds) -> Result<Option<Histogram<u64>>> {
    let mut all: Option<Histogram<u64>> = None;
    for sample in &rounds.samples {
        let Some(latency) = sample.latency.as_ref().filter(|latency| !latency.is_empty() && sample.steps.is_empty())
        else {
            return Ok(None);
        };
        match &mut all {
            Some(all) => all.add(latency).context("adding up latencies")?,
            None => all = Some(latency.clone()),
        }
    }
    Ok(all)
}

/// As many as there are deliveries for.
fn nines(curves: &[Curve<'_>]) -> u32 {
    let most = curves.iter().map(|curve| curve.latency.len()).max().unwrap_or(1);
    most.ilog10().clamp(1, MOST_NINES)
}

fn heights(curves: &[Curve<'_>], most: f64) -> Axis {
    let highest = curves.iter().map(|curve| curve.ms(most)).fold(0.0, f64::max);
    let usual = curves.iter().map(|curve| curve.ms(0.5)).fold(f64::INFINITY, f64::min);
    if highest <= WIDE * usual {
        return Axis::linear(highest, (BOTTOM, TOP), shortest);
    }
    // What is faster than the first tenth of the fastest is seldom of interest, and would cost half of the height.
    let lowest = curves.iter().map(|curve| curve.ms(0.1)).fold(f64::INFINITY, f64::min).max(usual / 5.0);
    Axis::logarithmic(lowest, highest, (BOTTOM, TOP), shortest)
}
