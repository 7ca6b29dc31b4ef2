//! One measured run: a publisher, every subscriber's every receipt, and the server's CPU time.
//!
//! The window opens just before the first message after the warm-up is due and ends with the last
//! receipt. CPU time is divided by the receipts within the window, whichever message they were of,
//! so a backlog from the warm-up does not distort it.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use hdrhistogram::Histogram;

use crate::clock::{MILLISECOND, SECOND, now};
use crate::contender::Server;
use crate::crowd::Crowd;
use crate::process::{Cpu, CpuCounters, this_thread_run_time};
use crate::publisher::{Publisher, Schedule};
use crate::stamp::{Stamp, event_bytes};
use anyhow::{Context, Result, anyhow};

/// From the last subscriber's opening to the first message: the server comes to rest.
const SETTLE: u64 = 300 * MILLISECOND;
/// A run is given up when nothing came for so long.
const QUIET_LIMIT: u64 = 5 * SECOND;
const LONGEST_LATENCY_US: u64 = 120_000_000;
/// The share of a core from which on the receiving thread may be what limits the figures.
const BUSY: f64 = 0.9;

/// The offered messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Messages per second.
    pub(crate) rate: u64,
    /// Bytes of a message.
    pub(crate) size: usize,
    pub(crate) seconds: f64,
    /// The seconds of messages before the measured ones.
    pub(crate) warm_up_seconds: f64,
    /// Messages that are due at the same moment.
    pub(crate) burst: u64,
    /// The longest wait after the last message was due.
    pub(crate) drain_seconds: f64,
}

impl Default for Load {
    fn default() -> Self {
        Self { rate: 5, size: 100, seconds: 5.0, warm_up_seconds: 0.6, burst: 1, drain_seconds: 30.0 }
    }
}

impl Load {
    /// From the call to the last message, in seconds.
    pub(crate) fn total_seconds(&self) -> f64 {
        self.quiet_seconds() + self.measured() as f64 / self.rate as f64
    }

    /// From the call to the first measured message, in seconds.
    pub(crate) fn quiet_seconds(&self) -> f64 {
        SETTLE as f64 / SECOND as f64 + self.warm_up() as f64 / self.rate as f64
    }

    /// At least three messages.
    fn warm_up(&self) -> u64 {
        self.whole_bursts(self.warm_up_seconds).max(3_u64.next_multiple_of(self.burst))
    }

    fn measured(&self) -> u64 {
        self.whole_bursts(self.seconds).max(self.burst)
    }

    fn whole_bursts(&self, seconds: f64) -> u64 {
        ((self.rate as f64 * seconds) as u64).next_multiple_of(self.burst)
    }
}

/// The results of a run.
pub(crate) struct Outcome {
    /// Receipt minus due in microseconds, of every client and measured message.
    pub(crate) latency: Histogram<u64>,
    /// The same, of each measured message's last subscriber.
    pub(crate) last_subscriber: Histogram<u64>,
    /// Of all messages to all clients, those that came in order and for the first time.
    pub(crate) received: u64,
    pub(crate) expected: u64,
    /// Receipts out of order, doubled, or without a readable stamp.
    pub(crate) disordered: u64,
    pub(crate) closed_streams: u64,
    /// Times that the server closed the publisher's connection amid requests.
    pub(crate) reconnects: u64,
    /// Receipts within the window, and its length in seconds.
    pub(crate) window_receipts: u64,
    pub(crate) window_seconds: f64,
    pub(crate) server: Cpu,
    /// CPU time of the load itself, both of its threads, and of the receiving one alone, in microseconds.
    pub(crate) generator: Cpu,
    pub(crate) receiving_us: f64,
}

impl Outcome {
    pub(crate) fn reach(&self) -> f64 {
        self.received as f64 / self.expected as f64
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.received == self.expected && self.disordered == 0 && self.closed_streams == 0
    }

    pub(crate) fn generator_cores(&self) -> f64 {
        self.generator.total() / 1e6 / self.window_seconds
    }

    /// Reasons to doubt the figures.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if !self.is_whole() {
            warnings.push(format!(
                "{} of {} received, {} out of order or unreadable, {} streams closed by the server",
                self.received, self.expected, self.disordered, self.closed_streams
            ));
        }
        if self.reconnects > 0 {
            warnings.push(format!("the server closed the publisher's connection {} times", self.reconnects));
        }
        let busy = self.receiving_us / 1e6 / self.window_seconds;
        if busy >= BUSY {
            warnings.push(format!("the load's receiving thread was busy for {:.0} % of the time", 100.0 * busy));
        }
        warnings
    }
}

/// Offers `load` to `server`, whose streams are `crowd`.
pub(crate) fn run(server: &mut Server, crowd: &mut Crowd, load: Load) -> Result<Outcome> {
    let outcome = offer(server.address, &server.processes(), crowd, load);
    server.check_alive()?;
    outcome
}

/// Offers `load` to the server at `address`, which runs in `processes`.
pub(crate) fn offer(address: SocketAddrV4, processes: &[u32], crowd: &mut Crowd, load: Load) -> Result<Outcome> {
    let total = load.warm_up() + load.measured();
    let Load { rate, size, burst, .. } = load;
    let schedule = Schedule { start: now() + SETTLE, rate, size, burst, total };
    let publisher = Publisher::connect(address, schedule)?;
    let given_up = AtomicBool::new(false);
    let (received, published) = thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&given_up));
        let received = receive(crowd, schedule, &load, processes);
        given_up.store(true, Ordering::Relaxed);
        let published = publishing.join();
        (received, published.unwrap_or_else(|_| Err(anyhow!("the publisher panicked"))))
    });
    let reconnects = published?;
    Ok(Outcome { reconnects, ..received? })
}

/// Reads until every client has everything, or is closed, or nothing more comes.
fn receive(crowd: &mut Crowd, schedule: Schedule, load: &Load, processes: &[u32]) -> Result<Outcome> {
    let (first_measured, total) = (load.warm_up(), schedule.total);
    let messages = usize::try_from(total).context("that is more messages than memory could number")?;
    let mut receipts = Receipts::new(messages, first_measured);
    let opening = schedule.due(first_measured) - MILLISECOND;
    let last_due = schedule.due(total - 1);
    let deadline = last_due + (load.drain_seconds * SECOND as f64) as u64;
    // The opening of the window, with the receipts and the CPU time before it.
    let mut opened = None;
    let mut events = Vec::with_capacity(1024);
    while receipts.finished < crowd.clients.len() && now() <= deadline.min(receipts.latest.max(last_due) + QUIET_LIMIT)
    {
        let wake = if opened.is_some() { now() + 100 * MILLISECOND } else { opening };
        crowd.wait(&mut events, wake)?;
        for event in &events {
            receipts.read(crowd, event.data.u64() as usize, schedule);
        }
        if opened.is_none() && now() >= opening {
            opened = Some((now(), receipts.in_order, Spent::by_now(processes)?));
        }
    }
    let later = Spent::by_now(processes)?;
    let (since, before, earlier) = opened.context("every stream was closed during the warm-up")?;
    let mut last_subscriber = latencies();
    for sequence in first_measured..total {
        let last = receipts.last_receipt[sequence as usize];
        last_subscriber.saturating_record(last.saturating_sub(schedule.due(sequence)) / 1000);
    }
    Ok(Outcome {
        latency: receipts.latency,
        last_subscriber,
        received: receipts.in_order,
        expected: total * crowd.clients.len() as u64,
        disordered: receipts.disordered,
        closed_streams: receipts.closed_streams,
        window_receipts: receipts.in_order - before,
        window_seconds: receipts.latest.saturating_sub(since) as f64 / SECOND as f64,
        server: later.server.since(earlier.server),
        generator: later.generator.since(earlier.generator),
        reconnects: 0,
        receiving_us: (later.receiving - earlier.receiving) as f64 / 1e3,
    })
}

/// The CPU counters of a moment, of the server and of this process.
struct Spent {
    server: CpuCounters,
    generator: CpuCounters,
    /// In nanoseconds.
    receiving: u64,
}

impl Spent {
    fn by_now(processes: &[u32]) -> Result<Self> {
        Ok(Self {
            server: CpuCounters::of(processes)?,
            generator: CpuCounters::of_this_process()?,
            receiving: this_thread_run_time()?,
        })
    }
}

/// The counts of receipts.
struct Receipts {
    first_measured: u64,
    latency: Histogram<u64>,
    /// Each message's last receipt; time only grows, so storing is enough.
    last_receipt: Vec<u64>,
    latest: u64,
    in_order: u64,
    disordered: u64,
    closed_streams: u64,
    /// Clients that have the last message or are closed.
    finished: usize,
}

impl Receipts {
    fn new(messages: usize, first_measured: u64) -> Self {
        Self {
            first_measured,
            latency: latencies(),
            last_receipt: vec![0; messages],
            latest: 0,
            in_order: 0,
            disordered: 0,
            closed_streams: 0,
            finished: 0,
        }
    }

    fn read(&mut self, crowd: &mut Crowd, index: usize, schedule: Schedule) {
        let record = |next: &mut u64, stamp, time| self.record(next, stamp, time);
        let received = crowd.read(index, event_bytes(schedule.size), record);
        self.disordered += received.unreadable;
        if received.closed {
            self.closed_streams += 1;
            let had_all = crowd.clients[index].next == schedule.total;
            self.finished += usize::from(!had_all);
        }
    }

    fn record(&mut self, next: &mut u64, stamp: Stamp, time: u64) {
        let Some(last) = usize::try_from(stamp.sequence).ok().and_then(|sequence| self.last_receipt.get_mut(sequence))
        else {
            self.disordered += 1;
            return;
        };
        *last = time;
        self.latest = time;
        if stamp.sequence < *next {
            self.disordered += 1;
            return;
        }
        // A gap is not counted here: what never came is what is missing from the expected sum.
        *next = stamp.sequence + 1;
        self.in_order += 1;
        self.finished += usize::from(*next == self.last_receipt.len() as u64);
        if stamp.sequence >= self.first_measured {
            let latency = time.saturating_sub(stamp.due) / 1000;
            self.latency.saturating_record(latency);
        }
    }
}

fn latencies() -> Histogram<u64> {
    Histogram::new_with_max(LONGEST_LATENCY_US, 3)
        .expect("two minutes in microseconds with three digits is a valid histogram")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_whole_bursts() {
        let load = Load { rate: 256, seconds: 1.1, warm_up_seconds: 0.1, burst: 64, ..Load::default() };
        assert_eq!((load.warm_up(), load.measured()), (64, 320));
        let load = Load { rate: 1, seconds: 0.1, warm_up_seconds: 0.1, ..Load::default() };
        assert_eq!((load.warm_up(), load.measured()), (3, 1), "never none");
    }

    #[test]
    fn every_receipt_is_told_apart() {
        // A crowd of two on three messages, of which the first is not measured.
        let mut receipts = Receipts::new(3, 1);
        let mut next = [0, 0];
        let arrivals = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 1), (1, 9)];
        for (time, (client, sequence)) in arrivals.into_iter().enumerate() {
            receipts.record(&mut next[client], Stamp { sequence, due: 0 }, time as u64);
        }
        assert_eq!(receipts.in_order, 5, "the second client got 0 and 2");
        assert_eq!(receipts.disordered, 2, "1 behind 2, and one that nobody sent");
        assert_eq!(receipts.finished, 2);
        assert_eq!(receipts.latency.len(), 3, "of the two measured ones");
        assert_eq!(receipts.last_receipt, [3, 5, 4]);
    }
}
