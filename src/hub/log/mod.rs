//! The append-only file of events behind the history, which outlives the server.
//!
//! It adds records, reads them when the file is opened again, and keeps the file small as the oldest are released. Its
//! user decides which records to hold, when to sync, and how to handle a full disk. Every call blocks, so it belongs on
//! a thread of its own.
//!
//! The invariant: the file is a header and whole records, oldest first, the held ones last. Bytes that a crash or a
//! failed write leaves behind them are cut off, at the latest when the file is opened again.
//!
//! # The format
//!
//! Numbers are unsigned and little-endian; a CRC-32 is the one of zlib and PNG. First the header:
//!
//! | bytes | what |
//! | --- | --- |
//! | 12 | `smolcast-log` |
//! | 4 | the version of the format: 1 |
//!
//! then records until the end of the file, each
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `n`, the length of the payload: at least 29, at most 2^28 |
//! | 4 | the CRC-32 of the four bytes before |
//! | 4 | the CRC-32 of the payload |
//! | `n` | the payload |
//!
//! of which the payload is
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | time at which the event was accepted, in milliseconds since 1970 |
//! | 8 | start of the server that accepted it |
//! | 8 | its number since that start, from 1 |
//! | 1 | 1 if its publisher gave it an ID, else 0 |
//! | 4, k | if so: the ID's length and the ID, in UTF-8 |
//! | 4 | how many topics it has |
//! | 4, k each | the length of a topic and the topic, in UTF-8 |
//! | the rest | the event as it goes out, in the event-stream format |
//!
//! Records do not refer to each other: any run of whole records behind a header is a file of this format.
//!
//! # Other files
//!
//! `PATH.new` is the copy that a compaction makes; opening the file removes an old one. Bytes that are cut off, unless
//! they are one torn record, are added to `PATH.damaged` first. Nothing here ever reads or removes that file.
//!
//! The lock is on the file itself (`flock`), and a copy is locked before it takes the file's name. So a server that
//! opens the name finds it locked at any time. A server that opened the file just before it was replaced locks a file
//! without a name, notices, and opens again.

mod appender;
mod compaction;
mod file;
mod record;
mod recovery;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use self::appender::Appender;
#[cfg(test)]
pub(super) use self::appender::Storage;
use self::compaction::Compaction;
use self::file::Locked;
pub(super) use self::record::Record;
use self::recovery::Recovered;
pub(super) use self::writer::LogWriter;
use super::history::History;
use crate::config::Retention;
use crate::event::topic::Topics;
use crate::sys::unix_millis;

/// First bytes of a file: the name of the format, and its version.
const HEADER: [u8; HEADER_LENGTH as usize] = *b"smolcast-log\x01\0\0\0";
const HEADER_LENGTH: u64 = 16;

/// Fewest dead bytes that are worth a compaction, and that the next one waits for after one that failed.
const LEAST_DEAD: u64 = 1 << 20;

/// Memory that the buffer for encoding keeps between two writes, in bytes.
const MOST_KEPT: usize = 1 << 20;

/// An open journal, and the history that it had.
pub(crate) struct Log {
    pub(super) journal: Journal,
    pub(super) history: History,
}

impl Log {
    /// Opens the file of a log, or makes it, and reads its events. Warns about bytes that it cuts off.
    ///
    /// # Errors
    ///
    /// Those of [`Journal::open`].
    pub(crate) fn open(path: &Path, retention: Retention) -> io::Result<Self> {
        let mut history = History::new(retention, unix_millis(SystemTime::now()));
        let (journal, recovered) = Journal::open(path, |record| {
            // No program of ours wrote other topics, and no client can ask for them.
            let Ok(topics) = Topics::parse(record.topics.iter().map(String::as_str)) else { return };
            history.restore(record.boot, record.into_event(topics));
        })?;
        if recovered.cut > 0 {
            let kept = recovered.damaged.map_or_else(String::new, |file| format!("; it is kept in {}", file.display()));
            log::warn!("cut {} bytes of what was not whole from the end of {}{kept}", recovered.cut, path.display());
        }
        Ok(Self { journal, history })
    }
}

/// An open file of events, which no other process has open.
pub(super) struct Journal {
    /// With symbolic links resolved, so that a compaction replaces the file and not a link to it.
    path: PathBuf,
    appender: Appender,
    /// Position of the oldest held record. The bytes before it are dead.
    start: u64,
    /// Length of each held record, oldest first.
    held: VecDeque<u32>,
    /// The one that is under way.
    compaction: Option<Compaction>,
    /// Dead bytes that the next attempt waits for, after one that failed.
    patience: u64,
    /// Set if the file's name may still lead to its predecessor after a crash.
    folder_is_behind: bool,
    /// Buffer in which records are encoded before they are written.
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the file, or makes it, for its owner alone. `keep` gets its records one at a time, oldest first, and all
    /// of them are held. The bytes behind the last whole record are cut off.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another server has it open, `InvalidData` if it is no file of this format and version, and
    /// those of the system. No record is lost then, and at most a torn one is cut off.
    fn open(path: &Path, keep: impl FnMut(Record)) -> io::Result<(Self, Recovered)> {
        let (file, path) = file::open(path)?;
        let (held, recovered) = recovery::recover(&file, &path, keep)?;
        // If this fails, so does the compaction that needs the name, and warns.
        let _ = fs::remove_file(compaction::path_of_copy(&path));
        let end = HEADER_LENGTH + held.iter().copied().map(u64::from).sum::<u64>();
        let journal = Self {
            path,
            appender: Appender::new(file, end),
            start: HEADER_LENGTH,
            held,
            compaction: None,
            patience: 0,
            folder_is_behind: false,
            buffer: Vec::new(),
        };
        Ok((journal, recovered))
    }

    /// Replaces the way in which its file is written.
    #[cfg(test)]
    pub(super) fn put_on<S: Storage + 'static>(&mut self, storage: impl FnOnce(fs::File) -> S) {
        let file = self.appender.file().try_clone().expect("another handle");
        self.appender = Appender::new(storage(file), self.appender.end());
    }

    /// Adds a record behind all others, whole or not at all.
    #[cfg(test)]
    fn append(&mut self, record: &Record) -> io::Result<()> {
        self.append_all(std::slice::from_ref(record))
    }

    /// Adds records with one write: all of them or none.
    ///
    /// # Errors
    ///
    /// Those of the write, such as `StorageFull`, and `InvalidInput` for a record that is too long. A later attempt may
    /// succeed.
    fn append_all(&mut self, records: &[Record]) -> io::Result<()> {
        self.poll();
        let before = self.held.len();
        let appended = self.encode(records).and_then(|()| self.appender.append(&self.buffer));
        if appended.is_err() {
            self.held.truncate(before);
        }
        self.buffer.clear();
        self.buffer.shrink_to(MOST_KEPT);
        appended
    }

    /// Makes everything that was appended survive a power failure.
    ///
    /// # Errors
    ///
    /// The system's. Any record since the last success may be lost then, and a later call does not report it.
    fn sync(&mut self) -> io::Result<()> {
        self.poll();
        self.sync_folder()?;
        self.appender.file().sync_data()
    }

    /// Releases the oldest `count` held records, or all if there are fewer.
    fn release(&mut self, count: usize) {
        let count = count.min(self.held.len());
        self.start += self.held.drain(..count).map(u64::from).sum::<u64>();
        if self.held.is_empty() {
            // No copy is needed now, so the reason that the last one failed, such as a full disk, does not matter.
            self.patience = 0;
        }
        self.poll();
    }

    /// Ends a compaction with a copy that is done, and begins one that is due. Every other call does that too.
    fn poll(&mut self) {
        if self.compaction.as_ref().is_some_and(Compaction::is_copied) {
            self.end_compaction();
        }
        if self.compaction.is_none() && self.is_compaction_due() {
            let begun = if self.held.is_empty() { self.clear() } else { self.begin_compaction() };
            if let Err(error) = begun {
                self.postpone_compaction(&error);
            }
        }
    }

    fn encode(&mut self, records: &[Record]) -> io::Result<()> {
        for record in records {
            let length = record.encode(&mut self.buffer)?;
            self.held.push_back(length);
        }
        Ok(())
    }

    /// Number of bytes of released records.
    fn dead(&self) -> u64 {
        self.start - HEADER_LENGTH
    }

    fn is_compaction_due(&self) -> bool {
        let live = self.appender.end() - self.start;
        self.dead() > live.max(LEAST_DEAD) && self.dead() >= self.patience
    }

    /// Cuts off all records: none is held.
    fn clear(&mut self) -> io::Result<()> {
        self.appender.truncate(HEADER_LENGTH)?;
        self.start = HEADER_LENGTH;
        Ok(())
    }

    fn begin_compaction(&mut self) -> io::Result<()> {
        let live = self.start..self.appender.end();
        self.compaction = Some(Compaction::begin(self.appender.file(), &self.path, live)?);
        Ok(())
    }

    /// Replaces the file with its copy, and waits for a copy that is not done.
    fn end_compaction(&mut self) {
        let Some(compaction) = self.compaction.take() else { return };
        let moved_by = compaction.start() - HEADER_LENGTH;
        match compaction.end(self.appender.file(), self.appender.end(), &self.path) {
            Ok(Some(copy)) => self.go_on_with(copy, moved_by),
            Ok(None) => self.remove_copy(),
            Err(error) => self.postpone_compaction(&error),
        }
    }

    /// Switches to a copy that has the file's name already, and lacks the first `moved_by` bytes of records.
    fn go_on_with(&mut self, copy: Locked, moved_by: u64) {
        self.appender = Appender::new(copy, self.appender.end() - moved_by);
        self.start -= moved_by;
        self.patience = 0;
        self.folder_is_behind = true;
        if let Err(error) = self.sync_folder() {
            log::warn!("the folder of {} cannot be synced, retrying: {error}", self.path.display());
        }
    }

    fn postpone_compaction(&mut self, error: &io::Error) {
        log::warn!("{} cannot be made smaller for now, retrying: {error}", self.path.display());
        self.patience = self.dead() + LEAST_DEAD;
        self.remove_copy();
    }

    /// Makes room; the next copy would remove it as well.
    fn remove_copy(&self) {
        let _ = fs::remove_file(compaction::path_of_copy(&self.path));
    }

    fn sync_folder(&mut self) -> io::Result<()> {
        if self.folder_is_behind {
            file::sync_folder_of(&self.path)?;
            self.folder_is_behind = false;
        }
        Ok(())
    }
}

impl Drop for Journal {
    /// Uses a copy that is done, and gives up one that is not: the next run makes its own.
    fn drop(&mut self) {
        if let Some(compaction) = &self.compaction {
            compaction.stop();
            self.end_compaction();
        }
    }
}
