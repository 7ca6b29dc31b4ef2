//! Numbers that nobody foresees and everybody can have again: splitmix64, from a seed.
//!
//! Not for secrets. The same seed gives the same numbers, on every machine and in every version.

use std::ops::Range;
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    /// Dice of their own for the one of this number, whatever the others throw.
    pub(super) fn of(seed: u64, number: u64) -> Self {
        Self(Self(seed ^ Self(number).next()).next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of these; the first where there are none.
    pub(super) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.next() % (range.end.saturating_sub(range.start)).max(1)
    }

    pub(super) fn milliseconds(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.within(0..all.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same() {
        // The first numbers of the reference implementation for the seed 0.
        let mut dice = Dice(0);
        assert_eq!([dice.next(), dice.next()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_ne!(Dice::of(1, 2).next(), Dice::of(1, 3).next());
        assert!((0..1000).all(|_| (3..5).contains(&dice.within(3..5))));
        assert_eq!(dice.within(3..3), 3);
    }
}
