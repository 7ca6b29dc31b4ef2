//! The recent bytes of an audience, addressed by position.
//!
//! A position counts every byte that the audience was ever given, so that a stream's place in it is one number. Bytes
//! come in batches of whole frames. The window keeps the newest batches: whoever is at most `bound` behind finds the
//! next byte here, and what is kept is at most `bound` and one batch, both counted as memory. Pure arithmetic: no
//! waker, no socket.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::event::frame;

/// Whole frames that are written together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The position of the first byte.
    start: u64,
    bytes: Arc<[u8]>,
    /// How many messages they are.
    messages: u64,
}

impl Batch {
    /// The batch before the first: nothing, at position 0.
    pub(crate) fn empty() -> Self {
        Self { start: 0, bytes: Arc::from([]), messages: 0 }
    }

    /// The position of the first byte, which no other batch has.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The position after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The number of messages in it; a heartbeat is none.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// What follows `position` in this batch; `None` where the position lies before it.
    pub(crate) fn rest(&self, position: u64) -> Option<&[u8]> {
        let offset = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(offset..)
    }

    /// What it costs in memory.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + BATCH_OVERHEAD
    }

    /// What is left of the event that `position` is in the middle of; nothing at an event's boundary.
    pub(crate) fn rest_of_event(&self, position: u64) -> &[u8] {
        let offset = position.saturating_sub(self.start).min(self.bytes.len() as u64) as usize;
        &self.bytes[offset..frame::next_boundary(&self.bytes, offset)]
    }
}

/// About what a batch costs in memory besides its bytes: two allocations, their counts, and a place in the queue.
const BATCH_OVERHEAD: usize = 96;

/// What windows may hold together.
#[derive(Debug)]
pub(crate) struct Budget {
    /// What all batches in them cost in memory; one that is in several windows counts in each.
    cost: Cell<usize>,
    bound: usize,
}

impl Budget {
    /// A budget of so many bytes.
    pub(crate) fn new(bound: usize) -> Rc<Self> {
        Rc::new(Self { cost: Cell::new(0), bound })
    }
}

/// The newest batches of an audience.
#[derive(Debug)]
pub(crate) struct Window {
    batches: VecDeque<Arc<Batch>>,
    /// What the batches cost in memory.
    cost: usize,
    bound: usize,
    /// Shared with other windows: where that is used up, this one keeps its newest batch alone.
    budget: Rc<Budget>,
    /// The position after the last byte ever pushed.
    end: u64,
}

impl Window {
    /// An empty window that will serve whoever is at most `bound` bytes behind, each batch counted with its overhead.
    pub(crate) fn new(bound: usize, budget: Rc<Budget>) -> Self {
        Self { batches: VecDeque::new(), cost: 0, bound, budget, end: 0 }
    }

    /// The position of the oldest byte held: whoever needs an older one has lost it.
    pub(crate) fn start(&self) -> u64 {
        self.batches.front().map_or(self.end, |oldest| oldest.start)
    }

    /// What the batches cost in memory.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// The position after the newest byte.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Appends a batch of so many messages and lets go of those that nobody within the bound needs, but of none that
    /// has yet to be `written` to those who keep up.
    pub(crate) fn push(&mut self, bytes: Arc<[u8]>, messages: u64, written: u64) -> Arc<Batch> {
        let batch = Arc::new(Batch { start: self.end, bytes, messages });
        self.end = batch.end();
        self.add_cost(batch.cost());
        self.batches.push_back(Arc::clone(&batch));
        while let Some(oldest) = self.batches.front().filter(|oldest| oldest.end() <= written) {
            let oldest = oldest.cost();
            let is_over_budget = self.budget.cost.get() > self.budget.bound && self.batches.len() > 1;
            if self.cost - oldest < self.bound && !is_over_budget {
                break;
            }
            self.pop();
        }
        batch
    }

    fn add_cost(&mut self, cost: usize) {
        self.cost += cost;
        self.budget.cost.set(self.budget.cost.get() + cost);
    }

    /// Lets go of the oldest batch.
    fn pop(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.cost -= oldest.cost();
            self.budget.cost.set(self.budget.cost.get() - oldest.cost());
        }
    }

    /// Lets go of what lies before `needed`, the position of the oldest byte that anybody still needs.
    pub(crate) fn release(&mut self, needed: u64) {
        while self.batches.front().is_some_and(|oldest| oldest.end() <= needed) {
            self.pop();
        }
    }

    /// The batch that holds the byte at `position`; `None` where that byte is lost or has yet to come.
    pub(crate) fn at(&self, position: u64) -> Option<&Arc<Batch>> {
        let index = self.batches.partition_point(|batch| batch.end() <= position);
        self.batches.get(index).filter(|batch| batch.start <= position)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.budget.cost.set(self.budget.cost.get() - self.cost);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(bound: usize) -> Window {
        Window::new(bound, Budget::new(usize::MAX))
    }

    fn pushed(bound: usize, batches: &[&str]) -> Window {
        let mut window = window(bound);
        for batch in batches {
            window.push(Arc::from(batch.as_bytes()), 1, u64::MAX);
        }
        window
    }

    #[test]
    fn a_position_finds_its_batch() {
        let window = pushed(1000, &["abc", "de", "f"]);
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
        let bound = 2 * BATCH_OVERHEAD + 4;
        assert_eq!(pushed(bound, &["abc", "de", "f"]).start(), 0, "three bytes behind the first batch: not full");
        assert_eq!(pushed(bound, &["abc", "de", "fg"]).start(), 3, "four");
        assert!(pushed(bound, &["abc", "de", "fg"]).at(2).is_none(), "a lost byte is not found");
        assert_eq!(pushed(bound, &["abc", "d", "e", "f"]).start(), 3, "batches count, however small");
        assert_eq!(pushed(4, &["abc", "defghijk"]).start(), 3, "one over the bound is kept while it is newest");
    }

    #[test]
    fn what_nobody_needs_can_go_at_once() {
        let mut window = pushed(1000, &["abc", "de", "f"]);
        window.release(2);
        assert_eq!(window.start(), 0);
        window.release(4);
        assert_eq!((window.start(), window.cost), (3, 3 + 2 * BATCH_OVERHEAD));
        window.release(u64::MAX);
        assert_eq!((window.start(), window.end(), window.cost), (6, 6, 0));
    }

    #[test]
    fn windows_that_share_a_budget_keep_their_newest_batches_alone_where_it_is_used_up() {
        let budget = Budget::new(3 * (BATCH_OVERHEAD + 1));
        let mut windows = [0, 1].map(|_| Window::new(1000, Rc::clone(&budget)));
        let [one, other] = &mut windows;
        let push = |window: &mut Window| drop(window.push(Arc::from(&b"x"[..]), 1, u64::MAX));
        (0..3).for_each(|_| push(one));
        assert_eq!(one.start(), 0);
        push(other);
        assert_eq!((one.start(), other.start()), (0, 0), "the newest is always kept");
        push(one);
        assert_eq!(one.start(), 2, "as few as the budget has room for");
        drop(windows);
        assert_eq!(budget.cost.get(), 0);
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
            bound in 1_usize..1000,
            batches in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..16), 1..32),
        ) {
            let mut window = window(bound);
            let mut all = Vec::new();
            for batch in &batches {
                window.push(Arc::from(&batch[..]), 1, u64::MAX);
                all.extend_from_slice(batch);

                let end = all.len() as u64;
                prop_assert_eq!(window.end(), end);
                let cost: usize = window.batches.iter().map(|batch| batch.cost()).sum();
                prop_assert!(cost < bound + 16 + BATCH_OVERHEAD, "no more than the bound and a batch is held");
                prop_assert!(cost >= bound || window.start() == 0, "and no less while there is something to hold");
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
