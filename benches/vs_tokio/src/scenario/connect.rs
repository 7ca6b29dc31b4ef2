//! A storm of connects while messages go out: how soon the newcomers have their streams, and what those who were there
//! before notice of it.

use std::thread;
use std::time::Duration;

use super::plan::{OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, Sizes, describe, integrity, latency, open};
use crate::clock::{SECOND, now};
use crate::contender::Contender;
use crate::crowd::{Crowd, Opening};
use crate::figure::{Figure, Sample};
use crate::load::{self, Load};
use crate::number::grouped;
use crate::process::syn_retries;
use anyhow::{Result, anyhow};

/// Newcomers for each open stream.
const NEWCOMERS: usize = 5;

const OPEN: Figure = Figure::new("connect_seconds", "all newcomers have `:ok` after, s", 2).and_by_floor();
const RETRIES: Figure = Figure::new("syn_retries", "SYNs sent again", 0);

pub(super) fn plan(sizes: &Sizes) -> Plan {
    let clients = sizes.clients(200, 1_000);
    let load = sizes.load(50, 100, 1.5);
    let title =
        format!("connect: {} newcomers at once amid {}", grouped(NEWCOMERS * clients), describe(clients, &load));
    Plan {
        key: "connect".into(),
        title,
        rounds: sizes.rounds(2),
        seconds: load.total_seconds() + OVERHEAD_SECONDS,
        descriptors: (1 + NEWCOMERS) * clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| run(contender, clients, load)),
    }
}

fn run(contender: &Contender, clients: usize, load: Load) -> Result<Sample> {
    let (mut server, mut crowd) = open(contender, clients)?;
    let retries = syn_retries()?;
    let address = server.address;
    let storm = || {
        thread::sleep(Duration::from_secs_f64(load.quiet_seconds()));
        let since = now();
        let newcomers = Crowd::open(address, NEWCOMERS * clients, Opening::at_once(usize::MAX))?;
        Ok((newcomers, (now() - since) as f64 / SECOND as f64))
    };
    let (outcome, storm) = thread::scope(|scope| {
        let storm = scope.spawn(storm);
        let outcome = load::run(&mut server, &mut crowd, load);
        (outcome, storm.join().unwrap_or_else(|_| Err(anyhow!("the storm panicked"))))
    });
    let (outcome, (_newcomers, seconds)) = (outcome?, storm?);
    let mut figures = vec![(&OPEN, seconds), (&RETRIES, (syn_retries()? - retries) as f64)];
    figures.extend(latency(&outcome));
    figures.extend(integrity(&outcome));
    Ok(Sample { figures, warnings: outcome.warnings(), ..Sample::default() })
}
