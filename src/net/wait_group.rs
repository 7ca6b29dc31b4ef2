//! A number of tasks on one thread, and the wait until none is left.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Counts the tasks that have entered and not left.
#[derive(Debug, Default)]
pub(crate) struct WaitGroup {
    members: Cell<usize>,
    /// Who waits for the group to be empty: at most one task.
    waiter: RefCell<Option<Waker>>,
}

/// A task's membership, given up when dropped: whatever ends the task, a panic included.
#[derive(Debug)]
pub(crate) struct WaitGuard<'g>(&'g WaitGroup);

impl WaitGroup {
    /// Counts the caller until what is returned is dropped.
    pub(crate) fn enter(&self) -> WaitGuard<'_> {
        self.members.set(self.members.get() + 1);
        WaitGuard(self)
    }

    /// How many are in it.
    pub(crate) fn len(&self) -> usize {
        self.members.get()
    }

    /// Waits until the group is empty, which it may be already.
    pub(crate) async fn empty(&self) {
        poll_fn(|cx| {
            if self.members.get() == 0 {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.members.set(self.0.members.get() - 1);
        if self.0.members.get() == 0 {
            if let Some(waker) = self.0.waiter.borrow_mut().take() {
                waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    #[test]
    fn a_group_is_empty_when_its_last_member_has_left() {
        let group = WaitGroup::default();
        let (first, second) = (group.enter(), group.enter());
        smol::block_on(future::zip(group.empty(), async {
            drop(first);
            future::yield_now().await;
            assert_eq!(group.members.get(), 1);
            drop(second);
        }));
        assert_eq!(group.members.get(), 0);
    }
}
