//! What the library has to say, one line each on standard error.
//!
//! Warnings and errors only: a server that is well is silent. A closed standard error is no reason to end, and one that
//! nobody reads none to wait.

mod line_writer;

use std::io;
use std::sync::{Mutex, PoisonError};

use ::log::{LevelFilter, Log, Metadata, Record};

pub(crate) use self::line_writer::LineWriter;

/// Begins with the first line: most servers never have one.
struct Stderr(Mutex<Option<LineWriter>>);

static STDERR: Stderr = Stderr(Mutex::new(None));

/// Has every warning and error of this process printed.
pub(crate) fn init() {
    // Fails only where there is a logger already, which then does its work.
    if ::log::set_logger(&STDERR).is_ok() {
        ::log::set_max_level(LevelFilter::Warn);
    }
}

/// Prints one more line, and gives all of them a moment to be written.
pub(crate) fn finish_with(line: Option<String>) {
    if let Some(line) = line {
        STDERR.say(line);
    }
    if let Some(writer) = STDERR.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
        writer.finish();
    }
}

impl Stderr {
    fn say(&self, line: String) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.get_or_insert_with(|| LineWriter::new(io::stderr())).write(line);
    }
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let level = record.level().as_str().to_ascii_lowercase();
        self.say(format!("smolcast: {level}: {}\n", record.args()));
    }

    fn flush(&self) {}
}
