//! What the tasks of one shard share.
//!
//! It is made once for each shard, before its first task, and only the shard's own thread touches it; what has to
//! cross threads (the hub, the metrics) is a handle in it.

use std::time::SystemTime;

use crate::audience::Sink;
use crate::census::Census;
use crate::clock::Clock;
use crate::config::Limits;
use crate::dispatch::Dispatcher;
use crate::group::Group;
use crate::hub::{Hub, Intake};
use crate::metrics::Metrics;
use crate::scratch::Scratch;
use crate::settings::Settings;

/// The surroundings of a shard's connections and streams.
#[derive(Debug)]
pub(crate) struct Context<S> {
    pub(crate) limits: Limits,
    /// Who is let in.
    pub(crate) settings: Settings,
    /// Deadlines and the date.
    pub(crate) clock: Clock,
    /// Where messages go.
    pub(crate) hub: Hub,
    /// Where messages come from.
    pub(crate) dispatcher: Dispatcher<S>,
    pub(crate) metrics: Metrics,
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
    /// Surroundings that get their messages from `intake` and publish to `hub`.
    pub(crate) fn new(
        limits: Limits,
        settings: Settings,
        hub: Hub,
        intake: Intake,
        metrics: Metrics,
        census: Census,
    ) -> Self {
        Self {
            clock: Clock::new(&limits, SystemTime::now()),
            dispatcher: Dispatcher::new(intake, &limits, census.clone()),
            limits,
            settings,
            hub,
            metrics,
            census,
            requests: Group::default(),
            connections: Group::default(),
            scratch: Scratch::default(),
        }
    }
}
