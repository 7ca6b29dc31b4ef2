//! The hub: one way to publish, in one order for every shard.
//!
//! [`Hub::publish`] reserves room in the budget, then has the message committed to the one sequence: by the publisher
//! itself, or with a log by the thread that writes it. The hub knows nothing of streams, and no shard waits for it.
//!
//! The invariant: a published message is in the queue of every shard, in the same order for all.

mod boot;
mod budget;
mod history;
mod log;
mod pipeline;
mod queue;
mod runs;
mod sequence;

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use self::budget::Budget;
use self::history::History;
pub(crate) use self::log::Log;
use self::log::LogWriter;
pub(crate) use self::pipeline::Pipeline;
pub use self::queue::QueueReceiver;
pub(crate) use self::queue::{InFlight, Message};
pub(crate) use self::sequence::Sequence;
use crate::config::{Limits, Retention};
use crate::event::frame::{Fields, InvalidField};
use crate::event::topic::Topics;
use crate::metrics::Metrics;
use crate::sys::unix_millis;

/// A message that is to be published. Fields and topics are checked.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'d> {
    fields: &'d Fields,
    data: &'d str,
    topics: &'d Topics,
}

impl<'d> Draft<'d> {
    pub fn new(fields: &'d Fields, data: &'d str, topics: &'d Topics) -> Self {
        Self { fields, data, topics }
    }
}

/// Reason that an event was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// A field of the event holds what the event-stream format cannot carry.
    #[error("{0}")]
    InvalidField(InvalidField),
    /// The history holds another event with this id: perhaps this one, published before.
    #[error("the history has an event with this id already, so this was not published again")]
    Duplicate,
    /// The server has stopped, or was dropped.
    #[error("the server has stopped")]
    Stopped,
    /// The disk of the history is full.
    #[error("the disk of the history is full, so this was not published")]
    NoSpace,
    /// The history cannot be written to its disk.
    #[error("the history cannot be written to its disk, so this was not published")]
    NotWritten,
}

/// Handle on the hub, for every publisher and every shard.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    budget: Arc<Budget>,
    sequence: Arc<Sequence>,
    order: Order,
}

/// The side that gives messages their order: all of them commit to the one sequence.
#[derive(Debug)]
enum Order {
    /// Each publisher commits its own message.
    Memory,
    /// The log's thread commits messages once it has written them.
    Log(LogWriter),
}

impl Hub {
    /// Makes a hub in memory, and a receiver for each shard. The hub closes when the last receiver is dropped.
    pub fn new(
        limits: &Limits,
        history: Option<Retention>,
        shards: usize,
        metrics: Metrics,
    ) -> (Self, Vec<QueueReceiver>) {
        let history = history.map(|retention| History::new(retention, unix_millis(SystemTime::now())));
        let (sequence, receivers) = start_sequence(limits, history, shards, &metrics);
        let budget = Budget::new(limits, shards, metrics);
        (Self(Arc::new(Inner { budget, sequence, order: Order::Memory })), receivers)
    }

    /// Makes a hub that writes messages to a log before anyone gets them.
    ///
    /// # Errors
    ///
    /// The system's, if the log's thread cannot be started.
    pub(crate) fn with_log(
        limits: &Limits,
        log: Log,
        shards: usize,
        metrics: Metrics,
    ) -> io::Result<(Self, Vec<QueueReceiver>)> {
        let Log { journal, history, sync } = log;
        let (sequence, receivers) = start_sequence(limits, Some(history), shards, &metrics);
        let order = Order::Log(LogWriter::start(journal, Arc::clone(&sequence), sync)?);
        let budget = Budget::new(limits, shards, metrics);
        Ok((Self(Arc::new(Inner { budget, sequence, order })), receivers))
    }

    /// Publishes a message: once this returns, every shard has it queued, in one order. Returns the event's id, if
    /// there is a history.
    ///
    /// Waits while the budget is used up. The message is encoded only then, so a publisher that waits holds nothing but
    /// its draft. Cancel safe, except with a log: the message may then still be published.
    pub async fn publish(&self, draft: Draft<'_>) -> Result<Option<String>, PublishError> {
        let mut pipeline = Pipeline::new(self);
        match pipeline.submit(draft).await? {
            Some(outcome) => outcome,
            None => pipeline.next().await,
        }
    }

    /// Number of messages published so far: a new stream begins behind them.
    pub(crate) fn position(&self) -> u64 {
        self.0.sequence.position()
    }

    /// The sequence, for subscribers that resume, if it keeps a history.
    pub(crate) fn history(&self) -> Option<&Sequence> {
        Some(&*self.0.sequence).filter(|sequence| sequence.keeps_history())
    }

    /// Closes the log to new messages; returns once those that it took are written and queued.
    pub(crate) async fn close_log(&self) {
        if let Some(writer) = self.log_writer() {
            writer.close();
            writer.all_committed().await;
        }
    }

    /// Rejects further messages, and those that the log has not committed yet. Those in the queue are still delivered.
    /// Never blocks.
    pub(crate) fn close(&self) {
        if let Some(writer) = self.log_writer() {
            writer.close();
        }
        self.0.sequence.close();
        self.0.budget.close();
    }

    /// Returns once the log has everything on disk, if the hub is closed.
    pub(crate) async fn log_synced(&self) {
        if let Some(writer) = self.log_writer() {
            writer.ended().await;
        }
    }

    /// Closes the hub and joins the log's thread, however long the disk takes. The log's folder is free then, even if a
    /// publisher still has a handle.
    pub(crate) fn join(&self) {
        self.close();
        if let Some(writer) = self.log_writer() {
            writer.join();
        }
    }

    fn log_writer(&self) -> Option<&LogWriter> {
        match &self.0.order {
            Order::Memory => None,
            Order::Log(writer) => Some(writer),
        }
    }
}

fn start_sequence(
    limits: &Limits,
    history: Option<History>,
    shards: usize,
    metrics: &Metrics,
) -> (Arc<Sequence>, Vec<QueueReceiver>) {
    let (sender, receivers) = queue::queue(limits.publish_queue, shards);
    (Arc::new(Sequence::new(history, sender, metrics.clone())), receivers)
}

#[cfg(test)]
mod tests;
