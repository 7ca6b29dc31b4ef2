//! The header of a segment, which says where the log goes on from.
//!
//! Pure: `super` has the format as a table. The invariant: the segments before this one count from the oldest up to the
//! point that it names, whatever else their files have. So what was written and then refused never counts.

use crate::hub::boot::Boot;
use crate::hub::runs::EventKey;

/// First bytes of a segment: the name of the format, and its version.
const NAME: [u8; 16] = *b"smolcast-log\x02\0\0\0";

/// Length of the version at the end of the name.
const VERSION_LENGTH: usize = 4;

/// Length of a header, in bytes.
pub(super) const LENGTH: usize = 80;

/// Length of the fields before the checksum.
const FIELDS: usize = LENGTH - 4;

const SYNCS_ALWAYS: u32 = 1;

/// Header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Number of the segment; its file's name has it too.
    pub(super) number: u64,
    /// End of the log before this segment.
    pub(super) behind: Point,
    /// Number of the oldest segment that counts: this one, if none before it does.
    pub(super) oldest: u64,
    /// Set if each of its events was on the disk before its publisher knew.
    pub(super) syncs_always: bool,
}

/// Point in a log: a segment, and the number of its bytes that count. Segment 0 stands for nothing at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) segment: u64,
    pub(super) end: u64,
    /// The last event before it.
    pub(super) last: EventKey,
}

/// Outcome of reading a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Header(Header),
    /// A sound header of another version of the format.
    Version(u32),
    /// It is damaged, or torn, or another program's.
    Unsound,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; LENGTH] {
        let flags = if self.syncs_always { SYNCS_ALWAYS } else { 0 };
        let mut bytes = [0; LENGTH];
        bytes[..16].copy_from_slice(&NAME);
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.behind.segment.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.behind.end.to_le_bytes());
        bytes[40..56].copy_from_slice(&self.behind.last.boot.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.behind.last.number.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[72..FIELDS].copy_from_slice(&flags.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..FIELDS]);
        bytes[FIELDS..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of a segment.
    pub(super) fn decode(segment: &[u8]) -> Decoded {
        let Some(bytes) = segment.first_chunk::<LENGTH>() else { return Decoded::Unsound };
        let u64_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let u32_at = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let (name, _) = bytes.split_at(NAME.len() - VERSION_LENGTH);
        if !NAME.starts_with(name) || crc32fast::hash(&bytes[..FIELDS]) != u32_at(FIELDS) {
            return Decoded::Unsound;
        }
        if !bytes.starts_with(&NAME) {
            return Decoded::Version(u32_at(name.len()));
        }
        let boot = Boot::from_le_bytes(bytes[40..].first_chunk().copied().unwrap_or_default());
        let last = EventKey { boot, number: u64_at(56) };
        Decoded::Header(Self {
            number: u64_at(16),
            behind: Point { segment: u64_at(24), end: u64_at(32), last },
            oldest: u64_at(64),
            syncs_always: u32_at(72) & SYNCS_ALWAYS != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Header = Header {
        number: 3,
        behind: Point { segment: 2, end: 0x0102, last: EventKey { boot: Boot::from_number(7), number: 6 } },
        oldest: 1,
        syncs_always: true,
    };

    /// Written by hand from the table of the format.
    #[test]
    fn a_header_is_encoded_as_documented() {
        let fields = b"smolcast-log\x02\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\
            \x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0";
        let bytes = HEADER.encode();
        assert_eq!(bytes[..FIELDS], *fields);
        assert_eq!(bytes[FIELDS..], crc32fast::hash(fields).to_le_bytes());
        assert_eq!(Header::decode(&[&bytes[..], b"more"].concat()), Decoded::Header(HEADER));
        let plain = Header { syncs_always: false, ..HEADER };
        assert_eq!(Header::decode(&plain.encode()), Decoded::Header(plain));
    }

    #[test]
    fn a_changed_header_is_unsound_and_another_version_is_named() {
        let bytes = HEADER.encode();
        for position in 0..LENGTH {
            let mut wrong = bytes;
            wrong[position] ^= 1;
            assert_eq!(Header::decode(&wrong), Decoded::Unsound, "byte {position}");
            assert_eq!(Header::decode(&bytes[..position]), Decoded::Unsound, "{position} bytes of it");
        }
        let mut newer = bytes;
        newer[12] = 3;
        let checksum = crc32fast::hash(&newer[..FIELDS]);
        newer[FIELDS..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Header::decode(&newer), Decoded::Version(3));
    }
}
