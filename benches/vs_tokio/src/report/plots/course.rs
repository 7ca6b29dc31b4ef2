//! Memory and descriptors of a server over time, one above the other, with the trend of the memory.

use crate::soak::{Sample, Soaked};
use anyhow::Result;

use super::super::number::{shortest, significant};
use super::axis::{Axis, grid};
use super::palette::{GUIDE, Palette};
use super::sheet::{Drawn, PLAIN, Script, Sheet, WIDTH, card};

const HEIGHT: f64 = 620.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = WIDTH - 110.0;
/// The bottom and the top of each plot.
const MEMORY: (f64, f64) = (330.0, 124.0);
const DESCRIPTORS: (f64, f64) = (HEIGHT - 62.0, 404.0);
const MIB: f64 = (1 << 20) as f64;
/// Longer runs are told in minutes.
const MOST_SECONDS: f64 = 240.0;

pub(super) fn draw(soaked: &Soaked) -> Result<String> {
    let samples = &soaked.samples;
    let last = samples.last().map_or(1.0, |sample| sample.seconds);
    let (unit, word) = if last > MOST_SECONDS { (60.0, "minutes") } else { (1.0, "seconds") };
    let title = format!("Memory and descriptors of {} over time", soaked.server);
    let explanation = "While healthy streams read everything, others come and go, read slowly, stall or mean no good.";
    let lines = [explanation, if soaked.trend.is_some() { "Dashed: the trend of the second half." } else { "" }];
    card(&title, lines, HEIGHT, |sheet| {
        let across = Axis::linear(last / unit, (LEFT, RIGHT), shortest);
        let of_memory = |sample: &Sample| sample.resident_bytes as f64 / MIB;
        let of_descriptors = |sample: &Sample| sample.descriptors as f64;
        let memory = Axis::linear(highest(samples, of_memory), MEMORY, shortest);
        let descriptors = Axis::linear(highest(samples, of_descriptors), DESCRIPTORS, shortest);
        let palette = Palette::of([soaked.server.as_str()].into_iter());
        let ink = palette.ink(&soaked.server);
        let curve = |up: &Axis, value: &dyn Fn(&Sample) -> f64| -> Drawn {
            let place = |sample: &Sample| (across.at(sample.seconds / unit), up.at(value(sample)));
            sheet.line(&samples.iter().map(place).collect::<Vec<_>>(), ink, 1.8, 1.0)
        };
        grid(sheet, (&across, &memory), ("", "resident memory, MiB"))?;
        curve(&memory, &of_memory)?;
        if let Some(trend) = soaked.trend {
            let place = |seconds: f64, bytes: f64| (across.at(seconds / unit), memory.at(bytes / MIB));
            let ends = [place(trend.seconds.0, trend.bytes.0), place(trend.seconds.1, trend.bytes.1)];
            sheet.line(&ends, GUIDE, 1.6, 1.0)?;
        }
        grid(sheet, (&across, &descriptors), (word, "descriptors"))?;
        curve(&descriptors, &of_descriptors)?;
        let Some(sample) = samples.last() else { return Ok(()) };
        tell(sheet, memory.at(of_memory(sample)), &format!("{} MiB", significant(of_memory(sample))))?;
        tell(sheet, descriptors.at(of_descriptors(sample)), &sample.descriptors.to_string())
    })
}

fn highest(samples: &[Sample], value: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(value).fold(0.0, f64::max)
}

/// The last value, beside its curve.
fn tell(sheet: &Sheet<'_>, y: f64, value: &str) -> Drawn {
    sheet.words((RIGHT + 12.0, y), value, Script { bold: true, ..PLAIN })
}
