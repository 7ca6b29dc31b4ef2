//! Histograms with one writer and any number of readers.
//!
//! Eight buckets for each power of two, so a quantile is right to an eighth. Only one thread may record, which makes
//! recording two loads and two stores without a lock. A reader may miss the value that is being recorded.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counter with one writer.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds to it. Not one atomic step: only for the thread that writes.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Replaces it.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Binary logarithm of the buckets in each power of two.
const FINENESS: u32 = 3;
const IN_A_POWER: usize = 1 << FINENESS;

/// Power of two from which on all values share the last bucket: two minutes in microseconds.
const HIGHEST_POWER: u32 = 27;
const BUCKETS: usize = (HIGHEST_POWER - FINENESS + 1) as usize * IN_A_POWER + 1;

/// Bucket of a value.
fn bucket(value: u64) -> usize {
    let power = value.max(1).ilog2();
    let index = if power <= FINENESS {
        value as usize
    } else {
        // The leading one and the FINENESS bits after it.
        (power - FINENESS) as usize * IN_A_POWER + (value >> (power - FINENESS)) as usize
    };
    index.min(BUCKETS - 1)
}

/// Smallest value of a bucket.
fn lowest(bucket: usize) -> u64 {
    let power = (bucket / IN_A_POWER).saturating_sub(1);
    ((bucket - power * IN_A_POWER) as u64) << power
}

/// Histogram with one writer.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: [Count; BUCKETS],
    sum: Count,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { Count(AtomicU64::new(0)) }; BUCKETS], sum: Count::default() }
    }
}

impl Histogram {
    /// Counts a value.
    pub(crate) fn record(&self, value: u64) {
        self.counts[bucket(value)].add(1);
        self.sum.add(value);
    }
}

/// Snapshot of histograms, added up.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    counts: [u64; BUCKETS],
    pub(crate) sum: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl Distribution {
    /// Adds up these histograms.
    pub(crate) fn of<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> Self {
        let mut all = Self::default();
        for histogram in histograms {
            all.counts.iter_mut().zip(&histogram.counts).for_each(|(sum, count)| *sum += count.get());
            all.sum = all.sum.wrapping_add(histogram.sum.get());
        }
        all
    }

    /// Values recorded since an earlier snapshot.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut rest = self.clone();
        rest.counts.iter_mut().zip(&earlier.counts).for_each(|(count, before)| *count = count.saturating_sub(*before));
        rest.sum = rest.sum.wrapping_sub(earlier.sum);
        rest
    }

    /// Number of values.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Number of values below two to the power of `power`.
    pub(crate) fn below_power(&self, power: u32) -> u64 {
        self.counts[..bucket(1 << power)].iter().sum()
    }

    /// The quantile `part` of the values, rounded up to its bucket's end; `None` without values.
    pub(crate) fn quantile(&self, part: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * part).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        let found = self.counts.iter().position(|in_bucket| {
            below += in_bucket;
            below >= rank
        });
        found.map(|bucket| lowest(bucket + 1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(values: impl IntoIterator<Item = u64>) -> Distribution {
        let histogram = Histogram::default();
        values.into_iter().for_each(|value| histogram.record(value));
        Distribution::of([&histogram].into_iter())
    }

    #[test]
    fn buckets_are_contiguous() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(lowest(index)), index);
            assert_eq!(bucket(lowest(index + 1) - 1), index, "the last value before the next bucket");
        }
        assert_eq!((lowest(BUCKETS - 1), bucket(u64::MAX)), (1 << HIGHEST_POWER, BUCKETS - 1));
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        assert_eq!(counted([]).quantile(0.5), None);
        let thousand = counted(1..=1000);
        for (part, exact) in [(0.0, 1), (0.5, 500), (0.99, 990), (1.0, 1000)] {
            let found = thousand.quantile(part).expect("there are some");
            assert!((exact..=exact + exact / 8 + 1).contains(&found), "{part}: {found}");
        }
        assert_eq!((thousand.count(), thousand.sum), (1000, 500_500));
        assert_eq!((thousand.below_power(0), thousand.below_power(5), thousand.below_power(10)), (0, 31, 1000));
    }

    #[test]
    fn snapshots_add_up_and_subtract() {
        let (one, other) = (Histogram::default(), Histogram::default());
        one.record(5);
        let before = Distribution::of([&one, &other].into_iter());
        other.record(70);
        one.record(70);
        let new = Distribution::of([&one, &other].into_iter()).since(&before);
        assert_eq!((new.count(), new.sum, new.quantile(0.5)), (2, 140, Some(72)));
    }

    proptest! {
        #[test]
        fn a_value_is_less_than_an_eighth_above_the_start_of_its_bucket(value in 0_u64..1 << HIGHEST_POWER) {
            let start = lowest(bucket(value));
            prop_assert!(start <= value && value - start <= start / 8);
        }
    }
}
