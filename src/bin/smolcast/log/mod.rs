//! The library's log records, one line each on standard error.
//!
//! It prints warnings and errors only: a healthy server is silent. A closed standard error does not end the server, and
//! a full one does not block it.

mod line_writer;

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use ::log::{LevelFilter, Log, Metadata, Record};

pub(crate) use self::line_writer::LineWriter;

/// The logger. Its writer starts with the server, or else with the first line.
struct Stderr(Mutex<Option<LineWriter>>);

static STDERR: Stderr = Stderr(Mutex::new(None));

/// Prints every warning and error of this process from now on.
pub(crate) fn init() {
    // Fails only if there is a logger already.
    if ::log::set_logger(&STDERR).is_ok() {
        ::log::set_max_level(LevelFilter::Warn);
    }
}

/// Starts the thread that writes the lines, so that none is needed later.
///
/// # Errors
///
/// The system allows no further thread.
pub(crate) fn start() -> io::Result<()> {
    let mut writer = STDERR.0.lock().unwrap_or_else(PoisonError::into_inner);
    if writer.is_none() {
        *writer = Some(LineWriter::new(io::stderr())?);
    }
    Ok(())
}

/// Prints a last line, if any, and waits a moment until all lines are written.
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
        if writer.is_none() {
            *writer = LineWriter::new(io::stderr()).ok();
        }
        match &*writer {
            Some(writer) => writer.write(line),
            // Without a thread the program is about to end, so a write may block.
            None => {
                let _ = io::stderr().write_all(line.as_bytes());
            }
        }
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
