//! How many streams ask for which topics, over all shards.
//!
//! A stream without topics is not in it: it gets broadcasts alone, and those are for every stream. A lock is taken when
//! a stream with topics opens or ends, and by who asks; no message takes one.

use std::sync::{Arc, Mutex};

use crate::event::topic::{Filter, FilterSet, TopicMap, Topics};
use crate::sys::lock;

/// The count, shared by all shards.
#[derive(Clone, Debug)]
pub(crate) struct SubscriberCounts(Arc<Mutex<TopicMap<usize>>>);

impl SubscriberCounts {
    /// A census of nobody.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(TopicMap::new())))
    }

    /// Counts one more stream of this interest.
    pub(crate) fn enter(&self, filters: &FilterSet) {
        *lock(&self.0).entry(filters, || 0) += 1;
    }

    /// Counts one less.
    pub(crate) fn leave(&self, filters: &FilterSet) {
        lock(&self.0).retain_one(filters, |count| {
            *count -= 1;
            *count > 0
        });
    }

    /// The number of streams that a message with these topics is for.
    pub(crate) fn count(&self, topics: &Topics) -> usize {
        let (topic_map, mut keys) = (lock(&self.0), Vec::new());
        topic_map.matching(topics, &mut keys);
        keys.into_iter().filter_map(|key| topic_map.get(key)).sum()
    }

    /// Number of streams with a filter that overlaps this one. It looks at every filter set under the lock.
    pub(crate) fn overlapping(&self, filter: &Filter) -> usize {
        let counts = lock(&self.0);
        counts.entries().filter(|(filters, _)| filter.overlaps_any(filters)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_by_what_they_ask_for_while_they_are_there() {
        let subscriber_counts = SubscriberCounts::new();
        let filter_set = |filters: &[&str]| FilterSet::parse(filters.iter().copied()).expect("filters");
        let count = |topics: &[&str]| subscriber_counts.count(&Topics::parse(topics.iter().copied()).expect("topics"));
        [&["a"][..], &["a"], &["a", "b/#"]].iter().for_each(|filters| subscriber_counts.enter(&filter_set(filters)));
        assert_eq!((count(&["a"]), count(&["b"]), count(&["a", "b"]), count(&["c"])), (3, 1, 3, 0));
        subscriber_counts.leave(&filter_set(&["a"]));
        assert_eq!(count(&["a"]), 2);
        subscriber_counts.leave(&filter_set(&["b/#", "a"]));
        subscriber_counts.leave(&filter_set(&["a"]));
        assert_eq!((count(&["a"]), lock(&subscriber_counts.0).iter().count()), (0, 0));
    }
}
