//! The stamp of a measured message: its number and the moment it was due, written by the publisher and read by every
//! subscriber.
//!
//! The reading side runs millions of times a second on cores that the measured server needs, so it
//! takes eight digits at a time and looks at nothing but the stamp and the event's last two bytes.

use std::io::Write;

use anyhow::{Result, ensure};

/// The bytes of a stamp, hence of the smallest payload: `SSSSSSSS DDDDDDDDDDDDDDDDDDDDDDDD`.
pub(crate) const STAMP_BYTES: usize = 8 + 1 + 24;

const FIELD: &[u8] = b"data: ";
const EIGHT_DIGITS: u64 = 100_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The message's place in the order in which all were published, from 0.
    pub(crate) sequence: u64,
    /// The moment at which it was due (open loop); it may have been sent later.
    pub(crate) due: u64,
}

/// The length of the event that a payload of `size` bytes becomes.
pub(crate) fn event_bytes(size: usize) -> usize {
    FIELD.len() + size + 2
}

/// Appends a payload of exactly `size` bytes that opens with `stamp`.
pub(crate) fn append_payload(out: &mut Vec<u8>, stamp: Stamp, size: usize) {
    let start = out.len();
    write!(out, "{:08} {:024}", stamp.sequence, stamp.due).expect("a vector takes all that is written");
    out.resize(start + size, b'.');
}

/// Fails for payloads that are too small for a stamp.
pub(crate) fn check_size(size: usize) -> Result<()> {
    ensure!(size >= STAMP_BYTES, "a message carries a stamp of {STAMP_BYTES} bytes: --size must be that or more");
    Ok(())
}

/// The outcome of a scan: `used` bytes are done with, the rest is an unfinished line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) used: usize,
    /// Events without a readable stamp: corrupted, or of another publisher.
    pub(crate) unreadable: u64,
}

/// Calls `found` for each event in `bytes`.
///
/// All that is no `data` line is passed over, so heartbeats, ids, and the chunk sizes of servers
/// that use the chunked coding do no harm.
pub(crate) fn scan(bytes: &[u8], event_bytes: usize, mut found: impl FnMut(Stamp)) -> Scan {
    let mut scan = Scan::default();
    loop {
        let rest = &bytes[scan.used..];
        let (line, length) = match whole_event(rest, event_bytes).or_else(|| next_line(rest)) {
            Some(step) => step,
            None => return scan,
        };
        scan.used += length;
        if let Some(payload) = line.strip_prefix(FIELD) {
            match parse(payload) {
                Some(stamp) => found(stamp),
                None => scan.unreadable += 1,
            }
        }
    }
}

/// The usual case: an event of the known length, taken without a search for its line end.
fn whole_event(rest: &[u8], event_bytes: usize) -> Option<(&[u8], usize)> {
    let event = rest.get(..event_bytes)?;
    let whole = event.starts_with(FIELD) && event.ends_with(b"\n\n");
    whole.then_some((event, event_bytes))
}

fn next_line(rest: &[u8]) -> Option<(&[u8], usize)> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    Some((&rest[..end], end + 1))
}

fn parse(payload: &[u8]) -> Option<Stamp> {
    let digits: &[u8; STAMP_BYTES] = payload.first_chunk()?;
    let at = |start: usize| digits[start..].first_chunk().and_then(eight_digits);
    let due = (at(9)? * EIGHT_DIGITS + at(17)?).checked_mul(EIGHT_DIGITS)? + at(25)?;
    Some(Stamp { sequence: at(0)?, due })
}

/// Eight decimal digits at once: neighbours are joined to pairs, pairs to fours, fours to eight.
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(*bytes);
    if word & 0xf0f0_f0f0_f0f0_f0f0 != 0x3030_3030_3030_3030 {
        return None;
    }
    let ones = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000 << 32 | 1) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sequence: 4711, due: 1_234_567_890_123 };

    fn found(bytes: &[u8], size: usize) -> (Vec<Stamp>, Scan) {
        let mut found = Vec::new();
        let scan = scan(bytes, event_bytes(size), |stamp| found.push(stamp));
        (found, scan)
    }

    fn event(size: usize) -> Vec<u8> {
        let mut event = FIELD.to_vec();
        append_payload(&mut event, STAMP, size);
        event.extend_from_slice(b"\n\n");
        event
    }

    #[test]
    fn what_is_written_is_read_back() {
        for size in [STAMP_BYTES, 100] {
            let event = event(size);
            assert_eq!(event.len(), event_bytes(size));
            let whole = Scan { used: event.len(), unreadable: 0 };
            assert_eq!(found(&event, size), (vec![STAMP], whole));
        }
    }

    #[test]
    fn what_is_no_data_line_is_passed_over() {
        let chunked = [b"6a\r\n:\n\nid: 7\n".as_slice(), &event(50), b"\r\n"].concat();
        let whole = Scan { used: chunked.len(), unreadable: 0 };
        assert_eq!(found(&chunked, 50), (vec![STAMP], whole));
    }

    #[test]
    fn an_unfinished_line_is_kept() {
        let twice = [event(40), event(40)].concat();
        let cut = &twice[..twice.len() - 5];
        assert_eq!(found(cut, 40), (vec![STAMP], Scan { used: event_bytes(40), unreadable: 0 }));
    }

    #[test]
    fn a_garbled_stamp_is_told() {
        let mut event = event(40);
        event[FIELD.len() + 3] = b'x';
        let (stamps, scan) = found(&event, 40);
        assert!(stamps.is_empty());
        assert_eq!(scan.unreadable, 1);
    }
}
