//! Open streams that get nothing but heartbeats: the memory of each, and the CPU of a heartbeat.

use std::thread;
use std::time::Duration;

use super::plan::{GENTLY, OVERHEAD_SECONDS, Plan, SPARE_DESCRIPTORS, Sizes, rest};
use crate::contender::{Contender, Server};
use crate::crowd::{Crowd, Opening};
use crate::figure::{Figure, Sample};
use crate::number::grouped;
use crate::process::{CpuCounters, kernel_network_bytes, resident_bytes};
use anyhow::Result;

/// More often than any server would by default, so that a short run has several.
const HEARTBEAT_SECONDS: u64 = 1;

const USER_BYTES: Figure = Figure::new("user_bytes_per_stream", "resident memory a stream, B", 0);
const KERNEL_BYTES: Figure = Figure::new("kernel_bytes_per_stream", "kernel memory a stream, both ends, B", 0);
const HEARTBEAT_CPU: Figure =
    Figure::new("idle_cpu_us_per_heartbeat", "CPU a heartbeat and stream, µs", 2).and_by_floor();

pub(super) fn plan(sizes: &Sizes) -> Plan {
    let clients = sizes.clients(1_000, 10_000);
    let seconds = sizes.seconds.unwrap_or(if sizes.quick { 1.2 } else { 3.0 });
    Plan {
        key: "idle".into(),
        title: format!(
            "idle: {} streams without messages, a heartbeat every {HEARTBEAT_SECONDS} s, {seconds} s a run",
            grouped(clients)
        ),
        rounds: sizes.rounds(1),
        seconds: seconds + OVERHEAD_SECONDS + clients as f64 / 10_000.0,
        descriptors: clients + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| run(contender, clients, seconds)),
    }
}

fn run(contender: &Contender, clients: usize, seconds: f64) -> Result<Sample> {
    let mut server = Server::start(&contender.clone().with_heartbeat(HEARTBEAT_SECONDS))?;
    rest();
    let processes = server.processes();
    let (user, kernel) = (resident_bytes(&processes)?, kernel_network_bytes()?);
    let mut crowd = Crowd::open(server.address, clients, Opening::at_once(GENTLY))?;
    rest();
    let per_stream = |after: u64, before: u64| (after as f64 - before as f64) / clients as f64;
    let user = per_stream(resident_bytes(&processes)?, user);
    let kernel = per_stream(kernel_network_bytes()?, kernel);
    crowd.count_comments();
    let before = CpuCounters::of(&processes)?;
    thread::sleep(Duration::from_secs_f64(seconds));
    let spent = CpuCounters::of(&processes)?.since(before);
    let heartbeats = crowd.count_comments();
    server.check_alive()?;
    let cpu = if heartbeats > 0 { spent.total() / heartbeats as f64 } else { f64::NAN };
    Ok(Sample {
        figures: vec![(&USER_BYTES, user), (&KERNEL_BYTES, kernel), (&HEARTBEAT_CPU, cpu)],
        ..Sample::default()
    })
}
