//! The identity of one server's life, which is the first part of the ids that it gives.
//!
//! An id is `<boot>-<number>`. The boot has the time of the start before random digits, so later boots have greater
//! ones, and servers that start in the same millisecond differ. Pure but for the random digits.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Number of different random parts: six digits, so that two servers of one millisecond differ but for 1 in 2 billion.
const SALTS: u128 = DIGITS.pow(6);

/// Base of the digits 0-9 and a-z.
const DIGITS: u128 = 36;

/// Identity of a server from its start to its end. The greater of two is the later one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Boot(u128);

impl Boot {
    /// A new identity for a server that starts at this time, in Unix milliseconds.
    pub(super) fn starting_at(started_at: u64) -> Self {
        // Each `RandomState` has keys of its own, from the system's source of randomness.
        let salt = RandomState::new().hash_one(started_at);
        Self(u128::from(started_at) * SALTS + u128::from(salt) % SALTS)
    }

    /// This identity, or one that is later than `other`, whose server came before although the clock may say otherwise.
    pub(super) fn later_than(self, other: Self) -> Self {
        if self > other {
            self
        } else {
            Self(other.0.saturating_add(SALTS - other.0 % SALTS).saturating_add(self.0 % SALTS))
        }
    }

    /// Id of this server's event with a number.
    pub(super) fn id(self, number: u64) -> String {
        format!("{self}-{number}")
    }

    /// The boot and the number of an id that a server gave; `None` for any other text.
    pub(super) fn parse(id: &str) -> Option<(Self, u64)> {
        let (boot, number) = id.split_once('-')?;
        let boot = Self(u128::from_str_radix(boot, DIGITS as u32).ok()?);
        let number = number.parse().ok()?;
        // There is one way to write an id: no sign, no capital letter, no leading zero.
        (boot.id(number) == id).then_some((boot, number))
    }

    pub(super) fn to_le_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_le_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut text, mut rest) = ([0; 25], self.0);
        let mut first = text.len();
        while rest > 0 || first == text.len() {
            first -= 1;
            text[first] = b"0123456789abcdefghijklmnopqrstuvwxyz"[(rest % DIGITS) as usize];
            rest /= DIGITS;
        }
        formatter.pad(&String::from_utf8_lossy(&text[first..]))
    }
}

#[cfg(test)]
impl Boot {
    pub(in crate::hub) const fn from_number(number: u128) -> Self {
        Self(number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn boots_of_one_millisecond_differ() {
        let boots: HashSet<_> = (0..1000).map(|_| Boot::starting_at(1_763_856_000_000).to_string()).collect();
        assert_eq!(boots.len(), 1000);
        assert!(boots.iter().all(|boot| boot.len() == 14 && boot.starts_with("miaybk00")), "the time comes first");
    }

    #[test]
    fn later_servers_have_greater_boots() {
        let (first, second) = (Boot::starting_at(1000), Boot::starting_at(1001));
        assert!(first < second);
        assert_eq!(second.later_than(first), second);
        let after_a_clock_went_back = first.later_than(second);
        assert!(after_a_clock_went_back > second);
        assert_eq!(after_a_clock_went_back.0 % SALTS, first.0 % SALTS, "it keeps its random part");
    }

    #[test]
    fn ids_are_read_as_they_are_written() {
        for (boot, number, id) in [(7, 3, "7-3"), (0, 0, "0-0"), (36 * 36 - 1, u64::MAX, "zz-18446744073709551615")] {
            assert_eq!(Boot::from_number(boot).id(number), id);
            assert_eq!(Boot::parse(id), Some((Boot::from_number(boot), number)));
        }
        assert_eq!(Boot::from_number(u128::MAX).id(1), "f5lxx1zz5pnorynqglhzmsp33-1");
        for other in ["", "-", "7", "7-", "-3", "07-3", "7-03", "+7-3", "7-+3", "A-3", "a-3 ", "7-3-1", "é-1"] {
            assert_eq!(Boot::parse(other), None, "{other:?}");
        }
    }
}
