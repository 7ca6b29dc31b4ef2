//! The time of a shard: ticks, and deadlines that fall due with them.
//!
//! One timer for the whole shard calls [`Clock::tick`] a few times a second. A [`Deadline`] is a row of a table that
//! each tick looks through, so that setting one is a store and not a timer. This module reads no clock: time is the
//! count of ticks. A process that was stopped for a minute finds one tick gone, and cuts off no client for it.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use slab::Slab;

use crate::config::Limits;

/// The length of a tick, unless a limit is too short for it.
const LONGEST_TICK: Duration = Duration::from_millis(250);
const SHORTEST_TICK: Duration = Duration::from_millis(5);

/// The time of one shard.
#[derive(Debug)]
pub(crate) struct Clock {
    tick_length: Duration,
    /// Ticks since the shard began.
    now: Cell<u64>,
    /// Set once the server is stopping, which makes every idle wait due.
    stopping: Cell<bool>,
    /// The deadlines, and the tasks that wait for them.
    waiters: RefCell<Slab<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    due: u64,
    /// Set while its task waits for a request that has not begun, which an end interrupts without loss.
    idle: bool,
    waker: Option<Waker>,
}

impl Clock {
    /// A clock with ticks that are short enough for the shortest limit.
    pub(crate) fn new(limits: &Limits) -> Self {
        let shortest = limits
            .head_timeout
            .min(limits.body_timeout)
            .min(limits.idle_timeout)
            .min(limits.write_timeout)
            .min(limits.linger_timeout);
        Self {
            tick_length: (shortest / 8).clamp(SHORTEST_TICK, LONGEST_TICK),
            now: Cell::new(0),
            stopping: Cell::new(false),
            waiters: RefCell::new(Slab::new()),
        }
    }

    /// The time between two calls of [`Clock::tick`].
    pub(crate) fn tick_length(&self) -> Duration {
        self.tick_length
    }

    /// The number of ticks that last at least this long, even if the first is nearly over.
    pub(crate) fn ticks(&self, duration: Duration) -> u64 {
        let whole = duration.as_nanos().div_ceil(self.tick_length.as_nanos());
        u64::try_from(whole).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Counts a tick, and wakes the tasks with a deadline that is due.
    pub(crate) fn tick(&self) {
        self.now.set(self.now.get() + 1);
        self.wake_due();
    }

    /// Marks the server as stopping: every idle wait, now and later, is due at once.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        self.wake_due();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// A deadline that is not set yet.
    pub(crate) fn deadline(&self) -> Deadline<'_> {
        let waiter = Waiter { due: u64::MAX, idle: false, waker: None };
        Deadline { clock: self, key: self.waiters.borrow_mut().insert(waiter) }
    }

    fn is_due(&self, waiter: &Waiter) -> bool {
        waiter.due <= self.now.get() || (waiter.idle && self.stopping.get())
    }

    fn wake_due(&self) {
        for (_, waiter) in self.waiters.borrow_mut().iter_mut() {
            if self.is_due(waiter) {
                if let Some(waker) = waiter.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

/// The end of a wait, unbounded until it is set.
#[derive(Debug)]
pub(crate) struct Deadline<'c> {
    clock: &'c Clock,
    key: usize,
}

impl Deadline<'_> {
    /// Sets it to `after` from now, for a wait that goes on while the server stops.
    pub(crate) fn set(&self, after: Duration) {
        self.put(after, false);
    }

    /// Sets it to `after` from now, for a wait that also ends when the server stops.
    pub(crate) fn set_idle(&self, after: Duration) {
        self.put(after, true);
    }

    /// Lets the wait go on for the rest of its time even if the server stops: its request has begun.
    pub(crate) fn leave_idle(&self) {
        self.clock.waiters.borrow_mut()[self.key].idle = false;
    }

    /// Ready once it is past; the task is woken then.
    pub(crate) fn poll_past(&self, cx: &mut Context<'_>) -> Poll<()> {
        let waiter = &mut self.clock.waiters.borrow_mut()[self.key];
        if self.clock.is_due(waiter) {
            return Poll::Ready(());
        }
        match &mut waiter.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    fn put(&self, after: Duration, idle: bool) {
        let due = self.clock.now.get().saturating_add(self.clock.ticks(after));
        let waiter = &mut self.clock.waiters.borrow_mut()[self.key];
        waiter.due = due;
        waiter.idle = idle;
    }
}

impl Drop for Deadline<'_> {
    fn drop(&mut self) {
        self.clock.waiters.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> Clock {
        Clock::new(&Limits::default())
    }

    fn is_past(deadline: &Deadline<'_>) -> bool {
        deadline.poll_past(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn deadline_lasts_at_least_its_time() {
        let clock = clock();
        let deadline = clock.deadline();
        assert!(!is_past(&deadline), "not set yet");
        deadline.set(Duration::from_secs(1));
        for tick in 0..5 {
            assert!(!is_past(&deadline), "after {tick} ticks of a quarter of a second, the first perhaps cut short");
            clock.tick();
        }
        assert!(is_past(&deadline));
        deadline.set(Duration::from_secs(1));
        assert!(!is_past(&deadline), "it can be set again");
    }

    #[test]
    fn stopping_ends_idle_waits_alone() {
        let clock = clock();
        let (idle, busy, began) = (clock.deadline(), clock.deadline(), clock.deadline());
        idle.set_idle(Duration::from_secs(1));
        busy.set(Duration::from_secs(1));
        began.set_idle(Duration::from_secs(1));
        began.leave_idle();
        clock.stop();
        assert!(is_past(&idle) && !is_past(&busy) && !is_past(&began));
        busy.set_idle(Duration::from_secs(1));
        assert!(is_past(&busy), "a wait that begins later ends at once");
    }
}
