//! The messages on their way to the log's thread, and the outcomes on their way back.
//!
//! Handing over a message wakes nobody: a publisher hands over all that it has and then wakes the thread once, before
//! it waits. The invariant: jobs are taken in the order in which they came, and so the outcomes of one publisher come
//! in the order of its messages.

use std::mem;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use smol::channel::{self, Receiver, Sender};

use super::journal::SyncOutcome;
use crate::event::frame::Fields;
use crate::event::topic::Topics;
use crate::hub::budget::Permit;
use crate::hub::{Draft, PublishError};
use crate::sys::lock;

/// Outcome of a publish: the id of the event, if there is a history.
pub(in crate::hub) type Outcome = Result<Option<String>, PublishError>;

/// The way back for the outcomes of one publisher.
#[derive(Debug)]
pub(in crate::hub) struct Replies {
    sender: Sender<Outcome>,
    receiver: Receiver<Outcome>,
}

impl Replies {
    pub(in crate::hub) fn new() -> Self {
        // A publisher bounds the number of its messages that are under way.
        let (sender, receiver) = channel::unbounded();
        Self { sender, receiver }
    }

    /// Waits for the next outcome. Cancel safe.
    pub(in crate::hub) async fn next(&self) -> Outcome {
        self.receiver.recv().await.unwrap_or(Err(PublishError::Stopped))
    }

    /// The next outcome, if it is there.
    pub(in crate::hub) fn try_next(&self) -> Option<Outcome> {
        self.receiver.try_recv().ok()
    }
}

/// A message on its way to the thread.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) fields: Fields,
    pub(super) data: String,
    pub(super) topics: Topics,
    pub(super) permit: Permit,
    pub(super) reply: Reply,
}

impl Job {
    pub(super) fn new(draft: Draft<'_>, permit: Permit, replies: &Replies) -> Self {
        let Draft { fields, data, topics } = draft;
        let reply = Reply(Some(replies.sender.clone()));
        Self { fields: fields.clone(), data: data.to_owned(), topics: topics.clone(), permit, reply }
    }
}

/// The way back for one outcome. Without one, the publisher gets `Stopped` when this is dropped.
#[derive(Debug)]
pub(super) struct Reply(Option<Sender<Outcome>>);

impl Reply {
    /// Sends the outcome. A publisher that was cancelled does not get it.
    pub(super) fn send(mut self, outcome: Outcome) {
        self.send_once(outcome);
    }

    fn send_once(&mut self, outcome: Outcome) {
        if let Some(sender) = self.0.take() {
            let _ = sender.try_send(outcome);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send_once(Err(PublishError::Stopped));
    }
}

/// Everything that the thread waits for.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    content: Mutex<Content>,
    wake: Condvar,
}

/// Content of the inbox.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// At most as many as there are permits.
    pub(super) jobs: Vec<Job>,
    /// Outcome of the sync that is under way.
    pub(super) synced: Option<SyncOutcome>,
    pub(super) is_closed: bool,
    /// Set while the thread sleeps.
    is_asleep: bool,
}

impl Inbox {
    /// Adds a message, without waking the thread. Gives nothing back if the inbox is closed.
    pub(super) fn add(&self, job: impl FnOnce() -> Job) -> Result<(), PublishError> {
        let mut content = lock(&self.content);
        if content.is_closed {
            return Err(PublishError::Stopped);
        }
        content.jobs.push(job());
        Ok(())
    }

    /// Adds the outcome of a sync and wakes the thread.
    pub(super) fn add_synced(&self, outcome: SyncOutcome) {
        lock(&self.content).synced = Some(outcome);
        self.wake();
    }

    /// Rejects further messages and wakes the thread.
    pub(super) fn close(&self) {
        lock(&self.content).is_closed = true;
        self.wake();
    }

    /// Wakes the thread if it sleeps.
    pub(super) fn wake(&self) {
        if mem::take(&mut lock(&self.content).is_asleep) {
            self.wake.notify_one();
        }
    }

    /// Waits until something is there, or this time has come, and takes what is there.
    pub(super) fn take(&self, until: Instant) -> Content {
        let mut content = lock(&self.content);
        loop {
            let is_empty = content.jobs.is_empty() && content.synced.is_none() && !content.is_closed;
            let left = until.saturating_duration_since(Instant::now());
            if !is_empty || left.is_zero() {
                content.is_asleep = false;
                let is_closed = content.is_closed;
                return mem::replace(&mut *content, Content { is_closed, ..Content::default() });
            }
            content.is_asleep = true;
            content = self.wake.wait_timeout(content, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the messages that are there, without a wait.
    pub(super) fn take_jobs(&self) -> Vec<Job> {
        mem::take(&mut lock(&self.content).jobs)
    }

    /// Takes the outcome of a sync if it is there.
    pub(super) fn take_synced(&self) -> Option<SyncOutcome> {
        lock(&self.content).synced.take()
    }
}
