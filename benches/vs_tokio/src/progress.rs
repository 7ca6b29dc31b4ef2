//! The progress of a comparison, on standard error: a bar on a terminal, a line for each run elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

/// The bar counts tenths of the seconds that the runs are thought to take.
const STEPS_A_SECOND: f64 = 10.0;

pub(crate) struct Progress {
    bar: ProgressBar,
    since: Instant,
    /// Seconds, by the estimates.
    total: f64,
    done: f64,
    is_terminal: bool,
}

impl Progress {
    /// Of runs that are thought to take `total` seconds.
    pub(crate) fn new(total: f64) -> Self {
        let bar = ProgressBar::new((total * STEPS_A_SECOND) as u64);
        let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, since: Instant::now(), total, done: 0.0, is_terminal: io::stderr().is_terminal() }
    }

    /// A run begins.
    pub(crate) fn begin(&self, what: &str) {
        let text = format!("{what}, {} left", HumanDuration(self.left()));
        match self.is_terminal {
            true => self.bar.set_message(text),
            false => eprintln!("{:3.0} %  {text}", 100.0 * self.done / self.total),
        }
    }

    /// A run that was thought to take so many seconds has ended.
    pub(crate) fn end(&mut self, seconds: f64) {
        self.done += seconds;
        self.bar.set_position((self.done * STEPS_A_SECOND) as u64);
    }

    /// True if a word a second is welcome: it takes the place of the last one.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Prints a text to standard output, above the bar.
    pub(crate) fn print(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// The time left by the estimates, corrected by their error so far.
    fn left(&self) -> Duration {
        let pace = match self.done > 0.0 {
            true => self.since.elapsed().as_secs_f64() / self.done,
            false => 1.0,
        };
        Duration::from_secs_f64((pace * (self.total - self.done)).max(0.0).round())
    }
}
