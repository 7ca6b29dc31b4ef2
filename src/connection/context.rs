//! State that the tasks of one shard share.
//!
//! Made once for each shard, before its first task; it does nothing by itself. Only the shard's own thread touches it:
//! the parts that cross threads (the hub, the metrics) are handles.

use std::sync::Arc;
use std::time::SystemTime;

use crate::auth::AccessControl;
use crate::config::Limits;
use crate::event::topic::Topics;
use crate::fanout::{Dispatcher, SubscriberCounts};
use crate::http::date::DateCache;
use crate::hub::{Hub, QueueReceiver};
use crate::metrics::{Metrics, ShardMetrics};
use crate::net::{Clock, ReadBuffer, Sink, WaitGroup};

/// State that all shards of a server have in common.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    /// Access control, which can change at any time.
    pub(crate) access_control: AccessControl,
    pub(crate) hub: Hub,
    pub(crate) metrics: Metrics,
    /// Numbers of subscribers by topic filter, over all shards.
    pub(crate) subscriber_counts: SubscriberCounts,
}

impl Shared {
    /// Number of open streams that a message with these topics is for.
    pub(crate) fn subscribers_of(&self, topics: &Topics) -> usize {
        if topics.is_empty() { self.metrics.streams() } else { self.subscriber_counts.count(topics) }
    }
}

/// The surroundings of a shard's connections and streams.
#[derive(Debug)]
pub(crate) struct Context<S> {
    pub(crate) shared: Shared,
    pub(crate) clock: Clock,
    pub(crate) date: DateCache,
    /// Brings all messages to this shard's subscribers.
    pub(crate) dispatcher: Dispatcher<S>,
    /// This shard's share of the metrics.
    pub(crate) shard_metrics: Arc<ShardMetrics>,
    /// Connections whose requests get their responses before the hub may close.
    pub(crate) requests: WaitGroup,
    /// All connections, streams included.
    pub(crate) connections: WaitGroup,
    /// Buffer of every read, before a connection keeps the bytes.
    pub(crate) read_buffer: ReadBuffer,
}

impl<S: Sink> Context<S> {
    /// The state of the shard with this number, which receives from `receiver` and begins at this time.
    pub(crate) fn new(shared: Shared, number: usize, receiver: QueueReceiver, now: SystemTime) -> Self {
        let (limits, counts) = (&shared.limits, shared.subscriber_counts.clone());
        let shard_metrics = Arc::clone(&shared.metrics.shards()[number]);
        Self {
            clock: Clock::new(limits),
            date: DateCache::new(now),
            dispatcher: Dispatcher::new(receiver, limits, Arc::clone(&shard_metrics), counts),
            shared,
            shard_metrics,
            requests: WaitGroup::default(),
            connections: WaitGroup::default(),
            read_buffer: ReadBuffer::default(),
        }
    }
}
