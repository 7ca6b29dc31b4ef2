//! Figures that are one number for each server, as bars: the shortest is the best and on top.

use plotters::style::text_anchor::HPos;

use crate::figure::{Measured, Rounds};
use anyhow::Result;

use super::super::number::{Spread, fixed, shortened, significant};
use super::super::{FLOOR, OURS};
use super::palette::{Ink, PALE_WORDS, Palette, WORDS};
use super::sheet::{MARGIN, PALE, PLAIN, Script, Sheet, WIDTH, card};

/// Where the bars begin, and where the longest ends.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 630.0;
const TOP: f64 = 104.0;
const PITCH: f64 = 42.0;
const THICK: f64 = 22.0;
/// Of a part of a bar that is the kernel's.
const PALE_PART: f64 = 0.4;

struct Bar<'a> {
    server: &'a str,
    ink: Ink,
    /// None: no result.
    spread: Option<Spread>,
    /// How much of it is the server's own; the rest is the kernel's for its sake.
    own: f64,
    label: String,
    /// How many times the floor's it is, where that says something.
    ratio: Option<f64>,
}

pub(super) fn cpu(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    // At rates of their own, servers do not compare.
    if measured.servers.iter().flat_map(|rounds| &rounds.samples).any(|sample| !sample.steps.is_empty()) {
        return Ok(None);
    }
    let split = measured.figures().iter().any(|figure| figure.key == "user_us_per_delivery");
    let mut bars = bars(measured, palette, "cpu_us_per_delivery", |server, spread| {
        let own = Spread::of(&measured.values(server, "user_us_per_delivery"));
        (own.map_or(spread.middle, |own| own.middle), format!("{} µs", significant(spread.middle)))
    });
    for bar in bars.iter_mut().filter(|bar| bar.server != FLOOR) {
        let ratios = measured.ratios(bar.server, FLOOR, "cpu_us_per_delivery");
        bar.ratio = Spread::of(&ratios).map(|ratio| ratio.middle);
    }
    let explanation = match split {
        true => "Strong: in user space, the server's own doing. Pale: in the kernel, for its sake.",
        false => "In user space and in the kernel together.",
    };
    drawn("CPU time per delivery, in microseconds", [&measured.title, explanation], &bars)
}

pub(super) fn memory(measured: &Measured, palette: &Palette<'_>) -> Result<Option<String>> {
    let bars = bars(measured, palette, "user_bytes_per_stream", |_, spread| {
        (spread.middle, format!("{} B", fixed(spread.middle, 0)))
    });
    let kernel = measured.servers.iter();
    let kernel = kernel.filter_map(|rounds| Spread::of(&measured.values(&rounds.server, "kernel_bytes_per_stream")));
    let kernel: Vec<f64> = kernel.map(|spread| spread.middle).collect();
    let explanation = match Spread::of(&kernel) {
        None => "The process's own, resident. What the kernel keeps for its sockets comes on top.".to_owned(),
        Some(spread) => format!(
            "The process's own, resident. On top, in the kernel, for both ends of a stream: {} B.",
            spread.range(0, "–").unwrap_or_else(|| fixed(spread.middle, 0))
        ),
    };
    drawn("Memory per open stream, in bytes", [&measured.title, &explanation], &bars)
}

/// A bar for each server, the smallest first, if one has that figure.
fn bars<'a>(
    measured: &'a Measured,
    palette: &Palette<'_>,
    key: &str,
    describe: impl Fn(&str, Spread) -> (f64, String),
) -> Vec<Bar<'a>> {
    let bar = |rounds: &'a Rounds| {
        let (server, ink) = (rounds.server.as_str(), palette.ink(&rounds.server));
        let spread = Spread::of(&measured.values(server, key));
        let (own, label) = match (spread, &rounds.failure) {
            (Some(spread), _) => describe(server, spread),
            (None, Some(failure)) => (0.0, shortened(&format!("no result: {failure:#}"), 90)),
            (None, None) => (0.0, "no result".to_owned()),
        };
        Bar { server, ink, spread, own, label, ratio: None }
    };
    let mut bars: Vec<Bar<'_>> = measured.servers.iter().map(bar).collect();
    bars.sort_by(|one, other| {
        let length = |bar: &Bar<'_>| bar.spread.map_or(f64::INFINITY, |spread| spread.middle);
        length(one).total_cmp(&length(other))
    });
    bars
}

fn drawn(title: &str, lines: [&str; 2], bars: &[Bar<'_>]) -> Result<Option<String>> {
    let highest = bars.iter().filter_map(|bar| bar.spread).map(|spread| spread.highest).fold(f64::NAN, f64::max);
    if highest.is_nan() {
        return Ok(None);
    }
    let height = TOP + PITCH * bars.len() as f64 + 14.0;
    let at = |value: f64| LEFT + (RIGHT - LEFT) * (value / highest.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    let draw = |sheet: &Sheet<'_>| {
        for (index, bar) in bars.iter().enumerate() {
            let middle = TOP + PITCH * (index as f64 + 0.5);
            let (above, below) = (middle - THICK / 2.0, middle + THICK / 2.0);
            let bold = bar.server == OURS;
            let name = Script { ink: bar.ink, bold, align: HPos::Right, ..PLAIN };
            sheet.words((LEFT - 14.0, middle), &shortened(bar.server, 18), name)?;
            let Some(spread) = bar.spread else {
                sheet.words((LEFT, middle), &bar.label, PALE)?;
                continue;
            };
            let (own, end) = (at(bar.own.min(spread.middle)), at(spread.middle));
            sheet.bar((LEFT, above), (own.max(LEFT + 1.0), below), bar.ink, 1.0)?;
            sheet.bar((own, above), (end, below), bar.ink, PALE_PART)?;
            let (from, to) = (at(spread.lowest), at(spread.highest));
            if to - from > 2.0 {
                sheet.line(&[(from, middle), (to, middle)], WORDS, 1.2, 0.8)?;
                for x in [from, to] {
                    sheet.line(&[(x, middle - 4.0), (x, middle + 4.0)], WORDS, 1.2, 0.8)?;
                }
            }
            let script = Script { ink: if bold { WORDS } else { PALE_WORDS }, bold, ..PLAIN };
            sheet.words((to.max(end) + 12.0, middle), &bar.label, script)?;
            if let Some(ratio) = bar.ratio {
                let words = format!("{} × floor", fixed(ratio, 2));
                sheet.words((WIDTH - MARGIN, middle), &words, Script { align: HPos::Right, ..script })?;
            }
        }
        sheet.line(&[(LEFT, TOP), (LEFT, TOP + PITCH * bars.len() as f64)], PALE_WORDS, 1.0, 0.6)
    };
    card(title, lines, height, draw).map(Some)
}
