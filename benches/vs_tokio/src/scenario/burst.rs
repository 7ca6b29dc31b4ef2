//! Sixty-four messages at once, four times a second: what is due together should leave together.

use super::plan::{Plan, Sizes};
use crate::load::Load;
use crate::number::grouped;

const BURST: u64 = 64;
const BURSTS_PER_SECOND: u64 = 4;

pub(super) fn plan(sizes: &Sizes) -> Plan {
    let clients = sizes.clients(200, 1_000);
    let load = Load { burst: BURST, ..sizes.load(BURST * BURSTS_PER_SECOND, 100, 1.5) };
    let title = format!(
        "burst: {BURST} messages of {} B at once, {} a second in all, to {} streams, {} s a run",
        load.size,
        grouped(load.rate),
        grouped(clients),
        load.seconds
    );
    Plan::of_load("burst".to_owned(), title, sizes.rounds(2), clients, load)
}
