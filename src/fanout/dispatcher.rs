//! From the channel to the streams of one shard: drain, batch, give, write.
//!
//! The dispatcher takes all that waits in its intake, joins it into one batch of whole frames for each audience, gives
//! that and has each write a round; then it looks again. So a batch is one message when messages are rare, and grows by
//! itself under load, where one write then carries many. It never waits for a stream.
//!
//! Where messages come faster than rounds, it rests between two of them for half as long as the last one took. The
//! next write then carries half as much again at nearly the same price, and the clients, and whoever else needs the
//! cores, come to their turn: every message is there sooner, for less.
//!
//! Where a round leaves somebody behind, what is given takes at least its share of the window's time from then on, or
//! until nobody is behind any more: whoever reads is not cut because a burst was faster than its socket's buffer.

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
use super::audience::{Audience, AudienceStats, Reservation, SlowReport, TimeSlice};
use super::audiences::Audiences;
use crate::config::Limits;
use crate::event::frame::Frame;
use crate::event::topic::FilterSet;
use crate::hub::{InFlight, Message, QueueReceiver};
use crate::metrics::ShardMetrics;
use crate::net::Sink;

/// Below this a timer costs more than it gives.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// The dispatcher of one shard, and its audiences.
#[derive(Debug)]
pub(crate) struct Dispatcher<S> {
    receiver: RefCell<QueueReceiver>,
    hall: RefCell<Audiences<S>>,
    /// Those who were given something that no round has written yet.
    pending_audiences: RefCell<Vec<Rc<Audience<S>>>>,
    /// What was given that no round has written yet.
    in_flight: RefCell<Vec<InFlight>>,
    shard_metrics: Arc<ShardMetrics>,
    /// Where a batch stops growing.
    batch_bytes: usize,
    longest_rest: Duration,
    window_bytes: usize,
    window_time: Duration,
    /// Notified when something was given, for those who wait to join behind it.
    dispatched: Event,
}

impl<S: Sink> Dispatcher<S> {
    /// A dispatcher for what `receiver` brings.
    pub(crate) fn new(
        receiver: QueueReceiver,
        limits: &Limits,
        shard_metrics: Arc<ShardMetrics>,
        subscriber_counts: SubscriberCounts,
    ) -> Self {
        Self {
            receiver: RefCell::new(receiver),
            hall: RefCell::new(Audiences::new(limits, Arc::clone(&shard_metrics), subscriber_counts)),
            pending_audiences: RefCell::new(Vec::new()),
            in_flight: RefCell::new(Vec::new()),
            shard_metrics,
            batch_bytes: limits.batch_bytes,
            longest_rest: limits.longest_rest,
            window_bytes: limits.window_bytes,
            window_time: limits.window_time,
            dispatched: Event::new(),
        }
    }

    /// Dispatches until the hub is closed and everything it accepted is given; then the streams may end.
    pub(crate) async fn run(&self) {
        // When what was given since somebody fell behind has had its time.
        let (mut due, mut slice) = (Instant::now(), TimeSlice::new());
        while let Some(length) = poll_fn(|cx| self.poll_batch(cx)).await {
            let start = Instant::now();
            let audiences = self.pending_audiences.take();
            for audience in &audiences {
                audience.write_round(&mut slice).await;
            }
            slice.renew().await;
            let end = Instant::now();
            self.finish_round(end);
            let took = end - start;
            if length < self.batch_bytes && self.receiver.borrow().has_waiting() {
                Timer::after((took / 2).min(self.longest_rest)).await;
            }
            if audiences.iter().any(|audience| audience.has_slow()) {
                due = due.max(start) + self.share_of_window_time(length);
                self.wait_for_slow(&audiences, due).await;
            }
        }
        self.hall.borrow().audiences().for_each(|audience| audience.close());
    }

    /// A round has written all that was given.
    fn finish_round(&self, now: Instant) {
        let mut in_flight = self.in_flight.borrow_mut();
        self.shard_metrics.batch_sizes.record(in_flight.len() as u64);
        for time in in_flight.drain(..).filter_map(|message| message.end(now)) {
            self.shard_metrics.delivered_after(time);
        }
    }

    fn share_of_window_time(&self, length: usize) -> Duration {
        self.window_time.mul_f64((length as f64 / self.window_bytes as f64).min(1.0))
    }

    /// Waits until `due`, or until nobody is behind; small waits add up to one that is worth a timer.
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

    /// A place for a stream of this interest, behind the first `accepted` messages.
    pub(crate) async fn reserve_after(&self, accepted: u64, filters: &FilterSet) -> Reservation<S> {
        self.has_dispatched(accepted).await;
        self.place(filters)
    }

    /// Waits until the dispatcher has given the first `accepted` messages: nobody else gives, since what is given
    /// between two rounds has to fit into the window.
    pub(crate) async fn has_dispatched(&self, accepted: u64) {
        while self.dispatched() < accepted {
            self.dispatched.listen().await;
        }
    }

    /// A place for a stream of this interest, behind all that was given.
    pub(crate) fn place(&self, filters: &FilterSet) -> Reservation<S> {
        self.hall.borrow_mut().audience(filters).reserve()
    }

    /// Keeps the newest event of each topic from now on, for streams that may skip to them.
    pub(crate) fn keep_latest(&self) {
        self.hall.borrow().keep_latest();
    }

    /// The newest events for this interest.
    pub(crate) fn latest(&self, filters: &FilterSet) -> Vec<u8> {
        self.hall.borrow().latest(filters)
    }

    /// The streams that are furthest behind, at most so many and those first, with what `look` sees of their sinks.
    pub(crate) fn slowest<T>(&self, most: usize, look: impl Fn(&S) -> T) -> Vec<SlowReport<T>> {
        let hall = self.hall.borrow();
        let mut all = Vec::new();
        for audience in hall.audiences() {
            all.extend(audience.slowest(most).into_iter().map(|member| (member, Rc::clone(&audience))));
        }
        all.sort_by_key(|((bytes, _), _)| Reverse(*bytes));
        all.into_iter().take(most).filter_map(|(member, audience)| audience.report(member, &look)).collect()
    }

    /// Tells the stream that is known by this number to go; returns whether it was still behind.
    pub(crate) fn disconnect(&self, number: u64) -> bool {
        self.hall.borrow().audiences().any(|audience| audience.disconnect(number))
    }

    /// The number of messages that were given, of those that the hub has accepted since it began.
    pub(crate) fn dispatched(&self) -> u64 {
        self.receiver.borrow().taken()
    }

    /// A tick has passed.
    pub(crate) fn tick(&self) {
        let mut all = AudienceStats::default();
        self.hall.borrow_mut().remove_empty();
        for audience in self.hall.borrow().audiences() {
            audience.tick();
            all = all + audience.stats();
        }
        self.shard_metrics.streams.set(all.subscribers as u64);
        self.shard_metrics.slow.set(all.behind as u64);
        self.shard_metrics.window_bytes.set(all.window_bytes as u64);
    }

    /// Sends a comment to every stream that has got nothing for so many ticks.
    pub(crate) async fn heartbeat_round(&self, heartbeat: u64) {
        let is_silent = |audience: &Rc<Audience<S>>| audience.idle_ticks() >= heartbeat;
        let silent: Vec<_> = self.hall.borrow().audiences().filter(is_silent).collect();
        let mut slice = TimeSlice::new();
        for audience in silent {
            // Some may have got a message while others got theirs.
            if is_silent(&audience) {
                audience.give(Frame::heartbeat().into_bytes(), 0);
                audience.write_round(&mut slice).await;
            }
        }
    }

    /// Ready with the length of what was given once there is something to write, with `None` once there never will be.
    fn poll_batch(&self, cx: &mut task::Context<'_>) -> Poll<Option<usize>> {
        let first = task::ready!(self.receiver.borrow_mut().poll_next(cx));
        Poll::Ready(first.map(|first| self.drain(first)))
    }

    /// Gives the first message and all that waits behind it, up to a batch's size; returns its length.
    fn drain(&self, (first, in_flight): (Message, InFlight)) -> usize {
        let mut length = first.frame.as_bytes().len();
        let mut messages = vec![first];
        let mut all_underway = self.in_flight.borrow_mut();
        all_underway.push(in_flight);
        while length < self.batch_bytes {
            let Some((message, in_flight)) = self.receiver.borrow_mut().take_waiting() else { break };
            length += message.frame.as_bytes().len();
            messages.push(message);
            all_underway.push(in_flight);
        }
        self.hall.borrow().give(&messages, &mut self.pending_audiences.borrow_mut());
        self.dispatched.notify(usize::MAX);
        length
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
    use crate::hub::Hub;
    use crate::metrics::Metrics;

    /// A stream that keeps what it is sent, one string for each write, unless it is full.
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
        let (hub, mut receivers) =
            Hub::new(&Limits::default(), None, 1, Metrics::default()).expect("no thread is started");
        let receiver = receivers.pop().expect("one for each shard");
        (hub, Dispatcher::new(receiver, limits, Arc::default(), SubscriberCounts::new()))
    }

    fn join(dispatcher: &Dispatcher<Writes>) -> (Writes, Membership<Writes>) {
        join_at(smol::block_on(dispatcher.reserve_after(0, &FilterSet::default())))
    }

    fn join_at(place: Reservation<Writes>) -> (Writes, Membership<Writes>) {
        let writes = Writes::default();
        let mut membership = place.join(writes.clone());
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
        (writes, membership)
    }

    fn publish(hub: &Hub, message: &str) {
        smol::block_on(hub.publish(&Fields::default(), message, &Topics::none())).expect("the hub is open");
    }

    #[test]
    fn what_waits_is_one_batch_up_to_its_size() {
        let (hub, dispatcher) = start(1000, 20);
        let (writes, _seat) = join(&dispatcher);
        for message in ["1", "2", "3", "4"] {
            publish(&hub, message);
        }
        hub.close();
        smol::block_on(dispatcher.run());
        assert_eq!(writes.take_all(), ["data: 1\n\ndata: 2\n\ndata: 3\n\n", "data: 4\n\n"]);
    }

    #[test]
    fn who_joins_gets_nothing_that_was_accepted_before() {
        let (hub, dispatcher) = start(1000, 1000);
        let (earlier, _early) = join(&dispatcher);
        publish(&hub, "before");
        let later = smol::block_on(async {
            let joined = async {
                let (writes, membership) =
                    join_at(dispatcher.reserve_after(hub.accepted(), &FilterSet::default()).await);
                publish(&hub, "after");
                hub.close();
                (writes, membership)
            };
            future::zip(joined, dispatcher.run()).await.0
        });
        assert_eq!(earlier.take_all().concat(), "data: before\n\ndata: after\n\n");
        assert_eq!(later.0.take_all().concat(), "data: after\n\n");
    }

    /// A stream that joined amid a flood once gave all that waited to the audience at once, and pushed what the others
    /// had yet to be sent out of the window.
    #[test]
    fn who_joins_amid_a_flood_cuts_nobody() {
        let (hub, dispatcher) = start(64, 20);
        let (writes, _seat) = join(&dispatcher);
        (0..40).for_each(|_| publish(&hub, "x"));
        hub.close();
        smol::block_on(future::zip(dispatcher.reserve_after(hub.accepted(), &FilterSet::default()), dispatcher.run()));
        assert_eq!(writes.take_all().concat(), "data: x\n\n".repeat(40));
    }

    #[test]
    fn a_burst_waits_until_nobody_is_behind() {
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
            assert_eq!(dispatcher.dispatched(), 1, "one batch was given");
            assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
            assert!(future::poll_once(&mut run).await.is_none());
            assert_eq!(dispatcher.dispatched(), 1, "it is still behind");
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
            assert!(future::or(done, too_late).await, "nobody is waited for any more");
        });
        assert_eq!(writes.take_all().concat(), "data: x\n\n".repeat(3));
    }

    #[test]
    fn a_burst_waits_for_its_share_of_the_windows_time() {
        let (_hub, dispatcher) = start(1000, 1000);
        let whole = Limits::default().window_time;
        let share = |length| dispatcher.share_of_window_time(length);
        assert_eq!((share(0), share(500), share(1000)), (Duration::ZERO, whole / 2, whole));
        assert_eq!(share(usize::MAX), whole, "a batch that is longer than the window is one window");
    }

    #[test]
    fn a_heartbeat_comes_after_silence_alone() {
        let (hub, dispatcher) = start(1000, 1000);
        let (writes, _seat) = join(&dispatcher);
        let tick = |heartbeat: Option<u64>| {
            dispatcher.tick();
            heartbeat.into_iter().for_each(|heartbeat| smol::block_on(dispatcher.heartbeat_round(heartbeat)));
        };
        tick(Some(2));
        assert!(writes.take_all().is_empty(), "one tick of silence");
        tick(Some(2));
        assert_eq!(writes.take_all(), [":\n\n"], "two");
        tick(Some(2));
        publish(&hub, "x");
        hub.close();
        smol::block_on(dispatcher.run());
        assert_eq!(writes.take_all(), ["data: x\n\n"]);
        tick(Some(2));
        assert!(writes.take_all().is_empty(), "a message breaks the silence");
        tick(Some(2));
        assert_eq!(writes.take_all(), [":\n\n"], "which begins anew");
        (0..9).for_each(|_| tick(None));
        assert!(writes.take_all().is_empty(), "heartbeats can be off");
    }

    /// Streams that a heartbeat's round had yet to reach were cut when a message came amid it.
    #[test]
    fn a_message_amid_the_round_of_a_heartbeat_cuts_nobody() {
        // The message alone is longer than the window.
        let (hub, dispatcher) = start(10, 1000);
        let streams: Vec<_> = (0..200).map(|_| join(&dispatcher)).collect();
        smol::block_on(async {
            dispatcher.tick();
            let mut heartbeat_round = pin!(dispatcher.heartbeat_round(1));
            assert!(future::poll_once(&mut heartbeat_round).await.is_none(), "a round takes more than one turn");
            publish(&hub, "a long one");
            hub.close();
            future::zip(heartbeat_round, dispatcher.run()).await;
        });
        for (number, (writes, _)) in streams.iter().enumerate() {
            assert_eq!(writes.take_all().concat(), ":\n\ndata: a long one\n\n", "stream {number}");
        }
    }
}
