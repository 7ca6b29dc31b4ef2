//! The log of events behind the history, which outlives the server: a folder of segments that are only appended to.
//!
//! It writes events before any subscriber gets them, reads them when the folder is opened again, and keeps the folder
//! small by deleting the oldest segments. Nothing here is copied or renamed over, so making room takes no room.
//!
//! The promises, on a disk that fails as well:
//!
//! - An event that was refused is never published later: its bytes are cut off, or the next segment declares them void.
//! - An event that was accepted is in the log, or a client that resumes across its place is told of a gap.
//! - Files that others remove, move, replace, cut off or add to are noticed within a second, and written anew from
//!   memory.
//!
//! # The files
//!
//! | name | what |
//! | --- | --- |
//! | `lock` | locked (`flock`) by the server that has the folder; holds one item, the last note of progress |
//! | `000000000001.log` | segment 1 |
//! | `000000000002.new` | segment 2 while it is made; the next server removes one that a crash left |
//!
//! # The format
//!
//! Numbers are unsigned and little-endian; a CRC-32 is the one of zlib and PNG. A segment has a header:
//!
//! | bytes | what |
//! | --- | --- |
//! | 12 | `smolcast-log` |
//! | 4 | the version of the format: 2 |
//! | 8 | number of the segment |
//! | 8 | number of the segment before it, or 0 if none before it counts |
//! | 8 | number of that segment's bytes that count |
//! | 16, 8 | boot and number of the last event before this segment, or 0 |
//! | 8 | number of the oldest segment that counts; those before it were deleted, or should have been |
//! | 4 | flags: 1 if each event was synced before its publisher knew |
//! | 4 | the CRC-32 of the 76 bytes before |
//!
//! then items until its end, each
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | the marker FF 73 6D FE |
//! | 4 | `n`, the length of the payload: at most 2^28 |
//! | 4 | the CRC-32 of the length and the payload |
//! | `n` | the payload |
//!
//! of which the payload is
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | 0 for a note of progress, plus 2 if its server shut down there, 4 if events are missing behind it |
//! |   | or 1 for an event, plus 2 if its publisher gave it an ID, 4 if events are missing before it, |
//! |   | 8 if it is not the last of its write |
//! | 16 | boot of the server that accepted it |
//! | 8 | start of that server, in milliseconds since 1970 |
//! | 8 | milliseconds since that start |
//! | 8 | number of the event since that start, from 1; of the last one so far in a note |
//! | 4, k | if its publisher gave it an ID: the ID's length and the ID, in UTF-8 |
//! | 4 | of an event: how many topics it has |
//! | 4, k each | the length of a topic and the topic, in UTF-8 |
//! | the rest | the event as it goes out, in the event-stream format |
//!
//! Events of one write count together: if the log ends before the last of them, none of them was accepted. Nor were
//! they if a note of progress behind them has the event before them.
//!
//! A server that shuts down ends its last segment with a note of progress. It writes the same note into `lock` twice a
//! second, so that a later server finds out if the end of the log was cut off.

mod folder;
mod header;
mod item;
mod jobs;
mod journal;
mod recovery;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use self::folder::{Folder, Identity};
use self::header::Point;
pub(super) use self::jobs::{Outcome, Replies};
#[cfg(test)]
pub(super) use self::journal::Disk;
use self::journal::{Journal, SystemDisk};
use self::recovery::Recovered;
pub(super) use self::writer::LogWriter;
use super::boot::Boot;
use super::history::History;
use super::runs::EventKey;
use crate::config::{HistorySync, Retention};
use crate::sys::unix_millis;

/// An open log, and the history that it had.
pub(crate) struct Log {
    pub(super) journal: Journal,
    pub(super) history: History,
    pub(super) sync: HistorySync,
}

/// A segment of a log.
#[derive(Debug)]
struct Segment {
    number: u64,
    identity: Identity,
    /// Number of its bytes that count.
    end: u64,
    /// The last event in it or before it, and the position of that in the history.
    last: EventKey,
    position: u64,
}

/// The segments of a log, and its end.
#[derive(Debug)]
struct Segments {
    /// Those that count, oldest first.
    segments: Vec<Segment>,
    /// End of the sound bytes.
    end: Point,
    /// Number of the next segment.
    next: u64,
}

impl Log {
    /// Opens the folder of a log, or makes it, and reads its events. Warns of events that are missing.
    ///
    /// # Errors
    ///
    /// `ResourceBusy` if another server has it open, `InvalidData` if it is of another version, and those of the
    /// system. Nothing is lost then. A full disk is no error: publishing fails until there is room.
    pub(crate) fn open(path: &Path, sync: HistorySync, retention: Retention) -> io::Result<Self> {
        let folder = Folder::open(path)?;
        let Recovered { mut history, segments, void, is_before_gap, losses } = recovery::recover(&folder, retention)?;
        if let Some(line) = losses.describe(path) {
            log::warn!("{line}");
        }
        for (number, identity) in void {
            folder.remove_segment(number, identity)?;
        }
        let started_at = unix_millis(SystemTime::now());
        history.start(Boot::starting_at(started_at), started_at, is_before_gap);
        let mut journal = Journal::behind(segments, folder, Arc::new(SystemDisk), sync == HistorySync::Always);
        journal.release(history.gone)?;
        match journal.renew(&history.next_place(0), |position, most| history.held_behind(position, most)) {
            Err(error) if is_full(&error) => {
                log::error!("the disk of the history in {} is full, so publishing fails for now", path.display());
            }
            renewed => renewed?,
        }
        Ok(Self { journal, history, sync })
    }
}

/// Says if there was no room, for which a client gets another status than for other errors.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
