//! The head of the page: one row for each server, of what was measured with the most streams.

use crate::figure::{Comparison, Measured};

use super::markdown::{NONE, row, together};
use super::number::{Spread, decimals, fixed};
use super::{FLOOR, OURS};

/// Where a column comes from.
struct Column {
    head: &'static str,
    key: &'static str,
    decimals: usize,
    /// Of the idle streams instead of the fan-out.
    idle: bool,
    by_floor: bool,
}

const fn column(head: &'static str, key: &'static str, decimals: usize) -> Column {
    Column { head, key, decimals, idle: false, by_floor: false }
}

const COLUMNS: [Column; 7] = [
    column("CPU a delivery, µs", "cpu_us_per_delivery", 2),
    Column { by_floor: true, ..column("× floor", "cpu_us_per_delivery", 2) },
    column("of it in user space, µs", "user_us_per_delivery", 2),
    Column { idle: true, ..column("memory a stream, B", "user_bytes_per_stream", 0) },
    column("latency p99, ms", "p99_ms", 1),
    Column { by_floor: true, ..column("× floor", "p99_ms", 2) },
    column("last client has it after, ms", "last_subscriber_ms", 1),
];

/// None where there was no fan-out.
pub(super) fn text(comparison: &Comparison) -> Option<String> {
    let fanout = comparison.measured.iter().filter_map(|measured| Some((streams(measured)?, measured)));
    let (streams, fanout) = fanout.max_by_key(|&(streams, _)| streams)?;
    let idle = comparison.measured.iter().find(|measured| measured.key == "idle");
    let servers: Vec<&str> = fanout.servers.iter().map(|rounds| rounds.server.as_str()).collect();
    let mut heads = Vec::new();
    let mut columns = Vec::new();
    for column in &COLUMNS {
        let source = if column.idle { idle } else { Some(fanout) };
        let spreads: Vec<_> = servers.iter().map(|server| spread(source?, server, column)).collect();
        if spreads.iter().any(Option::is_some) {
            heads.push(column.head.to_owned());
            columns.push(cells(&servers, &spreads, decimals(column.decimals, &spreads)));
        }
    }
    if columns.is_empty() {
        return None;
    }
    let mut text = row("", heads.into_iter());
    text.push_str(&format!("| --- |{}\n", " ---: |".repeat(columns.len())));
    for (index, server) in servers.iter().enumerate() {
        text.push_str(&row(server, columns.iter().map(|column| column[index].clone())));
    }
    let streams = together(&fixed(streams as f64, 0));
    let memory = if idle.is_some() { ", memory while they are idle" } else { "" };
    text.push_str(&format!(
        "\nWith {streams} open streams{memory}; in bold the lowest, the floor apart.{}\n",
        verdict(fanout).unwrap_or_default()
    ));
    Some(text)
}

/// The size of a fan-out, from its key.
fn streams(measured: &Measured) -> Option<u64> {
    measured.key.strip_prefix("fanout-")?.parse().ok()
}

fn spread(source: &Measured, server: &str, column: &Column) -> Option<Spread> {
    Spread::of(&match column.by_floor {
        true => source.ratios(server, FLOOR, column.key),
        false => source.values(server, column.key),
    })
}

fn cells(servers: &[&str], spreads: &[Option<Spread>], decimals: usize) -> Vec<String> {
    let rivals = servers.iter().zip(spreads).filter(|(server, _)| **server != FLOOR);
    let lowest = rivals.filter_map(|(_, spread)| *spread).map(|spread| spread.middle).fold(f64::INFINITY, f64::min);
    let cell = |(server, spread): (&&str, &Option<Spread>)| {
        let Some(spread) = spread else { return NONE.to_owned() };
        let number = together(&fixed(spread.middle, decimals));
        if *server != FLOOR && spread.middle <= lowest { format!("**{number}**") } else { number }
    };
    servers.iter().zip(spreads).map(cell).collect()
}

/// One sentence: how far we and the others are from the floor.
fn verdict(fanout: &Measured) -> Option<String> {
    let of = |server| Some(Spread::of(&fanout.ratios(server, FLOOR, "cpu_us_per_delivery"))?.middle);
    let others = fanout.servers.iter().map(|rounds| rounds.server.as_str());
    let others = others.filter(|server| ![FLOOR, OURS].contains(server));
    let mut others: Vec<(f64, &str)> = others.filter_map(|server| Some((of(server)?, server))).collect();
    others.sort_by(|one, other| one.0.total_cmp(&other.0));
    let ours = fixed(of(OURS)?, 2);
    let (first, last) = (others.first()?, others.last()?);
    let rest = match others.len() {
        1 => format!("{}, {} times", first.1, fixed(first.0, 2)),
        _ => format!(
            "the others between {} times ({}) and {} times ({})",
            fixed(first.0, 2),
            first.1,
            fixed(last.0, 2),
            last.1
        ),
    };
    Some(format!(" A delivery costs smolcast {ours} times the CPU of the bare write loop, {rest}."))
}
