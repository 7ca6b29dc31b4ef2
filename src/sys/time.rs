//! Unix time in the unit of the history's records and of the live page.
//!
//! It reads no clock: callers pass the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// The end of the year 9999: later times would leave no room for sums.
const LAST_MILLIS: u128 = 253_402_300_799_999;

/// A time in Unix milliseconds; 0 for times before 1970, and the end of 9999 for later ones.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    since.min(LAST_MILLIS) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_before_1970_and_after_9999_are_the_nearest() {
        assert_eq!(unix_millis(UNIX_EPOCH + Duration::from_micros(1_234_999)), 1234);
        assert_eq!(unix_millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(unix_millis(UNIX_EPOCH + Duration::from_secs(i64::MAX as u64)), 253_402_300_799_999);
    }
}
