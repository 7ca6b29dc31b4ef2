//! The ledger of the healthy streams: every message once, in one order for all, each byte as it was posted.
//!
//! The first stream to hear a message has it held against its publisher's next message; all others are held against
//! the bytes that the first one got. So a delivery costs a comparison of memory, and nothing can be lost, doubled,
//! torn or swapped, on one stream or on all of them, without being noticed.

use std::collections::VecDeque;

use super::message::{data_of, heard, id_of, message, number, number_of_id, publisher};

/// The most bytes kept for the slowest stream: far more than a server holds for it.
const MOST_BYTES: usize = 64 << 20;
/// Bytes of a wrong event that its fault shows.
const SHOWN_BYTES: usize = 60;

/// One stream's place in the order.
#[derive(Clone, Debug, Default)]
pub(super) struct Position {
    /// The number, in the one order, of the next event.
    pub(super) next: u64,
    /// Not followed any more: it was told what is wrong with it, or it is closed.
    pub(super) is_out: bool,
}

pub(super) struct Ledger {
    seed: u64,
    /// Each publisher's next message.
    next: Vec<u64>,
    /// Events as the first stream got them, until every stream has heard them.
    events: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// The number of the first of them.
    first: u64,
    /// The number of the last event's ID, if it had one.
    last_id: Option<u64>,
}

impl Ledger {
    pub(super) fn new(seed: u64, publishers: usize) -> Self {
        Self { seed, next: vec![0; publishers], events: VecDeque::new(), bytes: 0, first: 0, last_id: None }
    }

    /// The number of messages heard.
    pub(super) fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The same, of each publisher.
    pub(super) fn heard_of_each(&self) -> &[u64] {
        &self.next
    }

    /// Holds what a stream got against the order; returns how much of it is done with, the rest being an unfinished
    /// event. What is wrong is told to `fault`.
    pub(super) fn follow(&mut self, place: &mut Position, bytes: &[u8], mut fault: impl FnMut(String)) -> usize {
        let mut used = 0;
        while used < bytes.len() && !place.is_out {
            let rest = &bytes[used..];
            let known = place.next.checked_sub(self.first).and_then(|index| self.events.get(index as usize));
            match known {
                Some(event) if rest.starts_with(event) => {
                    used += event.len();
                    place.next += 1;
                    continue;
                }
                Some(event) if event.starts_with(rest) => return used,
                _ => {}
            }
            let Some(length) = event_length(rest) else { return used };
            let event = &rest[..length];
            used += length;
            // A comment, or an id to resume from.
            if event.starts_with(b":") || id_of(event).1 == b"\n" {
                continue;
            }
            if place.next < self.end() {
                place.is_out = true;
                fault(self.departure(place.next, event));
            } else {
                self.append(event).into_iter().for_each(&mut fault);
                place.next += 1;
            }
        }
        // What comes after a fault is not looked at.
        if place.is_out { bytes.len() } else { used }
    }

    /// Forgets the events that every stream has heard, and those that there is no room for.
    pub(super) fn forget_before(&mut self, least: u64) {
        while self.first < least || self.bytes > MOST_BYTES {
            let Some(event) = self.events.pop_front() else { return };
            self.bytes -= event.len();
            self.first += 1;
        }
    }

    /// Describes an event that is not the one that other streams got in this place.
    fn departure(&self, position: u64, event: &[u8]) -> String {
        let index = position.checked_sub(self.first).map(|index| index as usize);
        match index.and_then(|index| self.events.get(index)) {
            None => format!("is further behind than {MOST_BYTES} bytes, at event {position}"),
            Some(expected) => {
                format!("got {} as event {position}, where others got {}", shown(event), shown(expected))
            }
        }
    }

    /// Takes the next event of the order, and tells what is wrong with it.
    fn append(&mut self, event: &[u8]) -> Option<String> {
        let position = self.end();
        self.bytes += event.len();
        self.events.push_back(event.into());
        let (id, rest) = id_of(event);
        let id_follows = self.take_id(id, position);
        let wrong =
            self.take_data(rest).or_else(|| (!id_follows).then(|| "its ID does not follow the last".to_owned()));
        wrong.map(|what| format!("got {} as event {position}: {what}", shown(event)))
    }

    /// Checks the ID of the next event: all have one or none has, and their numbers go up by one.
    fn take_id(&mut self, id: Option<&[u8]>, position: u64) -> bool {
        let number = id.and_then(number_of_id);
        let last = std::mem::replace(&mut self.last_id, number);
        let is_next = position == 0 || number == last.map(|last| last + 1);
        is_next && id.is_some() == number.is_some()
    }

    /// Checks the data of the next event; describes a fault.
    fn take_data(&mut self, event: &[u8]) -> Option<String> {
        let wrong = |what: &str| Some(what.to_owned());
        let Some(data) = data_of(event) else { return wrong("no event as a message becomes") };
        let Some(publisher) = publisher(&data).filter(|publisher| *publisher < self.next.len()) else {
            return wrong("of no publisher");
        };
        let expected = self.next[publisher];
        if data == self.heard(publisher, expected) {
            self.next[publisher] += 1;
            return None;
        }
        let number = number(&data).filter(|number| data == self.heard(publisher, *number));
        self.next[publisher] = number.unwrap_or(expected).max(expected) + u64::from(number >= Some(expected));
        match number {
            Some(number) if number < expected => wrong("it came before, or came too late"),
            Some(number) => wrong(&format!("lost before it: {} of its publisher's", number - expected)),
            None => wrong(&format!("torn, or not message {expected} of its publisher")),
        }
    }

    fn heard(&self, publisher: usize, number: u64) -> Vec<u8> {
        heard(&message(self.seed, publisher, number))
    }
}

fn event_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n").map(|end| end + 2)
}

fn shown(bytes: &[u8]) -> String {
    let more = if bytes.len() > SHOWN_BYTES { "..." } else { "" };
    format!("`{}{more}` ({} bytes)", bytes[..bytes.len().min(SHOWN_BYTES)].escape_ascii(), bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::message::event_of;

    const SEED: u64 = 11;

    fn event(publisher: usize, number: u64) -> Vec<u8> {
        event_of(&heard(&message(SEED, publisher, number)))
    }

    /// A number whose message is long enough to carry it, as is the one behind it.
    fn long_after(mut number: u64) -> u64 {
        while (number..number + 2).any(|number| message(SEED, 0, number).len() < 30) {
            number += 1;
        }
        number
    }

    fn run(streams: &[Vec<Vec<u8>>]) -> Vec<String> {
        let (mut ledger, mut faults) = (Ledger::new(SEED, 2), Vec::new());
        for stream in streams {
            let bytes = stream.concat();
            let mut place = Position::default();
            let used = ledger.follow(&mut place, &bytes, |fault| faults.push(fault));
            assert_eq!(used, bytes.len());
        }
        faults
    }

    fn usual() -> Vec<Vec<u8>> {
        (0..50).flat_map(|number| [event(0, number), event(1, number)]).collect()
    }

    #[test]
    fn what_is_as_it_should_be_has_no_fault() {
        let mut with_heartbeats = usual();
        with_heartbeats.insert(7, b":\n\n".to_vec());
        assert_eq!(run(&[usual(), with_heartbeats.clone(), usual()]), Vec::<String>::new());
        assert_eq!(run(&[with_heartbeats, usual()]), Vec::<String>::new());
    }

    #[test]
    fn bytes_may_come_in_any_parts() {
        let bytes = [usual()[..20].concat(), b":\n\n".to_vec(), event(0, 10)].concat();
        for size in [1, 7, 100] {
            let (mut ledger, mut first, mut second) = (Ledger::new(SEED, 2), Position::default(), Position::default());
            let mut kept = [Vec::new(), Vec::new()];
            for part in bytes.chunks(size) {
                for (place, kept) in [&mut first, &mut second].into_iter().zip(&mut kept) {
                    kept.extend_from_slice(part);
                    let used = ledger.follow(place, kept, |fault| panic!("{fault}"));
                    kept.drain(..used);
                }
                ledger.forget_before(first.next.min(second.next));
            }
            assert_eq!((first.next, second.next, ledger.end(), ledger.events.len()), (21, 21, 21, 0));
            assert_eq!((kept, ledger.bytes), ([Vec::new(), Vec::new()], 0));
            assert_eq!(ledger.heard_of_each(), [11, 10]);
        }
    }

    type Change = fn(&mut Vec<Vec<u8>>, usize);

    fn changed(change: Change, place: usize) -> Vec<Vec<u8>> {
        let mut events = usual();
        change(&mut events, place);
        events
    }

    #[test]
    fn each_fault_of_all_streams_alike_is_found() {
        let cases: [(Change, &str); 7] = [
            (|events, at| drop(events.drain(at - 2..at)), "lost before it: 1"),
            (|events, at| events.insert(at, events[at].clone()), "it came before"),
            (|events, at| events.swap(at, at + 2), "lost before it: 1"),
            (|events, at| drop(events[at].drain(12..14)), "torn"),
            (|events, at| events[at][15] ^= 1, "torn"),
            (|events, at| events.insert(at, b"data: zero\n\n".to_vec()), "of no publisher"),
            (|events, at| drop(events[at].splice(0..0, *b"event: x\n")), "no event"),
        ];
        let place = usual().iter().position(|it| *it == event(0, long_after(20))).expect("it is there");
        for (change, expected) in cases {
            let stream = changed(change, place);
            let faults = run(std::slice::from_ref(&stream));
            assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected}: {faults:?}");
            // Streams that hear the same have the same fault, which is told once.
            assert_eq!(run(&[stream.clone(), stream]).len(), faults.len());
        }
    }

    #[test]
    fn ids_are_there_for_all_or_for_none_and_follow_on_each_other() {
        let with_ids = |id: &dyn Fn(usize) -> String| {
            let usual = usual().into_iter().enumerate();
            usual.map(|(place, event)| [id(place).into_bytes(), event].concat()).collect::<Vec<_>>()
        };
        let from_seven = |place: usize| format!("id: 1700-{}\n", place + 7);
        // Before the first event comes an id alone.
        let opened = [&[b"id: 1700-6\n\n".to_vec()], &with_ids(&from_seven)[..]].concat();
        assert_eq!(run(&[opened, with_ids(&from_seven)]), Vec::<String>::new());
        for (at, odd) in [(0, ""), (5, ""), (5, "id: 1700-11\n"), (5, "id: 1700-13\n"), (5, "id: x\n")] {
            let faults = run(&[with_ids(&|place| if place == at { odd.to_owned() } else { from_seven(place) })]);
            assert!(!faults.is_empty(), "{odd:?} at {at}");
            assert!(faults.iter().all(|fault| fault.contains("its ID does not follow")), "{faults:?}");
        }
        let faults = run(&[with_ids(&|place| if place == 5 { "id: 1\n".to_owned() } else { String::new() })]);
        assert!(faults[0].contains("its ID does not follow"), "{faults:?}");
    }

    #[test]
    fn a_fault_of_one_stream_is_found_even_in_the_smallest_message() {
        let small = (0..50).find(|number| message(SEED, 0, *number).len() == 1).expect("a tenth of them");
        let changes: [Change; 3] = [
            |events, at| drop(events.remove(at)),
            |events, at| events.insert(at, events[at].clone()),
            |events, at| events.swap(at, at + 1),
        ];
        for change in changes {
            let faults = run(&[usual(), changed(change, 2 * small as usize)]);
            assert!(faults.len() == 1 && faults[0].contains("where others got"), "{faults:?}");
        }
    }

    #[test]
    fn who_is_behind_what_is_kept_is_told() {
        let (mut ledger, mut faults) = (Ledger::new(SEED, 2), Vec::new());
        ledger.follow(&mut Position::default(), &usual().concat(), |fault| panic!("{fault}"));
        ledger.forget_before(1);
        ledger.follow(&mut Position::default(), &event(0, 0), |fault| faults.push(fault));
        assert!(faults.len() == 1 && faults[0].contains("further behind"), "{faults:?}");
    }
}
