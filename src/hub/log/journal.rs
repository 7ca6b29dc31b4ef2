//! The segments of an open log: appended to, replaced when the disk fails, and deleted when the history drops their
//! events.
//!
//! It takes encoded items and counts positions; its user numbers events and decides when to sync. Every call blocks, so
//! it belongs on a thread of its own.
//!
//! The invariant: behind the end that counts there is nothing, or a part of a failed write that the next segment
//! declares void. After a sync that failed nothing of that file is trusted: a new segment has again what the history in
//! memory has behind the last sync that worked.

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;

use super::folder::{Folder, Identity};
use super::header::{self, Header, Point};
use super::item::{self, Progress, Record};
use super::{Segment, Segments};
use crate::hub::history::{HeldEvent, StoredEvent};
use crate::hub::runs::{EventKey, Place, Stamp};

/// Bounds of a segment's length: an eighth of the log, within these. A single write may go beyond.
const SEGMENT_BYTES: (u64, u64) = (5 << 18, 64 << 20);
const SEGMENTS: u64 = 8;

/// Most bytes of events that are encoded at once when new segments get those of the history again.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// The operations on a file that can fail. Tests have a disk that does.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

/// The disk as it is.
#[derive(Debug)]
pub(super) struct SystemDisk;

impl Disk for SystemDisk {}

/// Point in the log, and the position in the history of the last event before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark {
    point: Point,
    position: u64,
}

impl Mark {
    /// The mark so many events and bytes further on, in the same segment.
    pub(super) fn advanced(self, last: EventKey, events: u64, bytes: u64) -> Self {
        let Self { point: Point { segment, end, .. }, position } = self;
        Self { point: Point { segment, end: end + bytes, last }, position: position + events }
    }
}

/// Condition of a journal's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// All that counts is where it belongs.
    Sound,
    /// Bytes behind the last sync may not reach the disk.
    Unsynced,
    /// Files were removed, moved or changed by others.
    Lost,
}

/// An open log, which no other process has open.
#[derive(Debug)]
pub(in crate::hub) struct Journal {
    folder: Folder,
    disk: Arc<dyn Disk>,
    syncs_always: bool,
    /// The oldest first. The last one is appended to.
    segments: VecDeque<Segment>,
    /// File of the last segment, unless there was no room for one at the start.
    current: Option<Arc<File>>,
    /// Number of the next segment; none is used twice.
    next: u64,
    condition: Condition,
    /// The log is on the disk up to here.
    synced: Mark,
    /// Files with bytes behind that, and the folder if it has names behind it.
    unsynced: Vec<Arc<File>>,
    is_folder_unsynced: bool,
    /// Number of the times that `synced` was set anew, so that the outcome of an older sync counts no more.
    generation: u64,
    /// Length at which a segment is full, if the system does not let files grow as usual.
    most_bytes: u64,
}

/// Files for a thread that syncs them.
#[derive(Debug)]
pub(super) struct SyncRequest {
    disk: Arc<dyn Disk>,
    files: Vec<Arc<File>>,
    folder: Option<File>,
    mark: Mark,
    generation: u64,
}

/// Outcome of a [`SyncRequest`].
#[derive(Debug)]
pub(super) struct SyncOutcome {
    mark: Mark,
    generation: u64,
    result: io::Result<()>,
}

impl SyncRequest {
    /// Waits until the disk has the files.
    pub(super) fn carry_out(self) -> SyncOutcome {
        let files = self.files.iter().try_for_each(|file| self.disk.sync(file));
        let result = files.and_then(|()| self.folder.map_or(Ok(()), |folder| folder.sync_all()));
        SyncOutcome { mark: self.mark, generation: self.generation, result }
    }
}

impl Journal {
    /// Opens a log behind what was recovered of it. It takes items once [`Self::renew`] has begun a segment.
    pub(super) fn behind(recovered: Segments, folder: Folder, disk: Arc<dyn Disk>, syncs_always: bool) -> Self {
        let Segments { segments, end, next } = recovered;
        let position = segments.last().map_or(0, |segment| segment.position);
        Self {
            folder,
            disk,
            syncs_always,
            segments: VecDeque::from(segments),
            current: None,
            next,
            condition: Condition::Unsynced,
            synced: Mark { point: end, position },
            unsynced: Vec::new(),
            is_folder_unsynced: false,
            generation: 0,
            most_bytes: u64::MAX,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    #[cfg(test)]
    pub(in crate::hub) fn put_on(&mut self, disk: Arc<dyn Disk>) {
        self.disk = disk;
    }

    /// Says if items can be appended; else [`Self::renew`] has to make that so.
    pub(super) fn is_sound(&self) -> bool {
        self.condition == Condition::Sound
    }

    /// Appends the items of events up to this one, all or none, and syncs them if that is done for each. Returns the
    /// end of the log before them.
    ///
    /// # Errors
    ///
    /// The system's. Nothing of the items counts then. A later attempt may succeed, after [`Self::renew`] if the
    /// journal is not sound any more.
    pub(super) fn append(&mut self, items: &[u8], last: EventKey, position: u64) -> io::Result<Mark> {
        if self.is_full(items.len() as u64) {
            self.begin_segment()?;
        }
        let before = self.mark();
        self.write(items)?;
        if self.syncs_always {
            self.sync_current()?;
        }
        if let Some(current) = self.segments.back_mut() {
            current.end += items.len() as u64;
            (current.last, current.position) = (last, position);
        }
        if self.syncs_always {
            self.set_synced(self.mark());
        }
        Ok(before)
    }

    /// Writes behind the end that counts, or cuts off a part that was written.
    fn write(&mut self, items: &[u8]) -> io::Result<()> {
        let Some(current) = self.current.clone() else { return Err(io::Error::other("the journal has no segment")) };
        let written = self.disk.append(&current, items);
        if let Err(error) = &written {
            if self.end() > header::LENGTH as u64 {
                self.learn_limit(error, self.end());
            }
            self.cut_off(&current);
        } else if !self.unsynced.last().is_some_and(|last| Arc::ptr_eq(last, &current)) {
            self.unsynced.push(current);
        }
        written
    }

    /// Has later segments stay below a length if an error says that a file cannot grow further (`ulimit -f`).
    fn learn_limit(&mut self, error: &io::Error, bytes: u64) {
        if error.kind() == io::ErrorKind::FileTooLarge {
            self.most_bytes = bytes;
        }
    }

    /// Cuts off what is behind the end that counts.
    fn cut_off(&mut self, current: &File) {
        if current.metadata().is_ok_and(|data| data.len() < self.end()) {
            // Somebody else has cut off more, which this would hide.
            self.condition = Condition::Lost;
        } else if self.disk.truncate(current, self.end()).is_err() {
            self.condition = Condition::Unsynced;
            // Should no new segment say so, this does.
            let EventKey { boot, number } = self.mark().point.last;
            let stamp = Stamp { boot, number, ..Stamp::default() };
            let mut item = Vec::new();
            item::encode_progress(&Progress { stamp, ..Progress::default() }, &mut item);
            let _ = self.disk.append(current, &item);
        }
    }

    /// Takes back events that were appended behind this mark. They are void once [`Self::renew`] has succeeded.
    pub(super) fn take_back(&mut self, mark: Mark) {
        if self.synced.position > mark.position {
            self.set_synced(mark);
        }
        self.generation += 1;
        if self.condition == Condition::Sound {
            self.condition = Condition::Unsynced;
        }
    }

    fn sync_current(&mut self) -> io::Result<()> {
        let Some(current) = self.current.clone() else { return Ok(()) };
        let synced = self.disk.sync(&current).and_then(|()| match mem::take(&mut self.is_folder_unsynced) {
            true => self.folder.sync(),
            false => Ok(()),
        });
        if synced.is_err() {
            // A later sync of this file would report success and mean nothing.
            self.condition = Condition::Unsynced;
            self.cut_off(&current);
        }
        synced
    }

    /// Number of bytes of the last segment that count.
    fn end(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.end)
    }

    /// The end of the log.
    fn mark(&self) -> Mark {
        self.segments.back().map_or(Mark::default(), |Segment { number, end, last, position, .. }| Mark {
            point: Point { segment: *number, end: *end, last: *last },
            position: *position,
        })
    }

    fn set_synced(&mut self, mark: Mark) {
        self.synced = mark;
        self.unsynced.clear();
        self.is_folder_unsynced = false;
        self.generation += 1;
    }

    /// Says if these bytes belong into a new segment.
    fn is_full(&self, more: u64) -> bool {
        self.end() > header::LENGTH as u64 && self.end() + more > self.most_segment_bytes()
    }

    /// Length at which a segment is full.
    fn most_segment_bytes(&self) -> u64 {
        let (least, most) = SEGMENT_BYTES;
        let bytes: u64 = self.segments.iter().map(|segment| segment.end).sum();
        (bytes / SEGMENTS).clamp(least, most).min(self.most_bytes)
    }

    /// Begins a new segment behind the last one.
    fn begin_segment(&mut self) -> io::Result<()> {
        let Mark { point: behind, position } = self.mark();
        let number = self.take_number();
        let oldest = self.segments.front().map_or(number, |segment| segment.number);
        let header = Header { number, behind, oldest, syncs_always: self.syncs_always };
        let (file, segment) = create(&self.folder, &*self.disk, &header, position)?;
        if let Err(error) = self.folder.finish(number) {
            self.folder.discard(number);
            return Err(error);
        }
        self.segments.push_back(segment);
        let file = Arc::new(file);
        self.unsynced.push(Arc::clone(&file));
        self.current = Some(file);
        self.is_folder_unsynced = true;
        Ok(())
    }

    fn take_number(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next - 1
    }

    /// Begins a new segment that has again what may not be on the disk, or several, and has them there. `place` is that
    /// of the next event, and `held_behind` reads the history behind a position, as
    /// [`Sequence::held_behind`](crate::hub::Sequence::held_behind).
    ///
    /// # Errors
    ///
    /// The system's, and `ResourceBusy` if another server has the folder's place. The journal stays as it was.
    pub(super) fn renew(&mut self, place: &Place, held_behind: impl HeldBehind) -> io::Result<()> {
        let is_lost = self.condition == Condition::Lost;
        if is_lost {
            self.reach_folder()?;
        }
        // Without the segment of the last sync, which the history has dropped or others have taken, all is written.
        let has_base = self.segments.iter().any(|segment| segment.number == self.synced.point.segment) && !is_lost;
        let base = if has_base { self.synced } else { Mark::default() };
        let mut made = Vec::new();
        let finished = self.write_again(base, place, held_behind, &mut made).and_then(|()| self.finish(place, &made));
        if let Err(error) = finished {
            for (_, Segment { number, identity, .. }) in made {
                self.folder.discard(number);
                // It may have its name already. If it stays, the next segment declares it void.
                let _ = self.folder.remove_segment(number, identity);
            }
            return Err(error);
        }
        while self.segments.back().is_some_and(|last| last.number > base.point.segment) {
            if let Some(void) = self.segments.pop_back() {
                // If it stays, the next server removes it.
                let _ = self.folder.remove_segment(void.number, void.identity);
            }
        }
        if let Some(last) = self.segments.back_mut() {
            (last.end, last.last, last.position) = (base.point.end, base.point.last, base.position);
        }
        for (file, segment) in made {
            self.segments.push_back(segment);
            self.current = Some(Arc::new(file));
        }
        self.condition = Condition::Sound;
        self.set_synced(self.mark());
        Ok(())
    }

    /// Writes the events of the history behind a mark to new segments, which have no names yet.
    fn write_again(
        &mut self,
        base: Mark,
        place: &Place,
        held_behind: impl HeldBehind,
        made: &mut Vec<(File, Segment)>,
    ) -> io::Result<()> {
        let most = self.most_segment_bytes();
        let portion = BYTES_AT_ONCE.min(most / 4).max(1);
        let oldest = self.segments.front().map(|segment| segment.number).filter(|_| base.point.segment > 0);
        let (mut behind, mut position) = (base.point, base.position);
        loop {
            let number = self.take_number();
            let oldest = oldest.or(made.first().map(|(_, first)| first.number)).unwrap_or(number);
            let header = Header { number, behind, oldest, syncs_always: self.syncs_always };
            made.push(create(&self.folder, &*self.disk, &header, position)?);
            let Some((file, segment)) = made.last_mut() else { return Ok(()) };
            while segment.end + portion < most {
                let (held, last) = held_behind(segment.position, portion as usize);
                let mut items = Vec::new();
                for event in &held {
                    event.encode(&mut items)?;
                    segment.last = event.stamp.key();
                }
                let is_end = held.is_empty();
                if is_end && place.is_behind_gap {
                    let stamp = place.progress();
                    item::encode_progress(&Progress { stamp, is_before_gap: true, is_end: false }, &mut items);
                }
                if let Err(error) = self.disk.append(file, &items) {
                    self.learn_limit(&error, segment.end.max(items.len() as u64 / 2));
                    return Err(error);
                }
                segment.end += items.len() as u64;
                segment.position = last.max(segment.position);
                if is_end {
                    return Ok(());
                }
            }
            behind = Point { segment: segment.number, end: segment.end, last: segment.last };
            position = segment.position;
        }
    }

    /// Has new segments on the disk and gives them their names, the oldest first. If that is interrupted, the note
    /// tells what is missing.
    fn finish(&mut self, place: &Place, made: &[(File, Segment)]) -> io::Result<()> {
        let progress = place.progress();
        made.iter().try_for_each(|(file, _)| self.disk.sync(file))?;
        if made.len() > 1 {
            self.note(&progress)?;
            self.folder.sync_note()?;
        }
        made.iter().try_for_each(|(_, segment)| self.folder.finish(segment.number))?;
        self.folder.sync()?;
        self.note(&progress)
    }

    /// Opens the folder at the log's path, if that is not the open one. Files in the old place are left as they are.
    fn reach_folder(&mut self) -> io::Result<()> {
        if !self.folder.is_in_place()? {
            let folder = Folder::open(self.folder.path())?;
            let (found, next) = folder.segments()?;
            self.next = self.next.max(next);
            if !folder.is_same(&self.folder)? {
                if !found.is_empty() {
                    let line = "the folder was replaced by another history; restart the server to use that one";
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, line));
                }
                self.segments.clear();
            }
            self.folder = folder;
        }
        self.next = self.next.max(self.folder.segments()?.1);
        Ok(())
    }

    /// Deletes the oldest segments if the history has dropped all of their events, which were `gone` so far.
    pub(super) fn release(&mut self, gone: u64) -> io::Result<()> {
        while self.segments.len() > 1 && self.segments.front().is_some_and(|oldest| oldest.position <= gone) {
            if let Some(Segment { number, identity, .. }) = self.segments.front() {
                self.folder.remove_segment(*number, *identity)?;
            }
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Looks if the folder and each segment are where they belong. Returns what is not, the first time.
    pub(super) fn check(&mut self) -> io::Result<Option<String>> {
        if self.condition == Condition::Lost {
            return Ok(None);
        }
        let lost = self.find_loss()?;
        if lost.is_some() {
            self.condition = Condition::Lost;
        }
        Ok(lost)
    }

    fn find_loss(&self) -> io::Result<Option<String>> {
        if !self.folder.is_in_place()? {
            return Ok(Some("the folder or its lock was moved or removed".to_owned()));
        }
        for Segment { number, identity, end, .. } in &self.segments {
            let is_last = self.end_segment() == *number;
            let lost = match self.folder.length_of(*number, *identity)? {
                None => "was moved, removed or replaced",
                Some(length) if length < *end => "was cut off",
                // Only this thread appends to it.
                Some(length) if length > *end && is_last && self.is_sound() => "was appended to",
                Some(_) => continue,
            };
            return Ok(Some(format!("its segment {number} {lost}")));
        }
        Ok(None)
    }

    fn end_segment(&self) -> u64 {
        self.segments.back().map_or(0, |segment| segment.number)
    }

    /// Takes the files that have to be synced; `None` if there are none.
    pub(super) fn sync_request(&mut self) -> io::Result<Option<SyncRequest>> {
        if self.unsynced.is_empty() || !self.is_sound() {
            return Ok(None);
        }
        let folder = if self.is_folder_unsynced { Some(self.folder.handle()?) } else { None };
        self.is_folder_unsynced = false;
        let (disk, files) = (Arc::clone(&self.disk), mem::take(&mut self.unsynced));
        Ok(Some(SyncRequest { disk, files, folder, mark: self.mark(), generation: self.generation }))
    }

    /// Takes the outcome of a sync.
    pub(super) fn synced(&mut self, outcome: SyncOutcome) -> io::Result<()> {
        let SyncOutcome { mark, generation, result } = outcome;
        if generation != self.generation {
            return Ok(());
        }
        match result {
            Ok(()) => self.synced = mark,
            Err(_) if self.is_sound() => self.condition = Condition::Unsynced,
            Err(_) => {}
        }
        result
    }

    /// Notes progress beside the segments, so that a later server finds what is missing at the end.
    pub(super) fn note(&mut self, progress: &Stamp) -> io::Result<()> {
        let mut note = Vec::new();
        item::encode_progress(&Progress { stamp: *progress, ..Progress::default() }, &mut note);
        self.folder.write_note(&note)
    }

    /// Ends the log: notes in it that nothing is missing, and has everything on the disk.
    pub(super) fn end_with(&mut self, place: &Place) -> io::Result<()> {
        let stamp = place.progress();
        let mut item = Vec::new();
        item::encode_progress(&Progress { stamp, is_before_gap: place.is_behind_gap, is_end: true }, &mut item);
        // Without room for the note the events still have to reach the disk.
        let noted = self.write(&item).and_then(|()| self.note(&stamp));
        let mut files = mem::take(&mut self.unsynced).into_iter();
        let synced = files.try_for_each(|file| self.disk.sync(&file)).and_then(|()| self.folder.sync());
        if synced.is_err() {
            self.condition = Condition::Unsynced;
        }
        synced.and(noted).and_then(|()| self.folder.sync_note())
    }
}

/// A function that reads the history behind a position, until so many bytes are there.
pub(super) trait HeldBehind: Fn(u64, usize) -> (Vec<HeldEvent>, u64) {}

impl<F: Fn(u64, usize) -> (Vec<HeldEvent>, u64)> HeldBehind for F {}

impl HeldEvent {
    /// Adds the bytes of its item to a buffer.
    fn encode(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let StoredEvent { own_id, message, .. } = &self.event;
        let record = Record {
            stamp: self.stamp,
            is_behind_gap: self.is_behind_gap,
            has_successor: false,
            own_id: own_id.as_deref(),
            topics: message.topics.clone(),
            frame: message.frame.as_bytes(),
        };
        record.encode(buffer)
    }
}

/// Makes the file of a segment, still without its name, and writes its header.
fn create(folder: &Folder, disk: &dyn Disk, header: &Header, position: u64) -> io::Result<(File, Segment)> {
    let number = header.number;
    let file = folder.create(number)?;
    let written = disk.append(&file, &header.encode()).and_then(|()| Identity::of(&file));
    match written {
        Ok(identity) => {
            let (end, last) = (header::LENGTH as u64, header.behind.last);
            Ok((file, Segment { number, identity, end, last, position }))
        }
        Err(error) => {
            folder.discard(number);
            Err(error)
        }
    }
}
