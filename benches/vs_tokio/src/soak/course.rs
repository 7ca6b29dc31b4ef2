//! The kernel's figures of the server in the course of a soak, and their trend.

use crate::contender::Server;
use crate::process::{CpuCounters, descriptors, resident_bytes};
use anyhow::Result;

/// One look at the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) seconds: f64,
    pub(crate) resident_bytes: u64,
    pub(crate) descriptors: u64,
    /// CPU since the last look, in cores.
    pub(crate) cores: f64,
}

/// All looks, oldest first.
pub(super) struct Course {
    pub(super) samples: Vec<Sample>,
    /// As of the last look.
    counters: CpuCounters,
}

impl Course {
    pub(super) fn begin(server: &Server, seconds: f64) -> Result<Self> {
        let mut course = Self { samples: Vec::new(), counters: CpuCounters::of(&server.processes())? };
        course.look(server, seconds)?;
        Ok(course)
    }

    pub(super) fn look(&mut self, server: &Server, seconds: f64) -> Result<Sample> {
        let processes = server.processes();
        let counters = CpuCounters::of(&processes)?;
        let since = self.samples.last().map_or(seconds, |last| last.seconds);
        let spent = counters.since(self.counters).total() / 1e6;
        let cores = if seconds > since { spent / (seconds - since) } else { 0.0 };
        self.counters = counters;
        let (resident_bytes, descriptors) = (resident_bytes(&processes)?, descriptors(&processes)?);
        let sample = Sample { seconds, resident_bytes, descriptors, cores };
        self.samples.push(sample);
        Ok(sample)
    }
}

/// The straight line that fits best to the resident memory of the second half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    /// Its begin and its end.
    pub(crate) seconds: (f64, f64),
    /// Its values there.
    pub(crate) bytes: (f64, f64),
}

impl Trend {
    /// `None` for fewer than three looks, or such that are all of one moment.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let middle = (samples.first()?.seconds + samples.last()?.seconds) / 2.0;
        let half: Vec<&Sample> = samples.iter().filter(|sample| sample.seconds >= middle).collect();
        if half.len() < 3 {
            return None;
        }
        let count = half.len() as f64;
        let mean_time = half.iter().map(|sample| sample.seconds).sum::<f64>() / count;
        let mean_bytes = half.iter().map(|sample| sample.resident_bytes as f64).sum::<f64>() / count;
        let (mut both, mut square) = (0.0, 0.0);
        for sample in &half {
            let time = sample.seconds - mean_time;
            both += time * (sample.resident_bytes as f64 - mean_bytes);
            square += time * time;
        }
        let slope = Some(both / square).filter(|slope| slope.is_finite())?;
        let (from, to) = (half.first()?.seconds, half.last()?.seconds);
        let at = |seconds: f64| mean_bytes + slope * (seconds - mean_time);
        Some(Self { seconds: (from, to), bytes: (at(from), at(to)) })
    }

    /// The gain from its begin to its end.
    pub(super) fn growth(&self) -> f64 {
        self.bytes.1 - self.bytes.0
    }

    pub(super) fn minutes(&self) -> f64 {
        (self.seconds.1 - self.seconds.0) / 60.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(resident: impl Fn(f64) -> f64) -> Vec<Sample> {
        let at =
            |seconds: f64| Sample { seconds, resident_bytes: resident(seconds) as u64, descriptors: 9, cores: 0.1 };
        (0..=600).map(|second| at(f64::from(second))).collect()
    }

    #[test]
    fn growth_is_that_of_the_second_half() {
        let warm_up = samples(|second| if second < 300.0 { 1e6 + 1e5 * second } else { 4e7 });
        assert_eq!(Trend::of(&warm_up).expect("many samples").growth(), 0.0);
        let leak = Trend::of(&samples(|second| 1e7 + 4096.0 * second)).expect("many samples");
        assert_eq!((leak.seconds, leak.minutes()), ((300.0, 600.0), 5.0));
        assert!((leak.growth() - 300.0 * 4096.0).abs() < 1.0, "{leak:?}");
        let falling = Trend::of(&samples(|second| 1e7 - 100.0 * second)).expect("many samples");
        assert!(falling.growth() < 0.0);
    }

    #[test]
    fn what_goes_up_and_down_is_no_growth() {
        let waves = Trend::of(&samples(|second| 2e7 + 1e6 * (second / 5.0).sin())).expect("many samples");
        assert!(waves.growth().abs() < 2e5, "{waves:?}");
        let with_leak = Trend::of(&samples(|second| 2e7 + 1e6 * (second / 5.0).sin() + 1e4 * second));
        assert!(with_leak.expect("many samples").growth() > 2.7e6);
    }

    #[test]
    fn a_few_looks_have_no_trend() {
        let all = samples(|_| 1e6);
        assert_eq!(Trend::of(&all[..4]), None);
        assert_eq!(Trend::of(&[]), None);
        assert_eq!(Trend::of(&[all[3]; 5]), None, "all at once");
    }
}
