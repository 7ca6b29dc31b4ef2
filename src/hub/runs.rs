//! The origin of events by their position: which server published them, and where some are missing.
//!
//! The history keeps events without their numbers, since nearly all follow the one before. A run is a stretch of them,
//! and begins where the server changes or a number jumps. Pure.
//!
//! The invariant: runs are in the order of their positions, and no two begin at the same one.

use std::collections::VecDeque;

use super::boot::Boot;

/// An event's server, and its number there from 1. Later events have greater keys; the default one is before all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventKey {
    pub(super) boot: Boot,
    pub(super) number: u64,
}

/// Origin of an event: its server and number, and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) boot: Boot,
    /// Start of that server, in Unix milliseconds.
    pub(super) started_at: u64,
    /// Milliseconds from that start to the publication.
    pub(super) uptime: u64,
    /// Number of the event since that start, from 1.
    pub(super) number: u64,
}

impl Stamp {
    /// Time of the publication, in Unix milliseconds.
    pub(super) fn time(&self) -> u64 {
        self.started_at.saturating_add(self.uptime)
    }

    pub(super) fn key(&self) -> EventKey {
        EventKey { boot: self.boot, number: self.number }
    }
}

/// Place of the next event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) stamp: Stamp,
    /// Mark: events are missing before it.
    pub(super) is_behind_gap: bool,
    /// Position of the newest event, which it follows.
    pub(super) newest: u64,
}

impl Place {
    /// The last stamp that was given before this place, which a note of progress keeps.
    pub(super) fn progress(&self) -> Stamp {
        Stamp { number: self.stamp.number - 1, ..self.stamp }
    }
}

/// The runs of a history, oldest first.
#[derive(Debug, Default)]
pub(super) struct Runs(VecDeque<Run>);

/// Events of one server whose numbers follow one another.
#[derive(Debug)]
struct Run {
    /// Origin of its first event.
    stamp: Stamp,
    /// First part of its events' ids: the boot, and a hyphen.
    prefix: String,
    /// Position of its first event in the history.
    first: u64,
    /// Mark: events are missing before it.
    is_behind_gap: bool,
}

impl Run {
    fn new(stamp: Stamp, first: u64, is_behind_gap: bool) -> Self {
        Self { stamp, prefix: format!("{}-", stamp.boot), first, is_behind_gap }
    }

    /// Number of the event at a position, from its server's start.
    fn number_at(&self, position: u64) -> u64 {
        self.stamp.number + (position - self.first)
    }
}

impl Runs {
    /// Adds an event of an earlier server, at the position behind all others.
    pub(super) fn extend(&mut self, stamp: Stamp, position: u64, is_behind_gap: bool) {
        let is_next = |run: &Run| run.stamp.boot == stamp.boot && run.number_at(position) == stamp.number;
        if is_behind_gap || !self.0.back().is_some_and(is_next) {
            self.0.push_back(Run::new(stamp, position, is_behind_gap));
        }
        self.correct_start(stamp.boot, stamp.started_at);
    }

    /// Begins the run of this server. Its boot is made later than that of every earlier server.
    pub(super) fn start(&mut self, boot: Boot, started_at: u64, position: u64, is_behind_gap: bool) {
        let boot = self.0.iter().fold(boot, |boot, run| boot.later_than(run.stamp.boot));
        self.0.push_back(Run::new(Stamp { boot, started_at, uptime: 0, number: 1 }, position, is_behind_gap));
    }

    /// Moves the start of a server forward.
    pub(super) fn correct_start(&mut self, boot: Boot, started_at: u64) {
        for run in self.0.iter_mut().rev().take_while(|run| run.stamp.boot == boot) {
            run.stamp.started_at = run.stamp.started_at.max(started_at);
        }
    }

    /// Origin of the first event of this server.
    pub(super) fn own(&self) -> Stamp {
        self.0.back().map_or(Stamp::default(), |run| run.stamp)
    }

    /// Forgets the runs whose last event is before this position.
    pub(super) fn forget_before(&mut self, position: u64) {
        while self.0.get(1).is_some_and(|second| second.first <= position) {
            self.0.pop_front();
        }
    }

    /// Id that the server gives the event at this position.
    pub(super) fn id_at(&self, position: u64) -> Option<String> {
        self.of(position).map(|run| format!("{}{}", run.prefix, run.number_at(position)))
    }

    /// Origin of the event at this position, which was published this long after its server's start.
    pub(super) fn stamp_at(&self, position: u64, uptime: u64) -> Option<Stamp> {
        self.of(position).map(|run| Stamp { uptime, number: run.number_at(position), ..run.stamp })
    }

    /// Says if events are missing right before this position.
    pub(super) fn has_gap_before(&self, position: u64) -> bool {
        self.of(position).is_some_and(|run| run.is_behind_gap && run.first == position)
    }

    /// Position of the event with this key, if it is not behind the newest one.
    pub(super) fn position_of(&self, key: EventKey, newest: u64) -> Option<u64> {
        self.0.iter().enumerate().find_map(|(index, run)| {
            let position = key.number.checked_sub(run.stamp.number)?.checked_add(run.first)?;
            let end = self.0.get(index + 1).map_or(newest + 1, |next| next.first);
            (run.stamp.boot == key.boot && position < end).then_some(position)
        })
    }

    /// Position before the run whose first event follows the one with this key.
    pub(super) fn position_before(&self, key: EventKey) -> Option<u64> {
        let follows = |run: &&Run| run.stamp.boot == key.boot && run.stamp.number.checked_sub(1) == Some(key.number);
        self.0.iter().find(follows).map(|run| run.first - 1)
    }

    /// Id of the event that the one at this position follows on its server, or which would be the server's first.
    pub(super) fn id_before(&self, position: u64) -> Option<String> {
        let run = self.of(position)?;
        run.number_at(position).checked_sub(1).map(|number| run.stamp.boot.id(number))
    }

    fn of(&self, position: u64) -> Option<&Run> {
        self.0.get(self.0.partition_point(|run| run.first <= position).checked_sub(1)?)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
