//! What the tasks of one shard share.
//!
//! It is made once for each shard, before its first task, and only the shard's own thread touches it; what has to
//! cross threads (the hub, the metrics) is a handle in it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::auth::Settings;
use crate::config::Limits;
use crate::fanout::{Census, Dispatcher};
use crate::http::date::DateCache;
use crate::hub::{Hub, Intake};
use crate::metrics::{Metrics, Tally};
use crate::net::{Clock, Group, Scratch, Sink};

/// What all shards of a server have in common, each by handles of its own.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    /// Who is let in.
    pub(crate) settings: Settings,
    /// Where messages go.
    pub(crate) hub: Hub,
    pub(crate) metrics: Metrics,
    /// Who asks for which topics, over all shards.
    pub(crate) census: Census,
}

/// The surroundings of a shard's connections and streams.
#[derive(Debug)]
pub(crate) struct Context<S> {
    pub(crate) limits: Limits,
    /// Who is let in.
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) date: DateCache,
    /// Where messages go.
    pub(crate) hub: Hub,
    /// Where messages come from.
    pub(crate) dispatcher: Dispatcher<S>,
    pub(crate) metrics: Metrics,
    /// What this shard counts for itself.
    pub(crate) tally: Arc<Tally>,
    /// Who asks for which topics, over all shards.
    pub(crate) census: Census,
    /// The exchanges under way, whose requests have to be answered before the hub may close.
    pub(crate) requests: Group,
    /// All connections, streams included.
    pub(crate) connections: Group,
    /// Where reads land before they are kept.
    pub(crate) scratch: Scratch,
}

impl<S: Sink> Context<S> {
    /// Surroundings of the shard with this number, that get their messages from `intake`, and begin at this time.
    pub(crate) fn new(shared: Shared, number: usize, intake: Intake, now: SystemTime) -> Self {
        let Shared { limits, settings, hub, metrics, census } = shared;
        let tally = Arc::clone(&metrics.shards()[number]);
        Self {
            clock: Clock::new(&limits),
            date: DateCache::new(now),
            dispatcher: Dispatcher::new(intake, &limits, Arc::clone(&tally), census.clone()),
            limits,
            settings,
            hub,
            metrics,
            tally,
            census,
            requests: Group::default(),
            connections: Group::default(),
            scratch: Scratch::default(),
        }
    }
}
