//! A limit on equal lines: one a minute.
//!
//! Callers throttle what fails with changing words. This is for everything else, such as a file that is reloaded again
//! and again with the same mistake.

use std::time::{Duration, Instant};

/// Time between two equal lines.
const PERIOD: Duration = Duration::from_secs(60);

/// Most lines that are remembered; beyond them the oldest is forgotten.
const MOST_REMEMBERED: usize = 32;

/// The lines of the last minute.
#[derive(Debug)]
pub(super) struct Repeats(Vec<(Instant, String)>);

impl Repeats {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Permits a line unless an equal one was permitted within a minute.
    pub(super) fn permits(&mut self, line: &str, now: Instant) -> bool {
        self.0.retain(|(since, _)| now.saturating_duration_since(*since) < PERIOD);
        if self.0.iter().any(|(_, said)| said == line) {
            return false;
        }
        if self.0.len() >= MOST_REMEMBERED {
            self.0.remove(0);
        }
        self.0.push((now, line.to_owned()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_are_permitted_once_a_minute() {
        let (mut repeats, start) = (Repeats::new(), Instant::now());
        let mut permits = |line: &str, second| repeats.permits(line, start + Duration::from_secs(second));
        assert!(permits("a", 0) && permits("b", 1) && !permits("a", 59) && !permits("b", 60));
        assert!(permits("a", 60) && permits("b", 61) && !permits("a", 61));
        assert!((0..1000).all(|number| permits(&number.to_string(), 62)), "other lines are others");
        assert!(repeats.0.len() <= MOST_REMEMBERED);
    }
}
