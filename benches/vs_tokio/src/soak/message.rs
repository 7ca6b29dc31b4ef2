//! The messages of a soak: as a publisher posts them, and as a subscriber receives them.
//!
//! A message follows from the seed, its publisher and its number alone: so its reader knows each byte that it
//! has to have. It opens with its publisher's letter and, where it is long enough, its number.

use fastrand::Rng;
use support::sse::normalised;

/// As many as there are letters.
pub(super) const MOST_PUBLISHERS: usize = 26;

/// In so many of a hundred messages, fewer than so many bytes: small ones mostly, and now and then a large one.
const SIZES: [(u64, u64); 5] = [(10, 2), (60, 120), (90, 1_000), (99, 4_000), (100, 32_000)];

const LINE_BREAKS: [&[u8]; 4] = [b"\n", b"\r\n", b"\r", b"\n\n"];

/// A source of choices for the one of this number, whatever the others choose.
pub(super) fn choices(seed: u64, number: u64) -> Rng {
    Rng::with_seed(seed ^ Rng::with_seed(number).u64(..))
}

/// A message as it is posted.
pub(super) fn message(seed: u64, publisher: usize, number: u64) -> Vec<u8> {
    let mut rng = choices(seed.wrapping_add(publisher as u64), number);
    let hundredth = rng.u64(0..100);
    let below = SIZES.iter().find(|(share, _)| hundredth < *share).map_or(2, |(_, below)| *below);
    let size = rng.u64(1..below) as usize;
    let longest_line = [20, 200, 5_000, 100_000][rng.usize(0..4)];
    let mut text = format!("{} {number} ", letter(publisher) as char).into_bytes();
    while text.len() < size {
        let line = rng.usize(0..longest_line);
        let from = rng.u8(0..26);
        text.extend((0..line.min(size - text.len())).map(|place| b'a' + (from + (place % 26) as u8) % 26));
        text.extend(LINE_BREAKS[rng.usize(0..LINE_BREAKS.len())]);
    }
    text.truncate(size);
    text
}

fn letter(publisher: usize) -> u8 {
    b'a' + (publisher % MOST_PUBLISHERS) as u8
}

/// A message as the page gets it: its line breaks, of whichever kind, as LF.
pub(super) fn heard(message: &[u8]) -> Vec<u8> {
    normalised(&String::from_utf8_lossy(message)).into_bytes()
}

/// The publisher of what was heard, by the letter that it opens with.
pub(super) fn publisher(heard: &[u8]) -> Option<usize> {
    heard.first()?.checked_sub(b'a').map(usize::from)
}

/// The number in what was heard, where it was long enough to have one.
pub(super) fn number(heard: &[u8]) -> Option<u64> {
    let digits = heard.get(2..)?.split(|byte| *byte == b' ').next()?;
    let is_whole = heard.get(2 + digits.len()) == Some(&b' ');
    std::str::from_utf8(digits).ok().filter(|_| is_whole)?.parse().ok()
}

/// The ID of an event, which a server with a history puts before its data, and the event without it.
pub(super) fn id_of(event: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let line = event.strip_prefix(b"id: ").and_then(|rest| Some((rest, rest.iter().position(|byte| *byte == b'\n')?)));
    line.map_or((None, event), |(rest, end)| (Some(&rest[..end]), &rest[end + 1..]))
}

/// The number of an event's ID: what stands behind its last hyphen.
pub(super) fn number_of_id(id: &[u8]) -> Option<u64> {
    let digits = id.rsplit(|byte| *byte == b'-').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The data of a single event without an ID; `None` for what is none, or more than that.
pub(super) fn data_of(event: &[u8]) -> Option<Vec<u8>> {
    let lines = event.strip_suffix(b"\n\n")?.split(|byte| *byte == b'\n');
    let mut data = Vec::with_capacity(event.len());
    for line in lines {
        let line = line.strip_prefix(b"data:")?;
        data.extend_from_slice(line.strip_prefix(b" ").unwrap_or(line));
        data.push(b'\n');
    }
    data.pop();
    Some(data)
}

#[cfg(test)]
pub(super) fn event_of(heard: &[u8]) -> Vec<u8> {
    let lines: Vec<Vec<u8>> = heard.split(|byte| *byte == b'\n').map(|line| [b"data: ", line].concat()).collect();
    [lines.join(&b'\n'), b"\n\n".to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_of_all_kinds_and_tell_who_they_are_from() {
        let messages: Vec<_> = (0..2000).map(|number| message(7, 3, number)).collect();
        assert!(messages.iter().all(|text| !text.is_empty() && publisher(text) == Some(3)));
        assert!(messages.iter().any(|text| text.len() == 1) && messages.iter().any(|text| text.len() > 10_000));
        for part in [b"\r\n".as_slice(), b"\n\n", b"\r"] {
            assert!(messages.iter().any(|text| text.windows(part.len()).any(|bytes| bytes == part)), "{part:?}");
        }
        let average = messages.iter().map(Vec::len).sum::<usize>() / messages.len();
        assert!((200..1_000).contains(&average), "{average} bytes: a stalled stream is to fall behind, a good one not");
        assert_eq!((message(7, 3, 5), number(&message(7, 3, 1_500))), (message(7, 3, 5), Some(1_500)));
        assert_ne!(message(8, 3, 1_500), message(7, 3, 1_500));
    }

    #[test]
    fn line_breaks_are_heard_as_one_kind() {
        let cases: [(&[u8], &[u8]); 4] =
            [(b"a\r\nb\rc\nd", b"a\nb\nc\nd"), (b"a\r\r\n", b"a\n\n"), (b"a\n\r", b"a\n\n"), (b"a", b"a")];
        for (posted, expected) in cases {
            assert_eq!(heard(posted), expected, "{posted:?}");
        }
    }

    #[test]
    fn an_id_is_told_apart_and_has_a_number() {
        assert_eq!(id_of(b"id: 17-3\ndata: a\n\n"), (Some(b"17-3".as_slice()), b"data: a\n\n".as_slice()));
        assert_eq!(id_of(b"data: id: 1\n\n"), (None, b"data: id: 1\n\n".as_slice()));
        let numbers = [b"17-3".as_slice(), b"3", b"17-", b"x", b""].map(number_of_id);
        assert_eq!(numbers, [Some(3), Some(3), None, None, None]);
    }

    #[test]
    fn events_give_their_data_back() {
        for number in 0..300 {
            let heard = heard(&message(1, 0, number));
            assert_eq!(data_of(&event_of(&heard)), Some(heard));
        }
        assert_eq!(data_of(b"data:a\ndata:\n\n").as_deref(), Some(b"a\n".as_slice()));
        for other in [b"data: a\n".as_slice(), b"id: 1\ndata: a\n\n", b"data: a\n\ndata: b\n\n", b":\n\n", b"\n\n"] {
            assert_eq!(data_of(other), None, "{other:?}");
        }
    }
}
