//! The program's log: one line for each record, on standard error.
//!
//! It prints warnings and errors only: a healthy server is silent. A closed standard error does not end the server, and
//! a full one does not block it. Equal lines are printed once a minute.

mod line_writer;
mod repeats;
mod timestamp;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};

use ::log::{Level, LevelFilter, Log, Metadata, Record};

pub(crate) use self::line_writer::LineWriter;
use self::repeats::Repeats;

/// Form of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Text,
    /// An object a line.
    Json,
}

/// Form of the lines, as it is decided at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Text behind its time.
    Timed,
    /// Text alone: systemd's journal has the time.
    Untimed,
    Json,
}

/// The logger.
struct Stderr {
    /// Starts with the server, or else with the first line.
    writer: Mutex<Option<LineWriter>>,
    /// Set by [`set_format`].
    style: OnceLock<Style>,
    repeats: Mutex<Repeats>,
}

static STDERR: Stderr =
    Stderr { writer: Mutex::new(None), style: OnceLock::new(), repeats: Mutex::new(Repeats::new()) };

/// Prints every warning and error of this process from now on.
pub(crate) fn init() {
    // Fails only if there is a logger already.
    if ::log::set_logger(&STDERR).is_ok() {
        ::log::set_max_level(LevelFilter::Warn);
    }
}

/// Decides the form of the lines.
pub(crate) fn set_format(format: Format) {
    let style = match format {
        Format::Json => Style::Json,
        Format::Text if is_journal() => Style::Untimed,
        Format::Text => Style::Timed,
    };
    // No other caller sets it.
    let _ = STDERR.style.set(style);
}

/// Starts the thread that writes the lines, so that none is needed later.
///
/// # Errors
///
/// The system allows no further thread.
pub(crate) fn start() -> io::Result<()> {
    let mut writer = STDERR.writer.lock().unwrap_or_else(PoisonError::into_inner);
    if writer.is_none() {
        *writer = Some(LineWriter::new(io::stderr())?);
    }
    Ok(())
}

/// Prints the error that ends the program, and waits a moment until all lines are written.
pub(crate) fn finish_with(error: &str) {
    STDERR.say(match STDERR.style.get() {
        Some(style) => style.line(SystemTime::now(), Level::Error, error),
        // Of the command line, which nothing reads but its user.
        None => format!("smolcast: {error}\n"),
    });
    finish();
}

/// Waits a moment until all lines are written.
pub(crate) fn finish() {
    if let Some(writer) = STDERR.writer.lock().unwrap_or_else(PoisonError::into_inner).take() {
        writer.finish();
    }
}

/// Says if standard error is systemd's journal (systemd.exec(5), `JOURNAL_STREAM`).
fn is_journal() -> bool {
    let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

impl Style {
    /// The line of a record.
    fn line(self, time: SystemTime, level: Level, message: &str) -> String {
        let level = level.as_str().to_ascii_lowercase();
        let time = || timestamp::rfc3339(time);
        match self {
            Self::Timed => format!("{} smolcast: {level}: {}\n", time(), on_one_line(message)),
            Self::Untimed => format!("smolcast: {level}: {}\n", on_one_line(message)),
            Self::Json => {
                format!("{{\"time\":\"{}\",\"level\":\"{level}\",\"message\":{}}}\n", time(), json_string(message))
            }
        }
    }
}

/// A path may have a line break.
fn on_one_line(message: &str) -> String {
    message.replace(['\n', '\r'], " ")
}

/// A string in JSON (RFC 8259).
fn json_string(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    json.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => json.extend(['\\', letter]),
            '\0'..='\x1f' => {
                // A write to a string cannot fail.
                let _ = write!(json, "\\u{:04x}", letter as u32);
            }
            _ => json.push(letter),
        }
    }
    json.push('"');
    json
}

impl Stderr {
    fn say(&self, line: String) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
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
        let message = record.args().to_string();
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        if repeats.permits(&message, Instant::now()) {
            let style = self.style.get().unwrap_or(&Style::Timed);
            self.say(style.line(SystemTime::now(), record.level(), &message));
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn lines_have_time_level_and_message() {
        let time = UNIX_EPOCH + Duration::from_millis(1_795_930_869_007);
        let message = "a \"b\"\\\n\u{1}é";
        for (style, expected) in [
            (Style::Timed, "2026-11-29T05:41:09.007Z smolcast: warn: a \"b\"\\ \u{1}é\n"),
            (Style::Untimed, "smolcast: warn: a \"b\"\\ \u{1}é\n"),
            (
                Style::Json,
                concat!(
                    r#"{"time":"2026-11-29T05:41:09.007Z","level":"warn","message":"a \"b\"\\\u000a\u0001é"}"#,
                    "\n"
                ),
            ),
        ] {
            assert_eq!(style.line(time, Level::Warn, message), expected);
        }
    }
}
