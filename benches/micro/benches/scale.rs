//! The cost of a subscriber as their number grows: time for each delivery, and memory.
//!
//! Memory is the growth of the process's resident set while the subscribers join: for each one the row in its
//! audience's table and its membership, without socket and task. Each size is measured on a million subscribers, in as
//! many audiences as that takes, so that the allocator's own reserve does not count. A table doubles as it grows, and
//! the kernel backs its unused half with no memory; no figure includes that half.

use std::env;
use std::fs;
use std::time::Instant;

use micro::{Counter, FanOut};
use smolcast::fanout::Membership;

const MILLION: usize = 1_000_000;
const SUBSCRIBERS: [usize; 3] = [10_000, 100_000, MILLION];
const ROUNDS: usize = 50;

/// The highest cost of a delivery to a million, as a multiple of one to ten thousand.
const MOST_TIME: f64 = 2.0;
/// The most memory of a subscriber, likewise: the same but for the error of the measure.
const MOST_MEMORY: f64 = 1.05;

fn main() {
    // With anything else on the command line another bench was meant, or a test of whether this one starts.
    if !env::args().skip(1).eq(["--bench"]) {
        return;
    }
    let fan_outs = SUBSCRIBERS.map(|subscribers| {
        let audiences = (0..MILLION / subscribers).map(|_| FanOut::default());
        audiences.collect::<Vec<_>>()
    });
    // All of them stay until the end: memory that was given back would be used again and not be seen.
    let mut members = Vec::new();
    let mut bytes = Vec::new();
    for (fan_outs, subscribers) in fan_outs.iter().zip(SUBSCRIBERS) {
        let before = resident_bytes();
        members.push(fill(fan_outs, subscribers));
        bytes.push((resident_bytes() - before) as f64 / MILLION as f64);
    }
    let nanoseconds = time(&fan_outs);
    for (members, subscribers) in members.iter().zip(SUBSCRIBERS) {
        micro::check(&members[..subscribers], ROUNDS * MILLION / subscribers);
    }

    println!("{:>12} {:>16} {:>20}", "subscribers", "ns a delivery", "bytes a subscriber");
    for ((subscribers, nanoseconds), bytes) in SUBSCRIBERS.iter().zip(&nanoseconds).zip(&bytes) {
        println!("{subscribers:>12} {nanoseconds:>16.2} {bytes:>20.1}");
    }
    judge("ns a delivery", &nanoseconds, MOST_TIME);
    judge("bytes a subscriber", &bytes, MOST_MEMORY);
}

/// Joins this many subscribers to each audience.
fn fill(fan_outs: &[FanOut], subscribers: usize) -> Vec<Membership<Counter>> {
    let mut members = Vec::with_capacity(fan_outs.len() * subscribers);
    for fan_out in fan_outs {
        members.extend((0..subscribers).map(|_| fan_out.join(&[])));
    }
    members
}

/// The cost of a delivery in the first audience of each size: the fastest of rounds that alternate between the sizes,
/// each with a million deliveries. What else runs on the machine can only make a round slower.
fn time(fan_outs: &[Vec<FanOut>]) -> Vec<f64> {
    let mut fastest = vec![f64::INFINITY; fan_outs.len()];
    for _ in 0..ROUNDS {
        for ((fan_outs, subscribers), fastest) in fan_outs.iter().zip(SUBSCRIBERS).zip(&mut fastest) {
            let start = Instant::now();
            for _ in 0..MILLION / subscribers {
                fan_outs[0].deliver(&[], 1);
            }
            *fastest = fastest.min(start.elapsed().as_secs_f64() * 1e9 / MILLION as f64);
        }
    }
    fastest
}

/// Judges the cost of the most subscribers, as a multiple of the cost of the fewest.
fn judge(what: &str, figures: &[f64], most: f64) {
    let ratio = figures[figures.len() - 1] / figures[0];
    let verdict = if ratio <= most { "ok" } else { "MISSED" };
    println!("{what}: {ratio:.2} x from {} to {MILLION} subscribers, at most {most} x: {verdict}", SUBSCRIBERS[0]);
}

/// The memory that this process has now, counted page by page.
fn resident_bytes() -> usize {
    let account = fs::read_to_string("/proc/self/smaps_rollup").expect("Linux, which keeps this account");
    let line = account.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line with the sum");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib * 1024
}
