//! The checks at the end of a soak, a row each: subject, verdict and figure.

use std::fmt::{self, Display};
use std::process::ExitStatus;

use smolcast::Limits;

use super::course::Trend;
use super::stage::Faults;
use crate::number::grouped;

#[derive(Clone, Debug)]
pub(crate) struct Check {
    pub(crate) what: &'static str,
    pub(crate) holds: bool,
    pub(crate) figure: String,
    /// The faults, if there is more to say than the figure.
    pub(crate) faults: Vec<String>,
}

impl Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<6}  {:<44}  {}", if self.holds { "ok" } else { "FAILED" }, self.what, self.figure)?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n          {fault}"))
    }
}

impl Check {
    pub(super) fn new(what: &'static str, holds: bool, figure: impl Into<String>) -> Self {
        Self { what, holds, figure: figure.into(), faults: Vec::new() }
    }

    /// Of a number that has to be a certain one; `None` where it could not be learned.
    pub(super) fn equal(what: &'static str, found: Option<u64>, expected: u64) -> Self {
        let found_text = found.map_or("unknown".to_owned(), |found| found.to_string());
        Self::new(what, found == Some(expected), format!("{found_text} of {expected}"))
    }

    /// Holds if there were no faults; `figure` says among how much.
    pub(super) fn faultless(what: &'static str, faults: &Faults, figure: &str) -> Self {
        let (count, first) = faults.all();
        let figure = match count {
            0 => figure.to_owned(),
            count => format!("{} faults; {figure}", grouped(count)),
        };
        Self { what, holds: count == 0, figure, faults: first }
    }

    /// Holds if every accepted message of each publisher was heard, and nothing else.
    pub(super) fn heard(accepted: &[u64], heard: &[u64], least: u64) -> Self {
        let total: u64 = accepted.iter().sum();
        let holds = accepted == heard && least == total;
        let figure = format!("{} of {} by the slowest stream", grouped(least), grouped(total));
        let mut check = Self::new("every accepted message on every stream", holds, figure);
        for (publisher, (accepted, heard)) in accepted.iter().zip(heard).enumerate() {
            if accepted != heard {
                check.faults.push(format!("publisher {publisher}: accepted {accepted}, heard {heard}"));
            }
        }
        check
    }

    /// Holds if memory does not grow. See [`allowance`].
    pub(super) fn memory(trend: Option<Trend>, workers: usize) -> Self {
        const WHAT: &str = "memory does not grow";
        let Some(trend) = trend else { return Self::new(WHAT, true, "not told: too short a run for a trend") };
        let allowed = allowance(workers);
        let per_minute = |bytes: f64| bytes / 1024.0 / trend.minutes();
        let figure = format!(
            "{:+.1} KiB a minute over the last {:.1} min, bound {:+.1} ({:+.0} KiB in all, bound {:+.0})",
            per_minute(trend.growth()),
            trend.minutes(),
            per_minute(allowed),
            trend.growth() / 1024.0,
            allowed / 1024.0
        );
        Self::new(WHAT, trend.growth() <= allowed, figure)
    }

    /// Holds if the server ended with exit code 0.
    pub(super) fn ended(status: Option<ExitStatus>, seconds: f64) -> Self {
        let figure = match status {
            Some(status) => format!("{status} after {seconds:.2} s"),
            None => format!("still running after {seconds:.0} s"),
        };
        Self::new("SIGTERM ends it, with exit code 0", status.is_some_and(|status| status.success()), figure)
    }
}

/// The bytes that a trend may gain without being a leak.
///
/// Of what a server holds, one part comes and goes by design: what waits for slow streams, a window and a batch for
/// each worker. A trend that begins while they are empty and ends while they are full gains that much, whatever the
/// length of the run. So the bound is on what is gained, and not on the rate: a longer run finds a smaller leak.
fn allowance(workers: usize) -> f64 {
    let limits = Limits::default();
    (workers * (limits.window_bytes + limits.batch_bytes)) as f64
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn numbers_have_to_be_equal() {
        let holds = |found| Check::equal("", found, 3).holds;
        assert_eq!([holds(Some(3)), holds(Some(2)), holds(Some(4)), holds(None)], [true, false, false, false]);
    }

    #[test]
    fn a_fault_is_told_and_many_are_counted() {
        let faults = Faults::default();
        assert!(Check::faultless("x", &faults, "").holds);
        (0..1000).for_each(|number| faults.push(format!("fault {number}")));
        let check = Check::faultless("x", &faults, "9 streams");
        assert!(!check.holds && check.figure == "1 000 faults; 9 streams" && check.faults.len() < 100);
        assert!(check.to_string().starts_with("FAILED  x ") && check.to_string().contains("\n          fault 0\n"));
    }

    #[test]
    fn what_was_not_heard_is_told() {
        assert!(Check::heard(&[3, 4], &[3, 4], 7).holds);
        assert!(!Check::heard(&[3, 4], &[3, 4], 6).holds, "one stream has less");
        let lost = Check::heard(&[3, 4], &[3, 3], 6);
        assert!(!lost.holds && lost.faults == ["publisher 1: accepted 4, heard 3"]);
    }

    #[test]
    fn a_leak_is_found_in_short_and_in_long_runs() {
        let trend = |seconds: f64, bytes: f64| Some(Trend { seconds: (0.0, seconds), bytes: (1e7, 1e7 + bytes) });
        for seconds in [15.0, 450.0] {
            assert!(Check::memory(trend(seconds, 1e6), 2).holds && Check::memory(trend(seconds, -9e6), 2).holds);
            assert!(!Check::memory(trend(seconds, 3e6), 2).holds);
        }
        let leak = 8192.0;
        assert!(
            Check::memory(trend(15.0, leak * 15.0), 2).holds && !Check::memory(trend(450.0, leak * 450.0), 2).holds
        );
    }

    #[test]
    fn only_an_orderly_end_is_one() {
        let holds = |raw: i32| Check::ended(Some(ExitStatus::from_raw(raw)), 0.1).holds;
        assert_eq!([holds(0), holds(1 << 8), holds(9)], [true, false, false]);
        assert!(!Check::ended(None, 15.0).holds);
    }
}
