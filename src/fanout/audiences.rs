//! The audiences of one shard, one for each set of topics that streams ask for, and who gets which message.
//!
//! A message without topics is for all of them, one with topics for those whose interest it meets. A stream is in one
//! audience, so it gets each message once and in order. What a message costs grows with the audiences it is for: those
//! are found in an index, and what is for all is joined once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::SubscriberCounts;
use super::audience::Audience;
use super::latest::Latest;
use super::partial_event::PartialEvents;
use super::window::{Budget, Window};
use crate::config::Limits;
use crate::event::topic::{FilterSet, TopicMap};
use crate::hub::Message;
use crate::metrics::ShardMetrics;
use crate::net::Sink;

/// The audiences, and the way to them.
#[derive(Debug)]
pub(crate) struct Audiences<S> {
    /// Those who asked for no topic.
    broadcast: Rc<Audience<S>>,
    /// Those who did. An audience lives as long as somebody has a place or a seat in it.
    by_filter: TopicMap<Weak<Audience<S>>>,
    window_bytes: usize,
    /// What the windows of all rooms may hold together.
    budget: Rc<Budget>,
    partial_events: Rc<PartialEvents>,
    shard_metrics: Arc<ShardMetrics>,
    subscriber_counts: SubscriberCounts,
    /// Kept from when the first stream joins that may skip.
    latest: RefCell<Option<Latest>>,
}

impl<S: Sink> Audiences<S> {
    /// A hall with nobody in it.
    pub(crate) fn new(limits: &Limits, shard_metrics: Arc<ShardMetrics>, subscriber_counts: SubscriberCounts) -> Self {
        let partial_events = Rc::new(PartialEvents::new(limits.window_bytes));
        let window = Window::new(limits.window_bytes, Budget::new(usize::MAX));
        Self {
            broadcast: Rc::new(Audience::new(window, Rc::clone(&partial_events), Arc::clone(&shard_metrics), None)),
            by_filter: TopicMap::new(),
            window_bytes: limits.window_bytes,
            budget: Budget::new(limits.topic_window_bytes),
            partial_events,
            shard_metrics,
            subscriber_counts,
            latest: RefCell::new(None),
        }
    }

    /// The audience for streams of this interest.
    pub(crate) fn audience(&mut self, filters: &FilterSet) -> Rc<Audience<S>> {
        if filters.is_empty() {
            return Rc::clone(&self.broadcast);
        }
        let Self { by_filter, window_bytes, budget, partial_events, shard_metrics, subscriber_counts, .. } = self;
        let room = by_filter.entry(filters, Weak::new);
        room.upgrade().unwrap_or_else(|| {
            let window = Window::new(*window_bytes, Rc::clone(budget));
            let counted = Some((subscriber_counts.clone(), filters.clone()));
            let audience =
                Rc::new(Audience::new(window, Rc::clone(partial_events), Arc::clone(shard_metrics), counted));
            *room = Rc::downgrade(&audience);
            audience
        })
    }

    /// Keeps the newest event of each topic from now on.
    pub(crate) fn keep_latest(&self) {
        self.latest.borrow_mut().get_or_insert_with(|| Latest::new(self.window_bytes));
    }

    /// The newest events for this interest.
    pub(crate) fn latest(&self, filters: &FilterSet) -> Vec<u8> {
        self.latest.borrow().as_ref().map(|latest| latest.for_interest(filters)).unwrap_or_default()
    }

    /// Lets go of the rooms that nobody is in any more.
    pub(crate) fn remove_empty(&mut self) {
        self.by_filter.retain(|audience| audience.strong_count() > 0);
    }

    /// All audiences, with the keys of rooms.
    fn with_keys(&self) -> impl Iterator<Item = (Option<usize>, Rc<Audience<S>>)> {
        let by_filter = self.by_filter.iter().filter_map(|(key, audience)| Some((Some(key), audience.upgrade()?)));
        std::iter::once((None, Rc::clone(&self.broadcast))).chain(by_filter)
    }

    /// All audiences.
    pub(crate) fn audiences(&self) -> impl Iterator<Item = Rc<Audience<S>>> {
        self.with_keys().map(|(_, audience)| audience)
    }

    /// Gives each audience those of the messages that are for it, as one batch, and adds it to those who were given
    /// something.
    pub(crate) fn give(&self, messages: &[Message], pending_audiences: &mut Vec<Rc<Audience<S>>>) {
        if let Some(latest) = &mut *self.latest.borrow_mut() {
            messages.iter().for_each(|message| latest.note(&message.topics, &message.frame));
        }
        let wanted = self.wanted(messages);
        let mut for_all = messages.iter().filter(|message| message.topics.is_empty()).peekable();
        if for_all.peek().is_some() {
            let (batch, count) = join(for_all);
            let others = self.with_keys().filter(|(key, _)| key.is_none_or(|key| !wanted.contains_key(&key)));
            for (_, audience) in others {
                audience.give(Arc::clone(&batch), count);
                pending_audiences.push(audience);
            }
        }
        for (key, numbers) in wanted {
            let Some(audience) = self.by_filter.get(key).and_then(Weak::upgrade) else { continue };
            let is_wanted = |number: &usize| numbers.binary_search(number).is_ok();
            let own = messages.iter().enumerate();
            let own = own.filter(|(number, message)| message.topics.is_empty() || is_wanted(number));
            let (batch, count) = join(own.map(|(_, message)| message));
            audience.give(batch, count);
            pending_audiences.push(audience);
        }
    }

    /// The numbers of the messages with topics that are for each room.
    fn wanted(&self, messages: &[Message]) -> BTreeMap<usize, Vec<usize>> {
        let (mut wanted, mut keys) = (BTreeMap::<_, Vec<_>>::new(), Vec::new());
        for (number, message) in messages.iter().enumerate().filter(|(_, message)| !message.topics.is_empty()) {
            self.by_filter.matching(&message.topics, &mut keys);
            keys.iter().for_each(|key| wanted.entry(*key).or_default().push(number));
        }
        wanted
    }
}

/// The frames of messages as one batch, with their number; that of a single one is shared as it is.
fn join<'m>(mut messages: impl Iterator<Item = &'m Message>) -> (Arc<[u8]>, u64) {
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
    use crate::fanout::audience::{Membership, Progress, TimeSlice};

    #[derive(Clone, Default)]
    struct Writes(Rc<RefCell<Vec<String>>>);

    impl Sink for Writes {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn reset_on_close(&self, _: bool) {}
    }

    fn join_hall(hall: &mut Audiences<Writes>, filters: &[&str]) -> (Writes, Membership<Writes>) {
        let writes = Writes::default();
        let filters = FilterSet::parse(filters.iter().copied()).expect("filters");
        let mut membership = hall.audience(&filters).reserve().join(writes.clone());
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
        (writes, membership)
    }

    /// Gives messages, each with its topics, and returns to how many audiences.
    fn give(hall: &Audiences<Writes>, messages: &[(&str, &[&str])]) -> usize {
        let messages: Vec<_> = messages
            .iter()
            .map(|(text, topics)| Message {
                frame: Frame::message(text),
                topics: Topics::parse(topics.iter().copied()).expect("topics"),
            })
            .collect();
        let mut pending_audiences = Vec::new();
        hall.give(&messages, &mut pending_audiences);
        pending_audiences.iter().for_each(|audience| smol::block_on(audience.write_round(&mut TimeSlice::new())));
        pending_audiences.len()
    }

    #[test]
    fn each_gets_what_it_asked_for_once_and_in_order_in_one_write() {
        let mut hall = Audiences::new(&Limits::default(), Arc::default(), SubscriberCounts::new());
        let streams = [&[][..], &["a"], &["b/#", "a"], &["a", "b/#"], &["c"]];
        let seats = streams.map(|filters| join_hall(&mut hall, filters));
        let messages: [(&str, &[&str]); 5] =
            [("1", &["a", "b/x"]), ("2", &[]), ("3", &["b"]), ("4", &["d"]), ("5", &["a"])];
        assert_eq!(give(&hall, &messages), 4, "two of them share their interest");
        let taken = seats.map(|(writes, _)| writes.0.take());
        let events =
            |numbers: &[u8]| -> String { numbers.iter().map(|number| format!("data: {number}\n\n")).collect() };
        let expected = [&[2][..], &[1, 2, 5], &[1, 2, 3, 5], &[1, 2, 3, 5], &[2]];
        assert_eq!(taken, expected.map(|numbers| vec![events(numbers)]));
    }

    #[test]
    fn a_message_costs_nothing_for_those_it_is_not_for() {
        let mut hall = Audiences::new(&Limits::default(), Arc::default(), SubscriberCounts::new());
        let seats: Vec<_> = (0..100).map(|number| join_hall(&mut hall, &[&format!("room/{number}")])).collect();
        assert_eq!(give(&hall, &[("x", &["room/7"]), ("y", &["nobody"])]), 1);
        assert_eq!(give(&hall, &[("x", &["nobody"])]), 0);
        assert_eq!(seats[7].0.0.take(), ["data: x\n\n"]);
        assert!(seats[8].0.0.take().is_empty());
    }

    #[test]
    fn a_room_is_there_while_somebody_is_in_it() {
        let mut hall = Audiences::new(&Limits::default(), Arc::default(), SubscriberCounts::new());
        let one = join_hall(&mut hall, &["a"]);
        let other = join_hall(&mut hall, &["a"]);
        drop(one);
        hall.remove_empty();
        assert_eq!(hall.audiences().count(), 2);
        drop(other);
        assert_eq!(give(&hall, &[("x", &["a"])]), 0, "nobody is there");
        let (writes, _seat) = join_hall(&mut hall, &["a"]);
        assert_eq!(give(&hall, &[("y", &["a"])]), 1, "somebody is again");
        assert_eq!(writes.0.take(), ["data: y\n\n"]);
        drop((writes, _seat));
        hall.remove_empty();
        assert_eq!((hall.audiences().count(), hall.by_filter.iter().count()), (1, 0));
    }
}
