//! Unix time in the unit of the history's records and of the live page.
//!
//! It reads no clock: callers pass the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time in Unix milliseconds; 0 for times before 1970.
pub(crate) fn unix_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    u64::try_from(since).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_before_1970_count_as_0() {
        assert_eq!(unix_millis(UNIX_EPOCH + Duration::from_micros(1_234_999)), 1234);
        assert_eq!(unix_millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
