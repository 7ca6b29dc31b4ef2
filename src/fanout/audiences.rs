//! The audiences of one shard, one for each set of filters, and the routes of messages to them.
//!
//! A message without topics goes to every audience, and a message with topics to those with a filter that matches. An
//! index finds these, so the cost of a message grows with the audiences that it is for.
//!
//! Invariant: a stream is in one audience, so it gets each message once and in order.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::SubscriberCounts;
use super::audience::Audience;
use super::latest::Latest;
use super::partial_event::PartialEventStore;
use super::window::{Window, WindowBudget};
use crate::config::Limits;
use crate::event::topic::{FilterSet, TopicMap};
use crate::hub::Message;
use crate::metrics::ShardMetrics;
use crate::net::Sink;

/// The audiences, and the index of their filters.
#[derive(Debug)]
pub(super) struct Audiences<S> {
    /// The streams without topics.
    broadcast: Rc<Audience<S>>,
    /// The streams with topics. An audience lives as long as it has a reservation or a subscriber.
    by_filter: TopicMap<Weak<Audience<S>>>,
    window_bytes: usize,
    filter_bytes: usize,
    /// Shared by the windows of `by_filter`.
    budget: Rc<WindowBudget>,
    partial_events: Rc<PartialEventStore>,
    shard_metrics: Arc<ShardMetrics>,
    subscriber_counts: SubscriberCounts,
    /// Kept once the first client has asked for `slow=latest`.
    latest: RefCell<Option<Latest>>,
}

impl<S: Sink> Audiences<S> {
    pub(super) fn new(limits: &Limits, shard_metrics: Arc<ShardMetrics>, subscriber_counts: SubscriberCounts) -> Self {
        let partial_events = Rc::new(PartialEventStore::new(limits.window_bytes));
        let window = Window::new(limits.window_bytes, WindowBudget::new(usize::MAX));
        Self {
            broadcast: Rc::new(Audience::new(window, Rc::clone(&partial_events), Arc::clone(&shard_metrics), None)),
            by_filter: TopicMap::new(),
            window_bytes: limits.window_bytes,
            filter_bytes: limits.filter_bytes,
            budget: WindowBudget::new(limits.topic_window_bytes),
            partial_events,
            shard_metrics,
            subscriber_counts,
            latest: RefCell::new(None),
        }
    }

    /// The audience of streams with these filters, made if there is none.
    pub(super) fn audience(&mut self, filters: &FilterSet) -> Rc<Audience<S>> {
        if filters.is_empty() {
            return Rc::clone(&self.broadcast);
        }
        let Self { by_filter, window_bytes, budget, partial_events, shard_metrics, subscriber_counts, .. } = self;
        let entry = by_filter.entry(filters, Weak::new);
        entry.upgrade().unwrap_or_else(|| {
            let window = Window::new(*window_bytes, Rc::clone(budget));
            let counted = Some((subscriber_counts.clone(), filters.clone()));
            let audience =
                Rc::new(Audience::new(window, Rc::clone(partial_events), Arc::clone(shard_metrics), counted));
            *entry = Rc::downgrade(&audience);
            audience
        })
    }

    /// Says if a stream with these filters stays within [`Limits::filter_bytes`].
    pub(super) fn has_room_for(&self, filters: &FilterSet) -> bool {
        filters.is_empty() || self.by_filter.has_room_for(filters, self.filter_bytes)
    }

    /// Keeps the newest event of each topic from now on.
    pub(super) fn keep_latest(&self) {
        self.latest.borrow_mut().get_or_insert_with(|| Latest::new(self.window_bytes));
    }

    /// The newest event of each topic that matches these filters.
    pub(super) fn latest(&self, filters: &FilterSet) -> Vec<u8> {
        self.latest.borrow().as_ref().map(|latest| latest.matching(filters)).unwrap_or_default()
    }

    /// Removes the index entries of audiences that have ended.
    pub(super) fn remove_empty(&mut self) {
        self.by_filter.retain(|audience| audience.strong_count() > 0);
    }

    /// All audiences, each with its key in `by_filter`.
    fn with_keys(&self) -> impl Iterator<Item = (Option<usize>, Rc<Audience<S>>)> {
        let by_filter = self.by_filter.iter().filter_map(|(key, audience)| Some((Some(key), audience.upgrade()?)));
        std::iter::once((None, Rc::clone(&self.broadcast))).chain(by_filter)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Rc<Audience<S>>> {
        self.with_keys().map(|(_, audience)| audience)
    }

    /// Pushes to each audience the messages for it as one batch. Returns the audiences that got one.
    pub(super) fn route(&self, messages: &[Message]) -> Vec<Rc<Audience<S>>> {
        let mut pending = Vec::new();
        if let Some(latest) = &mut *self.latest.borrow_mut() {
            messages.iter().for_each(|message| latest.record(&message.topics, &message.frame));
        }
        let with_topics = self.match_topics(messages);
        let mut broadcasts = messages.iter().filter(|message| message.topics.is_empty()).peekable();
        if broadcasts.peek().is_some() {
            // Joined once: all audiences that get broadcasts alone share the bytes.
            let (batch, count) = concat(broadcasts);
            let others = self.with_keys().filter(|(key, _)| key.is_none_or(|key| !with_topics.contains_key(&key)));
            for (_, audience) in others {
                audience.push(Arc::clone(&batch), count);
                pending.push(audience);
            }
        }
        for (key, numbers) in with_topics {
            let Some(audience) = self.by_filter.get(key).and_then(Weak::upgrade) else { continue };
            let is_matched = |number: &usize| numbers.binary_search(number).is_ok();
            let own = messages.iter().enumerate();
            let own = own.filter(|(number, message)| message.topics.is_empty() || is_matched(number));
            let (batch, count) = concat(own.map(|(_, message)| message));
            audience.push(batch, count);
            pending.push(audience);
        }
        pending
    }

    /// The messages with topics for each audience of `by_filter`: their indices, by the key of the audience.
    fn match_topics(&self, messages: &[Message]) -> BTreeMap<usize, Vec<usize>> {
        let (mut matched, mut keys) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for (number, message) in messages.iter().enumerate().filter(|(_, message)| !message.topics.is_empty()) {
            self.by_filter.matching(&message.topics, &mut keys);
            keys.iter().for_each(|key| matched.entry(*key).or_default().push(number));
        }
        matched
    }
}

/// The frames of messages as one batch, and their number. A single frame is shared and not copied.
fn concat<'m>(mut messages: impl Iterator<Item = &'m Message>) -> (Arc<[u8]>, u64) {
    let Some(first) = messages.next() else { return (Arc::from([]), 0) };
    let Some(second) = messages.next() else { return (first.frame.clone().into_bytes(), 1) };
    let mut batch = [first.frame.as_bytes(), second.frame.as_bytes()].concat();
    let mut count = 2;
    for message in messages {
        batch.extend_from_slice(message.frame.as_bytes());
        count += 1;
    }
    (Arc::from(batch), count)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::task::Waker;

    use super::*;
    use crate::event::frame::Frame;
    use crate::event::topic::Topics;
    use crate::fanout::audience::TimeSlice;
    use crate::fanout::{Membership, Progress, Reservation};

    /// A sink that keeps each write.
    #[derive(Clone, Default)]
    struct Writes(Rc<RefCell<Vec<String>>>);

    impl Sink for Writes {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn reset_on_close(&self, _: bool) {}
    }

    fn audiences() -> Audiences<Writes> {
        Audiences::new(&Limits::default(), Arc::default(), SubscriberCounts::default())
    }

    fn join(audiences: &mut Audiences<Writes>, filters: &[&str]) -> (Writes, Membership<Writes>) {
        let writes = Writes::default();
        let filters = FilterSet::parse(filters.iter().copied()).expect("filters");
        let mut membership = Reservation::new(audiences.audience(&filters)).join(writes.clone());
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
        (writes, membership)
    }

    /// Routes messages, each with its topics, and writes them; returns the number of audiences that got some.
    fn route(audiences: &Audiences<Writes>, messages: &[(&str, &[&str])]) -> usize {
        let messages: Vec<_> = messages
            .iter()
            .map(|(text, topics)| Message {
                frame: Frame::message(text),
                topics: Topics::parse(topics.iter().copied()).expect("topics"),
            })
            .collect();
        let pending = audiences.route(&messages);
        pending.iter().for_each(|audience| smol::block_on(audience.write_round(&mut TimeSlice::new())));
        pending.len()
    }

    #[test]
    fn each_stream_gets_its_messages_once_in_order_in_one_write() {
        let mut audiences = audiences();
        let streams = [&[][..], &["a"], &["b/#", "a"], &["a", "b/#"], &["c"]];
        let joined = streams.map(|filters| join(&mut audiences, filters));
        let messages: [(&str, &[&str]); 5] =
            [("1", &["a", "b/x"]), ("2", &[]), ("3", &["b"]), ("4", &["d"]), ("5", &["a"])];
        assert_eq!(route(&audiences, &messages), 4, "two streams have the same filters");
        let taken = joined.map(|(writes, _)| writes.0.take());
        let events =
            |numbers: &[u8]| -> String { numbers.iter().map(|number| format!("data: {number}\n\n")).collect() };
        let expected = [&[2][..], &[1, 2, 5], &[1, 2, 3, 5], &[1, 2, 3, 5], &[2]];
        assert_eq!(taken, expected.map(|numbers| vec![events(numbers)]));
    }

    #[test]
    fn message_costs_nothing_for_other_audiences() {
        let mut audiences = audiences();
        let joined: Vec<_> = (0..100).map(|number| join(&mut audiences, &[&format!("room/{number}")])).collect();
        assert_eq!(route(&audiences, &[("x", &["room/7"]), ("y", &["nobody"])]), 1);
        assert_eq!(route(&audiences, &[("x", &["nobody"])]), 0);
        assert_eq!(joined[7].0.0.take(), ["data: x\n\n"]);
        assert!(joined[8].0.0.take().is_empty());
    }

    #[test]
    fn audience_lives_while_it_has_subscribers() {
        let mut audiences = audiences();
        let one = join(&mut audiences, &["a"]);
        let other = join(&mut audiences, &["a"]);
        drop(one);
        audiences.remove_empty();
        assert_eq!(audiences.all().count(), 2);
        drop(other);
        assert_eq!(route(&audiences, &[("x", &["a"])]), 0, "no subscriber is left");
        let (writes, membership) = join(&mut audiences, &["a"]);
        assert_eq!(route(&audiences, &[("y", &["a"])]), 1, "another has joined");
        assert_eq!(writes.0.take(), ["data: y\n\n"]);
        drop((writes, membership));
        audiences.remove_empty();
        assert_eq!((audiences.all().count(), audiences.by_filter.iter().count()), (1, 0));
    }
}
