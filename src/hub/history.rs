//! The recent events, for subscribers that resume.
//!
//! Events are numbered in the order of the queue, and held until newer ones push them out of a bound. Clients know an
//! event by its id: its publisher's, or `<boot>-<number>`, unique over restarts and ordered within one. Pure: no clock,
//! no lock; the caller says the time, in milliseconds.
//!
//! The invariants: the held events are the newest, and their positions follow those of the events gone. Between two of
//! them events are missing only where a mark says so, and a client that reads across the mark is told of a gap.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::boot::Boot;
use super::queue::Message;
use super::runs::{EventKey, Place, Runs, Stamp};
use crate::config::Retention;
use crate::event::frame::Frame;
use crate::event::id::EARLIEST;
use crate::event::topic::FilterSet;

/// Estimated memory of an event besides its frame, its topics and its publisher's id, in bytes.
const EVENT_OVERHEAD: usize = 160;

/// Estimated memory of an id that a publisher gave besides its bytes: the allocation, and the entry of the index.
const ID_OVERHEAD: usize = 96;

/// Milliseconds by which a clock has to be put forward to count: less is its usual drift.
const LEAST_CORRECTION: u64 = 1000;

/// The recent events, oldest first.
#[derive(Debug)]
pub(super) struct History {
    retention: Retention,
    events: VecDeque<StoredEvent>,
    /// The runs of the held events and of the last one that went; the last run is this server's.
    runs: Runs,
    /// Number of events that are not held any more.
    pub(super) gone: u64,
    /// Number of events that came from earlier servers.
    pub(super) restored: u64,
    /// Id that a publisher gave the last event that went: a client that has that event misses nothing yet.
    last_gone_own_id: Option<Arc<str>>,
    /// Estimated memory of the held events, in bytes.
    cost: usize,
    /// Newest event of each id that a publisher gave.
    own_ids: HashMap<Arc<str>, u64>,
}

/// A held event.
#[derive(Clone, Debug)]
pub(super) struct StoredEvent {
    /// Milliseconds from its server's start to its publication.
    pub(super) uptime: u64,
    /// Id that its publisher gave it.
    pub(super) own_id: Option<Arc<str>>,
    pub(super) message: Message,
}

impl StoredEvent {
    fn cost(&self) -> usize {
        let id = self.own_id.as_ref().map_or(0, |id| ID_OVERHEAD + id.len());
        EVENT_OVERHEAD + id + self.message.topics.memory() + self.message.frame.as_bytes().len()
    }
}

/// A held event and its origin, for a log that writes it again.
#[derive(Debug)]
pub(super) struct HeldEvent {
    pub(super) stamp: Stamp,
    pub(super) is_behind_gap: bool,
    pub(super) event: StoredEvent,
}

/// Place in the history from which a client reads on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Position of the last event that the client has.
    pub(crate) after: u64,
    pub(crate) gap: Gap,
}

/// State of a client's knowledge about events that are missing behind its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// None are known to be missing.
    None,
    /// Some are missing, and the client has to be told.
    Due,
    /// The client was told.
    Told,
}

impl History {
    /// Makes an empty history of a server that starts now.
    pub(super) fn new(retention: Retention, started_at: u64) -> Self {
        let mut history = Self::of_earlier(retention);
        history.start(Boot::starting_at(started_at), started_at, false);
        history
    }

    /// Makes an empty history for the events of earlier servers. It takes new ones once it was [started](Self::start).
    pub(super) fn of_earlier(retention: Retention) -> Self {
        Self {
            retention,
            events: VecDeque::new(),
            runs: Runs::default(),
            gone: 0,
            restored: 0,
            last_gone_own_id: None,
            cost: 0,
            own_ids: HashMap::new(),
        }
    }

    /// Appends an event of an earlier server. Until the start its age does not count.
    pub(super) fn restore(&mut self, stamp: Stamp, is_behind_gap: bool, event: StoredEvent) {
        self.runs.extend(stamp, self.newest() + 1, is_behind_gap);
        self.restored += 1;
        self.keep(event);
    }

    /// Begins the run of this server. Its boot is made later than that of every earlier server.
    pub(super) fn start(&mut self, boot: Boot, started_at: u64, is_behind_gap: bool) {
        self.runs.start(boot, started_at, self.newest() + 1, is_behind_gap);
        self.expire(started_at);
    }

    /// Moves the start of a server forward, if its clock turns out to have been behind.
    pub(super) fn correct_start(&mut self, boot: Boot, started_at: u64) {
        self.runs.correct_start(boot, started_at);
    }

    /// The same for this server, if its clock was behind by a second or more.
    pub(super) fn correct_own_start(&mut self, started_at: u64) {
        let own = self.runs.own();
        if started_at >= own.started_at.saturating_add(LEAST_CORRECTION) {
            self.runs.correct_start(own.boot, started_at);
        }
    }

    /// Time in Unix milliseconds, this long after the start of this server.
    pub(super) fn time_at(&self, uptime: u64) -> u64 {
        self.runs.own().started_at.saturating_add(uptime)
    }

    /// Number of held events, their estimated memory in bytes, and the age of the oldest in milliseconds.
    pub(super) fn stats(&self, now: u64) -> (usize, usize, Option<u64>) {
        let oldest = self.events.front().map(|oldest| self.age(oldest, now));
        (self.events.len(), self.cost, oldest)
    }

    /// Number of events of this server so far.
    pub(super) fn position(&self) -> u64 {
        self.newest() - self.restored
    }

    /// Id of the next event, unless its publisher gives one.
    pub(super) fn next_id(&self) -> String {
        self.runs.id_at(self.newest() + 1).unwrap_or_default()
    }

    /// Place of the next event, published this long after the start.
    pub(super) fn next_place(&self, uptime: u64) -> Place {
        let newest = self.newest();
        let stamp = Stamp { uptime, number: self.position() + 1, ..self.runs.own() };
        Place { stamp, is_behind_gap: self.runs.has_gap_before(newest + 1), newest }
    }

    /// Position of the newest event, those of earlier servers included.
    pub(super) fn newest(&self) -> u64 {
        self.gone + self.events.len() as u64
    }

    /// Origin of the newest event, if it is held.
    pub(super) fn last_stamp(&self) -> Option<Stamp> {
        self.events.back().and_then(|newest| self.runs.stamp_at(self.newest(), newest.uptime))
    }

    /// Appends an event of this server and drops those over the bounds at this time.
    pub(super) fn push(&mut self, event: StoredEvent, now: u64) {
        self.keep(event);
        self.expire(now);
    }

    /// Counts an event that is not kept.
    pub(super) fn count_unkept(&mut self) {
        self.gone += 1;
    }

    fn keep(&mut self, event: StoredEvent) {
        if let Some(id) = &event.own_id {
            self.own_ids.insert(Arc::clone(id), self.newest() + 1);
        }
        self.cost += event.cost();
        self.events.push_back(event);
        while self.events.len() > self.retention.events || self.cost > self.retention.bytes {
            self.pop();
        }
    }

    /// Drops the events that are too old at this time.
    pub(super) fn expire(&mut self, now: u64) {
        let most = u64::try_from(self.retention.age.as_millis()).unwrap_or(u64::MAX);
        while self.events.front().is_some_and(|oldest| self.age(oldest, now) > most) {
            self.pop();
        }
    }

    /// Age of the oldest event, in milliseconds; 0 if its server's clock was ahead of this one's.
    fn age(&self, oldest: &StoredEvent, now: u64) -> u64 {
        let published_at = self.runs.stamp_at(self.gone + 1, oldest.uptime).map_or(now, |stamp| stamp.time());
        now.saturating_sub(published_at)
    }

    fn pop(&mut self) {
        let Some(oldest) = self.events.pop_front() else { return };
        self.gone += 1;
        self.cost -= oldest.cost();
        if let Some(id) = &oldest.own_id {
            if self.own_ids.get(id) == Some(&self.gone) {
                self.own_ids.remove(id);
            }
        }
        self.last_gone_own_id = oldest.own_id;
        self.runs.forget_before(self.gone);
    }

    /// Finds the place behind the event with this id, the last one that a client has.
    pub(super) fn resume(&self, id: &str) -> Cursor {
        if id == EARLIEST {
            return Cursor { after: self.gone, gap: Gap::Told };
        }
        if let Some(after) = self.position_of(id) {
            Cursor { after, gap: Gap::None }
        } else if let Some(after) = self.position_before_run(id) {
            Cursor { after, gap: Gap::Told }
        } else {
            Cursor { after: self.gone, gap: Gap::Due }
        }
    }

    /// Position of the event with this id, if it is held or the last that went.
    fn position_of(&self, id: &str) -> Option<u64> {
        if let Some(position) = self.own_ids.get(id) {
            return Some(*position);
        }
        if self.last_gone_own_id.as_deref() == Some(id) {
            return Some(self.gone);
        }
        let (boot, number) = Boot::parse(id)?;
        let position = self.runs.position_of(EventKey { boot, number }, self.newest())?;
        let is_known = match self.held(position) {
            Some(event) => event.own_id.is_none(),
            None => position == self.gone && self.last_gone_own_id.is_none(),
        };
        is_known.then_some(position)
    }

    /// Position before the run whose first event has the next number after this id's, if none of its events has gone.
    ///
    /// A client has such an id if it came before the first event of a server, or was told of the gap before the run.
    fn position_before_run(&self, id: &str) -> Option<u64> {
        let (boot, number) = Boot::parse(id)?;
        let position = self.runs.position_before(EventKey { boot, number })?;
        (position >= self.gone).then_some(position)
    }

    /// Says if a publisher may not give this id, because it names another event.
    ///
    /// All ids of this server's own form are its own, also those of events to come.
    pub(super) fn is_taken(&self, id: &str) -> bool {
        let is_of_this_server = || Boot::parse(id).is_some_and(|(boot, _)| boot == self.runs.own().boot);
        self.position_of(id).or_else(|| self.position_before_run(id)).is_some() || is_of_this_server()
    }

    /// Id of a client that has everything up to this position, and knows of a gap right behind it.
    ///
    /// If later events have gone, a client that resumes from it gets a gap.
    pub(super) fn covering_id(&self, position: u64) -> String {
        let before_run = || self.runs.id_before(position + 1).filter(|_| position >= self.gone);
        let is_at_start = position == 0 || self.runs.has_gap_before(position + 1);
        let id = if is_at_start { before_run() } else { self.id_of(position) };
        id.unwrap_or_else(|| self.runs.own().boot.id(position.saturating_sub(self.restored)))
    }

    fn held(&self, position: u64) -> Option<&StoredEvent> {
        let index = position.checked_sub(self.gone + 1)?;
        self.events.get(usize::try_from(index).ok()?)
    }

    /// Appends the frames behind the cursor that match, up to the event `last` and until `most` bytes are there. A
    /// frame that does not fit is the last one, and returned without a copy.
    ///
    /// Moves the cursor behind them. Stops before a gap that is due: where events are missing, or where the next ones
    /// have gone meanwhile.
    pub(super) fn read(
        &self,
        cursor: &mut Cursor,
        last: u64,
        filters: &FilterSet,
        most: usize,
        out: &mut Vec<u8>,
    ) -> Option<Frame> {
        if cursor.after < self.gone {
            *cursor = Cursor { after: self.gone, gap: Gap::Due };
        }
        loop {
            if cursor.gap == Gap::None && self.runs.has_gap_before(cursor.after + 1) {
                cursor.gap = Gap::Due;
            }
            if cursor.gap == Gap::Due || cursor.after >= last || out.len() >= most {
                return None;
            }
            let StoredEvent { message, .. } = self.held(cursor.after + 1)?;
            *cursor = Cursor { after: cursor.after + 1, gap: Gap::None };
            if filters.matches(&message.topics) {
                if out.len() + message.frame.as_bytes().len() > most {
                    return Some(message.frame.clone());
                }
                out.extend_from_slice(message.frame.as_bytes());
            }
        }
    }

    /// Id of the oldest held event.
    pub(super) fn oldest_id(&self) -> Option<String> {
        self.id_of(self.gone + 1)
    }

    /// Id of the first event behind `after` that matches.
    pub(super) fn first_id(&self, after: u64, filters: &FilterSet) -> Option<String> {
        let mut behind = (after.max(self.gone) + 1..).map_while(|position| Some((position, self.held(position)?)));
        let (position, _) = behind.find(|(_, event)| filters.matches(&event.message.topics))?;
        self.id_of(position)
    }

    /// Id of the event at this position, if it is held or the last that went.
    fn id_of(&self, position: u64) -> Option<String> {
        let own_id = match self.held(position) {
            Some(event) => &event.own_id,
            None if position == self.gone && position > 0 => &self.last_gone_own_id,
            None => return None,
        };
        own_id.as_ref().map(ToString::to_string).or_else(|| self.runs.id_at(position))
    }

    /// The held events behind a position with their origin, until so many bytes are there, and the position of the last
    /// of them.
    pub(super) fn held_behind(&self, position: u64, most: usize) -> (Vec<HeldEvent>, u64) {
        let (mut held, mut last, mut bytes) = (Vec::new(), position.max(self.gone), 0);
        while bytes < most {
            let position = last + 1;
            let Some(event) = self.held(position).cloned() else { break };
            let Some(stamp) = self.runs.stamp_at(position, event.uptime) else { break };
            bytes += event.cost();
            held.push(HeldEvent { stamp, is_behind_gap: self.runs.has_gap_before(position), event });
            last = position;
        }
        (held, last)
    }
}

#[cfg(test)]
mod tests;
