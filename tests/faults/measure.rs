//! What the system tells of a process, waits that are timed, and samples of how long something took.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

/// What the kernel has of one process.
#[derive(Clone, Copy)]
pub(crate) struct Observed(u32);

impl Observed {
    pub(crate) fn new(id: u32) -> Self {
        Self(id)
    }

    /// The processor time that it has used, in user space and in the kernel.
    pub(crate) fn cpu(self) -> Duration {
        let stat = self.read("stat");
        // The name may hold anything, and ends with the last parenthesis.
        let (_, fields) = stat.rsplit_once(')').expect("the name is in parentheses");
        let ticks = fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().expect("a number"));
        // Linux counts these in hundredths of a second for every architecture.
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    /// Its open descriptors.
    pub(crate) fn descriptors(self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).expect("the process is there").count()
    }

    /// The limit of descriptors under which it can have so many more: one of those that it was given may have any
    /// number.
    pub(crate) fn limit_for(self, more: usize) -> u64 {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.0)).expect("the process is there");
        let names = folder.map(|entry| entry.expect("an entry can be read").file_name());
        let taken: BTreeSet<u64> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
        (0..).filter(|number| !taken.contains(number)).nth(more).expect("numbers do not end")
    }

    /// What it holds of the machine's memory now, in KiB.
    pub(crate) fn resident(self) -> usize {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("the system counts memory");
        kib.parse().expect("it counts in digits")
    }

    /// Whether it is stopped by a signal.
    pub(crate) fn is_stopped(self) -> bool {
        let status = self.read("status");
        status.lines().any(|line| line.starts_with("State:") && line.contains('T'))
    }

    /// Whether SIGTERM is something that it handles by itself.
    pub(crate) fn catches_term(self) -> bool {
        let status = self.read("status");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("the system counts signals");
        u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (15 - 1)) != 0)
    }

    fn read(self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).expect("the process is there")
    }
}

/// What the kernel keeps for all TCP sockets, in KiB.
pub(crate) fn kernel_tcp_memory() -> usize {
    let text = fs::read_to_string("/proc/net/sockstat").expect("the system counts sockets");
    let line = text.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let mut words = line.split(' ').skip_while(|word| *word != "mem").skip(1);
    let pages: usize = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
    4 * pages
}

/// Waits until `condition` holds and returns how long that took.
///
/// # Panics
///
/// When it does not hold within `limit`.
#[track_caller]
pub(crate) fn time_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
    start.elapsed()
}

/// How long something took, and what came of it.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let outcome = work();
    (outcome, start.elapsed())
}

/// How long the same thing took, again and again.
#[derive(Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    pub(crate) fn max(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// The sample that so many of a hundred do not exceed.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "{} samples, p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
            self.0.len(),
            milliseconds(self.percentile(50)),
            milliseconds(self.percentile(99)),
            milliseconds(self.max())
        )
    }
}

/// Prints a figure, for who runs the tests with their output shown.
pub(crate) fn report(test: &str, figure: impl fmt::Display) {
    eprintln!("measured: {test}: {figure}");
}

/// Says that a test was not run, and why.
pub(crate) fn skipped(test: &str, why: impl fmt::Display) {
    eprintln!("SKIPPED: {test}: {why}");
}

#[test]
fn percentiles_are_samples() {
    let samples = |numbers: &[u64]| Samples(numbers.iter().map(|number| Duration::from_millis(*number)).collect());
    let hundred: Vec<_> = (1..=100).rev().collect();
    assert_eq!(samples(&hundred).percentile(99), Duration::from_millis(99));
    assert_eq!(samples(&hundred).percentile(50), Duration::from_millis(50));
    assert_eq!(samples(&[7, 5]).percentile(99), Duration::from_millis(7));
    assert_eq!(samples(&[]).percentile(99), Duration::ZERO);
}
