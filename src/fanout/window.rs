//! The recent bytes of an audience, addressed by position.
//!
//! A position counts the bytes ever pushed to the audience, so the place of a subscriber is one number. Bytes come in
//! batches of whole frames. Pure arithmetic: this file knows no subscriber, waker or socket.
//!
//! Invariant: a subscriber at most `bound` behind finds its next byte here. The window costs at most `bound` and one
//! batch, both counted as memory.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use crate::event::frame;

/// Whole frames that one `send` carries.
#[derive(Debug)]
pub(super) struct Batch {
    /// The position of the first byte.
    pub(super) start: u64,
    bytes: Arc<[u8]>,
    /// The number of messages in it; a heartbeat is none.
    pub(super) messages: u64,
}

impl Batch {
    /// The batch before the first: no bytes, at position 0.
    pub(super) fn empty() -> Self {
        Self { start: 0, bytes: Arc::from([]), messages: 0 }
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `position` on; `None` if the position is before the batch or after it.
    pub(super) fn rest(&self, position: u64) -> Option<&[u8]> {
        let offset = usize::try_from(position.checked_sub(self.start)?).ok()?;
        self.bytes.get(offset..)
    }

    /// Its memory.
    pub(super) fn cost(&self) -> usize {
        self.bytes.len() + BATCH_OVERHEAD
    }

    /// The rest of the event that `position` is in the middle of; no bytes between two events.
    pub(super) fn rest_of_event(&self, position: u64) -> &[u8] {
        let offset = position.saturating_sub(self.start).min(self.bytes.len() as u64) as usize;
        &self.bytes[offset..frame::next_boundary(&self.bytes, offset)]
    }
}

/// The memory of a batch besides its bytes, roughly: two allocations, their counts, and a place in the queue.
const BATCH_OVERHEAD: usize = 96;

/// The memory that several windows may use together.
#[derive(Debug)]
pub(super) struct WindowBudget {
    /// The memory of all their batches. A batch that is in several windows counts in each.
    cost: Cell<usize>,
    bound: usize,
}

impl WindowBudget {
    pub(super) fn new(bound: usize) -> Rc<Self> {
        Rc::new(Self { cost: Cell::new(0), bound })
    }
}

/// The newest batches of an audience.
#[derive(Debug)]
pub(super) struct Window {
    batches: VecDeque<Arc<Batch>>,
    /// The memory of the batches.
    cost: usize,
    bound: usize,
    /// Shared with other windows. Once it is used up, this one keeps its newest batch alone.
    budget: Rc<WindowBudget>,
    /// The position after the last byte ever pushed.
    end: u64,
}

impl Window {
    pub(super) fn new(bound: usize, budget: Rc<WindowBudget>) -> Self {
        Self { batches: VecDeque::new(), cost: 0, bound, budget, end: 0 }
    }

    /// The position of the oldest byte held. A subscriber that needs an older one lags.
    pub(super) fn start(&self) -> u64 {
        self.batches.front().map_or(self.end, |oldest| oldest.start)
    }

    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The position after the newest byte.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Appends a batch of so many messages, and lets go of the oldest ones beyond the bound and the budget.
    ///
    /// Batches after `written` stay: rounds have yet to write them to live subscribers.
    pub(super) fn push(&mut self, bytes: Arc<[u8]>, messages: u64, written: u64) -> Arc<Batch> {
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

    fn pop(&mut self) {
        if let Some(oldest) = self.batches.pop_front() {
            self.cost -= oldest.cost();
            self.budget.cost.set(self.budget.cost.get() - oldest.cost());
        }
    }

    /// Lets go of the batches before `needed`, the position of the oldest byte that a subscriber needs.
    pub(super) fn release(&mut self, needed: u64) {
        while self.batches.front().is_some_and(|oldest| oldest.end() <= needed) {
            self.pop();
        }
    }

    /// The batch that holds the byte at `position`; `None` if that byte is lost or has yet to come.
    pub(super) fn at(&self, position: u64) -> Option<&Arc<Batch>> {
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
        Window::new(bound, WindowBudget::new(usize::MAX))
    }

    fn pushed(bound: usize, batches: &[&str]) -> Window {
        let mut window = window(bound);
        for batch in batches {
            window.push(Arc::from(batch.as_bytes()), 1, u64::MAX);
        }
        window
    }

    #[test]
    fn position_finds_its_batch() {
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
    fn batch_goes_when_later_ones_fill_the_bound() {
        let bound = 2 * BATCH_OVERHEAD + 4;
        assert_eq!(pushed(bound, &["abc", "de", "f"]).start(), 0, "three bytes after the first batch: not full");
        assert_eq!(pushed(bound, &["abc", "de", "fg"]).start(), 3, "four");
        assert!(pushed(bound, &["abc", "de", "fg"]).at(2).is_none(), "a lost byte is not found");
        assert_eq!(pushed(bound, &["abc", "d", "e", "f"]).start(), 3, "batches count, however small");
        assert_eq!(pushed(4, &["abc", "defghijk"]).start(), 3, "one over the bound is kept while it is newest");
    }

    #[test]
    fn batches_that_are_not_needed_go_at_once() {
        let mut window = pushed(1000, &["abc", "de", "f"]);
        window.release(2);
        assert_eq!(window.start(), 0);
        window.release(4);
        assert_eq!((window.start(), window.cost), (3, 3 + 2 * BATCH_OVERHEAD));
        window.release(u64::MAX);
        assert_eq!((window.start(), window.end(), window.cost), (6, 6, 0));
    }

    #[test]
    fn used_up_budget_leaves_windows_their_newest_batches() {
        let budget = WindowBudget::new(3 * (BATCH_OVERHEAD + 1));
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
    fn bound_of_zero_keeps_nothing() {
        let window = pushed(0, &["abc"]);
        assert_eq!((window.start(), window.end()), (3, 3));
    }

    proptest! {
        /// Against the plain model: one long string, of which the window is a tail.
        #[test]
        fn window_is_a_tail_of_all_pushed_bytes(
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
