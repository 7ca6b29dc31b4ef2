//! Sixty-four messages at once, four times a second: what is due together should leave together.

use super::{GENTLY, OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, sample};
use crate::contender::Server;
use crate::crowd::{Crowd, Opening};
use crate::load::{self, Load};
use crate::number::grouped;
use crate::options::Options;

const BURST: u64 = 64;
const BURSTS_PER_SECOND: u64 = 4;

pub(super) fn plan(options: &Options) -> Plan {
    let clients = options.clients(200, 1_000);
    let load = Load { burst: BURST, ..options.load(BURST * BURSTS_PER_SECOND, 100, 1.5) };
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
        rounds: options.rounds(2),
        seconds: load.total_seconds() + OVERHEAD_SECONDS,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| {
            let mut server = Server::start(contender)?;
            let mut crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
            Ok(sample(load::run(&mut server, &mut crowd, load)?))
        }),
    }
}
