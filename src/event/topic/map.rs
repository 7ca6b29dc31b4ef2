//! Values by interest: one for each set of filters, found by that set or by the topics of a message.

use std::collections::BTreeMap;

use slab::Slab;

use super::{Index, Interest, Topics};

/// A value for each interest that is not empty.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    entries: Slab<(Interest, T)>,
    keys: BTreeMap<Interest, usize>,
    index: Index<usize>,
}

impl<T> Directory<T> {
    /// A directory without values.
    pub(crate) fn new() -> Self {
        Self { entries: Slab::new(), keys: BTreeMap::new(), index: Index::new() }
    }

    /// The value of an interest, which is `first` where there is none yet.
    pub(crate) fn entry(&mut self, interest: &Interest, first: impl FnOnce() -> T) -> &mut T {
        let key = match self.keys.get(interest) {
            Some(key) => *key,
            None => {
                let key = self.entries.insert((interest.clone(), first()));
                self.keys.insert(interest.clone(), key);
                self.index.insert(interest, key);
                key
            }
        };
        &mut self.entries[key].1
    }

    /// All values, with their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.entries.iter().map(|(key, (_, value))| (key, value))
    }

    /// The value with this key.
    pub(crate) fn get(&self, key: usize) -> Option<&T> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// The keys of those who want a message with these topics, each once.
    pub(crate) fn matching(&self, topics: &Topics, keys: &mut Vec<usize>) {
        self.index.matching(topics, keys);
    }

    /// Keeps the value of this interest if `keep` says so.
    pub(crate) fn retain_one(&mut self, interest: &Interest, keep: impl FnOnce(&mut T) -> bool) {
        let Some(key) = self.keys.get(interest).copied() else { return };
        if !keep(&mut self.entries[key].1) {
            self.entries.remove(key);
            self.keys.remove(interest);
            self.index.remove(interest, key);
        }
    }

    /// Keeps the values for which `keep` says so.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let Self { entries, keys, index } = self;
        entries.retain(|key, (interest, value)| {
            let is_kept = keep(value);
            if !is_kept {
                keys.remove(interest);
                index.remove(interest, key);
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(filters: &[&str]) -> Interest {
        Interest::parse(filters.iter().copied()).expect("filters")
    }

    fn matching(directory: &Directory<u32>, topic: &str) -> Vec<u32> {
        let mut keys = vec![7];
        directory.matching(&Topics::parse([topic]).expect("a topic"), &mut keys);
        keys.iter().map(|key| *directory.get(*key).expect("an entry")).collect()
    }

    #[test]
    fn a_value_is_found_by_its_interest_and_by_a_topic_of_it() {
        let mut directory = Directory::new();
        let (one, other) = (interest(&["a", "b/+"]), interest(&["b/#"]));
        assert_eq!(*directory.entry(&one, || 1), 1);
        assert_eq!(*directory.entry(&other, || 2), 2);
        assert_eq!(*directory.entry(&interest(&["b/+", "a", "a"]), || 3), 1, "the same set");
        assert_eq!(matching(&directory, "a"), [1]);
        assert_eq!(matching(&directory, "b/c"), [1, 2]);
        assert_eq!(directory.iter().count(), 2);
    }

    #[test]
    fn what_is_not_kept_is_not_found() {
        let mut directory = Directory::new();
        let interests = ["a", "b", "c"].map(|filter| interest(&[filter]));
        for (value, interest) in interests.iter().enumerate() {
            directory.entry(interest, || value as u32);
        }
        directory.retain(|value| *value != 1);
        directory.retain_one(&interests[0], |value| *value != 0);
        directory.retain_one(&interests[1], |_| panic!("it is gone"));
        assert_eq!(["a", "b", "c"].map(|topic| matching(&directory, topic)), [vec![], vec![], vec![2]]);
        assert_eq!(*directory.entry(&interests[1], || 9), 9);
    }
}
