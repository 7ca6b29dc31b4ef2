//! From the channel to the streams of one shard: drain, batch, give.
//!
//! The dispatcher takes all that waits in its intake, joins it into one batch of whole frames and gives that to the
//! audience; then it lets the streams write before it looks again. So a batch is one message when messages are rare,
//! and grows by itself under load, where one write then carries many. It never waits for a stream.

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::Arc;

use smol::future::yield_now;

use crate::audience::{Audience, Seat};
use crate::frame::Frame;
use crate::hub::Intake;

/// The dispatcher of one shard and its audience: with topics there will be one audience for each set of them, found
/// here.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    intake: RefCell<Intake>,
    audience: Audience,
    /// Where a batch stops growing.
    batch_bytes: usize,
}

impl Dispatcher {
    /// A dispatcher for what `intake` brings.
    pub(crate) fn new(intake: Intake, window_bytes: usize, batch_bytes: usize) -> Self {
        Self { intake: RefCell::new(intake), audience: Audience::new(window_bytes), batch_bytes }
    }

    /// Dispatches until the hub is closed and everything it accepted is given; then the streams may end.
    pub(crate) async fn run(&self) {
        while let Some(first) = poll_fn(|cx| self.intake.borrow_mut().poll_next(cx)).await {
            self.give_with_waiting(first);
            yield_now().await;
        }
        self.audience.close();
    }

    /// A seat behind every message that was accepted before this call.
    pub(crate) fn join(&self) -> Seat<'_> {
        while let Some(first) = self.take_waiting() {
            self.give_with_waiting(first);
        }
        self.audience.join()
    }

    /// A tick has passed: after `heartbeat` of them in silence, every stream gets a comment.
    pub(crate) fn tick(&self, heartbeat: Option<u64>) {
        let silence = self.audience.tick();
        if heartbeat.is_some_and(|heartbeat| silence >= heartbeat) {
            self.audience.give(Frame::heartbeat().into_bytes());
        }
    }

    /// Gives the first frame and all that waits behind it, up to a batch's size.
    fn give_with_waiting(&self, first: Frame) {
        let Some(second) = self.take_waiting() else {
            return self.audience.give(first.into_bytes());
        };
        let mut batch = [first.as_bytes(), second.as_bytes()].concat();
        while batch.len() < self.batch_bytes {
            let Some(frame) = self.take_waiting() else { break };
            batch.extend_from_slice(frame.as_bytes());
        }
        self.audience.give(Arc::from(batch));
    }

    fn take_waiting(&self) -> Option<Frame> {
        self.intake.borrow_mut().take_waiting()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audience::Progress;
    use crate::hub::Hub;
    use crate::metrics::Metrics;

    /// What a member is given, one string for each write.
    fn writes(seat: &mut Seat<'_>) -> Vec<String> {
        let mut writes = Vec::new();
        let progress = seat.catch_up(|bytes| {
            writes.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        });
        assert!(matches!(progress, Progress::CaughtUp | Progress::Finished));
        writes
    }

    fn publish(hub: &Hub, message: &str) {
        smol::block_on(hub.publish(Frame::message(message))).expect("the hub is open");
    }

    #[test]
    fn what_waits_is_one_batch_up_to_its_size() {
        let hub = Hub::new(16, Metrics::default());
        let dispatcher = Dispatcher::new(hub.intake(), 1000, 20);
        let mut seat = dispatcher.join();
        for message in ["1", "2", "3", "4"] {
            publish(&hub, message);
        }
        hub.close();
        smol::block_on(dispatcher.run());
        assert_eq!(writes(&mut seat), ["data: 1\n\ndata: 2\n\ndata: 3\n\n", "data: 4\n\n"]);
    }

    #[test]
    fn who_joins_gets_nothing_that_was_accepted_before() {
        let hub = Hub::new(16, Metrics::default());
        let dispatcher = Dispatcher::new(hub.intake(), 1000, 1000);
        publish(&hub, "before");
        let mut seat = dispatcher.join();
        publish(&hub, "after");
        hub.close();
        smol::block_on(dispatcher.run());
        assert_eq!(writes(&mut seat), ["data: after\n\n"]);
    }

    #[test]
    fn a_heartbeat_comes_after_silence_alone() {
        let hub = Hub::new(16, Metrics::default());
        let dispatcher = Dispatcher::new(hub.intake(), 1000, 1000);
        let mut seat = dispatcher.join();
        let tick = || dispatcher.tick(Some(2));
        tick();
        assert!(writes(&mut seat).is_empty(), "one tick of silence");
        tick();
        assert_eq!(writes(&mut seat), [":\n\n"], "two");
        tick();
        publish(&hub, "x");
        drop(dispatcher.join());
        tick();
        assert_eq!(writes(&mut seat), ["data: x\n\n"], "a message breaks the silence");
        tick();
        assert_eq!(writes(&mut seat), [":\n\n"], "which begins anew");
        (0..9).for_each(|_| dispatcher.tick(None));
        assert!(writes(&mut seat).is_empty(), "heartbeats can be off");
    }
}
