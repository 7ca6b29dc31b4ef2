//! The table of a scenario: a row for each figure, a column for each server; for the terminal and for the page.

use std::fmt::Write;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::cells::{NONE, plain, row, together};
use super::notes::notes;
use crate::figure::{FLOOR, Measured};
use crate::number::{Spread, decimals, fixed};

/// Between two numbers that stay on one line.
const HYPHEN: &str = "\u{2060}–\u{2060}";
const WIDTH: u16 = 120;

struct Row {
    label: &'static str,
    decimals: usize,
    /// One for each server.
    cells: Vec<Option<Spread>>,
}

/// Each figure, and the main ones also as multiples of the floor's.
fn rows(measured: &Measured) -> Vec<Row> {
    let mut rows = Vec::new();
    let of_each = |values: &dyn Fn(&str) -> Vec<f64>| -> Vec<Option<Spread>> {
        measured.servers.iter().map(|rounds| Spread::of(&values(&rounds.server))).collect()
    };
    for figure in measured.figures() {
        let cells = of_each(&|server| measured.values(server, figure.key));
        rows.push(Row { label: figure.label, decimals: decimals(figure.decimals, &cells), cells });
        let cells = of_each(&|server| measured.ratios(server, FLOOR, figure.key));
        if figure.by_floor && cells.iter().any(Option::is_some) {
            rows.push(Row { label: "× floor", decimals: 2, cells });
        }
    }
    rows
}

/// A measured scenario for the terminal: each median above its lowest and its highest round.
pub(crate) fn table(measured: &Measured) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    let names = measured.servers.iter().map(|rounds| rounds.server.as_str());
    table.set_header(std::iter::once("").chain(names));
    for Row { label, decimals, cells } in rows(measured) {
        let cell = |cell: Option<Spread>| {
            let text = cell.map_or(NONE.to_owned(), |spread| {
                let range = spread.range(decimals, "-").map(|range| format!("\n{range}"));
                together(&format!("{}{}", fixed(spread.middle, decimals), range.unwrap_or_default()))
            });
            Cell::new(text).set_alignment(CellAlignment::Right)
        };
        table.add_row(std::iter::once(Cell::new(label)).chain(cells.into_iter().map(cell)));
    }
    let mut text = format!("{}\n\n{}\n", measured.title, table.trim_fmt());
    for note in notes(measured) {
        let _ = write!(text, "\n  ! {note}");
    }
    text
}

/// The same for the page.
pub(super) fn markdown(measured: &Measured) -> String {
    let rows = rows(measured);
    if rows.is_empty() {
        return "No server came to a result.\n\n".to_owned();
    }
    let mut text = row("", measured.servers.iter().map(|rounds| plain(&rounds.server)));
    let _ = writeln!(text, "| --- |{}", " ---: |".repeat(measured.servers.len()));
    for Row { label, decimals, cells } in rows {
        let cell = |cell: Option<Spread>| {
            let Some(spread) = cell else { return NONE.to_owned() };
            let range = spread.range(decimals, HYPHEN).map(|range| format!("<br><sub>{range}</sub>"));
            together(&format!("{}{}", fixed(spread.middle, decimals), range.unwrap_or_default()))
        };
        text.push_str(&row(label, cells.into_iter().map(cell)));
    }
    text.push('\n');
    text
}
