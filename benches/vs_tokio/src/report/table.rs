//! The table in the terminal: a row for each server, so that what compares stands below each other, and a column for
//! each figure, in as many blocks as the width asks for.

use std::fmt::Write;

use crate::figure::{Figure, Measured};

use super::number::{Spread, decimals, fixed, shortened, wrapped};
use super::{by_floor, notes};

const WIDTH: usize = 120;
const GAP: &str = "   ";
const LONGEST_NAME: usize = 20;
const BAR: usize = 12;
/// A column's head is broken into lines of this or of the cells' width.
const NARROW: usize = 10;

/// One column: the lines of its head, and a cell for each server. All cells are equally wide.
struct Column {
    head: Vec<String>,
    cells: Vec<String>,
    width: usize,
}

/// Renders a measured scenario for the terminal.
pub(crate) fn table(measured: &Measured) -> String {
    let figures = measured.figures();
    let groups = figures.iter().enumerate().map(|(index, figure)| group(measured, figure, index == 0));
    let mut text = measured.title.clone();
    text.push('\n');
    for block in blocks(groups.collect(), WIDTH - names(measured).width) {
        text.push('\n');
        write_block(&mut text, &names(measured), &block);
    }
    let notes = notes(measured);
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        for (index, line) in wrapped(&note, WIDTH - 4).iter().enumerate() {
            let _ = writeln!(text, "  {}{line}", if index == 0 { "! " } else { "  " });
        }
    }
    text
}

fn names(measured: &Measured) -> Column {
    let cells = measured.servers.iter().map(|rounds| format!("  {}", shortened(&rounds.server, LONGEST_NAME)));
    Column::new(Vec::new(), cells.collect())
}

/// The columns that belong to one figure and stay in one block: its values, and of the main ones bars and multiples of
/// the floor.
fn group(measured: &Measured, figure: &Figure, is_first: bool) -> Vec<Column> {
    let spreads = measured.servers.iter().map(|rounds| Spread::of(&measured.values(&rounds.server, figure.key)));
    let spreads: Vec<_> = spreads.collect();
    let mut columns = vec![Column::of_numbers(figure.label, &spreads, decimals(figure.decimals, &spreads))];
    if is_first || figure.by_floor {
        columns.push(Column::of_bars(&spreads));
    }
    if let Some(ratios) = by_floor(measured, figure) {
        columns.push(Column::of_numbers("x floor", &ratios, 2));
    }
    columns
}

impl Column {
    fn new(head: Vec<String>, cells: Vec<String>) -> Self {
        let width = head.iter().chain(&cells).map(|text| text.chars().count()).max().unwrap_or(0);
        Self { head, cells, width }
    }

    /// Medians with their spread, each aligned at the decimal point: all have as many decimals.
    fn of_numbers(label: &str, spreads: &[Option<Spread>], decimals: usize) -> Self {
        let texts: Vec<(String, String)> = spreads
            .iter()
            .map(|spread| match spread {
                None => ("-".to_owned(), String::new()),
                Some(spread) => {
                    let range = spread.range(decimals, "-").map(|range| format!("({range})"));
                    (fixed(spread.middle, decimals), range.unwrap_or_default())
                }
            })
            .collect();
        let middle = texts.iter().map(|(middle, _)| middle.chars().count()).max().unwrap_or(0);
        let range = texts.iter().map(|(_, range)| range.chars().count()).max().unwrap_or(0);
        let gap = if range > 0 { " " } else { "" };
        let cells: Vec<String> =
            texts.iter().map(|(number, spread)| format!("{number:>middle$}{gap}{spread:range$}")).collect();
        let width = middle + gap.len() + range;
        Self::new(wrapped(label, width.max(NARROW)), cells)
    }

    /// Below a head, where there is one.
    fn rule(&self) -> String {
        if self.head.is_empty() { " " } else { "─" }.repeat(self.width)
    }

    /// As long as the largest is wide; in eighths of a character.
    fn of_bars(spreads: &[Option<Spread>]) -> Self {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let largest = spreads.iter().flatten().map(|spread| spread.middle).fold(0.0, f64::max);
        let bar = |spread: &Option<Spread>| {
            let Some(spread) = spread.filter(|spread| spread.middle > 0.0) else { return String::new() };
            let eighths = (8.0 * BAR as f64 * spread.middle / largest).round().max(1.0) as usize;
            format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
        };
        let mut column = Self::new(Vec::new(), spreads.iter().map(bar).collect());
        column.width = column.width.max(BAR);
        column
    }
}

/// Fills blocks with groups of columns, from left to right.
fn blocks(groups: Vec<Vec<Column>>, room: usize) -> Vec<Vec<Column>> {
    let mut blocks: Vec<Vec<Column>> = Vec::new();
    let mut used = 0;
    for group in groups {
        let width: usize = group.iter().map(|column| GAP.len() + column.width).sum();
        match blocks.last_mut() {
            Some(block) if used + width <= room => {
                block.extend(group);
                used += width;
            }
            _ => {
                blocks.push(group);
                used = width;
            }
        }
    }
    blocks
}

fn write_block(text: &mut String, names: &Column, block: &[Column]) {
    let columns = || std::iter::once(names).chain(block);
    let head_lines = columns().map(|column| column.head.len()).max().unwrap_or(0);
    let head = |line: usize| {
        // The last line of every head stands right above the cells.
        columns().map(move |column| {
            let missing = head_lines - column.head.len();
            let cell = line.checked_sub(missing).map_or("", |line| column.head[line].as_str());
            (cell, column.width)
        })
    };
    for line in 0..head_lines {
        write_line(text, head(line));
    }
    let rules: Vec<String> = columns().map(Column::rule).collect();
    write_line(text, rules.iter().map(|rule| (rule.as_str(), 0)));
    for row in 0..names.cells.len() {
        write_line(text, columns().map(|column| (column.cells[row].as_str(), column.width)));
    }
}

fn write_line<'a>(text: &mut String, cells: impl Iterator<Item = (&'a str, usize)>) {
    let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
    text.push_str(cells.join(GAP).trim_end());
    text.push('\n');
}
