//! A number of bytes that may be under way at one time.
//!
//! Whoever finds some of the quota free may go, and takes what it needs even if that is more than is free: so a large
//! claim does not wait for ever behind small ones, and what is under way is at most the quota and one claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel, Ordering::Acquire};

use event_listener::Event;

/// The quota, shared by all who claim from it.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget(Arc<State>);

#[derive(Debug)]
struct State {
    bytes: usize,
    reserved: AtomicUsize,
    /// Notified for one claimant when there may be room.
    room: Event,
}

/// So many bytes of a quota, given back when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: ByteBudget,
    bytes: usize,
}

impl ByteBudget {
    /// A quota of so many bytes, none of them claimed.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(State { bytes, reserved: AtomicUsize::new(0), room: Event::new() }))
    }

    /// Claims `bytes` if some of the quota is free.
    pub(crate) fn try_reserve(&self, bytes: usize) -> Option<Permit> {
        let take = |reserved: usize| (reserved < self.0.bytes).then(|| reserved.saturating_add(bytes));
        let before = self.0.reserved.fetch_update(AcqRel, Acquire, take).ok()?;
        if before.saturating_add(bytes) < self.0.bytes {
            // There is room for who waits behind, too.
            self.0.room.notify(1);
        }
        Some(Permit { budget: self.clone(), bytes })
    }

    /// Claims `bytes` as soon as some of the quota is free.
    ///
    /// Cancel safe: nothing is claimed when it is dropped before it returns.
    pub(crate) async fn reserve(&self, bytes: usize) -> Permit {
        loop {
            let room = self.0.room.listen();
            if let Some(reserve) = self.try_reserve(bytes) {
                return reserve;
            }
            room.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.0.reserved.fetch_sub(self.bytes, AcqRel);
        self.budget.0.room.notify(1);
    }
}

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    #[test]
    fn a_claim_goes_while_some_of_the_quota_is_free() {
        let budget = ByteBudget::new(10);
        let large = budget.try_reserve(25).expect("all is free");
        assert!(budget.try_reserve(1).is_none());
        drop(large);
        let _nine = budget.try_reserve(9).expect("all is free again");
        let _ten = budget.try_reserve(10).expect("one is free");
        assert!(budget.try_reserve(1).is_none());
    }

    #[test]
    fn who_waits_goes_when_something_is_given_back() {
        let budget = ByteBudget::new(10);
        let first = budget.try_reserve(10).expect("all is free");
        smol::block_on(future::zip(future::zip(budget.reserve(4), budget.reserve(4)), async {
            future::yield_now().await;
            drop(first);
        }));
        assert_eq!(budget.0.reserved.load(Acquire), 0, "all is given back");
    }
}
