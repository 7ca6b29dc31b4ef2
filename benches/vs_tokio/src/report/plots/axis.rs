//! The two axes of a plot: where a value is, and which values are written beside them.

use plotters::style::text_anchor::HPos;

use super::palette::GRID;
use super::sheet::{Drawn, PALE, Script, Sheet};

/// A value's way to a pixel.
pub(super) struct Axis {
    scale: fn(f64) -> f64,
    /// The smallest and the largest value, and their pixels.
    values: (f64, f64),
    pixels: (f64, f64),
    ticks: Vec<(f64, String)>,
}

impl Axis {
    pub(super) fn at(&self, value: f64) -> f64 {
        let (from, to) = ((self.scale)(self.values.0), (self.scale)(self.values.1));
        let part = ((self.scale)(value) - from) / (to - from);
        self.pixels.0 + part.clamp(0.0, 1.0) * (self.pixels.1 - self.pixels.0)
    }

    /// Whether there is a place for it; what is above has the highest.
    pub(super) fn has(&self, value: f64) -> bool {
        value >= self.values.0
    }

    /// From zero to a bit above the largest value, in equal steps.
    pub(super) fn linear(largest: f64, pixels: (f64, f64), word: fn(f64) -> String) -> Self {
        let step = pleasant(largest / 5.0);
        let count = (largest / step).ceil().max(1.0);
        let ticks = (0..=count as u32).map(|tick| f64::from(tick) * step);
        Self {
            scale: |value| value,
            values: (0.0, count * step),
            pixels,
            ticks: ticks.map(|tick| (tick, word(tick))).collect(),
        }
    }

    /// By decades, from a bit below the smallest value to a bit above the largest; both are above zero.
    pub(super) fn logarithmic(smallest: f64, largest: f64, pixels: (f64, f64), word: fn(f64) -> String) -> Self {
        let (first, last) = (smallest.log10().floor() as i32, largest.log10().ceil() as i32);
        let marks = |decade| [1.0, 2.0, 5.0].map(|mark| mark * 10_f64.powi(decade));
        let all: Vec<f64> = (first..=last).flat_map(marks).collect();
        let from = all.iter().rev().copied().find(|&tick| tick <= smallest * 1.001).unwrap_or(smallest);
        let to = all.iter().copied().find(|&tick| tick >= largest * 0.999).unwrap_or(largest).max(2.0 * from);
        // All of these marks would be too many for a wide axis.
        let every = if (to / from).log10() > 3.0 { 3 } else { 1 };
        let ticks = all.into_iter().step_by(every).filter(|&tick| (from..=to).contains(&tick));
        Self { scale: f64::log10, values: (from, to), pixels, ticks: ticks.map(|tick| (tick, word(tick))).collect() }
    }

    /// Quantiles, each nine as wide as the one before it.
    pub(super) fn nines(most: u32, pixels: (f64, f64)) -> Self {
        let named = [(0.0, "0"), (0.5, "50"), (0.9, "90"), (0.99, "99"), (0.999, "99.9"), (0.9999, "99.99")];
        let most = 1.0 - 0.1_f64.powi(most as i32);
        let ticks = named.into_iter().filter(|(tick, _)| *tick <= most);
        Self {
            scale: |quantile| -(1.0 - quantile).log10(),
            values: (0.0, most),
            pixels,
            ticks: ticks.map(|(tick, name)| (tick, format!("{name} %"))).collect(),
        }
    }
}

/// The next number above that a person counts by: 1, 2 or 5, and zeros.
fn pleasant(value: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().find(|step| step * decade >= value * 0.999);
    decade * step.unwrap_or(10.0)
}

/// Draws the grid with what is written beside it: what the vertical axis is stands above it, what the horizontal one
/// is below.
pub(super) fn grid(sheet: &Sheet<'_>, (across, up): (&Axis, &Axis), (below, above): (&str, &str)) -> Drawn {
    let (left, right) = across.pixels;
    let (bottom, top) = up.pixels;
    for (value, word) in &up.ticks {
        let y = up.at(*value);
        sheet.line(&[(left, y), (right, y)], GRID, 1.0, 1.0)?;
        sheet.words((left - 10.0, y), word, Script { align: HPos::Right, size: 12.0, ..PALE })?;
    }
    for (value, word) in &across.ticks {
        let x = across.at(*value);
        sheet.line(&[(x, bottom), (x, top)], GRID, 1.0, 1.0)?;
        sheet.words((x, bottom + 16.0), word, Script { align: HPos::Center, size: 12.0, ..PALE })?;
    }
    sheet.words((left, top - 18.0), above, Script { size: 12.0, ..PALE })?;
    sheet.words(((left + right) / 2.0, bottom + 38.0), below, Script { align: HPos::Center, size: 12.0, ..PALE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_reach_around_their_values() {
        let linear = Axis::linear(67.0, (100.0, 0.0), |value| value.to_string());
        assert_eq!(linear.values, (0.0, 80.0));
        assert_eq!((linear.at(0.0), linear.at(40.0), linear.at(99.0)), (100.0, 50.0, 0.0));
        let logarithmic = Axis::logarithmic(0.3, 70.0, (0.0, 1.0), |value| value.to_string());
        assert_eq!(logarithmic.values, (0.2, 100.0));
        assert_eq!(logarithmic.ticks.len(), 9);
        let nines = Axis::nines(2, (0.0, 100.0));
        assert_eq!(
            nines.ticks.iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>(),
            ["0 %", "50 %", "90 %", "99 %"]
        );
        assert!((nines.at(0.9) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn no_value_breaks_an_axis() {
        for largest in [0.0, f64::NAN, 1e-9, 1e12] {
            assert!(Axis::linear(largest, (0.0, 1.0), |_| String::new()).ticks.len() < 20);
        }
        assert!(Axis::logarithmic(5.0, 5.0, (0.0, 1.0), |_| String::new()).at(5.0).is_finite());
    }
}
