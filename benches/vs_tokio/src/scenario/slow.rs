//! One client in a hundred never reads: what the others notice of it, and how much memory it takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::plan::{
    GENTLY, OVERHEAD_SECONDS, P99, Plan, SPARE_DESCRIPTORS, Sizes, cpu, describe, integrity, latency, open,
};
use crate::contender::Contender;
use crate::crowd::{Crowd, Opening};
use crate::figure::{Figure, Sample};
use crate::load::{self, Load, Outcome};
use crate::process::{kernel_network_bytes, peak_resident_bytes, resident_bytes};
use anyhow::{Result, anyhow};

const READERS_FOR_EACH_SLOW: usize = 100;
/// A client that never reads still lets the kernel take what its buffers hold; small ones show sooner what then.
const SLOW_RECEIVE_BUFFER: usize = 4096;

const WITHOUT: Figure = Figure::new("p99_ms_without", "latency p99 without slow clients, ms", 1);
const RATIO: Figure = Figure::new("p99_ratio", "p99 with them x without", 2);
const USER_GROWN: Figure = Figure::new("user_bytes_grown", "resident memory grew by at most, B", 0);
const KERNEL_GROWN: Figure = Figure::new("kernel_bytes_grown", "kernel memory grew by at most, B", 0);

pub(super) fn plan(sizes: &Sizes) -> Plan {
    let clients = sizes.clients(100, 500);
    let slow = clients.div_ceil(READERS_FOR_EACH_SLOW);
    // In all it is more than the kernel keeps for a client that does not read.
    let load = sizes.load(100, 16 * 1024, 3.0);
    Plan {
        key: "slow".into(),
        title: format!("slow: {slow} more never read, beside {}", describe(clients, &load)),
        rounds: sizes.rounds(2),
        seconds: 2.0 * (load.total_seconds() + OVERHEAD_SECONDS),
        descriptors: clients + slow + SPARE_DESCRIPTORS,
        run: Box::new(move |contender| run(contender, clients, slow, load)),
    }
}

fn run(contender: &Contender, clients: usize, slow: usize, load: Load) -> Result<Sample> {
    let without = measure(contender, clients, 0, load)?;
    let with = measure(contender, clients, slow, load)?;
    let [before, after] = [&without, &with].map(|watched| latency(&watched.outcome)[1].1);
    let mut figures = vec![(&P99, after), (&WITHOUT, before), (&RATIO, after / before)];
    figures.extend([(&USER_GROWN, with.user_grown), (&KERNEL_GROWN, with.kernel_grown)]);
    figures.extend(cpu(&with.outcome));
    figures.extend(integrity(&with.outcome));
    Ok(Sample { figures, warnings: with.outcome.warnings(), ..Sample::default() })
}

struct Watched {
    outcome: Outcome,
    user_grown: f64,
    kernel_grown: f64,
}

fn measure(contender: &Contender, clients: usize, slow: usize, load: Load) -> Result<Watched> {
    let (mut server, mut crowd) = open(contender, clients)?;
    let opening = Opening { at_once: GENTLY, receive_buffer: Some(SLOW_RECEIVE_BUFFER) };
    let _never_read = Crowd::open(server.address, slow, opening)?;
    let processes = server.processes();
    let (user, kernel) = (resident_bytes(&processes)?, kernel_network_bytes()?);
    let is_over = AtomicBool::new(false);
    let (outcome, kernel_peak) = thread::scope(|scope| {
        let watch = scope.spawn(|| kernel_peak(&is_over));
        let outcome = load::run(&mut server, &mut crowd, load);
        is_over.store(true, Ordering::Relaxed);
        (outcome, watch.join().unwrap_or_else(|_| Err(anyhow!("the watch over the kernel's memory panicked"))))
    });
    Ok(Watched {
        outcome: outcome?,
        user_grown: peak_resident_bytes(&processes)?.saturating_sub(user) as f64,
        kernel_grown: kernel_peak?.saturating_sub(kernel) as f64,
    })
}

/// The most that the kernel held for the network, looked at ten times a second.
fn kernel_peak(is_over: &AtomicBool) -> Result<u64> {
    let mut peak = 0;
    while !is_over.load(Ordering::Relaxed) {
        peak = peak.max(kernel_network_bytes()?);
        thread::sleep(Duration::from_millis(100));
    }
    Ok(peak)
}
