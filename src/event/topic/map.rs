//! A map from filter sets to values, searched by the set or by the topics of a message.

use std::collections::BTreeMap;

use slab::Slab;

use super::{FilterSet, Index, Topics};

/// One value for each filter set that is not empty.
#[derive(Debug)]
pub(crate) struct TopicMap<T> {
    entries: Slab<(FilterSet, T)>,
    keys: BTreeMap<FilterSet, usize>,
    index: Index,
    /// Estimated memory of the sets and the index, in bytes.
    memory: usize,
}

impl<T> TopicMap<T> {
    /// Creates an empty map.
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), keys: BTreeMap::new(), index: Index::default(), memory: 0 }
    }

    /// Returns the value of a set, inserting `first` if there is none.
    pub(crate) fn entry(&mut self, filters: &FilterSet, first: impl FnOnce() -> T) -> &mut T {
        let key = match self.keys.get(filters) {
            Some(key) => *key,
            None => {
                let key = self.entries.insert((filters.clone(), first()));
                self.keys.insert(filters.clone(), key);
                self.index.insert(filters, key);
                self.memory += filters.memory();
                key
            }
        };
        &mut self.entries[key].1
    }

    /// Says if a set is in the map, or takes it to no more than `most` bytes of estimated memory.
    pub(crate) fn has_room_for(&self, filters: &FilterSet, most: usize) -> bool {
        self.keys.contains_key(filters) || self.memory + filters.memory() <= most
    }

    /// All values with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// All filter sets with their values.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &(FilterSet, T)> {
        self.entries.iter().map(|(_, entry)| entry)
    }

    /// Returns the value with this key.
    pub(crate) fn get(&self, key: usize) -> Option<&T> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Replaces `keys` by those of the sets that match one of the topics, each once.
    pub(crate) fn matching(&self, topics: &Topics, keys: &mut Vec<usize>) {
        self.index.matching(topics, keys);
    }

    /// Removes the value of this set unless `keep` returns true.
    pub(crate) fn retain_one(&mut self, filters: &FilterSet, keep: impl FnOnce(&mut T) -> bool) {
        let Some(key) = self.keys.get(filters).copied() else { return };
        if !keep(&mut self.entries[key].1) {
            self.entries.remove(key);
            self.keys.remove(filters);
            self.index.remove(filters, key);
            self.memory -= filters.memory();
        }
    }

    /// Removes the values for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let Self { entries, keys, index, memory } = self;
        entries.retain(|key, (filters, value)| {
            let is_kept = keep(value);
            if !is_kept {
                keys.remove(filters);
                index.remove(filters, key);
                *memory -= filters.memory();
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter_set(filters: &[&str]) -> FilterSet {
        FilterSet::parse(filters.iter().copied()).expect("filters")
    }

    fn matching(topic_map: &TopicMap<u32>, topic: &str) -> Vec<u32> {
        let mut keys = vec![7];
        topic_map.matching(&Topics::parse([topic]).expect("a topic"), &mut keys);
        keys.iter().map(|key| *topic_map.get(*key).expect("an entry")).collect()
    }

    #[test]
    fn values_are_found_by_set_and_by_topic() {
        let mut topic_map = TopicMap::new();
        let (one, other) = (filter_set(&["a", "b/+"]), filter_set(&["b/#"]));
        assert_eq!(*topic_map.entry(&one, || 1), 1);
        assert_eq!(*topic_map.entry(&other, || 2), 2);
        assert_eq!(*topic_map.entry(&filter_set(&["b/+", "a", "a"]), || 3), 1, "the same set");
        assert_eq!(matching(&topic_map, "a"), [1]);
        assert_eq!(matching(&topic_map, "b/c"), [1, 2]);
        assert_eq!(topic_map.memory, one.memory() + other.memory());
        assert!(topic_map.has_room_for(&one, 0) && !topic_map.has_room_for(&filter_set(&["c"]), topic_map.memory));
        assert_eq!(topic_map.iter().count(), 2);
    }

    #[test]
    fn removed_values_are_not_found() {
        let mut topic_map = TopicMap::new();
        let filter_sets = ["a", "b", "c"].map(|filter| filter_set(&[filter]));
        for (value, filters) in filter_sets.iter().enumerate() {
            topic_map.entry(filters, || value as u32);
        }
        topic_map.retain(|value| *value != 1);
        topic_map.retain_one(&filter_sets[0], |value| *value != 0);
        topic_map.retain_one(&filter_sets[1], |_| panic!("it is gone"));
        assert_eq!(["a", "b", "c"].map(|topic| matching(&topic_map, topic)), [vec![], vec![], vec![2]]);
        assert_eq!(topic_map.memory, filter_sets[2].memory());
        assert_eq!(*topic_map.entry(&filter_sets[1], || 9), 9);
    }
}
