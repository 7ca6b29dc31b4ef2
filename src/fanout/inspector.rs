//! Questions that other threads put to a shard, which alone may touch its streams.
//!
//! It carries questions and answers; a task of the shard answers them. A question never waits for a shard that hangs.

use std::time::{Duration, Instant};

use smol::channel::{self, Sender};

use super::audience::SlowReport;
use crate::net::within;

/// What others ask of a shard, which alone may touch its streams.
#[derive(Debug)]
pub(crate) enum Command {
    /// The streams that are furthest behind, at most so many, with how long they have been and where they come from.
    Slowest(usize, Sender<Vec<(Duration, SlowReport<String>)>>),
    /// To end the stream that is known by this number, if it is still behind; whether it was.
    Disconnect(u64, Sender<bool>),
}

/// Sends commands to one shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    commands: Sender<Command>,
}

impl ShardHandle {
    pub(crate) fn new(commands: Sender<Command>) -> Self {
        Self { commands }
    }

    /// Puts a question to the shard, and returns the wait for its answer, which ends so long after the question.
    /// Who asks several shards puts all questions before the first wait, so that none that hangs holds up the others.
    pub(crate) fn ask<T>(
        &self,
        command: impl FnOnce(Sender<T>) -> Command,
        patience: Duration,
    ) -> impl Future<Output = Option<T>> {
        let (reply, answer) = channel::bounded(1);
        let (request, start) = (self.commands.try_send(command(reply)), Instant::now());
        async move {
            request.ok()?;
            // What has come by then is there, whenever somebody looks.
            within(patience.saturating_sub(start.elapsed()), answer.recv()).await?.ok()
        }
    }
}
