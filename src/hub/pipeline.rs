//! Messages of one publisher that are under way, so that a log has all of them in one write.
//!
//! Each message takes its part of the budget before it is under way. How many there may be is for the publisher to
//! bound. The invariants: messages are published in the order in which they were submitted, and their outcomes come in
//! that order; and a publisher never waits for room that its own messages hold while nobody works on them.

use std::pin::pin;

use smol::future;

use super::log::{Outcome, Replies};
use super::{Draft, Hub, Order, PublishError};
use crate::event::frame::Frame;

/// A publisher's messages that are under way.
#[derive(Debug)]
pub(crate) struct Pipeline<'h> {
    hub: &'h Hub,
    /// The way back for outcomes, once it was needed.
    replies: Option<Replies>,
    under_way: usize,
}

impl<'h> Pipeline<'h> {
    pub(crate) fn new(hub: &'h Hub) -> Self {
        Self { hub, replies: None, under_way: 0 }
    }

    /// Submits a message. Returns its outcome if it has one at once, and else nothing: it is under way.
    ///
    /// Waits while the budget is used up. The message is encoded only then, so a publisher that waits holds nothing but
    /// its draft. Cancel safe: the message is not published, or it is under way.
    ///
    /// # Errors
    ///
    /// `Stopped` if the hub is closed, and `NotWritten` if the message is too long for the log.
    pub(crate) async fn submit(&mut self, draft: Draft<'_>) -> Result<Option<Outcome>, PublishError> {
        let inner = &*self.hub.0;
        let mut permit = pin!(inner.budget.reserve(Frame::size(draft.fields, draft.data)));
        let permit = match future::poll_once(permit.as_mut()).await {
            Some(permit) => permit,
            None => {
                self.wake();
                permit.await
            }
        }?;
        match &inner.order {
            Order::Memory => Ok(Some(inner.sequence.commit(draft, permit))),
            Order::Log(writer) => {
                writer.submit(draft, permit, self.replies.get_or_insert_with(Replies::new))?;
                self.under_way += 1;
                Ok(None)
            }
        }
    }

    /// Waits for the oldest message that is under way; returns its outcome. Cancel safe.
    ///
    /// # Errors
    ///
    /// `Stopped` also if none is under way.
    pub(crate) async fn next(&mut self) -> Outcome {
        if let Some(outcome) = self.try_next() {
            return outcome;
        }
        // Other publishers of this thread hand over what they have before it is woken for all.
        future::yield_now().await;
        if let Some(outcome) = self.try_next() {
            return outcome;
        }
        self.wake();
        let replies = self.replies.as_ref().filter(|_| self.under_way > 0);
        let Some(replies) = replies else { return Err(PublishError::Stopped) };
        let outcome = replies.next().await;
        self.under_way -= 1;
        outcome
    }

    /// The outcome of the oldest message that is under way, if it has one.
    pub(crate) fn try_next(&mut self) -> Option<Outcome> {
        let outcome = self.replies.as_ref()?.try_next()?;
        self.under_way -= 1;
        Some(outcome)
    }

    fn wake(&self) {
        if let Order::Log(writer) = &self.hub.0.order {
            writer.wake();
        }
    }
}
