//! One message to 100, 1 000 and 10 000 streams, 50 000 deliveries a second each: a rate that all servers can carry, so
//! that CPU and latency compare.

use super::{GENTLY, OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, describe, sample};
use crate::contender::Server;
use crate::crowd::{Crowd, Opening};
use crate::load;
use crate::options::Options;

const DELIVERIES_PER_SECOND: u64 = 50_000;

pub(super) fn plans(options: &Options) -> Vec<Plan> {
    let sizes = match (options.clients, options.quick) {
        (Some(clients), _) => vec![clients],
        (None, true) => vec![1_000],
        (None, false) => vec![100, 1_000, 10_000],
    };
    sizes.into_iter().map(|clients| plan(clients, options)).collect()
}

fn plan(clients: usize, options: &Options) -> Plan {
    // The many are what the figures are about; the few show how they grow.
    let (seconds, rounds) = if clients >= 10_000 { (5.0, 3) } else { (1.5, 2) };
    let load = options.load((DELIVERIES_PER_SECOND / clients as u64).max(1), 100, seconds);
    Plan {
        key: format!("fanout-{clients}"),
        title: format!("fanout: {}", describe(clients, &load)),
        rounds: options.rounds(rounds),
        seconds: load.total_seconds() + OVERHEAD_SECONDS + clients as f64 / 10_000.0,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| {
            let mut server = Server::start(contender)?;
            let mut crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
            Ok(sample(load::run(&mut server, &mut crowd, load)?))
        }),
    }
}
