//! One record of a journal, and its bytes.
//!
//! Pure: `super` has the format as tables. There is one way to encode a record, and nothing else is decoded.

use std::io;
use std::sync::Arc;

use crate::event::frame::Frame;
use crate::event::topic::Topics;
use crate::hub::history::{StoredEvent, server_id};
use crate::hub::queue::Message;

/// A published event, with all that a later server needs to send it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Time of its publication, in milliseconds since 1970.
    pub(crate) at: u64,
    /// Start of the server that published it.
    pub(crate) boot: u64,
    /// Number since that start, from 1.
    pub(crate) number: u64,
    /// Id that its publisher gave it.
    pub(crate) own_id: Option<String>,
    /// Topics of the message.
    pub(crate) topics: Vec<String>,
    /// Bytes of the event as clients get them.
    pub(crate) frame: Arc<[u8]>,
}

/// Length of the head before a payload, in bytes.
pub(super) const HEAD_LENGTH: usize = 12;

/// Length of a payload without an ID, topics and bytes of an event.
const LEAST_PAYLOAD: usize = 8 + 8 + 8 + 1 + 4;

/// Above any event that a sensible limit lets in, and small enough to be read at once.
const MOST_PAYLOAD: usize = 1 << 28;

impl Record {
    /// Id by which clients know the event.
    pub(super) fn id(&self) -> String {
        self.own_id.clone().unwrap_or_else(|| server_id(self.boot, self.number))
    }

    /// The event as the history holds it, with its topics parsed.
    pub(in crate::hub) fn into_event(self, topics: Topics) -> StoredEvent {
        let (id, is_own) = (self.id(), self.own_id.is_some());
        StoredEvent { at: self.at, id, is_own, message: Message { frame: Frame::encoded(self.frame), topics } }
    }

    /// Adds its bytes to a buffer and returns their number; a record that is too long is `InvalidInput` and adds none.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) -> io::Result<u32> {
        let own_id = self.own_id.as_ref().map_or(0, |id| 4 + id.len());
        let topics: usize = self.topics.iter().map(|topic| 4 + topic.len()).sum();
        let length = LEAST_PAYLOAD + own_id + topics + self.frame.len();
        if length > MOST_PAYLOAD {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an event is too long for the history file"));
        }
        buffer.reserve(HEAD_LENGTH + length);
        let start = buffer.len();
        buffer.extend_from_slice(&[0; HEAD_LENGTH]);
        self.encode_payload(buffer);
        let payload = &buffer[start + HEAD_LENGTH..];
        let head = Head { length: length as u32, checksum: crc32fast::hash(payload) };
        buffer[start..start + HEAD_LENGTH].copy_from_slice(&head.encode());
        Ok((HEAD_LENGTH + length) as u32)
    }

    fn encode_payload(&self, buffer: &mut Vec<u8>) {
        for number in [self.at, self.boot, self.number] {
            buffer.extend_from_slice(&number.to_le_bytes());
        }
        buffer.push(u8::from(self.own_id.is_some()));
        if let Some(id) = &self.own_id {
            encode_text(id, buffer);
        }
        buffer.extend_from_slice(&(self.topics.len() as u32).to_le_bytes());
        for topic in &self.topics {
            encode_text(topic, buffer);
        }
        buffer.extend_from_slice(&self.frame);
    }

    /// Decodes a payload; `None` if it is no record's.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = FieldReader(payload);
        Some(Self {
            at: fields.u64()?,
            boot: fields.u64()?,
            number: fields.u64()?,
            own_id: fields.optional_text()?,
            topics: fields.texts()?,
            frame: Arc::from(fields.0),
        })
    }
}

/// Encodes a text behind its length. The caller has checked that the record is short enough for the length to fit.
fn encode_text(text: &str, buffer: &mut Vec<u8>) {
    buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
    buffer.extend_from_slice(text.as_bytes());
}

/// Head of a record: it announces the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    length: u32,
    checksum: u32,
}

impl Head {
    fn encode(self) -> [u8; HEAD_LENGTH] {
        let length = self.length.to_le_bytes();
        let mut head = [0; HEAD_LENGTH];
        head[..4].copy_from_slice(&length);
        head[4..8].copy_from_slice(&crc32fast::hash(&length).to_le_bytes());
        head[8..].copy_from_slice(&self.checksum.to_le_bytes());
        head
    }

    /// Decodes a head; `None` if its length is damaged or out of bounds.
    pub(super) fn decode(head: &[u8; HEAD_LENGTH]) -> Option<Self> {
        let mut fields = FieldReader(head);
        let (length, check, checksum) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let is_sound = crc32fast::hash(&head[..4]) == check;
        let is_bounded = (LEAST_PAYLOAD..=MOST_PAYLOAD).contains(&(length as usize));
        (is_sound && is_bounded).then_some(Self { length, checksum })
    }

    /// Length of the payload.
    pub(super) fn payload_length(self) -> usize {
        self.length as usize
    }

    /// Length of the whole record.
    pub(super) fn record_length(self) -> u32 {
        HEAD_LENGTH as u32 + self.length
    }

    /// Says if this is the announced payload.
    pub(super) fn announces(self, payload: &[u8]) -> bool {
        payload.len() == self.payload_length() && crc32fast::hash(payload) == self.checksum
    }
}

/// The bytes of a head or a payload that are not decoded yet.
struct FieldReader<'p>(&'p [u8]);

impl<'p> FieldReader<'p> {
    fn take(&mut self, count: usize) -> Option<&'p [u8]> {
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

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.u32()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok().map(str::to_owned)
    }

    fn optional_text(&mut self) -> Option<Option<String>> {
        match self.take(1)? {
            [0] => Some(None),
            [1] => self.text().map(Some),
            _ => None,
        }
    }

    /// The list grows with its texts, and not with the count that the file names.
    fn texts(&mut self) -> Option<Vec<String>> {
        let count = self.u32()?;
        (0..count).map(|_| self.text()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            at: 0x0102_0304,
            boot: 5,
            number: 6,
            own_id: Some("é".to_owned()),
            topics: vec!["a".to_owned(), String::new()],
            frame: Arc::from(&b"data: x\n\n"[..]),
        }
    }

    /// Written by hand from the tables of the format.
    #[test]
    fn a_record_is_encoded_as_documented() {
        let mut buffer = b"before".to_vec();
        let length = record().encode(&mut buffer).expect("it is short");
        let payload = b"\x04\x03\x02\x01\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\
            \x01\x02\0\0\0\xc3\xa9\x02\0\0\0\x01\0\0\0a\0\0\0\0data: x\n\n";
        let (head, rest) = buffer.strip_prefix(b"before").expect("it is added").split_at(HEAD_LENGTH);
        assert_eq!(rest, payload);
        assert_eq!(head[..4], [53, 0, 0, 0]);
        assert_eq!(head[4..8], crc32fast::hash(&[53, 0, 0, 0]).to_le_bytes());
        assert_eq!(head[8..], crc32fast::hash(payload).to_le_bytes());
        assert_eq!(length as usize, HEAD_LENGTH + payload.len());
        assert_eq!(Record::decode(payload), Some(record()));
    }

    #[test]
    fn the_checksum_is_the_common_one() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926, "the check value of CRC-32/ISO-HDLC");
    }

    #[test]
    fn what_is_no_payload_is_not_decoded() {
        let mut buffer = Vec::new();
        let bare = Record { own_id: None, topics: Vec::new(), frame: Arc::from([]), ..record() };
        bare.encode(&mut buffer).expect("it is short");
        let payload = &buffer[HEAD_LENGTH..];
        assert_eq!(payload.len(), LEAST_PAYLOAD);
        assert_eq!(Record::decode(payload), Some(bare));
        for end in 0..payload.len() {
            assert_eq!(Record::decode(&payload[..end]), None, "{end} bytes of it");
        }
        let with = |offset: usize, byte: u8| {
            let mut payload = payload.to_vec();
            payload[offset] = byte;
            Record::decode(&payload)
        };
        assert_eq!(with(24, 1), None, "an ID that is not there");
        assert_eq!(with(24, 2), None, "neither with nor without an ID");
        assert_eq!(with(28, 0xff), None, "as many topics as a number can count");

        let bad_text = [&payload[..24], b"\x01\x01\0\0\0\xff\0\0\0\0"].concat();
        assert_eq!(Record::decode(&bad_text), None, "not UTF-8");
    }

    #[test]
    fn a_length_out_of_bounds_is_no_head() {
        let head = |length: usize| Head::decode(&Head { length: length as u32, checksum: 0 }.encode());
        for length in [0, LEAST_PAYLOAD - 1, MOST_PAYLOAD + 1, u32::MAX as usize] {
            assert_eq!(head(length), None, "{length}");
        }
        for length in [LEAST_PAYLOAD, MOST_PAYLOAD] {
            assert_eq!(head(length).map(Head::payload_length), Some(length));
        }
        assert_eq!(Head::decode(&[0; HEAD_LENGTH]), None, "zeros");
    }

    #[test]
    fn a_record_that_is_too_long_is_refused() {
        let frame = Arc::from(vec![0; MOST_PAYLOAD - LEAST_PAYLOAD + 1]);
        let long = Record { own_id: None, topics: Vec::new(), frame, ..record() };
        let mut buffer = Vec::new();
        let refused = long.encode(&mut buffer).expect_err("one byte too many");
        assert_eq!((refused.kind(), buffer.len()), (io::ErrorKind::InvalidInput, 0));
    }
}
