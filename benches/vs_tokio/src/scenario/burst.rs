//! Sixty-four messages at once, four times a second: what is due together should leave together.

use super::plan::{OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, Sizes, open, sample};
use crate::load::{self, Load};
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
    Plan {
        key: "burst".into(),
        title,
        rounds: sizes.rounds(2),
        seconds: load.total_seconds() + OVERHEAD_SECONDS,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| {
            let (mut server, mut crowd) = open(contender, clients)?;
            Ok(sample(load::run(&mut server, &mut crowd, load)?))
        }),
    }
}
