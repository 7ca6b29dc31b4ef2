//! One message to 100, 1 000 and 10 000 streams, 50 000 deliveries a second each: a rate that all servers can carry, so
//! that CPU and latency compare.

use super::plan::{Plan, Sizes, describe};

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
    let title = format!("fanout: {}", describe(clients, &load));
    Plan::of_load(format!("fanout-{clients}"), title, sizes.rounds(rounds), clients, load)
}
