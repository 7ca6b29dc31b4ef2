//! The `Date` field's value (RFC 9110, 6.6.1), formatted once a second.
//!
//! It reads no clock: the caller passes the time.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The length of an IMF-fixdate (RFC 9110, 5.6.7).
const LENGTH: usize = 29;

/// A date in the form of the `Date` field.
pub(crate) type Date = [u8; LENGTH];

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

    /// Replaces the date, if another second has begun.
    pub(crate) fn set(&self, now: SystemTime) {
        let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
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
}
