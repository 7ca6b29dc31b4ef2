//! One message to 100, 1 000 and 10 000 streams, 50 000 deliveries a second each: a rate that all servers can carry, so
//! that CPU and latency compare.

use super::plan::{OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, Sizes, describe, open, sample};
use crate::load;

const DELIVERIES_PER_SECOND: u64 = 50_000;

pub(super) fn plans(sizes: &Sizes) -> Vec<Plan> {
    let clients = match (sizes.clients, sizes.quick) {
        (Some(clients), _) => vec![clients],
        (None, true) => vec![1_000],
        (None, false) => vec![100, 1_000, 10_000],
    };
    clients.into_iter().map(|clients| plan(clients, sizes)).collect()
}

fn plan(clients: usize, sizes: &Sizes) -> Plan {
    // The many are what the figures are about; the few show how they grow.
    let (seconds, rounds) = if clients >= 10_000 { (5.0, 3) } else { (1.5, 2) };
    let load = sizes.load((DELIVERIES_PER_SECOND / clients as u64).max(1), 100, seconds);
    Plan {
        key: format!("fanout-{clients}"),
        title: format!("fanout: {}", describe(clients, &load)),
        rounds: sizes.rounds(rounds),
        seconds: load.total_seconds() + OVERHEAD_SECONDS + clients as f64 / 10_000.0,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| {
            let (mut server, mut crowd) = open(contender, clients)?;
            Ok(sample(load::run(&mut server, &mut crowd, load)?))
        }),
    }
}
