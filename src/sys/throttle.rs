//! A limit on how often one condition is logged: once a minute.
//!
//! It reads no clock and writes no log: callers pass the time, and log if they may.

use std::time::{Duration, Instant};

/// Time between two lines about one condition.
const PERIOD: Duration = Duration::from_secs(60);

/// Permission to log a condition that lasts or recurs.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// The last time at which logging was permitted.
    last: Option<Instant>,
}

impl Throttle {
    /// Permits a line the first time, and then once a minute.
    pub(crate) fn permits(&mut self, now: Instant) -> bool {
        let is_due = self.last.is_none_or(|last| now.saturating_duration_since(last) >= PERIOD);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn condition_is_logged_once_a_minute() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        let permitted =
            [0, 1, 59, 60, 61, 119, 120].map(|second| throttle.permits(start + Duration::from_secs(second)));
        assert_eq!(permitted, [true, false, false, true, false, false, true]);
    }
}
