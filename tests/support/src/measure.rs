//! Timed waits and samples of durations.

use std::fmt;
use std::time::{Duration, Instant};

/// Waits until `condition` holds; returns the time that it took.
///
/// # Panics
///
/// If it does not hold within `limit`.
#[track_caller]
pub fn time_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
    start.elapsed()
}

/// Runs `work`; returns its outcome and its duration.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let outcome = work();
    (outcome, start.elapsed())
}

/// Durations of a repeated action.
#[derive(Default)]
pub struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one.
    pub fn push(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        self.0.iter().copied().max().unwrap_or_default()
    }

    /// The sample that `percent` of a hundred do not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        Self(samples.into_iter().collect())
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

/// Prints a figure, visible with `--nocapture`.
pub fn report(test: &str, figure: impl fmt::Display) {
    eprintln!("measured: {test}: {figure}");
}

/// Prints that a test was skipped, and the reason.
pub fn skipped(test: &str, why: impl fmt::Display) {
    eprintln!("SKIPPED: {test}: {why}");
}
