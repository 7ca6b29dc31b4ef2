//! The head of the page: one row for each server, of the fan-out with the most streams.

use std::fmt::Write;

use super::cells::{NONE, row, together};
use crate::figure::{Comparison, FLOOR, Measured};
use crate::number::{Spread, decimals, fixed};

const CPU: &str = "cpu_us_per_delivery";

const MEMORY: &str = "user_bytes_per_stream";

/// Head, figure, its usual decimals, and true for multiples of the floor's.
const COLUMNS: [(&str, &str, usize, bool); 7] = [
    ("CPU a delivery, µs", CPU, 2, false),
    ("× floor", CPU, 2, true),
    ("of it in user space, µs", "user_us_per_delivery", 2, false),
    ("memory a stream, B", MEMORY, 0, false),
    ("latency p99, ms", "p99_ms", 1, false),
    ("× floor", "p99_ms", 2, true),
    ("last client has it after, ms", "last_subscriber_ms", 1, false),
];

/// The section; none where there was no fan-out.
pub(super) fn text(comparison: &Comparison) -> Option<String> {
    let streams = |measured: &Measured| measured.key.strip_prefix("fanout-")?.parse::<u64>().ok();
    let (fanout, streams) =
        comparison.measured.iter().filter_map(|it| Some((it, streams(it)?))).max_by_key(|(_, streams)| *streams)?;
    let idle = comparison.measured.iter().find(|measured| measured.key == "idle");
    let servers: Vec<&str> = fanout.servers.iter().map(|rounds| rounds.server.as_str()).collect();
    let (mut heads, mut columns) = (Vec::new(), Vec::new());
    for (head, key, usual, by_floor) in COLUMNS {
        let spread = |server: &&str| match idle {
            Some(idle) if key == MEMORY => Spread::of(&idle.values(server, key)),
            _ if by_floor => Spread::of(&fanout.ratios(server, FLOOR, key)),
            _ => Spread::of(&fanout.values(server, key)),
        };
        let spreads: Vec<Option<Spread>> = servers.iter().map(spread).collect();
        if spreads.iter().any(Option::is_some) {
            heads.push(head.to_owned());
            columns.push(cells(&servers, &spreads, decimals(usual, &spreads)));
        }
    }
    if columns.is_empty() {
        return None;
    }
    let mut text = row("", heads.into_iter());
    let _ = writeln!(text, "| --- |{}", " ---: |".repeat(columns.len()));
    for (index, server) in servers.iter().enumerate() {
        text.push_str(&row(server, columns.iter().map(|column| column[index].clone())));
    }
    let streams = together(&fixed(streams as f64, 0));
    let memory = if idle.is_some() { ", memory while they are idle" } else { "" };
    let _ = writeln!(text, "\nWith {streams} open streams{memory}; in bold the lowest, the floor apart.");
    Some(text)
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
