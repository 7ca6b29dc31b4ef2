//! One message to 100, 1 000 and 10 000 streams, 50 000 deliveries a second each: a rate that all servers can carry, so
//! that CPU and latency compare.

use super::{GENTLY, OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, describe, sample};
use crate::contender::Server;
use crate::crowd::{Crowd, Opening};
use crate::load::{self, Load};
use crate::options::Options;

const DELIVERIES_PER_SECOND: u64 = 50_000;

pub(super) fn plans(options: &Options) -> Vec<Plan> {
    let sizes = match (options.clients, options.quick) {
        (Some(clients), _) => vec![clients],
        (None, true) => vec![100, 1_000],
        (None, false) => vec![100, 1_000, 10_000],
    };
    sizes.into_iter().map(|clients| plan(clients, options)).collect()
}

fn plan(clients: usize, options: &Options) -> Plan {
    // The many are what the figures are about; the few show how they grow.
    let (seconds, rounds) = match (options.quick, clients >= 10_000) {
        (true, _) => (0.6, 1),
        (false, true) => (6.0, 3),
        (false, false) => (2.0, 2),
    };
    let load = Load {
        rate: options.rate.unwrap_or((DELIVERIES_PER_SECOND / clients as u64).max(1)),
        size: options.size.unwrap_or(100),
        seconds: options.seconds.unwrap_or(seconds),
        ..Load::default()
    };
    Plan {
        key: format!("fanout-{clients}"),
        title: format!("fanout: {}", describe(clients, &load)),
        rounds: options.rounds.unwrap_or(rounds),
        seconds: load.total_seconds() + OVERHEAD_SECONDS + clients as f64 / 10_000.0,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| {
            let mut server = Server::start(contender)?;
            let mut crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
            Ok(sample(load::run(&mut server, &mut crowd, load)?))
        }),
    }
}
