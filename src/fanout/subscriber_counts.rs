//! The number of streams for each set of filters, over all shards.
//!
//! Streams without topics are not counted here: they get broadcasts alone, and so does every stream.
//!
//! Invariant: no message takes the lock. Streams with topics do as they open and end, and callers that ask for a count.

use std::sync::{Arc, Mutex};

use crate::event::topic::{Filter, FilterSet, TopicMap, Topics};
use crate::sys::lock;

/// The counts, shared by all shards.
#[derive(Clone, Debug)]
pub struct SubscriberCounts(Arc<Mutex<TopicMap<usize>>>);

impl Default for SubscriberCounts {
    /// Counts of no subscriber.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(TopicMap::new())))
    }
}

impl SubscriberCounts {
    /// Counts one more stream with these filters.
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

    /// The number of streams that get a message with these topics, besides broadcasts.
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
    fn streams_are_counted_by_their_filters_while_open() {
        let subscriber_counts = SubscriberCounts::default();
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
