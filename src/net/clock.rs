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

/// Time that a wait for the rest of a request's head has once the server stops.
const REST_OF_HEAD: Duration = Duration::from_secs(1);

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
    wait: Wait,
    waker: Option<Waker>,
}

/// The effect of a stopping server on a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// For a request that has not begun: it ends without loss.
    Idle,
    /// For the rest of a head: it ends soon.
    Head,
    /// For the rest of a request, or for a response: it has all its time.
    Busy,
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

    /// Marks the server as stopping: every idle wait, now and later, is due at once, and every wait for a head soon.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
        let soon = self.now.get() + self.ticks(REST_OF_HEAD);
        for (_, waiter) in self.waiters.borrow_mut().iter_mut().filter(|(_, waiter)| waiter.wait == Wait::Head) {
            waiter.due = waiter.due.min(soon);
        }
        self.wake_due();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// A deadline that is not set yet.
    pub(crate) fn deadline(&self) -> Deadline<'_> {
        let waiter = Waiter { due: u64::MAX, wait: Wait::Busy, waker: None };
        Deadline { clock: self, key: self.waiters.borrow_mut().insert(waiter) }
    }

    fn is_due(&self, waiter: &Waiter) -> bool {
        waiter.due <= self.now.get() || (waiter.wait == Wait::Idle && self.stopping.get())
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
        self.put(after, Wait::Busy);
    }

    /// Sets it to `after` from now for a head that has begun, or to less if the server stops.
    pub(crate) fn set_head(&self, after: Duration) {
        self.put(after, Wait::Head);
    }

    /// Sets it to `after` from now, for a wait that also ends when the server stops.
    pub(crate) fn set_idle(&self, after: Duration) {
        self.put(after, Wait::Idle);
    }

    /// Lets the wait go on for the rest of its time, or for a while if the server stops: its head has begun.
    pub(crate) fn begin_head(&self) {
        let soon = self.clock.now.get() + self.clock.ticks(REST_OF_HEAD);
        let waiter = &mut self.clock.waiters.borrow_mut()[self.key];
        waiter.wait = Wait::Head;
        if self.clock.is_stopping() {
            waiter.due = waiter.due.min(soon);
        }
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

    fn put(&self, after: Duration, wait: Wait) {
        let after = if wait == Wait::Head && self.clock.is_stopping() { after.min(REST_OF_HEAD) } else { after };
        let due = self.clock.now.get().saturating_add(self.clock.ticks(after));
        let waiter = &mut self.clock.waiters.borrow_mut()[self.key];
        waiter.due = due;
        waiter.wait = wait;
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
    fn stopping_ends_idle_waits_at_once_and_heads_soon() {
        let clock = clock();
        let (idle, busy, began, later) = (clock.deadline(), clock.deadline(), clock.deadline(), clock.deadline());
        idle.set_idle(Duration::from_secs(9));
        busy.set(Duration::from_secs(9));
        began.set_idle(Duration::from_secs(9));
        began.begin_head();
        clock.stop();
        later.set_head(Duration::from_secs(9));
        assert!(is_past(&idle) && !is_past(&busy) && !is_past(&began) && !is_past(&later));
        (0..clock.ticks(REST_OF_HEAD)).for_each(|_| clock.tick());
        assert!(!is_past(&busy) && is_past(&began) && is_past(&later));
        busy.set_idle(Duration::from_secs(9));
        assert!(is_past(&busy), "a wait that begins later ends at once");
    }
}
