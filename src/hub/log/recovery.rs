//! Recovery of a log that is opened: its sound events, and marks where events are missing.
//!
//! It reads and changes nothing. One segment at a time is in memory. The invariant: whatever bytes of the segments are
//! wrong, lost or cut off, each sound event is found, once and in its order, and a mark stands where any is missing.
//!
//! Events are missing where
//!
//! - the numbers of a server's events do not follow one another,
//! - bytes between two sound items are no item, or a segment is gone,
//! - a server ended without a last note of progress, and did not sync each event before its publisher knew, or
//! - a note of progress counts events that are not there.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::path::Path;
use std::sync::Arc;

use super::folder::{Folder, Identity};
use super::header::{self, Header, Point};
use super::item::{self, Item, Progress, Record};
use super::{Segment, Segments};
use crate::config::Retention;
use crate::event::frame::Frame;
use crate::hub::history::{History, StoredEvent};
use crate::hub::queue::Message;
use crate::hub::runs::{EventKey, Stamp};

/// Most bytes of a segment that are read: no server writes one as long.
const MOST_BYTES: u64 = 1 << 30;

/// A log that was read.
pub(super) struct Recovered {
    pub(super) history: History,
    pub(super) segments: Segments,
    /// Segments that do not count: later ones replace them, or they should have been deleted.
    pub(super) void: Vec<(u64, Identity)>,
    /// Mark: events are missing at the end.
    pub(super) is_before_gap: bool,
    pub(super) losses: Losses,
}

/// Missing events and damaged bytes, as far as they can be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Losses {
    /// Number of events that are known to be missing.
    pub(super) events: u64,
    /// Number of places where bytes are no item, and their bytes.
    pub(super) places: u64,
    pub(super) bytes: u64,
    /// Number of segments that are gone or have no sound header.
    pub(super) segments: u64,
    /// Set if the last server did not shut down, and may have lost the events of its last second.
    pub(super) is_unclean: bool,
}

impl Losses {
    /// One line about them for the operator; `None` if nothing is missing.
    pub(super) fn describe(&self, path: &Path) -> Option<String> {
        let Self { events, places, bytes, segments, is_unclean } = *self;
        let mut parts = Vec::new();
        if events > 0 {
            parts.push(format!("{events} events are missing"));
        }
        if places > 0 {
            parts.push(format!("{bytes} bytes in {places} places are damaged"));
        }
        if segments > 0 {
            parts.push(format!("{segments} segments are lost or have damaged headers"));
        }
        if is_unclean {
            parts.push("the last server did not shut down, and events of its last second may be missing".to_owned());
        }
        let path = path.display();
        (!parts.is_empty())
            .then(|| format!("history in {path}: {}; clients that resume across them get a gap", parts.join(", ")))
    }
}

/// Reads the log in a folder.
///
/// # Errors
///
/// `InvalidData` for a segment of another version of the format, and those of the system.
pub(super) fn recover(folder: &Folder, retention: Retention) -> io::Result<Recovered> {
    let (numbers, next) = folder.segments()?;
    let mut found = Vec::new();
    for number in numbers {
        found.push(open(folder, number)?);
    }
    let (chain, void) = chain(found);
    let mut reader = Reader::new(retention);
    let (mut segments, mut end) = (Vec::new(), Point::default());
    for link in chain {
        let number = link.found.number;
        let (identity, sound) = (link.found.identity, reader.read(link)?);
        end = Point { segment: number, end: sound, last: reader.last_key() };
        segments.push(Segment { number, identity, end: sound, last: end.last, position: reader.position() });
    }
    if let Some(cut) = reader.end(&folder.read_note()?) {
        // The last write did not end.
        (end.end, end.last) = (cut, reader.last_key());
        if let Some(last) = segments.last_mut() {
            (last.end, last.last, last.position) = (cut, end.last, reader.position());
        }
    }
    let Reader { history, is_behind_gap: is_before_gap, losses, .. } = reader;
    let void = void.into_iter().map(|found| (found.number, found.identity)).collect();
    Ok(Recovered { history, segments: Segments { segments, end, next }, void, is_before_gap, losses })
}

/// A segment of a folder, opened.
struct Found {
    number: u64,
    file: File,
    identity: Identity,
    /// `None` if it is not sound.
    header: Option<Header>,
}

fn open(folder: &Folder, number: u64) -> io::Result<Found> {
    let mut file = folder.open_segment(number)?;
    let mut start = Vec::new();
    (&mut file).take(header::LENGTH as u64).read_to_end(&mut start)?;
    let header = match Header::decode(&start) {
        header::Decoded::Header(header) => Some(header).filter(|header| header.number == number),
        header::Decoded::Unsound => None,
        header::Decoded::Version(version) => {
            let line = format!("its segment {number} is of version {version}, and this server reads version 2");
            return Err(io::Error::new(io::ErrorKind::InvalidData, line));
        }
    };
    let identity = Identity::of(&file)?;
    Ok(Found { number, file, identity, header })
}

/// A segment that counts.
struct Link {
    found: Found,
    /// Number of its bytes that count, if a later segment says so.
    limit: Option<u64>,
    /// Set if a segment right before it is gone.
    is_behind_loss: bool,
}

/// Follows the headers from the newest segment to the oldest. Returns the segments that count, oldest first, and those
/// that later ones have replaced.
fn chain(found: Vec<Found>) -> (Vec<Link>, Vec<Found>) {
    let (mut links, mut void) = (Vec::<Link>::new(), Vec::new());
    // Those before it were deleted, even if one of them is there again.
    let oldest = found.iter().filter_map(|found| Some(found.header?.oldest)).max().unwrap_or(0);
    // The end of the log before the link that was added last, if that is known.
    let mut behind = None;
    for found in found.into_iter().rev() {
        if found.number < oldest {
            void.push(found);
            continue;
        }
        let limit = match behind {
            Some(Point { segment, .. }) if found.number > segment => {
                void.push(found);
                continue;
            }
            Some(Point { segment, end, .. }) if found.number == segment => Some(end),
            Some(_) => {
                if let Some(later) = links.last_mut() {
                    later.is_behind_loss = true;
                }
                None
            }
            None => None,
        };
        behind = found.header.map(|header| header.behind);
        links.push(Link { found, limit, is_behind_loss: false });
    }
    links.reverse();
    (links, void)
}

/// Reads segments in their order.
struct Reader {
    history: History,
    /// Events of the write that was read last, which may turn out to be void; the position in the segment where it
    /// begins, and if its last one was read.
    write: Vec<(Stamp, bool, StoredEvent)>,
    write_begins: usize,
    is_finished: bool,
    /// The last event, those of that write included.
    last: Option<Stamp>,
    /// The last event that is known to have been there, by a header or a note.
    expected: EventKey,
    /// Set if events are missing behind that one.
    is_behind_gap: bool,
    /// Set if each event of the segment was on the disk before its publisher knew.
    syncs_always: bool,
    /// Set if no event can be missing at the end: each was synced, or a server has noted its end.
    is_complete: bool,
    losses: Losses,
}

impl Reader {
    fn new(retention: Retention) -> Self {
        let history = History::of_earlier(retention);
        Self {
            history,
            write: Vec::new(),
            write_begins: 0,
            is_finished: true,
            last: None,
            expected: EventKey::default(),
            is_behind_gap: false,
            syncs_always: true,
            is_complete: true,
            losses: Losses::default(),
        }
    }

    /// Reads a segment; returns the position behind its last sound item.
    fn read(&mut self, link: Link) -> io::Result<u64> {
        // This segment goes on behind the last write, so that counts.
        self.keep_write();
        let Link { found: Found { mut file, header, .. }, limit, is_behind_loss } = link;
        let mut bytes = vec![0; header::LENGTH];
        // The file's position is behind the header.
        let most = limit.unwrap_or(MOST_BYTES).clamp(header::LENGTH as u64, MOST_BYTES) - header::LENGTH as u64;
        (&mut file).take(most).read_to_end(&mut bytes)?;
        self.losses.segments += u64::from(is_behind_loss) + u64::from(header.is_none());
        self.is_behind_gap |= is_behind_loss || header.is_none();
        if let Some(header) = header {
            self.expect(header.behind.last);
        }
        self.syncs_always = header.is_some_and(|header| header.syncs_always);
        self.is_complete = self.syncs_always;
        let sound = self.read_items(&bytes);
        // What was cut off behind the last sound item counted.
        self.is_behind_gap |= limit.is_some_and(|limit| (sound as u64) < limit);
        Ok(sound as u64)
    }

    fn read_items(&mut self, bytes: &[u8]) -> usize {
        let (mut position, mut sound) = (header::LENGTH, header::LENGTH);
        while position < bytes.len() {
            match item::decode(&bytes[position..]) {
                item::Decoded::Item(item, length) => {
                    if sound < position {
                        self.skip(position - sound);
                    }
                    if self.is_finished {
                        self.write_begins = position;
                    }
                    self.add(item);
                    position += length;
                    sound = position;
                }
                item::Decoded::Torn | item::Decoded::Unsound => {
                    position += item::distance_to_next(&bytes[position..]);
                }
            }
        }
        // One item that is torn is what a write leaves that did not finish, so no publisher knows of it.
        if sound < bytes.len() && item::decode(&bytes[sound..]) != item::Decoded::Torn {
            self.skip(bytes.len() - sound);
        }
        sound
    }

    /// Counts bytes that are no item.
    fn skip(&mut self, bytes: usize) {
        self.losses.places += 1;
        self.losses.bytes += bytes as u64;
        self.is_behind_gap = true;
    }

    fn add(&mut self, item: Item<'_>) {
        match item {
            Item::Event(record) => self.add_event(record),
            Item::Progress(Progress { stamp, is_before_gap, is_end }) => {
                if self.write.first().is_some_and(|(first, ..)| stamp.key() < first.key()) {
                    self.drop_write();
                }
                self.keep_write();
                self.expect_progress(&stamp);
                self.is_behind_gap |= is_before_gap;
                self.is_complete |= is_end;
            }
        }
    }

    fn add_event(&mut self, record: Record<'_>) {
        let Record { stamp, is_behind_gap, has_successor, own_id, topics, frame } = record;
        if let Some(last) = self.last {
            if stamp.key() <= last.key() {
                // No log has an event twice. A segment that somebody copied has some.
                return;
            }
            self.expect(EventKey { number: stamp.number - 1, ..stamp.key() });
        }
        let is_behind_gap = (mem::take(&mut self.is_behind_gap) || is_behind_gap) && self.last.is_some();
        let message = Message { frame: Frame::encoded(Arc::from(frame)), topics };
        let event = StoredEvent { uptime: stamp.uptime, own_id: own_id.map(Arc::from), message };
        if self.is_finished {
            self.keep_write();
        }
        self.write.push((stamp, is_behind_gap, event));
        self.is_finished = !has_successor;
        self.last = Some(stamp);
        self.is_complete = self.syncs_always;
    }

    /// Adds the events of the last write to the history: all of them were accepted.
    fn keep_write(&mut self) {
        for (stamp, is_behind_gap, event) in self.write.drain(..) {
            self.history.restore(stamp, is_behind_gap, event);
        }
        self.is_finished = true;
    }

    /// Drops the events of the last write: they were refused, or never answered.
    fn drop_write(&mut self) {
        self.is_behind_gap |= self.write.drain(..).any(|(_, is_behind_gap, _)| is_behind_gap);
        self.is_finished = true;
        self.last = self.history.last_stamp();
    }

    fn last_key(&self) -> EventKey {
        self.last.map_or(EventKey::default(), |last| last.key())
    }

    /// Position in the history of the last event.
    fn position(&self) -> u64 {
        self.history.newest() + self.write.len() as u64
    }

    /// Takes a note of progress: its server published up to there, and its clock was right then.
    fn expect_progress(&mut self, stamp: &Stamp) {
        self.expect(stamp.key());
        self.history.correct_start(stamp.boot, stamp.started_at);
    }

    /// Counts what is missing if the last event is before this one.
    fn expect(&mut self, key: EventKey) {
        let known = self.last_key().max(self.expected);
        if self.last.is_none() || known >= key {
            return;
        }
        let missing = key.number - if known.boot == key.boot { known.number } else { 0 };
        self.losses.events = self.losses.events.saturating_add(missing);
        self.is_behind_gap |= missing > 0;
        self.expected = key;
    }

    /// Compares the end with the note of progress beside the segments. If the last write did not end, and no note says
    /// that it did, drops its events and returns its position: they were refused, or never answered.
    fn end(&mut self, note: &[u8]) -> Option<u64> {
        let note = match decode_note(note) {
            item::Decoded::Item(Item::Progress(progress), _) => Some(progress),
            _ => None,
        };
        let noted = note.map_or(EventKey::default(), |progress| progress.stamp.key());
        let is_noted = self.write.first().is_some_and(|(stamp, ..)| stamp.key() <= noted);
        // Damage behind it may have been its end.
        let is_refused = !self.is_finished && !is_noted && !self.is_behind_gap;
        let cut = is_refused.then_some(self.write_begins as u64);
        if is_refused {
            self.drop_write();
        }
        self.keep_write();
        if !mem::replace(&mut self.is_complete, true) {
            self.losses.is_unclean = true;
            self.is_behind_gap = true;
        }
        // A note of an earlier server expects nothing: a later one has not noted anything yet.
        if let Some(progress) = note {
            self.expect_progress(&progress.stamp);
        }
        self.is_behind_gap &= self.last.is_some();
        self.losses.is_unclean &= self.last.is_some();
        cut
    }
}

fn decode_note(note: &[u8]) -> item::Decoded<'_> {
    if note.is_empty() { item::Decoded::Unsound } else { item::decode(note) }
}
