//! Questions that other threads put to a shard, which alone may touch its streams.
//!
//! It carries questions and answers; a task of the shard answers them. A question never waits for a shard that hangs.

use std::time::{Duration, Instant};

use smol::channel::{self, Sender, WeakSender};

use super::audience::SlowReport;
use crate::net::{Client, within};

/// What others ask of a shard, which alone may touch its streams.
#[derive(Debug)]
pub(crate) enum Command {
    /// The streams that are furthest behind, at most so many, with how long they have been and where they come from.
    Slowest(usize, Sender<Vec<(Duration, SlowReport<String>)>>),
    /// To end the stream that is known by this number, if it is still behind; whether it was.
    Disconnect(u64, Sender<bool>),
}

/// A way into one shard: to ask it something, or to have it serve a client that no listener has accepted.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    /// Gone once the server is ending, which is what tells the shard so.
    clients: WeakSender<Client>,
    commands: Sender<Command>,
}

impl ShardHandle {
    /// A way to whoever takes these clients and answers these questions.
    pub(crate) fn new(clients: &Sender<Client>, commands: Sender<Command>) -> Self {
        Self { clients: clients.downgrade(), commands }
    }

    /// Has the shard serve a client; returns whether it takes one.
    pub(crate) fn deal(&self, client: Client) -> bool {
        self.clients.upgrade().is_some_and(|clients| clients.try_send(client).is_ok())
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
