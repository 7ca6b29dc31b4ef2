//! What the tasks of one shard share.
//!
//! It is made once for each shard, before its first task, and only the shard's own thread touches it; what has to
//! cross threads (the hub, the metrics) is a handle in it.

use std::sync::Arc;
use std::time::SystemTime;

use crate::auth::Settings;
use crate::config::Limits;
use crate::event::topic::Topics;
use crate::fanout::{Dispatcher, SubscriberCounts};
use crate::http::date::DateCache;
use crate::hub::{Hub, QueueReceiver};
use crate::metrics::{Metrics, ShardMetrics};
use crate::net::{Clock, ReadBuffer, Sink, WaitGroup};

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
    pub(crate) subscriber_counts: SubscriberCounts,
}

/// Number of open streams that a message with these topics is for.
pub(crate) fn subscribers_of(topics: &Topics, metrics: &Metrics, subscriber_counts: &SubscriberCounts) -> usize {
    if topics.is_empty() { metrics.streams() } else { subscriber_counts.count(topics) }
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
    pub(crate) shard_metrics: Arc<ShardMetrics>,
    /// Who asks for which topics, over all shards.
    pub(crate) subscriber_counts: SubscriberCounts,
    /// The exchanges under way, whose requests have to be answered before the hub may close.
    pub(crate) requests: WaitGroup,
    /// All connections, streams included.
    pub(crate) connections: WaitGroup,
    /// Where reads land before they are kept.
    pub(crate) read_buffer: ReadBuffer,
}

impl<S: Sink> Context<S> {
    /// Surroundings of the shard with this number, that get their messages from `receiver`, and begin at this time.
    pub(crate) fn new(shared: Shared, number: usize, receiver: QueueReceiver, now: SystemTime) -> Self {
        let Shared { limits, settings, hub, metrics, subscriber_counts } = shared;
        let shard_metrics = Arc::clone(&metrics.shards()[number]);
        Self {
            clock: Clock::new(&limits),
            date: DateCache::new(now),
            dispatcher: Dispatcher::new(receiver, &limits, Arc::clone(&shard_metrics), subscriber_counts.clone()),
            limits,
            settings,
            hub,
            metrics,
            shard_metrics,
            subscriber_counts,
            requests: WaitGroup::default(),
            connections: WaitGroup::default(),
            read_buffer: ReadBuffer::default(),
        }
    }
}
