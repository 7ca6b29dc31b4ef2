//! A count of tasks on one thread, and the wait until it is zero.
//!
//! It starts and ends no task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// The count of tasks that have entered and not left.
#[derive(Debug, Default)]
pub(crate) struct WaitGroup {
    members: Cell<usize>,
    /// The one task that waits for the group to be empty.
    waiter: RefCell<Option<Waker>>,
}

/// The membership of a task, given up when dropped, even by a panic.
#[derive(Debug)]
pub(crate) struct WaitGuard<'g>(&'g WaitGroup);

impl WaitGroup {
    /// Counts the caller until the guard is dropped.
    pub(crate) fn enter(&self) -> WaitGuard<'_> {
        self.members.set(self.members.get() + 1);
        WaitGuard(self)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.get()
    }

    /// Waits until the group is empty; returns at once if it is.
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
    fn group_is_empty_when_its_last_member_leaves() {
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
