//! The subscribers that get the same bytes, and the rounds that write to them.
//!
//! A round is one loop over a table in the order of joining. It costs a live subscriber one `send`, and touches its row
//! alone. The tasks of slow subscribers (`slow.rs`) write to them from the window. No round waits for a client.
//!
//! Invariant: a batch stays in the window until a round has offered it to all live subscribers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::ArcSwap;
use slab::Slab;
use smol::future::yield_now;

use super::SubscriberCounts;
use super::inspector::SlowReport;
use super::partial_event::PartialEventStore;
use super::slow::{Pace, SlowSubscriber, SlowSubscribers};
use super::subscriber::{Progress, Sent, Subscriber};
use super::window::{Batch, Window};
use crate::event::topic::FilterSet;
use crate::metrics::ShardMetrics;
use crate::net::Sink;

/// Rounds yield to the shard's other tasks after so many rows or bytes: about half a millisecond of sends.
const ROWS_IN_A_SLICE: usize = 64;
const BYTES_IN_A_SLICE: u64 = 256 * 1024;

/// Work left until rounds yield to the shard's other tasks: one long round, or many short ones.
#[derive(Debug)]
pub(super) struct TimeSlice {
    rows: usize,
    bytes: u64,
}

impl TimeSlice {
    pub(super) fn new() -> Self {
        Self { rows: ROWS_IN_A_SLICE, bytes: BYTES_IN_A_SLICE }
    }

    /// Yields to the other tasks, and begins a new slice.
    pub(super) async fn renew(&mut self) {
        yield_now().await;
        *self = Self::new();
    }
}

/// The subscribers of one set of filters in one shard, and the bytes they get.
#[derive(Debug)]
pub(super) struct Audience<S> {
    /// The next batch of every live subscriber.
    pub(super) newest: ArcSwap<Batch>,
    /// The older batches, for slow subscribers.
    pub(super) window: RefCell<Window>,
    pub(super) subscribers: RefCell<Slab<Subscriber<S>>>,
    pub(super) slow: RefCell<SlowSubscribers>,
    /// The highest row ever used, plus one: the end of a round. It does not shrink, as an empty row costs a nanosecond.
    rows: Cell<usize>,
    /// The position up to which rounds have written to all live subscribers.
    written: Cell<u64>,
    pub(super) closed: Cell<bool>,
    /// Ticks of the shard's clock since the last batch.
    pub(super) idle_ticks: Cell<u64>,
    /// The filters of the subscribers and the place that counts them; `None` for streams without topics.
    counted: Option<(SubscriberCounts, FilterSet)>,
    pub(super) partial_events: Rc<PartialEventStore>,
    pub(super) shard_metrics: Arc<ShardMetrics>,
}

impl<S: Sink> Audience<S> {
    pub(super) fn new(
        window: Window,
        partial_events: Rc<PartialEventStore>,
        shard_metrics: Arc<ShardMetrics>,
        counted: Option<(SubscriberCounts, FilterSet)>,
    ) -> Self {
        Self {
            newest: ArcSwap::from_pointee(Batch::empty()),
            window: RefCell::new(window),
            subscribers: RefCell::new(Slab::new()),
            slow: RefCell::new(SlowSubscribers::new(Arc::clone(&shard_metrics))),
            rows: Cell::new(0),
            written: Cell::new(0),
            closed: Cell::new(false),
            idle_ticks: Cell::new(0),
            counted,
            partial_events,
            shard_metrics,
        }
    }

    /// Pushes a batch of whole frames, which are so many messages. The next round writes it.
    pub(super) fn push(&self, bytes: Arc<[u8]>, messages: u64) {
        self.release();
        let batch = self.window.borrow_mut().push(bytes, messages, self.written.get());
        self.newest.store(batch);
        self.idle_ticks.set(0);
        self.wake_lagged();
    }

    /// Releases the batches that no subscriber needs: all of them while every subscriber is live.
    fn release(&self) {
        if let Some(needed) = self.slow.borrow().oldest_needed() {
            self.window.borrow_mut().release(needed.min(self.written.get()));
        }
    }

    /// Wakes the subscribers that lag, so that they end now and not when their sockets next have room.
    fn wake_lagged(&self) {
        let (start, mut subscribers) = (self.window.borrow().start(), self.subscribers.borrow_mut());
        let next = || self.slow.borrow().first_before(start);
        while let Some(row) = next() {
            self.leave_to_task(row, &mut subscribers[row]);
        }
    }

    /// Adds a row, and returns its number.
    pub(super) fn insert(&self, subscriber: Subscriber<S>) -> usize {
        let row = self.subscribers.borrow_mut().insert(subscriber);
        self.rows.set(self.rows.get().max(row + 1));
        row
    }

    /// Writes the pushed batches to every live subscriber.
    pub(super) async fn write_round(&self, slice: &mut TimeSlice) {
        let (mut row, end) = (0, self.window.borrow().end());
        loop {
            row = self.write_rows(row, slice);
            if row >= self.rows.get() {
                // A round that began later may have ended first.
                return self.written.set(self.written.get().max(end));
            }
            slice.renew().await;
        }
    }

    /// The hot path: one `send` for each live subscriber until the slice is used up. Returns the next row.
    fn write_rows(&self, start: usize, slice: &mut TimeSlice) -> usize {
        let newest = self.newest.load();
        let window = self.window.borrow();
        let mut subscribers = self.subscribers.borrow_mut();
        let (mut sent, mut end) = (Sent::default(), self.rows.get().min(start + slice.rows));
        for row in start..end {
            let Some(subscriber) = subscribers.get_mut(row).filter(|subscriber| subscriber.pace == Pace::Live) else {
                continue;
            };
            if subscriber.write(&newest, &window, &mut sent) != Progress::CaughtUp {
                self.leave_to_task(row, subscriber);
            }
            if sent.bytes >= slice.bytes {
                end = row + 1;
                break;
            }
        }
        slice.rows -= end - start;
        slice.bytes = slice.bytes.saturating_sub(sent.bytes);
        self.shard_metrics.written(sent.messages, sent.bytes);
        end
    }

    /// Wakes a subscriber's task, which alone writes to the subscriber until it has caught up.
    fn leave_to_task(&self, row: usize, subscriber: &mut Subscriber<S>) {
        self.set_pace(row, subscriber, Pace::Woken);
        subscriber.waker.wake_by_ref();
    }

    pub(super) fn set_pace(&self, row: usize, subscriber: &mut Subscriber<S>, to: Pace) {
        self.slow.borrow_mut().set_pace(row, subscriber.position, &mut subscriber.pace, to);
    }

    /// True from the round that leaves a subscriber slow until it has caught up, lags or leaves.
    pub(super) fn has_slow(&self) -> bool {
        self.slow.borrow().any()
    }

    /// Waits until no subscriber is slow.
    pub(super) async fn none_slow(&self) {
        while self.has_slow() {
            let none_slow = self.slow.borrow().none_slow();
            none_slow.await;
        }
    }

    /// Ends every stream once it has everything: nothing more is pushed.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.subscribers.borrow().iter().for_each(|(_, subscriber)| subscriber.waker.wake_by_ref());
    }

    /// Counts a tick, and releases now what the next message might release much later.
    pub(super) fn tick(&self) {
        self.release();
        self.slow.borrow_mut().tick();
        self.idle_ticks.set(self.idle_ticks.get() + 1);
    }

    /// The slowest subscribers, at most `most`.
    pub(super) fn slowest(&self, most: usize) -> Vec<SlowSubscriber> {
        self.slow.borrow().slowest(most, self.window.borrow().end()).collect()
    }

    /// The report on one of them, with what `look` sees of its sink.
    pub(super) fn report<T>(&self, slow: SlowSubscriber, look: impl Fn(&S) -> T) -> SlowReport<T> {
        let SlowSubscriber { row, number, bytes, ticks } = slow;
        SlowReport { number, bytes, ticks, filters: self.filters(), seen: look(&self.subscribers.borrow()[row].sink) }
    }

    /// Ends the stream of the slow subscriber with this number; returns whether it is in this audience.
    pub(super) fn disconnect(&self, number: u64) -> bool {
        let row = self.slow.borrow_mut().disconnect(number);
        row.inspect(|row| self.subscribers.borrow()[*row].waker.wake_by_ref()).is_some()
    }

    /// Counts a reservation, or the row that it becomes, until it leaves.
    pub(super) fn enter(&self) {
        self.slow.borrow_mut().join();
        self.counted.iter().for_each(|(subscriber_counts, filters)| subscriber_counts.enter(filters));
    }

    pub(super) fn leave(&self) {
        self.counted.iter().for_each(|(subscriber_counts, filters)| subscriber_counts.leave(filters));
    }

    pub(super) fn filters(&self) -> FilterSet {
        self.counted.as_ref().map(|(_, filters)| filters.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
