//! Backpressure: the bound on what publishers have in flight.
//!
//! Publishers outrun shards, and a shard never waits for a stream. So the hub makes publishers wait, and nobody else.
//! Before its message is encoded, a publisher reserves a [`Permit`]: the message's bytes, and a place in the queue.
//!
//! - The bytes (`Limits::publish_queue_bytes`) come back when the last shard has written the message.
//! - The place (`Limits::publish_queue`) comes back when the last shard has taken the message from the queue.
//!
//! A client gets the response to its publish request only after that, so it feels the wait on its own connection. It
//! holds no more memory meanwhile than the body that it sent.
//!
//! The invariant: the queue has a free place for every permit, so queueing neither waits nor fails for lack of room.
//! Nothing here encodes, orders or queues a message.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::time::Instant;

use event_listener::Event;

use super::PublishError;
use crate::config::Limits;
use crate::metrics::Metrics;

/// Budget of a hub, for all of its publishers together.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Pool,
    places: Pool,
    shards: usize,
    metrics: Metrics,
}

/// A message's part of the budget. The bytes come back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    budget: Arc<Budget>,
    bytes: usize,
    /// Number of shards that have yet to take the message from the queue.
    untaken: AtomicUsize,
    /// Start of the wait for this permit.
    pub(super) since: Instant,
}

impl Budget {
    /// Makes the budget of a hub with so many shards.
    pub(super) fn new(limits: &Limits, shards: usize, metrics: Metrics) -> Arc<Self> {
        let (bytes, places) = (Pool::new(limits.publish_queue_bytes), Pool::new(limits.publish_queue));
        Arc::new(Self { bytes, places, shards, metrics })
    }

    /// Reserves `bytes` and a place, and waits while either is used up. Cancel safe.
    ///
    /// # Errors
    ///
    /// `Stopped` if the budget is closed meanwhile.
    pub(super) async fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Permit, PublishError> {
        let since = Instant::now();
        if !self.bytes.try_acquire(bytes) {
            self.metrics.publish_delayed();
            self.bytes.acquire(bytes).await?;
        }
        // From here on the bytes come back even if the wait for a place is cancelled.
        let mut permit = Permit { budget: Arc::clone(self), bytes, untaken: AtomicUsize::new(0), since };
        self.places.acquire(1).await?;
        *permit.untaken.get_mut() = self.shards;
        Ok(permit)
    }

    /// Rejects all publishers that wait.
    pub(super) fn close(&self) {
        self.bytes.close();
        self.places.close();
    }
}

impl Permit {
    /// Notes that one more shard has taken the message from the queue. Returns true if it was the last: its place is
    /// free then, and the caller has to give it back by [`Self::free_places`].
    pub(super) fn note_taken(&self) -> bool {
        self.untaken.fetch_sub(1, AcqRel) == 1
    }

    /// Gives back the places of as many messages: one write to a cache line that all threads share.
    pub(super) fn free_places(&self, places: usize) {
        if places > 0 {
            self.budget.places.release(places);
        }
    }

    /// Takes over the bytes of another permit, to give them back with its own.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += mem::take(&mut other.bytes);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.bytes.release(self.bytes);
        }
        // The message was not queued, or a shard ended before it took it.
        if *self.untaken.get_mut() > 0 {
            self.budget.places.release(1);
        }
    }
}

/// Counting semaphore that the last claim may overdraw.
///
/// A claim succeeds as soon as some units are free, even if it needs more than those. So a large message does not wait
/// for ever behind small ones, and the claims are at most the total and one more.
#[derive(Debug)]
struct Pool {
    total: usize,
    claimed: AtomicUsize,
    is_closed: AtomicBool,
    /// Notified for one waiting claim when units may be free.
    freed: Event,
}

impl Pool {
    fn new(total: usize) -> Self {
        Self { total, claimed: AtomicUsize::new(0), is_closed: AtomicBool::new(false), freed: Event::new() }
    }

    fn has_free(&self) -> bool {
        self.claimed.load(Acquire) < self.total
    }

    /// Claims units if some are free; returns whether it did.
    fn try_acquire(&self, units: usize) -> bool {
        let claim = |claimed: usize| (claimed < self.total).then(|| claimed.saturating_add(units));
        self.claimed.fetch_update(AcqRel, Acquire, claim).is_ok()
    }

    /// Claims units as soon as some are free. Cancel safe.
    async fn acquire(&self, units: usize) -> Result<(), PublishError> {
        if self.try_acquire(units) {
            return Ok(());
        }
        loop {
            let freed = self.freed.listen();
            if self.is_closed.load(Acquire) {
                return Err(PublishError::Stopped);
            }
            // No notification is missed any more, so this check decides.
            if !self.has_free() {
                freed.await;
            }
            if self.try_acquire(units) {
                // One notification may stand for the units of many claims, so the next one that waits looks too.
                if self.has_free() {
                    self.freed.notify(1);
                }
                return Ok(());
            }
        }
    }

    fn release(&self, units: usize) {
        self.claimed.fetch_sub(units, AcqRel);
        self.freed.notify(1);
    }

    fn close(&self) {
        self.is_closed.store(true, Release);
        self.freed.notify(usize::MAX);
    }
}

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    fn budget(publish_queue: usize, publish_queue_bytes: usize) -> Arc<Budget> {
        Budget::new(&Limits { publish_queue, publish_queue_bytes, ..Limits::default() }, 1, Metrics::default())
    }

    /// Reserves without a wait.
    fn reserve(budget: &Arc<Budget>, bytes: usize) -> Option<Permit> {
        smol::block_on(future::poll_once(budget.reserve(bytes))).map(|permit| permit.expect("it is open"))
    }

    /// Bytes and places in use.
    fn claimed(budget: &Budget) -> (usize, usize) {
        (budget.bytes.claimed.load(Acquire), budget.places.claimed.load(Acquire))
    }

    #[test]
    fn a_claim_succeeds_while_some_units_are_free() {
        let pool = Pool::new(10);
        assert!(pool.try_acquire(25), "all are free");
        assert!(!pool.try_acquire(1));
        pool.release(25);
        assert!(pool.try_acquire(9), "all are free again");
        assert!(pool.try_acquire(10), "one is free");
        assert!(!pool.try_acquire(1));
    }

    #[test]
    fn waiting_publishers_go_on_when_bytes_come_back() {
        let budget = budget(9, 10);
        let first = reserve(&budget, 10).expect("all is free");
        let others = future::zip(budget.reserve(4), budget.reserve(4));
        let (others, ()) = smol::block_on(future::zip(others, async {
            future::yield_now().await;
            drop(first);
        }));
        assert!(others.0.is_ok() && others.1.is_ok());
        drop(others);
        assert_eq!(claimed(&budget), (0, 0), "all came back");
    }

    #[test]
    fn a_permit_holds_bytes_and_a_place() {
        let budget = budget(2, 10);
        let (first, mut second) = (reserve(&budget, 4), reserve(&budget, 4).expect("some is free"));
        assert!(first.is_some());
        assert!(reserve(&budget, 1).is_none(), "both places are in use");
        drop(first);
        let third = reserve(&budget, 10).expect("a place and some bytes are free");
        assert!(second.note_taken());
        second.free_places(1);
        assert_eq!(budget.metrics.publishes_delayed(), 0, "waits for places are not counted");
        assert!(reserve(&budget, 1).is_none(), "a place is free, and no byte");
        assert_eq!(budget.metrics.publishes_delayed(), 1);
        second.absorb(third);
        assert_eq!(claimed(&budget), (14, 0), "the bytes of both are held, and no place");
        drop(second);
        assert_eq!(claimed(&budget), (0, 0), "each came back once");
    }

    #[test]
    fn a_closed_budget_rejects_waiting_publishers() {
        let budget = budget(1, 10);
        let _held = reserve(&budget, 1).expect("all is free");
        let close = async {
            future::yield_now().await;
            budget.close();
        };
        let (rejected, ()) = smol::block_on(future::zip(budget.reserve(1), close));
        assert_eq!(rejected.map(drop), Err(PublishError::Stopped));
        assert_eq!(claimed(&budget).0, 1, "its bytes came back");
    }
}
