//! The rest of the event that a stream is in the middle of when it leaves.
//!
//! The window may have let go of the batch with those bytes. Streams share the batch here, and write its bytes in
//! `connection/stream.rs`.
//!
//! Invariant: the kept batches are bounded. If one more has no room, the rest of its event is lost, and the stream ends
//! by a reset.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use super::window::Batch;

/// The batches that are kept for leaving streams.
#[derive(Debug)]
pub(super) struct PartialEventStore {
    /// The number of streams that need a batch, by its address: batches of two audiences may have one position.
    users: RefCell<BTreeMap<*const Batch, usize>>,
    /// The memory of the batches.
    cost: Cell<usize>,
    bound: usize,
}

impl PartialEventStore {
    /// Keeps at most `bound` bytes, or one batch.
    pub(super) fn new(bound: usize) -> Self {
        Self { users: RefCell::new(BTreeMap::new()), cost: Cell::new(0), bound }
    }

    /// Keeps `batch` for the rest of its event at `position`.
    pub(super) fn keep(self: &Rc<Self>, batch: Arc<Batch>, position: u64) -> PartialEvent {
        let length = batch.rest_of_event(position).len();
        if length == 0 {
            return PartialEvent::Nothing;
        }
        let mut users = self.users.borrow_mut();
        let has_room = users.is_empty() || self.cost.get() + batch.cost() <= self.bound;
        match users.get_mut(&Arc::as_ptr(&batch)) {
            Some(count) => *count += 1,
            None if has_room => {
                users.insert(Arc::as_ptr(&batch), 1);
                self.cost.set(self.cost.get() + batch.cost());
            }
            None => return PartialEvent::Lost,
        }
        PartialEvent::Rest(Rest { batch, position, length, kept_by: Rc::clone(self) })
    }
}

/// The bytes that a leaving stream has yet to write to end with a whole event.
#[derive(Debug)]
pub(crate) enum PartialEvent {
    /// None: the stream is between two events.
    Nothing,
    Rest(Rest),
    /// Bytes that the server no longer has.
    Lost,
}

impl PartialEvent {
    /// The bytes: none between two events, `None` if they are lost.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Nothing => Some(&[]),
            Self::Rest(rest) => rest.batch.rest(rest.position)?.get(..rest.length),
            Self::Lost => None,
        }
    }
}

/// The rest of an event, in a batch that is kept until this is dropped.
#[derive(Debug)]
pub(crate) struct Rest {
    batch: Arc<Batch>,
    position: u64,
    length: usize,
    kept_by: Rc<PartialEventStore>,
}

impl Drop for Rest {
    fn drop(&mut self) {
        let mut users = self.kept_by.users.borrow_mut();
        let Some(count) = users.get_mut(&Arc::as_ptr(&self.batch)) else { return };
        *count -= 1;
        if *count == 0 {
            users.remove(&Arc::as_ptr(&self.batch));
            self.kept_by.cost.set(self.kept_by.cost.get() - self.batch.cost());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::window::{Window, WindowBudget};

    #[test]
    fn batch_is_kept_once_and_while_a_stream_needs_it() {
        let mut window = Window::new(1, WindowBudget::new(usize::MAX));
        let [first, second] =
            ["abc\n\ndef\n\n", "ghi\n\n"].map(|text| window.push(Arc::from(text.as_bytes()), 1, u64::MAX));
        let store = Rc::new(PartialEventStore::new(first.cost()));
        let one = store.keep(Arc::clone(&first), 1);
        let other = store.keep(Arc::clone(&first), 6);
        assert_eq!((one.bytes(), other.bytes()), (Some(&b"bc\n\n"[..]), Some(&b"ef\n\n"[..])));
        assert_eq!(store.cost.get(), first.cost());
        assert_eq!(store.keep(Arc::clone(&second), 11).bytes(), None, "there is no room for another");
        assert_eq!(store.keep(Arc::clone(&second), 10).bytes(), Some(&b""[..]), "and none is needed");
        drop(one);
        assert_eq!(store.keep(Arc::clone(&second), 11).bytes(), None, "the first is still needed");
        drop(other);
        assert_eq!(store.cost.get(), 0);
        assert_eq!(store.keep(second, 11).bytes(), Some(&b"hi\n\n"[..]));
        assert_eq!(store.cost.get(), 0);
    }

    #[test]
    fn one_batch_is_kept_whatever_its_length() {
        let mut window = Window::new(1, WindowBudget::new(usize::MAX));
        let batch = window.push(Arc::from(&b"abc\n\n"[..]), 1, u64::MAX);
        assert_eq!(Rc::new(PartialEventStore::new(0)).keep(batch, 1).bytes(), Some(&b"bc\n\n"[..]));
    }

    /// Batches of two audiences at one position once counted as one, and the wrong cost was subtracted.
    #[test]
    fn batches_of_two_audiences_are_kept_apart() {
        let [first, second] = ["abc\n\n", "a longer one\n\n"].map(|text| {
            let mut window = Window::new(1, WindowBudget::new(usize::MAX));
            window.push(Arc::from(text.as_bytes()), 1, u64::MAX)
        });
        let store = Rc::new(PartialEventStore::new(1000));
        let rests = [&first, &second].map(|batch| store.keep(Arc::clone(batch), 1));
        assert_eq!(store.cost.get(), first.cost() + second.cost());
        drop(rests);
        assert_eq!(store.cost.get(), 0);
    }
}
