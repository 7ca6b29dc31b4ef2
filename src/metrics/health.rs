//! Health of a server: it has begun, is not ending, and every shard ticks.
//!
//! It is read outside of the shards, by operators and service managers, so that a stuck shard cannot vouch for itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::Metrics;

/// Health of a server. Cheap to clone, usable from any thread, and valid after the server has ended.
#[derive(Clone, Debug)]
pub struct Health(Arc<State>);

#[derive(Debug)]
struct State {
    since: Instant,
    phase: AtomicU8,
    metrics: Metrics,
    turn_timeout: Duration,
}

/// Phase of a server's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Ending,
}

/// Reason to send a server no new clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// [`Server::run`](crate::Server::run) has not begun.
    #[error("the server is starting")]
    Starting,
    /// The server is ending, or has ended.
    #[error("the server is ending")]
    Ending,
    /// This shard has not ticked for [`Limits::turn_timeout`](crate::Limits::turn_timeout).
    #[error("worker {0} has not turned its loop for too long")]
    Stuck(usize),
}

impl Health {
    /// Creates the health of a server that was made at `since`, with the shards of `metrics`.
    pub(crate) fn new(metrics: Metrics, since: Instant, turn_timeout: Duration) -> Self {
        let phase = AtomicU8::new(Phase::Starting as u8);
        Self(Arc::new(State { since, phase, metrics, turn_timeout }))
    }

    /// Time at which the server was made.
    pub(crate) fn since(&self) -> Instant {
        self.0.since
    }

    /// Marks the server as serving until the guard is dropped.
    pub(crate) fn serve(&self) -> Serving {
        self.enter(Phase::Serving);
        Serving(self.clone())
    }

    fn enter(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Relaxed);
    }

    /// Checks that the server serves and that every shard ticks.
    ///
    /// # Errors
    ///
    /// The first reason to send it no clients.
    pub fn ready(&self) -> Result<(), NotReady> {
        let phase = self.0.phase.load(Relaxed);
        if phase == Phase::Starting as u8 {
            return Err(NotReady::Starting);
        }
        if phase == Phase::Ending as u8 {
            return Err(NotReady::Ending);
        }
        // A shard that has ended does not tick either.
        let stuck = self.last_ticks().position(|since| since > self.0.turn_timeout);
        stuck.map_or(Ok(()), |shard| Err(NotReady::Stuck(shard)))
    }

    /// Time since the last tick of each shard. A shard ticks several times a second.
    pub(crate) fn last_ticks(&self) -> impl Iterator<Item = Duration> {
        let now = self.0.since.elapsed();
        self.0.metrics.shards().iter().map(move |shard| now.saturating_sub(shard.last_tick()))
    }
}

/// Guard of a serving server. Dropping it, in any way, marks the server as ending.
#[derive(Debug)]
pub(crate) struct Serving(Health);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.enter(Phase::Ending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_while_it_serves_and_every_shard_ticks() {
        let metrics = Metrics::of_shards(2);
        let health = Health::new(metrics.clone(), Instant::now(), Duration::from_secs(3600));
        assert_eq!(health.ready(), Err(NotReady::Starting));
        health.enter(Phase::Serving);
        assert_eq!(health.ready(), Ok(()));
        let impatient = Health::new(metrics.clone(), Instant::now(), Duration::ZERO);
        impatient.enter(Phase::Serving);
        assert_eq!(impatient.ready(), Err(NotReady::Stuck(0)));
        metrics.shards()[0].ticked(Duration::from_secs(1));
        assert_eq!(impatient.ready(), Err(NotReady::Stuck(1)));
        health.enter(Phase::Ending);
        assert_eq!(health.ready(), Err(NotReady::Ending));
    }
}
