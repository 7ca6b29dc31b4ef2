//! Messages from the hub's queue to the subscribers of one shard: drain, batch, route, write.
//!
//! The dispatcher takes all the messages that wait in its receiver and routes them as one batch for each audience. Then
//! each audience writes a round. A batch is one message when messages are rare. Under load it grows by itself, and one
//! `send` carries many messages.
//!
//! While messages come faster than rounds, the dispatcher rests after each for half the time that the round took. The
//! next batch is then half as large again at nearly the same price, and clients get time to read.
//!
//! After a round that left a subscriber slow, a batch takes its share of the window's time, or until none is slow. A
//! burst alone, faster than a socket's buffer, then cuts no client that reads.
//!
//! Invariant: a batch is written before the next one is pushed, or the window might let go of it unwritten.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use async_io::Timer;
use event_listener::Event;
use smol::future;

use super::SubscriberCounts;
use super::audience::{Audience, TimeSlice};
use super::audiences::Audiences;
use super::inspector::SlowReport;
use super::subscriber::Reservation;
use crate::config::Limits;
use crate::event::frame::Frame;
use crate::event::topic::FilterSet;
use crate::hub::{InFlight, QueueReceiver};
use crate::metrics::ShardMetrics;
use crate::net::Sink;

/// A shorter wait costs more than it gives.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The audiences of one round, and the length of their batch.
type Round<S> = (Vec<Rc<Audience<S>>>, usize);

/// The dispatcher of one shard, and its audiences.
#[derive(Debug)]
pub struct Dispatcher<S> {
    receiver: RefCell<QueueReceiver>,
    audiences: RefCell<Audiences<S>>,
    shard_metrics: Arc<ShardMetrics>,
    batch_bytes: usize,
    longest_rest: Duration,
    window_bytes: usize,
    window_time: Duration,
    /// Notified after each batch, for clients that wait to reserve a position behind it.
    dispatched: Event,
}

impl<S: Sink> Dispatcher<S> {
    pub fn new(
        receiver: QueueReceiver,
        limits: &Limits,
        shard_metrics: Arc<ShardMetrics>,
        subscriber_counts: SubscriberCounts,
    ) -> Self {
        Self {
            receiver: RefCell::new(receiver),
            audiences: RefCell::new(Audiences::new(limits, Arc::clone(&shard_metrics), subscriber_counts)),
            shard_metrics,
            batch_bytes: limits.batch_bytes,
            longest_rest: limits.longest_rest,
            window_bytes: limits.window_bytes,
            window_time: limits.window_time,
            dispatched: Event::new(),
        }
    }

    /// Dispatches until the hub is closed and its last message is written; then the streams may end.
    pub async fn run(&self) {
        // The time by which slow subscribers have had their share for all batches since one became slow.
        let (mut due, mut slice) = (Instant::now(), TimeSlice::new());
        // This shard's shares in the messages of the batch, which count against the hub's budget until it is written.
        let mut in_flight = Vec::new();
        while let Some((audiences, length)) = poll_fn(|cx| self.poll_batch(cx, &mut in_flight)).await {
            let start = Instant::now();
            for audience in &audiences {
                audience.write_round(&mut slice).await;
            }
            slice.renew().await;
            let end = Instant::now();
            self.shard_metrics.batch_sizes.record(in_flight.len() as u64);
            InFlight::end_all(&mut in_flight, end, |time| self.shard_metrics.delivered_after(time));
            let took = end - start;
            if length < self.batch_bytes && self.receiver.borrow().has_waiting() {
                Timer::after((took / 2).min(self.longest_rest)).await;
            }
            if audiences.iter().any(|audience| audience.has_slow()) {
                due = due.max(start) + self.share_of_window_time(length);
                self.wait_for_slow(&audiences, due).await;
            }
        }
        self.audiences.borrow().all().for_each(|audience| audience.close());
    }

    fn share_of_window_time(&self, length: usize) -> Duration {
        self.window_time.mul_f64((length as f64 / self.window_bytes as f64).min(1.0))
    }

    /// Waits until `due`, or until no subscriber is slow. Small waits add up to one that is worth a timer.
    async fn wait_for_slow(&self, audiences: &[Rc<Audience<S>>], due: Instant) {
        let wait = due.saturating_duration_since(Instant::now());
        if wait >= SHORTEST_WAIT {
            let none_slow = async {
                for audience in audiences {
                    audience.none_slow().await;
                }
            };
            let due = async {
                Timer::after(wait).await;
            };
            future::or(none_slow, due).await;
        }
    }

    /// Says if a stream with these filters stays within [`Limits::filter_bytes`].
    pub(crate) fn has_room_for(&self, filters: &FilterSet) -> bool {
        self.audiences.borrow().has_room_for(filters)
    }

    /// Reserves the position after the first `accepted` messages, or a later one, for a stream with these filters.
    pub async fn reserve_after(&self, accepted: u64, filters: &FilterSet) -> Reservation<S> {
        self.has_dispatched(accepted).await;
        self.reserve(filters)
    }

    /// Waits until the dispatcher has pushed the first `accepted` messages.
    ///
    /// The caller does not push them itself: batches pushed between two rounds would have to fit into the window.
    pub(crate) async fn has_dispatched(&self, accepted: u64) {
        while self.dispatched() < accepted {
            self.dispatched.listen().await;
        }
    }

    /// Reserves the position after the newest byte, for a stream with these filters.
    pub(crate) fn reserve(&self, filters: &FilterSet) -> Reservation<S> {
        Reservation::new(self.audiences.borrow_mut().audience(filters))
    }

    /// Keeps the newest event of each topic from now on, for streams that may skip.
    pub(crate) fn keep_latest(&self) {
        self.audiences.borrow().keep_latest();
    }

    /// The newest event of each topic that matches these filters.
    pub(crate) fn latest(&self, filters: &FilterSet) -> Vec<u8> {
        self.audiences.borrow().latest(filters)
    }

    /// Reports the slowest subscribers, at most `most`, with what `look` sees of their sinks.
    pub(crate) fn slowest<T>(&self, most: usize, look: impl Fn(&S) -> T) -> Vec<SlowReport<T>> {
        let mut all = Vec::new();
        for audience in self.audiences.borrow().all() {
            all.extend(audience.slowest(most).into_iter().map(|slow| (slow, Rc::clone(&audience))));
        }
        all.sort_by_key(|(slow, _)| Reverse(slow.bytes));
        all.into_iter().take(most).map(|(slow, audience)| audience.report(slow, &look)).collect()
    }

    /// Ends the stream of the slow subscriber with this number; returns whether there is one.
    pub(crate) fn disconnect(&self, number: u64) -> bool {
        self.audiences.borrow().all().any(|audience| audience.disconnect(number))
    }

    /// The number of messages pushed, of those that the hub has accepted since it began.
    pub(crate) fn dispatched(&self) -> u64 {
        self.receiver.borrow().taken()
    }

    /// Counts a tick in every audience, and updates the metrics.
    pub(crate) fn tick(&self) {
        self.audiences.borrow_mut().remove_empty();
        let (mut subscribers, mut slow, mut window_bytes) = (0, 0, 0);
        for audience in self.audiences.borrow().all() {
            audience.tick();
            subscribers += audience.subscribers.borrow().len() as u64;
            slow += audience.slow.borrow().count() as u64;
            window_bytes += audience.window.borrow().cost() as u64;
        }
        self.shard_metrics.streams.set(subscribers);
        self.shard_metrics.slow.set(slow);
        self.shard_metrics.window_bytes.set(window_bytes);
    }

    /// Sends a comment to every stream that got nothing for so many ticks.
    pub(crate) async fn heartbeat_round(&self, heartbeat: u64) {
        let is_idle = |audience: &Rc<Audience<S>>| audience.idle_ticks.get() >= heartbeat;
        let idle: Vec<_> = self.audiences.borrow().all().filter(is_idle).collect();
        let mut slice = TimeSlice::new();
        for audience in idle {
            // A message may have come while the others were written to.
            if is_idle(&audience) {
                audience.push(Frame::heartbeat().into_bytes(), 0);
                audience.write_round(&mut slice).await;
            }
        }
    }

    /// Pushes the next batch to its audiences. Ready with them and its length, or with `None` at the end of the queue.
    fn poll_batch(&self, cx: &mut task::Context<'_>, in_flight: &mut Vec<InFlight>) -> Poll<Option<Round<S>>> {
        let batch = task::ready!(self.receiver.borrow_mut().poll_batch(cx, self.batch_bytes, in_flight));
        Poll::Ready(batch.map(|(messages, length)| {
            let audiences = self.audiences.borrow().route(&messages);
            self.dispatched.notify(usize::MAX);
            (audiences, length)
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Waker;

    use super::*;
    use crate::event::frame::Fields;
    use crate::event::topic::Topics;
    use crate::fanout::{Membership, Progress};
    use crate::hub::{Draft, Hub};
    use crate::metrics::Metrics;

    /// A sink that keeps each write, unless it is full.
    #[derive(Clone, Default)]
    struct Writes(Rc<RefCell<Vec<String>>>, Rc<Cell<bool>>);

    impl Sink for Writes {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            if self.1.get() {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.0.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn reset_on_close(&self, _: bool) {}
    }

    impl Writes {
        fn take_all(&self) -> Vec<String> {
            self.0.take()
        }
    }

    fn start(window_bytes: usize, batch_bytes: usize) -> (Hub, Dispatcher<Writes>) {
        start_with(&Limits { window_bytes, batch_bytes, ..Limits::default() })
    }

    fn start_with(limits: &Limits) -> (Hub, Dispatcher<Writes>) {
        let (hub, mut receivers) = Hub::new(&Limits::default(), None, 1, Metrics::default());
        let receiver = receivers.pop().expect("one for each shard");
        (hub, Dispatcher::new(receiver, limits, Arc::default(), SubscriberCounts::default()))
    }

    fn join(dispatcher: &Dispatcher<Writes>) -> (Writes, Membership<Writes>) {
        join_at(smol::block_on(dispatcher.reserve_after(0, &FilterSet::default())))
    }

    fn join_at(reservation: Reservation<Writes>) -> (Writes, Membership<Writes>) {
        let writes = Writes::default();
        let mut membership = reservation.join(writes.clone());
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
        (writes, membership)
    }

    fn publish(hub: &Hub, message: &str) {
        smol::block_on(hub.publish(Draft::new(&Fields::default(), message, &Topics::none()))).expect("the hub is open");
    }

    #[test]
    fn waiting_messages_are_one_batch_up_to_its_size() {
        let (hub, dispatcher) = start(1000, 20);
        let (writes, _membership) = join(&dispatcher);
        for message in ["1", "2", "3", "4"] {
            publish(&hub, message);
        }
        hub.close();
        smol::block_on(dispatcher.run());
        assert_eq!(writes.take_all(), ["data: 1\n\ndata: 2\n\ndata: 3\n\n", "data: 4\n\n"]);
    }

    #[test]
    fn new_subscriber_gets_no_message_accepted_before() {
        let (hub, dispatcher) = start(1000, 1000);
        let (earlier, _membership) = join(&dispatcher);
        publish(&hub, "before");
        let later = smol::block_on(async {
            let joined = async {
                let (writes, membership) =
                    join_at(dispatcher.reserve_after(hub.position(), &FilterSet::default()).await);
                publish(&hub, "after");
                hub.close();
                (writes, membership)
            };
            future::zip(joined, dispatcher.run()).await.0
        });
        assert_eq!(earlier.take_all().concat(), "data: before\n\ndata: after\n\n");
        assert_eq!(later.0.take_all().concat(), "data: after\n\n");
    }

    /// A stream that joined amid a flood once pushed all waiting messages at once, which cut the other streams.
    #[test]
    fn join_amid_a_flood_cuts_nobody() {
        let (hub, dispatcher) = start(64, 20);
        let (writes, _membership) = join(&dispatcher);
        (0..40).for_each(|_| publish(&hub, "x"));
        hub.close();
        smol::block_on(future::zip(dispatcher.reserve_after(hub.position(), &FilterSet::default()), dispatcher.run()));
        assert_eq!(writes.take_all().concat(), "data: x\n\n".repeat(40));
    }

    #[test]
    fn burst_waits_until_none_is_slow() {
        let window_time = Duration::from_secs(3600);
        let (hub, dispatcher) =
            start_with(&Limits { window_bytes: 300, batch_bytes: 9, window_time, ..Limits::default() });
        let (writes, mut membership) = join(&dispatcher);
        writes.1.set(true);
        (0..3).for_each(|_| publish(&hub, "x"));
        hub.close();
        smol::block_on(async {
            let mut run = pin!(dispatcher.run());
            for _ in 0..100 {
                assert!(future::poll_once(&mut run).await.is_none());
            }
            assert_eq!(dispatcher.dispatched(), 1, "one batch was pushed");
            assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
            assert!(future::poll_once(&mut run).await.is_none());
            assert_eq!(dispatcher.dispatched(), 1, "it is still slow");
            writes.1.set(false);
            assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
            let done = async {
                run.await;
                true
            };
            let too_late = async {
                Timer::after(Duration::from_secs(10)).await;
                false
            };
            assert!(future::or(done, too_late).await, "none is slow any more");
        });
        assert_eq!(writes.take_all().concat(), "data: x\n\n".repeat(3));
    }

    #[test]
    fn burst_waits_for_its_share_of_the_windows_time() {
        let (_hub, dispatcher) = start(1000, 1000);
        let whole = Limits::default().window_time;
        let share = |length| dispatcher.share_of_window_time(length);
        assert_eq!((share(0), share(500), share(1000)), (Duration::ZERO, whole / 2, whole));
        assert_eq!(share(usize::MAX), whole, "a batch that is longer than the window is one window");
    }

    #[test]
    fn heartbeat_comes_after_idle_ticks_alone() {
        let (hub, dispatcher) = start(1000, 1000);
        let (writes, _membership) = join(&dispatcher);
        let tick = |heartbeat: Option<u64>| {
            dispatcher.tick();
            heartbeat.into_iter().for_each(|heartbeat| smol::block_on(dispatcher.heartbeat_round(heartbeat)));
        };
        tick(Some(2));
        assert!(writes.take_all().is_empty(), "one idle tick");
        tick(Some(2));
        assert_eq!(writes.take_all(), [":\n\n"], "two");
        tick(Some(2));
        publish(&hub, "x");
        hub.close();
        smol::block_on(dispatcher.run());
        assert_eq!(writes.take_all(), ["data: x\n\n"]);
        tick(Some(2));
        assert!(writes.take_all().is_empty(), "the message was a tick ago");
        tick(Some(2));
        assert_eq!(writes.take_all(), [":\n\n"], "two again");
        (0..9).for_each(|_| tick(None));
        assert!(writes.take_all().is_empty(), "heartbeats can be off");
    }

    /// A message amid a heartbeat's round once cut the streams that the round had yet to reach.
    #[test]
    fn message_amid_a_heartbeat_round_cuts_nobody() {
        // The message alone is longer than the window.
        let (hub, dispatcher) = start(10, 1000);
        let streams: Vec<_> = (0..200).map(|_| join(&dispatcher)).collect();
        smol::block_on(async {
            dispatcher.tick();
            let mut heartbeat_round = pin!(dispatcher.heartbeat_round(1));
            assert!(future::poll_once(&mut heartbeat_round).await.is_none(), "a round takes more than one slice");
            publish(&hub, "a long one");
            hub.close();
            future::zip(heartbeat_round, dispatcher.run()).await;
        });
        for (number, (writes, _)) in streams.iter().enumerate() {
            assert_eq!(writes.take_all().concat(), ":\n\ndata: a long one\n\n", "stream {number}");
        }
    }
}
