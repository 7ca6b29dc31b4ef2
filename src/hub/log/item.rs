//! The items of a segment, and their bytes: events, and notes of progress.
//!
//! Pure: `super` has the format as tables. There is one way to encode an item, and nothing else is decoded. An item
//! says all about itself, so that it can be read whatever happened to those around it. No text has the bytes of its
//! marker, so that no publisher can write something that is taken for an item.

use std::io;

use memchr::memmem;

use crate::event::topic::Topics;
use crate::hub::boot::Boot;
use crate::hub::runs::Stamp;

/// First bytes of an item, which UTF-8 cannot have.
const MARKER: [u8; 4] = [0xff, b's', b'm', 0xfe];

/// Length of an item before its payload: the marker, the payload's length and the checksum.
const HEAD_LENGTH: usize = 12;

/// Length of the fields that every payload has.
const STAMP_LENGTH: usize = 1 + 16 + 8 + 8 + 8;

/// Above any event that a sensible limit lets in, and small enough to be read at once.
const MOST_PAYLOAD: usize = 1 << 28;

/// Kinds of items; further bits.
const PROGRESS: u8 = 0;
const EVENT: u8 = 1;
const HAS_ID: u8 = 2;
const IS_BEHIND_GAP: u8 = 4;
const HAS_SUCCESSOR: u8 = 8;
const IS_END: u8 = 2;

/// An item of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item<'b> {
    /// A published event.
    Event(Record<'b>),
    /// The last event of a server so far, or of a server that ended.
    Progress(Progress),
}

/// A note of progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Origin of the last event, or with number 0 of none.
    pub(super) stamp: Stamp,
    /// Mark: events are missing behind it.
    pub(super) is_before_gap: bool,
    /// Set if the server shut down with this event as its last.
    pub(super) is_end: bool,
}

/// A published event, with all that a later server needs to send it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'b> {
    pub(super) stamp: Stamp,
    /// Mark: events are missing before it.
    pub(super) is_behind_gap: bool,
    /// Set if the same write has another event behind this one, and without that neither counts.
    pub(super) has_successor: bool,
    /// Id that its publisher gave it.
    pub(super) own_id: Option<&'b str>,
    pub(super) topics: Topics,
    /// Bytes of the event as clients get them.
    pub(super) frame: &'b [u8],
}

impl Record<'_> {
    /// Adds the bytes of the item to a buffer; one that is too long is `InvalidInput` and adds none.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let own_id = self.own_id.map_or(0, |id| 4 + id.len());
        let topics: usize = self.topics.iter().map(|topic| 4 + topic.len()).sum();
        let length = STAMP_LENGTH + own_id + 4 + topics + self.frame.len();
        if length > MOST_PAYLOAD {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an event is too long for the history"));
        }
        buffer.reserve(HEAD_LENGTH + length);
        let with_id = if self.own_id.is_some() { HAS_ID } else { 0 };
        let behind_gap = if self.is_behind_gap { IS_BEHIND_GAP } else { 0 };
        let with_successor = if self.has_successor { HAS_SUCCESSOR } else { 0 };
        let start = begin(EVENT | with_id | behind_gap | with_successor, &self.stamp, buffer);
        if let Some(id) = self.own_id {
            encode_text(id, buffer);
        }
        buffer.extend_from_slice(&(self.topics.iter().count() as u32).to_le_bytes());
        for topic in self.topics.iter() {
            encode_text(topic, buffer);
        }
        buffer.extend_from_slice(self.frame);
        end(start, buffer);
        Ok(())
    }
}

/// Adds the bytes of a note of progress to a buffer.
pub(super) fn encode_progress(progress: &Progress, buffer: &mut Vec<u8>) {
    let before_gap = if progress.is_before_gap { IS_BEHIND_GAP } else { 0 };
    let end_of_server = if progress.is_end { IS_END } else { 0 };
    let start = begin(PROGRESS | before_gap | end_of_server, &progress.stamp, buffer);
    end(start, buffer);
}

/// Begins an item; returns its position in the buffer.
fn begin(kind: u8, stamp: &Stamp, buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.extend_from_slice(&MARKER);
    buffer.extend_from_slice(&[0; HEAD_LENGTH - MARKER.len()]);
    buffer.push(kind);
    buffer.extend_from_slice(&stamp.boot.to_le_bytes());
    for number in [stamp.started_at, stamp.uptime, stamp.number] {
        buffer.extend_from_slice(&number.to_le_bytes());
    }
    start
}

/// Ends the item that began at this position: writes the payload's length and the checksum.
fn end(start: usize, buffer: &mut [u8]) {
    let (head, payload) = buffer[start..].split_at_mut(HEAD_LENGTH);
    let length = (payload.len() as u32).to_le_bytes();
    head[4..8].copy_from_slice(&length);
    head[8..].copy_from_slice(&checksum(length, payload).to_le_bytes());
}

/// Says if an event with so many bytes of id, topics and frame is short enough for an item.
pub(super) fn fits(length: usize) -> bool {
    // The lengths of the texts take some as well.
    length.saturating_add(1024) <= MOST_PAYLOAD
}

/// Encodes a text behind its length. The caller has checked that the item is short enough for the length to fit.
fn encode_text(text: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// Outcome of reading at a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decoded<'b> {
    /// A sound item, and its length.
    Item(Item<'b>, usize),
    /// The bytes end within an item, as after a write that was cut short.
    Torn,
    /// No item is here.
    Unsound,
}

/// Reads the item at the start of the bytes, which are not empty.
pub(super) fn decode(bytes: &[u8]) -> Decoded<'_> {
    let known = bytes.len().min(MARKER.len());
    if bytes[..known] != MARKER[..known] {
        return Decoded::Unsound;
    }
    let mut fields = FieldReader(bytes);
    let (Some(_), Some(length), Some(sum)) = (fields.take(4), fields.take(4), fields.u32()) else {
        return Decoded::Torn;
    };
    let length = <[u8; 4]>::try_from(length).unwrap_or_default();
    let count = u32::from_le_bytes(length) as usize;
    if !(STAMP_LENGTH..=MOST_PAYLOAD).contains(&count) {
        return Decoded::Unsound;
    }
    let Some(payload) = fields.take(count) else { return Decoded::Torn };
    if checksum(length, payload) != sum {
        return Decoded::Unsound;
    }
    decode_payload(payload).map_or(Decoded::Unsound, |item| Decoded::Item(item, HEAD_LENGTH + count))
}

fn decode_payload(payload: &[u8]) -> Option<Item<'_>> {
    let mut fields = FieldReader(payload);
    let kind = *fields.take(1)?.first()?;
    let boot = Boot::from_le_bytes(fields.take(16)?.try_into().ok()?);
    let stamp = Stamp { boot, started_at: fields.u64()?, uptime: fields.u64()?, number: fields.u64()? };
    let has = |bit: u8| kind & bit != 0;
    if kind & !(IS_BEHIND_GAP | IS_END) == PROGRESS {
        let progress = Progress { stamp, is_before_gap: has(IS_BEHIND_GAP), is_end: has(IS_END) };
        return fields.0.is_empty().then_some(Item::Progress(progress));
    }
    if kind & !(HAS_ID | IS_BEHIND_GAP | HAS_SUCCESSOR) != EVENT || stamp.number == 0 {
        return None;
    }
    let own_id = if has(HAS_ID) { Some(fields.text()?) } else { None };
    // The list grows with its texts, and not with the count that the file names.
    let topics: Vec<_> = (0..fields.u32()?).map(|_| fields.text()).collect::<Option<_>>()?;
    // No program of ours wrote other topics, and no client can ask for them.
    let topics = Topics::parse(topics).ok()?;
    let (is_behind_gap, has_successor) = (has(IS_BEHIND_GAP), has(HAS_SUCCESSOR));
    Some(Item::Event(Record { stamp, is_behind_gap, has_successor, own_id, topics, frame: fields.0 }))
}

/// Distance to the next place behind the first byte where an item may begin, or to the end.
pub(super) fn distance_to_next(bytes: &[u8]) -> usize {
    memmem::find(&bytes[1..], &MARKER).map_or(bytes.len(), |distance| distance + 1)
}

/// Bytes that are not decoded yet.
struct FieldReader<'b>(&'b [u8]);

impl<'b> FieldReader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.u32()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(texts: &[&str]) -> Topics {
        Topics::parse(texts.iter().copied()).expect("topics")
    }

    fn stamp() -> Stamp {
        Stamp { boot: Boot::from_number(5), started_at: 0x0102_0304, uptime: 7, number: 6 }
    }

    fn record() -> Record<'static> {
        let topics = topics(&["a", "b/c"]);
        let (is_behind_gap, has_successor) = (true, true);
        Record { stamp: stamp(), is_behind_gap, has_successor, own_id: Some("é"), topics, frame: b"data: x\n\n" }
    }

    fn encoded(record: &Record<'_>) -> Vec<u8> {
        let mut buffer = Vec::new();
        record.encode(&mut buffer).expect("it is short");
        buffer
    }

    const STAMP: &[u8] = b"\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x04\x03\x02\x01\0\0\0\0\
        \x07\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0";

    /// Written by hand from the tables of the format.
    #[test]
    fn an_event_is_encoded_as_documented() {
        let mut buffer = b"before".to_vec();
        record().encode(&mut buffer).expect("it is short");
        let payload = [b"\x0f", STAMP, b"\x02\0\0\0\xc3\xa9\x02\0\0\0\x01\0\0\0a\x03\0\0\0b/cdata: x\n\n"].concat();
        let (head, rest) = buffer.strip_prefix(b"before").expect("it is added").split_at(HEAD_LENGTH);
        assert_eq!(rest, payload);
        assert_eq!(head[..8], *b"\xffsm\xfe\x48\0\0\0");
        assert_eq!(payload.len(), 0x48);
        assert_eq!(head[8..], crc32fast::hash(&[b"\x48\0\0\0", rest].concat()).to_le_bytes());
        assert_eq!(decode(&buffer[6..]), Decoded::Item(Item::Event(record()), HEAD_LENGTH + payload.len()));
    }

    #[test]
    fn progress_is_encoded_as_documented() {
        let mut buffer = Vec::new();
        let progress = Progress { stamp: stamp(), is_before_gap: true, is_end: true };
        encode_progress(&progress, &mut buffer);
        assert_eq!(buffer[HEAD_LENGTH..], [b"\x06", STAMP].concat());
        assert_eq!(decode(&buffer), Decoded::Item(Item::Progress(progress), buffer.len()));
    }

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(checksum(*b"1234", b"56789"), 0xcbf4_3926, "the check value of CRC-32/ISO-HDLC");
    }

    #[test]
    fn a_part_of_an_item_is_torn_and_a_changed_one_unsound() {
        let whole = encoded(&record());
        for end in 1..whole.len() {
            assert_eq!(decode(&whole[..end]), Decoded::Torn, "{end} bytes of it");
        }
        for position in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[position] ^= 1;
            assert!(!matches!(decode(&wrong), Decoded::Item(..)), "byte {position}");
        }
    }

    #[test]
    fn what_no_program_wrote_is_unsound() {
        let with_payload = |payload: &[u8]| {
            let length = (payload.len() as u32).to_le_bytes();
            let head = [&MARKER[..], &length, &checksum(length, payload).to_le_bytes()].concat();
            decode(&[&head, payload].concat()) == Decoded::Unsound
        };
        let bare = [b"\x01", STAMP, b"\0\0\0\0"].concat();
        assert!(!with_payload(&bare), "an event without anything");
        assert!(with_payload(&[b"\x11", STAMP, b"\0\0\0\0"].concat()), "another kind");
        assert!(with_payload(&[&bare[..33], &[0; 8], &bare[41..]].concat()), "an event with number 0");
        assert!(with_payload(&[b"\0", STAMP, b"x"].concat()), "progress with something behind it");
        assert!(with_payload(&[b"\x03", STAMP, b"\0\0\0\0"].concat()), "an ID, but no topics");
        assert!(with_payload(&[b"\x01", STAMP, b"\xff\xff\xff\xff"].concat()), "more topics than there are");
        assert!(with_payload(&[b"\x01", STAMP, b"\x01\0\0\0\x01\0\0\0+"].concat()), "no topic");
        assert!(with_payload(&[b"\x03", STAMP, b"\x01\0\0\0\xff\0\0\0\0"].concat()), "not UTF-8");
        assert!(with_payload(&bare[..STAMP_LENGTH - 1]), "too short");
        let long = [&MARKER[..], &[0xff; 8]].concat();
        assert_eq!(decode(&long), Decoded::Unsound, "a length that no item has takes no memory");
    }

    #[test]
    fn a_record_that_is_too_long_is_refused() {
        let frame = vec![0; MOST_PAYLOAD];
        let mut buffer = Vec::new();
        let refused = Record { frame: &frame, ..record() }.encode(&mut buffer).expect_err("it is too long");
        assert_eq!((refused.kind(), buffer.len()), (io::ErrorKind::InvalidInput, 0));
    }

    #[test]
    fn the_next_item_is_found_behind_others_bytes() {
        let whole = encoded(&record());
        let bytes = [&whole[..10], b"\xff\xffs", &whole].concat();
        assert_eq!(distance_to_next(&bytes), 13);
        assert_eq!(distance_to_next(&bytes[13..]), whole.len(), "the end");
        assert_eq!(distance_to_next(b"x"), 1);
    }
}
