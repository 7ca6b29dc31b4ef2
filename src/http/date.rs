//! The `Date` field's value (RFC 9110, 6.6.1), formatted once a second.
//!
//! It reads no clock: the caller passes the time.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of an IMF-fixdate (RFC 9110, 5.6.7).
const LENGTH: usize = 29;

/// A date in the form of the `Date` field.
pub(crate) type Date = [u8; LENGTH];

/// The last second that the form has room for: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The date of one thread's responses.
#[derive(Debug)]
pub(crate) struct DateCache {
    /// The second of `date`.
    second: Cell<u64>,
    date: Cell<Date>,
}

impl DateCache {
    /// A cache that holds the date of `now`.
    pub(crate) fn new(now: SystemTime) -> Self {
        let cache = Self { second: Cell::new(u64::MAX), date: Cell::new([b' '; LENGTH]) };
        cache.set(now);
        cache
    }

    /// Replaces the date, if another second has begun. A time before 1970 or after 9999 is the nearest date in between.
    pub(crate) fn set(&self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().min(LAST_SECOND));
        if self.second.replace(second) == second {
            return;
        }
        let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        if let Ok(date) = text.as_bytes().try_into() {
            self.date.set(date);
        }
    }

    /// The date that was set last.
    pub(crate) fn get(&self) -> Date {
        self.date.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_follows_the_wall_clock() {
        let date = DateCache::new(UNIX_EPOCH);
        assert_eq!(&date.get(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        date.set(UNIX_EPOCH + Duration::from_millis(784_111_777_999));
        assert_eq!(&date.get(), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    /// A clock after the year 9999 once ended a shard by a panic.
    #[test]
    fn dates_of_a_wrong_clock_are_the_nearest_ones() {
        let date = DateCache::new(UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(&date.get(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        for second in [LAST_SECOND, LAST_SECOND + 1, i64::MAX as u64] {
            date.set(UNIX_EPOCH + Duration::from_secs(second));
            assert_eq!(&date.get(), b"Fri, 31 Dec 9999 23:59:59 GMT");
        }
    }
}
