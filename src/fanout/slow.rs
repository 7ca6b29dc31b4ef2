//! Slow subscribers: the policy, and the one owner of their state.
//!
//! - **A subscriber becomes slow** when a round finds its socket full (`Audience::write_rows`). Later rounds
//!   pass it over. Its own task writes from the window when the socket has room (`Membership::catch_up`). It is live
//!   again once it has everything.
//! - **The dispatcher gives it time** in a burst: a batch's share of `window_time` (`Dispatcher::wait_for_slow`).
//! - **It lags** when the window lets go of its next byte, which is `--max-lag` behind the newest. Its stream ends
//!   between two events, or by a reset (`Stream::end` in `connection/stream.rs`). With `slow=latest` it skips to the
//!   newest event of each topic instead (`Stream::skip_to_latest`, `latest.rs`).
//! - **It stalls** when its socket takes no byte for `--write-timeout`: its stream ends (`Stream::poll_room`).
//! - **The operator disconnects it** by its number from the list of the slowest (`inspector.rs`).
//!
//! Pure: this file knows rows, positions and ticks, and no socket or waker. Callers wake the rows that it names.
//!
//! Invariant: `joining`, `woken` and `blocked` are exactly the rows at the pace of that name, and reservations count as
//! joining. Every blocked row has an episode, and no live or leaving row has one.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use event_listener::{Event, EventListener};

use crate::metrics::ShardMetrics;

/// The relation of a subscriber to the newest byte. Rounds write to live subscribers alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// Its task has yet to write the bytes pushed since the reservation.
    Joining,
    /// Rounds write to it.
    Live,
    /// Slow: its task was woken and has yet to try.
    Woken,
    /// Slow: its task waits until the socket has room.
    Blocked,
    /// The window let go of its next byte. Its task ends the stream or skips.
    Lagged,
    /// Nothing writes to it any more.
    Leaving,
}

/// The subscribers of one audience that rounds do not write to.
#[derive(Debug)]
pub(super) struct SlowSubscribers {
    joining: usize,
    woken: usize,
    /// Position and row of each blocked subscriber, the slowest first.
    blocked: BTreeSet<(u64, usize)>,
    /// Episodes by row. An episode outlasts a skip, so the operator sees one slow subscriber and not many.
    episodes: BTreeMap<usize, Episode>,
    none_slow: Event,
    /// Ticks of the shard's clock since the audience began.
    ticks: u64,
    /// Gives each episode its number.
    shard_metrics: Arc<ShardMetrics>,
}

/// The time from a task's first full socket until its subscriber is live or leaves.
#[derive(Debug)]
struct Episode {
    /// Unique within the shard.
    number: u64,
    /// The tick in which it began.
    since: u64,
    is_disconnected: bool,
}

/// A blocked subscriber, as of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlowSubscriber {
    pub(super) row: usize,
    pub(super) number: u64,
    /// The bytes that its client has yet to get.
    pub(super) bytes: u64,
    /// The ticks since the episode began.
    pub(super) ticks: u64,
}

impl SlowSubscribers {
    pub(super) fn new(shard_metrics: Arc<ShardMetrics>) -> Self {
        Self {
            joining: 0,
            woken: 0,
            blocked: BTreeSet::new(),
            episodes: BTreeMap::new(),
            none_slow: Event::new(),
            ticks: 0,
            shard_metrics,
        }
    }

    /// Counts a reservation, or a row that begins at [`Pace::Joining`].
    pub(super) fn join(&mut self) {
        self.joining += 1;
    }

    /// Gives back a reservation.
    pub(super) fn cancel(&mut self) {
        self.joining -= 1;
    }

    /// Changes the pace of the subscriber in `row`, and all that follows from it. Nothing else changes a pace.
    ///
    /// A blocked row is found by its position, so the position must not have moved since the row blocked.
    pub(super) fn set_pace(&mut self, row: usize, position: u64, pace: &mut Pace, to: Pace) {
        let was_slow = self.any();
        match mem::replace(pace, to) {
            Pace::Joining => self.joining -= 1,
            Pace::Woken => self.woken -= 1,
            Pace::Blocked => _ = self.blocked.remove(&(position, row)),
            Pace::Live | Pace::Lagged | Pace::Leaving => {}
        }
        match to {
            Pace::Joining => self.joining += 1,
            Pace::Woken => self.woken += 1,
            Pace::Blocked => {
                self.blocked.insert((position, row));
                let (shard_metrics, since) = (&self.shard_metrics, self.ticks);
                let new = || Episode { number: shard_metrics.became_slow(), since, is_disconnected: false };
                self.episodes.entry(row).or_insert_with(new);
            }
            Pace::Live | Pace::Leaving => _ = self.episodes.remove(&row),
            Pace::Lagged => {}
        }
        if was_slow && !self.any() {
            self.none_slow.notify(usize::MAX);
        }
    }

    /// Returns true if a subscriber is slow: woken or blocked.
    pub(super) fn any(&self) -> bool {
        self.woken > 0 || !self.blocked.is_empty()
    }

    /// Listens for the moment at which no subscriber is slow any more.
    pub(super) fn none_slow(&self) -> EventListener {
        self.none_slow.listen()
    }

    /// The number of subscribers with an episode, those that skip included.
    pub(super) fn count(&self) -> usize {
        self.episodes.len()
    }

    /// The position of the oldest byte that these subscribers need; `None` while the position of one is unknown.
    pub(super) fn oldest_needed(&self) -> Option<u64> {
        let is_known = self.joining == 0 && self.woken == 0;
        is_known.then(|| self.blocked.first().map_or(u64::MAX, |(position, _)| *position))
    }

    /// The row of a blocked subscriber that lags a window which starts at `start`. The caller wakes it.
    pub(super) fn first_before(&self, start: u64) -> Option<usize> {
        self.blocked.first().filter(|(position, _)| *position < start).map(|(_, row)| *row)
    }

    pub(super) fn tick(&mut self) {
        self.ticks += 1;
    }

    /// The slowest subscribers, at most `most`, with `end` as the position after the newest byte.
    pub(super) fn slowest(&self, most: usize, end: u64) -> impl Iterator<Item = SlowSubscriber> {
        self.blocked.iter().take(most).filter_map(move |(position, row)| {
            let Episode { number, since, .. } = self.episodes.get(row)?;
            Some(SlowSubscriber { row: *row, number: *number, bytes: end - position, ticks: self.ticks - since })
        })
    }

    /// Marks the subscriber whose episode has this number, and returns its row. The caller wakes it.
    pub(super) fn disconnect(&mut self, number: u64) -> Option<usize> {
        let (row, episode) = self.episodes.iter_mut().find(|(_, episode)| episode.number == number)?;
        episode.is_disconnected = true;
        Some(*row)
    }

    /// True if the operator has disconnected the subscriber in `row`.
    pub(super) fn is_disconnected(&self, row: usize) -> bool {
        self.episodes.get(&row).is_some_and(|episode| episode.is_disconnected)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Pace::{Blocked, Joining, Lagged, Leaving, Live, Woken};
    use super::*;

    /// Rows as an audience has them, each with its position and its pace.
    struct Rows {
        rows: Vec<(u64, Pace)>,
        slow: SlowSubscribers,
    }

    impl Rows {
        fn live(count: usize) -> Self {
            Self { rows: vec![(0, Live); count], slow: SlowSubscribers::new(Arc::default()) }
        }

        /// Moves a row to `position` at another pace, as its task does: only a woken row's position moves.
        fn set(&mut self, row: usize, position: u64, to: Pace) {
            let (old, pace) = &mut self.rows[row];
            self.slow.set_pace(row, *old, pace, Woken);
            *old = position;
            self.slow.set_pace(row, position, pace, to);
        }

        fn slowest(&self) -> Vec<(usize, u64, u64, u64)> {
            let slowest = self.slow.slowest(2, 100);
            slowest.map(|slow| (slow.row, slow.number, slow.bytes, slow.ticks)).collect()
        }
    }

    #[test]
    fn slowest_subscribers_come_first() {
        let mut rows = Rows::live(4);
        rows.set(0, 30, Blocked);
        rows.slow.tick();
        rows.set(1, 10, Blocked);
        rows.set(2, 20, Blocked);
        rows.slow.tick();
        assert_eq!(rows.slowest(), [(1, 1, 90, 1), (2, 2, 80, 1)]);
        rows.set(1, 40, Blocked);
        assert_eq!(rows.slowest(), [(2, 2, 80, 1), (0, 0, 70, 2)], "progress keeps the number and the time");
        assert_eq!(rows.slow.count(), 3);
    }

    #[test]
    fn episode_ends_when_a_subscriber_is_live_or_leaves() {
        let mut rows = Rows::live(2);
        (0..2).for_each(|row| rows.set(row, 1, Blocked));
        for pace in [Woken, Lagged, Joining] {
            rows.set(0, 1, pace);
            assert_eq!(rows.slow.count(), 2, "{pace:?}");
        }
        rows.set(0, 1, Blocked);
        assert_eq!(rows.slowest(), [(0, 0, 99, 0), (1, 1, 99, 0)], "a skip keeps the number");
        rows.set(0, 1, Live);
        rows.set(1, 1, Leaving);
        assert_eq!(rows.slow.count(), 0);
        rows.set(0, 1, Blocked);
        assert_eq!(rows.slowest(), [(0, 2, 99, 0)], "another episode has another number");
    }

    #[test]
    fn window_is_needed_from_the_slowest_on_if_all_are_known() {
        let mut rows = Rows::live(2);
        assert_eq!(rows.slow.oldest_needed(), Some(u64::MAX));
        rows.set(0, 7, Blocked);
        rows.set(1, 5, Blocked);
        assert_eq!((rows.slow.oldest_needed(), rows.slow.first_before(5)), (Some(5), None));
        assert_eq!(rows.slow.first_before(6), Some(1));
        rows.set(1, 5, Woken);
        assert_eq!((rows.slow.oldest_needed(), rows.slow.first_before(6)), (None, None));
        rows.set(1, 5, Lagged);
        assert_eq!(rows.slow.oldest_needed(), Some(7));
        rows.slow.join();
        assert_eq!(rows.slow.oldest_needed(), None, "a reservation");
        rows.slow.cancel();
        assert_eq!(rows.slow.oldest_needed(), Some(7));
    }

    #[test]
    fn disconnect_marks_the_slow_subscriber_of_that_number() {
        let mut rows = Rows::live(3);
        (1..3).for_each(|row| rows.set(row, 0, Blocked));
        assert_eq!((rows.slow.disconnect(1), rows.slow.disconnect(2)), (Some(2), None));
        assert_eq!([0, 1, 2].map(|row| rows.slow.is_disconnected(row)), [false, false, true]);
        rows.set(2, 0, Live);
        assert!(!rows.slow.is_disconnected(2));
        assert_eq!(rows.slow.disconnect(1), None, "it is no longer slow");
    }

    #[test]
    fn last_slow_subscriber_notifies() {
        let mut rows = Rows::live(2);
        rows.set(0, 0, Woken);
        rows.set(1, 0, Blocked);
        let mut none_slow = rows.slow.none_slow();
        rows.set(1, 0, Lagged);
        assert!(smol::block_on(smol::future::poll_once(&mut none_slow)).is_none());
        rows.set(0, 0, Live);
        smol::block_on(none_slow);
    }

    fn pace() -> impl Strategy<Value = Pace> {
        prop::sample::select(vec![Joining, Live, Woken, Blocked, Lagged, Leaving])
    }

    proptest! {
        /// Against a plain recount of the rows, after any sequence of transitions.
        #[test]
        fn state_is_that_of_the_rows(changes in prop::collection::vec((0..8_usize, 0..50_u64, pace()), 1..100)) {
            let mut rows = Rows::live(8);
            for (row, position, pace) in changes {
                let had_episode = rows.slow.episodes.contains_key(&row);
                rows.set(row, position, pace);
                let at = |pace| rows.rows.iter().filter(|(_, other)| *other == pace).count();
                prop_assert_eq!((rows.slow.joining, rows.slow.woken), (at(Joining), at(Woken)));
                let numbered = rows.rows.iter().enumerate();
                let blocked = numbered.filter(|(_, (_, pace))| *pace == Blocked);
                let blocked: BTreeSet<_> = blocked.map(|(row, (position, _))| (*position, row)).collect();
                prop_assert_eq!(&rows.slow.blocked, &blocked);
                prop_assert_eq!(rows.slow.any(), at(Woken) + at(Blocked) > 0);
                let has_episode = match pace {
                    Blocked => true,
                    Live | Leaving => false,
                    Joining | Woken | Lagged => had_episode,
                };
                prop_assert_eq!(rows.slow.episodes.contains_key(&row), has_episode);
            }
        }
    }
}
