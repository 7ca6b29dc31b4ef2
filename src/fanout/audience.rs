//! The streams that get the same bytes, and those bytes.
//!
//! An audience belongs to one shard. It owns its members' sockets and gives them batches in rounds: one loop over a
//! table in the order of joining, in which a member that keeps up costs one `send` and touches nothing of its own but
//! a row of that table. A member that does not keep up leaves the rounds: its task moves it along through the window
//! of older batches until it has caught up, or until the window lets go of the next byte it needs, and it has lagged.
//! An audience never waits for a member.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Add;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use arc_swap::ArcSwap;
use event_listener::Event;
use slab::Slab;
use smol::future::yield_now;

use super::SubscriberCounts;
use super::partial_event::{PartialEvent, PartialEvents};
use super::window::{Batch, Window};
use crate::event::topic::FilterSet;
use crate::metrics::ShardMetrics;
use crate::net::Sink;

/// How many rows rounds look at before the other tasks of the shard get a turn, and after how many bytes: about half a
/// millisecond of sends.
const ROWS_IN_A_SLICE: usize = 64;
const BYTES_IN_A_SLICE: u64 = 256 * 1024;

/// What may still be written before the other tasks get theirs: by one round, or by many short ones.
#[derive(Debug)]
pub(crate) struct TimeSlice {
    rows: usize,
    bytes: u64,
}

impl TimeSlice {
    /// A whole one.
    pub(crate) fn new() -> Self {
        Self { rows: ROWS_IN_A_SLICE, bytes: BYTES_IN_A_SLICE }
    }

    /// Lets the other tasks have theirs, and begins anew.
    pub(crate) async fn renew(&mut self) {
        yield_now().await;
        *self = Self::new();
    }
}

/// The members and the bytes they get.
#[derive(Debug)]
pub(crate) struct Audience<S> {
    /// What a member that keeps up is sent next.
    newest: ArcSwap<Batch>,
    /// What a member that does not keep up still finds.
    window: RefCell<Window>,
    /// Where its members are counted, if they asked for topics, and by which.
    counted: Option<(SubscriberCounts, FilterSet)>,
    /// What those still need who leave in the middle of an event.
    partial_events: Rc<PartialEvents>,
    /// Where what is written is counted.
    shard_metrics: Arc<ShardMetrics>,
    subscribers: RefCell<Slab<Subscriber<S>>>,
    /// One more than the highest key that a member ever had: where a round ends. Passing over an empty row costs a
    /// nanosecond, so it does not shrink.
    rows: Cell<usize>,
    /// The members whose sockets block, by position: the hindmost first.
    blocked: RefCell<BTreeSet<(u64, usize)>>,
    /// The members that are behind since their sockets first blocked.
    slow: RefCell<BTreeMap<usize, SlowSubscriber>>,
    /// How many members are behind, and how many places and members have yet to look at what came since they joined.
    behind: Cell<usize>,
    joining: Cell<usize>,
    /// Notified when the last of them no longer is.
    none_slow: Event,
    /// The position up to which rounds have written to all who keep up.
    written: Cell<u64>,
    /// Whether the last batch was given.
    closed: Cell<bool>,
    /// Ticks of the shard's clock since the audience began, and since the last batch.
    ticks: Cell<u64>,
    idle_ticks: Cell<u64>,
}

#[derive(Debug)]
struct Subscriber<S> {
    sink: S,
    /// The position of the next byte to write.
    position: u64,
    pace: Pace,
    waker: Waker,
}

/// What is known of a member that is behind.
#[derive(Debug)]
struct SlowSubscriber {
    /// What it is known by: no other member of the shard ever has this number.
    number: u64,
    /// The tick in which it fell behind.
    since: u64,
    /// Whether somebody has told it to go.
    is_disconnected: bool,
}

/// Who is behind, for whoever looks.
#[derive(Clone, Debug)]
pub(crate) struct SlowReport<T> {
    /// What it is known by, within its shard.
    pub(crate) number: u64,
    /// The bytes that it has yet to be sent.
    pub(crate) bytes: u64,
    /// For how many ticks it has been behind.
    pub(crate) ticks: u64,
    /// What it asked for.
    pub(crate) filters: FilterSet,
    /// What the one who looks wanted to know of its sink.
    pub(crate) seen: T,
}

/// What an audience comes to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AudienceStats {
    pub(crate) subscribers: usize,
    pub(crate) behind: usize,
    pub(crate) window_bytes: usize,
}

impl Add for AudienceStats {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            subscribers: self.subscribers + other.subscribers,
            behind: self.behind + other.behind,
            window_bytes: self.window_bytes + other.window_bytes,
        }
    }
}

/// Who moves a member along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// Its task, which has yet to look at what came since it joined.
    Joins,
    /// Rounds.
    Follows,
    /// Its task, because a round could not.
    SlowReport,
    /// Nobody: it leaves.
    Leaves,
}

impl<S: Sink> Audience<S> {
    /// An audience without members.
    pub(crate) fn new(
        window: Window,
        partial_events: Rc<PartialEvents>,
        shard_metrics: Arc<ShardMetrics>,
        counted: Option<(SubscriberCounts, FilterSet)>,
    ) -> Self {
        Self {
            newest: ArcSwap::from_pointee(Batch::empty()),
            window: RefCell::new(window),
            counted,
            partial_events,
            shard_metrics,
            subscribers: RefCell::new(Slab::new()),
            rows: Cell::new(0),
            blocked: RefCell::new(BTreeSet::new()),
            slow: RefCell::new(BTreeMap::new()),
            behind: Cell::new(0),
            joining: Cell::new(0),
            none_slow: Event::new(),
            written: Cell::new(0),
            closed: Cell::new(false),
            ticks: Cell::new(0),
            idle_ticks: Cell::new(0),
        }
    }

    /// A place behind all that was given so far, for who is about to join.
    pub(crate) fn reserve(self: &Rc<Self>) -> Reservation<S> {
        self.joining.set(self.joining.get() + 1);
        self.enter();
        Reservation { audience: Rc::clone(self), position: self.window.borrow().end() }
    }

    fn enter(&self) {
        self.counted.iter().for_each(|(subscriber_counts, filters)| subscriber_counts.enter(filters));
    }

    fn leave(&self) {
        self.counted.iter().for_each(|(subscriber_counts, filters)| subscriber_counts.leave(filters));
    }

    /// Gives every member these bytes, which are the whole frames of so many messages. They leave with the next round.
    pub(crate) fn give(&self, bytes: Arc<[u8]>, messages: u64) {
        self.release();
        let batch = self.window.borrow_mut().push(bytes, messages, self.written.get());
        self.newest.store(batch);
        self.idle_ticks.set(0);
        self.wake_lagged();
    }

    /// Has the window let go of what nobody needs: all of it, while everybody follows.
    fn release(&self) {
        let blocked = self.blocked.borrow();
        // Where those are who join, or who have yet to find out why they are behind, is not known here.
        if self.joining.get() == 0 && self.behind.get() == blocked.len() {
            let needed = blocked.first().map_or(u64::MAX, |(position, _)| *position);
            self.window.borrow_mut().release(needed.min(self.written.get()));
        }
    }

    /// Writes what was given to every member that keeps up.
    pub(crate) async fn write_round(&self, slice: &mut TimeSlice) {
        let (mut row, end) = (0, self.window.borrow().end());
        loop {
            row = self.write_rows(row, slice);
            if row >= self.rows.get() {
                // A round that began later may have come to its end first.
                return self.written.set(self.written.get().max(end));
            }
            slice.renew().await;
        }
    }

    /// The hot path: one `send` a member, until the turn is over. Returns the first row that has yet to be looked at.
    fn write_rows(&self, from: usize, slice: &mut TimeSlice) -> usize {
        let newest = self.newest.load();
        let window = self.window.borrow();
        let mut subscribers = self.subscribers.borrow_mut();
        let (mut written, mut delivered, mut next) = (0, 0, self.rows.get().min(from + slice.rows));
        for row in from..next {
            let Some(subscriber) = subscribers.get_mut(row).filter(|subscriber| subscriber.pace == Pace::Follows)
            else {
                continue;
            };
            let position = subscriber.position;
            if subscriber.advance(&newest, &window, &mut delivered) != Progress::CaughtUp {
                // Its task finds out why, and does what has to be done.
                self.set_pace(subscriber, Pace::SlowReport);
                subscriber.waker.wake_by_ref();
            }
            written += subscriber.position - position;
            if written >= slice.bytes {
                next = row + 1;
                break;
            }
        }
        slice.rows -= next - from;
        slice.bytes = slice.bytes.saturating_sub(written);
        self.shard_metrics.written(delivered, written);
        next
    }

    /// Whether a round left somebody behind who has neither caught up since nor gone.
    pub(crate) fn has_slow(&self) -> bool {
        self.behind.get() > 0
    }

    /// Waits until nobody is behind.
    pub(crate) async fn none_slow(&self) {
        while self.has_slow() {
            self.none_slow.listen().await;
        }
    }

    fn set_pace(&self, subscriber: &mut Subscriber<S>, pace: Pace) {
        let before = std::mem::replace(&mut subscriber.pace, pace);
        let change = |count: &Cell<usize>, counted| {
            count.set(count.get() + usize::from(pace == counted) - usize::from(before == counted));
        };
        change(&self.joining, Pace::Joins);
        change(&self.behind, Pace::SlowReport);
        if before == Pace::SlowReport && self.behind.get() == 0 {
            self.none_slow.notify(usize::MAX);
        }
    }

    /// Nothing more will be given: members end once they have written all.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        for (_, subscriber) in self.subscribers.borrow().iter() {
            subscriber.waker.wake_by_ref();
        }
    }

    /// A tick has passed. What nobody needs any more goes now, however long it takes until there is a message again.
    pub(crate) fn tick(&self) {
        self.release();
        self.ticks.set(self.ticks.get() + 1);
        self.idle_ticks.set(self.idle_ticks.get() + 1);
    }

    /// How many ticks have passed since the last batch.
    pub(crate) fn idle_ticks(&self) -> u64 {
        self.idle_ticks.get()
    }

    /// How many members there are, how many of them are behind, and what the window holds.
    pub(crate) fn stats(&self) -> AudienceStats {
        let window_bytes = self.window.borrow().cost();
        AudienceStats { subscribers: self.subscribers.borrow().len(), behind: self.slow.borrow().len(), window_bytes }
    }

    /// The keys of the hindmost members, at most so many, each behind the bytes that it has yet to be sent.
    pub(crate) fn slowest(&self, most: usize) -> Vec<(u64, usize)> {
        let end = self.window.borrow().end();
        self.blocked.borrow().iter().take(most).map(|(position, key)| (end - position, *key)).collect()
    }

    /// What there is to know of one of them, with what `look` sees of its sink.
    pub(crate) fn report<T>(&self, (bytes, key): (u64, usize), look: impl Fn(&S) -> T) -> Option<SlowReport<T>> {
        let (slow, subscribers) = (self.slow.borrow(), self.subscribers.borrow());
        let (slow, subscriber) = (slow.get(&key)?, subscribers.get(key)?);
        let ticks = self.ticks.get() - slow.since;
        Some(SlowReport { number: slow.number, bytes, ticks, filters: self.filters(), seen: look(&subscriber.sink) })
    }

    /// Tells the member that is known by this number to go; returns whether it was here.
    pub(crate) fn disconnect(&self, number: u64) -> bool {
        let mut slow = self.slow.borrow_mut();
        let Some((key, slow)) = slow.iter_mut().find(|(_, slow)| slow.number == number) else { return false };
        slow.is_disconnected = true;
        self.subscribers.borrow()[*key].waker.wake_by_ref();
        true
    }

    fn filters(&self) -> FilterSet {
        self.counted.as_ref().map(|(_, filters)| filters.clone()).unwrap_or_default()
    }

    /// Wakes those whose next byte the window let go, so that they end now and not when their sockets next take one.
    fn wake_lagged(&self) {
        let start = self.window.borrow().start();
        let mut blocked = self.blocked.borrow_mut();
        while blocked.first().is_some_and(|(position, _)| *position < start) {
            if let Some((_, key)) = blocked.pop_first() {
                self.subscribers.borrow()[key].waker.wake_by_ref();
            }
        }
    }
}

/// How far a member came, and what its task has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing: rounds move it along from here.
    CaughtUp,
    /// End: it has everything, and there will be no more.
    Finished,
    /// Wait until its sink takes more.
    Blocked,
    /// End: what it needs next is lost.
    Lagged,
    /// End: its sink failed.
    Failed,
}

impl Progress {
    fn pace(self) -> Pace {
        match self {
            Self::CaughtUp => Pace::Follows,
            Self::Blocked => Pace::SlowReport,
            Self::Finished | Self::Lagged | Self::Failed => Pace::Leaves,
        }
    }
}

impl<S: Sink> Subscriber<S> {
    /// Writes what follows the position, until there is nothing more or the sink takes no more. Adds the messages of
    /// each batch whose last byte it wrote to `delivered`.
    fn advance(&mut self, newest: &Batch, window: &Window, delivered: &mut u64) -> Progress {
        loop {
            let batch =
                if self.position >= newest.start() { Some(newest) } else { window.at(self.position).map(|b| &**b) };
            let Some((batch, rest)) = batch.and_then(|batch| Some((batch, batch.rest(self.position)?))) else {
                return Progress::Lagged;
            };
            if rest.is_empty() {
                return Progress::CaughtUp;
            }
            match self.sink.try_write(rest) {
                Ok(0) => return Progress::Failed,
                Ok(count) => {
                    self.position += count as u64;
                    if count == rest.len() {
                        *delivered += batch.messages();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Blocked,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Failed,
            }
        }
    }
}

/// A place in an audience that nobody sits at yet: from its position on nothing is lost but by lagging.
#[derive(Debug)]
pub(crate) struct Reservation<S: Sink> {
    audience: Rc<Audience<S>>,
    position: u64,
}

impl<S: Sink> Reservation<S> {
    /// Seats who has everything before the place's position. Rounds begin to move it once it has caught up by itself.
    pub(crate) fn join(self, sink: S) -> Membership<S> {
        let audience = Rc::clone(&self.audience);
        let subscriber = Subscriber { sink, position: self.position, pace: Pace::Joins, waker: Waker::noop().clone() };
        let key = audience.subscribers.borrow_mut().insert(subscriber);
        audience.rows.set(audience.rows.get().max(key + 1));
        audience.joining.set(audience.joining.get() + 1);
        audience.enter();
        Membership { audience, key, blocked_at: None, held: None }
    }
}

impl<S: Sink> Drop for Reservation<S> {
    fn drop(&mut self) {
        self.audience.joining.set(self.audience.joining.get() - 1);
        self.audience.leave();
    }
}

/// One member's seat in an audience, given back when dropped.
#[derive(Debug)]
pub(crate) struct Membership<S: Sink> {
    audience: Rc<Audience<S>>,
    key: usize,
    /// The position under which `blocked` has this seat.
    blocked_at: Option<u64>,
    /// The batch that a blocked member is in the middle of, so that it can end with a whole event even when the
    /// window let go of it.
    held: Option<Arc<Batch>>,
}

impl<S: Sink> Membership<S> {
    /// Moves the member along by itself; once it has caught up, rounds do. `waker` is woken when they no longer can,
    /// and when the audience closes.
    pub(crate) fn catch_up(&mut self, waker: &Waker) -> Progress {
        self.leave_blocked();
        let audience = &self.audience;
        let window = audience.window.borrow();
        let mut subscribers = audience.subscribers.borrow_mut();
        let subscriber = &mut subscribers[self.key];
        subscriber.waker.clone_from(waker);
        let (before, mut delivered) = (subscriber.position, 0);
        let progress = subscriber.advance(&audience.newest.load(), &window, &mut delivered);
        audience.shard_metrics.written(delivered, subscriber.position - before);
        audience.set_pace(subscriber, progress.pace());
        match progress {
            Progress::CaughtUp => {
                self.held = None;
                audience.slow.borrow_mut().remove(&self.key);
                if audience.closed.get() {
                    return Progress::Finished;
                }
            }
            Progress::Blocked => {
                self.held = window.at(subscriber.position).cloned();
                self.blocked_at = Some(subscriber.position);
                audience.blocked.borrow_mut().insert((subscriber.position, self.key));
                let (shard_metrics, since) = (&audience.shard_metrics, audience.ticks.get());
                let new = || SlowSubscriber { number: shard_metrics.became_slow(), since, is_disconnected: false };
                audience.slow.borrow_mut().entry(self.key).or_insert_with(new);
            }
            Progress::Finished | Progress::Lagged | Progress::Failed => {}
        }
        progress
    }

    /// Moves a member that has lagged behind all that was given; returns what is left of its event, to be written
    /// first.
    pub(crate) fn skip(&mut self) -> Vec<u8> {
        let audience = &self.audience;
        let mut subscribers = audience.subscribers.borrow_mut();
        let subscriber = &mut subscribers[self.key];
        // One without a batch has joined and not begun: it is between two events.
        let rest = self.held.take().map_or_else(Vec::new, |batch| batch.rest_of_event(subscriber.position).to_vec());
        subscriber.position = audience.window.borrow().end();
        audience.set_pace(subscriber, Pace::Joins);
        rest
    }

    /// What the member asked for.
    pub(crate) fn filters(&self) -> FilterSet {
        self.audience.filters()
    }

    /// Whether somebody has told the member, who is behind, to go.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.audience.slow.borrow().get(&self.key).is_some_and(|slow| slow.is_disconnected)
    }

    /// Has `look` look at the member's sink.
    pub(crate) fn sink<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        look(&self.audience.subscribers.borrow()[self.key].sink)
    }

    /// The position of the next byte to write: it moves with every write that made progress.
    pub(crate) fn position(&self) -> u64 {
        self.audience.subscribers.borrow()[self.key].position
    }

    /// Gives the seat back, and gives out the sink with what is left of the event that its member is in the middle of.
    pub(crate) fn leave(mut self) -> Option<(S, PartialEvent)> {
        self.remove()
    }

    fn leave_blocked(&mut self) {
        if let Some(position) = self.blocked_at.take() {
            self.audience.blocked.borrow_mut().remove(&(position, self.key));
        }
    }

    fn remove(&mut self) -> Option<(S, PartialEvent)> {
        self.leave_blocked();
        let audience = &self.audience;
        let mut subscriber = audience.subscribers.borrow_mut().try_remove(self.key)?;
        audience.set_pace(&mut subscriber, Pace::Leaves);
        audience.slow.borrow_mut().remove(&self.key);
        audience.leave();
        let window = audience.window.borrow();
        let partial_event = match self.held.take().or_else(|| window.at(subscriber.position).cloned()) {
            Some(batch) => audience.partial_events.keep(batch, subscriber.position),
            None if subscriber.position == window.end() => PartialEvent::Nothing,
            None => PartialEvent::Lost,
        };
        Some((subscriber.sink, partial_event))
    }
}

impl<S: Sink> Drop for Membership<S> {
    fn drop(&mut self) {
        if let Some((sink, partial_event)) = self.remove() {
            if partial_event.bytes() != Some(&[]) {
                sink.reset_on_close(true);
            }
        }
    }
}

#[cfg(test)]
mod tests;
