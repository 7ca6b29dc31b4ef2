//! The shared state of a soak's parts: their ends, counts and faults.

use std::net::SocketAddrV4;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use fastrand::Rng;

use super::message::choices;
use crate::clock::{SECOND, now};

/// Faults of one kind that are kept in words; later ones are only counted.
const MOST_FAULTS: usize = 20;

/// The parts of a soak, in the order in which they end.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Publishers = 1,
    Visitors,
    Healthy,
}

pub(super) struct Stage {
    pub(super) server: SocketAddrV4,
    pub(super) seed: u64,
    since: u64,
    /// The last part that has to end.
    ended: AtomicU8,
    /// Messages that were answered with 202.
    pub(super) accepted: AtomicU64,
    /// The messages that the slowest healthy stream has heard.
    pub(super) least_heard: AtomicU64,
    pub(super) visits: Visits,
    pub(super) healthy: Faults,
    pub(super) publishers: Faults,
    pub(super) visitors: Faults,
}

/// Visits by kind.
#[derive(Default)]
pub(super) struct Visits {
    pub(super) churned: AtomicU64,
    pub(super) slow: AtomicU64,
    pub(super) stalled: AtomicU64,
    /// Of the slow and the stalled, those that the server ended.
    pub(super) cut: AtomicU64,
    pub(super) hostile: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Stage {
    pub(super) fn new(server: SocketAddrV4, seed: u64) -> Self {
        Self {
            server,
            seed,
            since: now(),
            ended: AtomicU8::default(),
            accepted: AtomicU64::default(),
            least_heard: AtomicU64::default(),
            visits: Visits::default(),
            healthy: Faults::default(),
            publishers: Faults::default(),
            visitors: Faults::default(),
        }
    }

    pub(super) fn seconds(&self) -> f64 {
        now().saturating_sub(self.since) as f64 / SECOND as f64
    }

    /// Ends a part, and those that end before it.
    pub(super) fn end(&self, part: Part) {
        self.ended.fetch_max(part as u8, Ordering::Relaxed);
    }

    pub(super) fn goes_on(&self, part: Part) -> bool {
        self.ended.load(Ordering::Relaxed) < part as u8
    }

    /// Random choices that follow from the seed, the same for the same `stream` and `number`.
    pub(super) fn choices(&self, stream: u64, number: u64) -> Rng {
        choices(self.seed.wrapping_add(stream), number)
    }

    /// Notes what went wrong, with the moment.
    pub(super) fn note(&self, faults: &Faults, what: &str) {
        faults.push(format!("at {:.1} s: {what}", self.seconds()));
    }
}

/// Ends everything when it is dropped, so that a failure leaves no thread waiting.
pub(super) struct EndOfAll<'a>(pub(super) &'a Stage);

impl Drop for EndOfAll<'_> {
    fn drop(&mut self) {
        self.0.end(Part::Healthy);
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Faults: the first in words, all in number.
#[derive(Default)]
pub(super) struct Faults(Mutex<(u64, Vec<String>)>);

impl Faults {
    pub(super) fn push(&self, what: String) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.0 += 1;
        if faults.1.len() < MOST_FAULTS {
            faults.1.push(what);
        }
    }

    /// The number of faults, and the first of them.
    pub(super) fn all(&self) -> (u64, Vec<String>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
