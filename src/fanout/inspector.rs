//! Questions that other threads put to a shard, which alone may touch its streams.
//!
//! It carries questions and answers; a task of the shard answers them. A question never waits for a shard that hangs.

use std::time::{Duration, Instant};

use smol::channel::{self, Sender, WeakSender};

use super::audience::Behind;
use crate::net::{Client, within};

/// What others ask of a shard, which alone may touch its streams.
#[derive(Debug)]
pub(crate) enum Question {
    /// The streams that are furthest behind, at most so many, with how long they have been and where they come from.
    Hindmost(usize, Sender<Vec<(Duration, Behind<String>)>>),
    /// To end the stream that is known by this number, if it is still behind; whether it was.
    Dismiss(u64, Sender<bool>),
}

/// A way into one shard: to ask it something, or to have it serve a client that no listener has accepted.
#[derive(Debug)]
pub(crate) struct Hatch {
    /// Gone once the server is ending, which is what tells the shard so.
    clients: WeakSender<Client>,
    questions: Sender<Question>,
}

impl Hatch {
    /// A way to whoever takes these clients and answers these questions.
    pub(crate) fn new(clients: &Sender<Client>, questions: Sender<Question>) -> Self {
        Self { clients: clients.downgrade(), questions }
    }

    /// Has the shard serve a client; returns whether it takes one.
    pub(crate) fn deal(&self, client: Client) -> bool {
        self.clients.upgrade().is_some_and(|clients| clients.try_send(client).is_ok())
    }

    /// Puts a question to the shard, and returns the wait for its answer, which ends so long after the question.
    /// Who asks several shards puts all questions before the first wait, so that none that hangs holds up the others.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(Sender<T>) -> Question,
        patience: Duration,
    ) -> impl Future<Output = Option<T>> {
        let (reply, answer) = channel::bounded(1);
        let (asked, start) = (self.questions.try_send(question(reply)), Instant::now());
        async move {
            asked.ok()?;
            // What has come by then is there, whenever somebody looks.
            within(patience.saturating_sub(start.elapsed()), answer.recv()).await?.ok()
        }
    }
}
