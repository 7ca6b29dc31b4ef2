//! What the library has to say, one line each on standard error.
//!
//! Warnings and errors only: a server that is well is silent. A closed standard error is no reason to end.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

/// Has every warning and error of this process printed.
pub(crate) fn init() {
    // Fails only where there is a logger already, which then does its work.
    if log::set_logger(&Stderr).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = record.level().as_str().to_ascii_lowercase();
        let _ = writeln!(io::stderr(), "smolcast: {level}: {}", record.args());
    }

    fn flush(&self) {}
}
