//! CLOCK_MONOTONIC in nanoseconds: the one clock that the publisher and the subscribers share.

use std::time::Duration;

use rustix::event::Timespec;
use rustix::time::{ClockId, clock_gettime};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLISECOND: u64 = 1_000_000;

pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * SECOND + time.tv_nsec.unsigned_abs()
}

/// The wait from now until `moment`, in the form that epoll and poll take; zero where it has
/// passed.
pub(crate) fn until(moment: u64) -> Timespec {
    let wait = Duration::from_nanos(moment.saturating_sub(now()));
    Timespec::try_from(wait).expect("a wait of less than 585 years fits a timespec")
}
