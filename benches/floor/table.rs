//! The table in the terminal: a row for each figure, a column for each server, the bound beside it.

use std::fmt::{self, Display};

/// What a figure must keep to. The first column is the yardstick and is not judged.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    None,
    AtMost(f64),
    AtLeast(f64),
}

impl Bound {
    fn verdict(self, figure: f64) -> &'static str {
        let kept = match self {
            Self::None => return "",
            Self::AtMost(limit) => figure <= limit,
            Self::AtLeast(limit) => figure >= limit,
        };
        if kept { " ok" } else { " MISSED" }
    }
}

impl Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::AtMost(limit) => write!(f, "<= {limit}"),
            Self::AtLeast(limit) => write!(f, ">= {limit}"),
        }
    }
}

/// The figures of one kind, of one server, a value for each round.
pub(crate) type Samples = Vec<f64>;

pub(crate) struct Table {
    title: String,
    /// The cells of each line; the first line names the columns.
    lines: Vec<Vec<String>>,
    notes: Vec<&'static str>,
}

impl Table {
    pub(crate) fn new<'a>(title: String, servers: impl Iterator<Item = &'a str>) -> Self {
        let mut names = vec![String::new(), "bound".to_owned()];
        names.extend(servers.map(str::to_owned));
        Self { title, lines: vec![names], notes: Vec::new() }
    }

    /// Adds a figure, as the median of each server's rounds with their spread.
    pub(crate) fn row(&mut self, figure: &str, decimals: usize, bound: Bound, servers: &[Samples]) {
        let mut cells = vec![figure.to_owned(), bound.to_string()];
        for (index, samples) in servers.iter().enumerate() {
            let verdict = match index {
                0 => "",
                _ => bound.verdict(median(samples)),
            };
            cells.push(format!("{}{verdict}", summary(samples, decimals)));
        }
        self.lines.push(cells);
    }

    pub(crate) fn note(&mut self, note: &'static str) {
        self.notes.push(note);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.get(column));
            cells.map(String::len).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.lines[0].len()).map(width).collect();
        for line in &self.lines {
            let mut text = String::new();
            for (cell, width) in line.iter().zip(&widths) {
                text.push_str(&format!("  {cell:width$}"));
            }
            writeln!(f, "{}", text.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// `4.70 (4.61-4.83)`, or a dash where there is no result.
fn summary(samples: &[f64], decimals: usize) -> String {
    if samples.is_empty() || samples.iter().any(|sample| sample.is_nan()) {
        return "-".to_owned();
    }
    let middle = median(samples);
    let lowest = samples.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if lowest == highest {
        return format!("{middle:.decimals$}");
    }
    format!("{middle:.decimals$} ({lowest:.decimals$}-{highest:.decimals$})")
}

/// `10000` as `10 000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
