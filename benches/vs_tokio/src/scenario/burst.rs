//! Sixty-four messages at once, four times a second: what is due together should leave together.

use super::{GENTLY, OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, sample};
use crate::contender::Server;
use crate::crowd::{Crowd, Opening};
use crate::figure::grouped;
use crate::load::{self, Load};
use crate::options::Options;

const BURST: u64 = 64;
const BURSTS_PER_SECOND: u64 = 4;

pub(super) fn plan(options: &Options) -> Plan {
    let clients = options.clients.unwrap_or(if options.quick { 200 } else { 1_000 });
    let load = Load {
        rate: options.rate.unwrap_or(BURST * BURSTS_PER_SECOND),
        size: options.size.unwrap_or(100),
        seconds: options.seconds.unwrap_or(if options.quick { 0.6 } else { 2.0 }),
        burst: BURST,
        ..Load::default()
    };
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
        rounds: options.rounds.unwrap_or(if options.quick { 1 } else { 2 }),
        seconds: load.total_seconds() + OVERHEAD_SECONDS,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| {
            let mut server = Server::start(contender)?;
            let mut crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
            Ok(sample(load::run(&mut server, &mut crowd, load)?))
        }),
    }
}
