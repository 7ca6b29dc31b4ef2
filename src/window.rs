//! The recent bytes of an audience, addressed by position.
//!
//! A position counts every byte that the audience was ever given, so that a stream's place in it is one number. Bytes
//! come in batches of whole frames. The window keeps the newest batches: whoever is at most `bound` bytes behind
//! finds the next byte here, and what is kept is at most `bound` bytes and one batch. Pure arithmetic: no waker, no
//! socket.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::frame;

/// Whole frames that are written together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The position of the first byte.
    start: u64,
    bytes: Arc<[u8]>,
}

impl Batch {
    /// The batch before the first: nothing, at position 0.
    pub(crate) fn empty() -> Self {
        Self { start: 0, bytes: Arc::from([]) }
    }

    /// The position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// What follows `position` in this batch; `None` where the position lies before it.
    pub(crate) fn rest(&self, position: u64) -> Option<&[u8]> {
        let offset = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(offset..)
    }

    /// What is left of the event that `position` is in the middle of; nothing at an event's boundary.
    pub(crate) fn rest_of_event(&self, position: u64) -> &[u8] {
        let offset = position.saturating_sub(self.start).min(self.bytes.len() as u64) as usize;
        &self.bytes[offset..frame::next_boundary(&self.bytes, offset)]
    }
}

/// The newest batches of an audience.
#[derive(Debug)]
pub(crate) struct Window {
    batches: VecDeque<Arc<Batch>>,
    /// The sum of the batches' lengths.
    held: usize,
    bound: usize,
    /// The position after the last byte ever pushed.
    end: u64,
}

impl Window {
    /// An empty window that will serve whoever is at most `bound` bytes behind.
    pub(crate) fn new(bound: usize) -> Self {
        Self { batches: VecDeque::new(), held: 0, bound, end: 0 }
    }

    /// The position of the oldest byte held: whoever needs an older one has lost it.
    pub(crate) fn start(&self) -> u64 {
        self.end - self.held as u64
    }

    /// The position after the newest byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Appends a batch and lets go of those that nobody within the bound needs.
    pub(crate) fn push(&mut self, bytes: Arc<[u8]>) -> Arc<Batch> {
        let batch = Arc::new(Batch { start: self.end, bytes });
        self.end = batch.end();
        self.held += batch.bytes.len();
        self.batches.push_back(Arc::clone(&batch));
        while let Some(oldest) = self.batches.front().map(|batch| batch.bytes.len()) {
            if self.held - oldest < self.bound {
                break;
            }
            self.held -= oldest;
            self.batches.pop_front();
        }
        batch
    }

    /// The batch that holds the byte at `position`; `None` where that byte is lost or has yet to come.
    pub(crate) fn at(&self, position: u64) -> Option<&Arc<Batch>> {
        let index = self.batches.partition_point(|batch| batch.end() <= position);
        self.batches.get(index).filter(|batch| batch.start <= position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(bound: usize, batches: &[&str]) -> Window {
        let mut window = Window::new(bound);
        for batch in batches {
            window.push(Arc::from(batch.as_bytes()));
        }
        window
    }

    #[test]
    fn a_position_finds_its_batch() {
        let window = pushed(100, &["abc", "de", "f"]);
        let rest = |position| window.at(position).and_then(|batch| batch.rest(position));
        assert_eq!(rest(0), Some(&b"abc"[..]));
        assert_eq!(rest(2), Some(&b"c"[..]));
        assert_eq!(rest(3), Some(&b"de"[..]));
        assert_eq!(rest(5), Some(&b"f"[..]));
        assert_eq!(rest(6), None, "nothing follows the newest byte");
        assert_eq!((window.start(), window.end()), (0, 6));
    }

    #[test]
    fn a_batch_goes_when_those_after_it_fill_the_bound() {
        assert_eq!(pushed(4, &["abc", "de"]).start(), 0, "two bytes behind the first batch: not full");
        assert_eq!(pushed(4, &["abc", "de", "f"]).start(), 0, "three");
        assert_eq!(pushed(4, &["abc", "de", "fg"]).start(), 3, "four");
        assert_eq!(pushed(4, &["abc", "defghijk"]).start(), 3, "a batch over the bound is kept while it is newest");
        assert!(pushed(4, &["abc", "de", "fg"]).at(2).is_none(), "a lost byte is not found");
    }

    #[test]
    fn a_bound_of_zero_keeps_nothing() {
        let window = pushed(0, &["abc"]);
        assert_eq!((window.start(), window.end()), (3, 3));
    }

    proptest! {
        /// Against the plain model: one long string, of which the window is a tail.
        #[test]
        fn the_window_is_a_tail_of_all_that_was_pushed(
            bound in 1_usize..64,
            batches in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..16), 1..32),
        ) {
            let mut window = Window::new(bound);
            let mut all = Vec::new();
            for batch in &batches {
                window.push(Arc::from(&batch[..]));
                all.extend_from_slice(batch);

                let end = all.len() as u64;
                prop_assert_eq!(window.end(), end);
                prop_assert!(window.start() <= end.saturating_sub(bound as u64), "who is within the bound is served");
                prop_assert!(window.held < bound + 16, "no more than the bound and a batch is held");
                for position in 0..=end {
                    let found = window.at(position).and_then(|batch| batch.rest(position));
                    if position < window.start() || position == end {
                        prop_assert!(found.is_none());
                    } else {
                        let found = found.expect("a held byte is found");
                        prop_assert!(!found.is_empty() && all[position as usize..].starts_with(found));
                    }
                }
            }
        }
    }
}
