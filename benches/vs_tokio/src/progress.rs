//! The progress of a comparison, on standard error: a bar on a terminal, a line for each run elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// The bar counts milliseconds of the time that the runs are thought to take.
const STEPS_A_SECOND: f64 = 1000.0;

pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Of runs that are thought to take `total` seconds.
    pub(crate) fn new(total: f64) -> Self {
        let style = ProgressStyle::with_template("{bar:32} {percent:>3} %  {msg}, {eta} left");
        let bar = ProgressBar::new((total * STEPS_A_SECOND) as u64);
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// A run begins.
    pub(crate) fn begin(&self, what: &str) {
        match self.is_terminal() {
            true => self.0.set_message(what.to_owned()),
            false => eprintln!("{:3} %  {what}", 100 * self.0.position() / self.0.length().unwrap_or(1).max(1)),
        }
    }

    /// A run that was thought to take so many seconds has ended.
    pub(crate) fn end(&self, seconds: f64) {
        self.0.inc((seconds * STEPS_A_SECOND) as u64);
    }

    /// True if a word a second is welcome: it takes the place of the last one.
    pub(crate) fn is_terminal(&self) -> bool {
        !self.0.is_hidden()
    }

    /// Prints a text to standard output, above the bar.
    pub(crate) fn print(&self, text: &str) {
        self.0.suspend(|| println!("{text}"));
    }

    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}
