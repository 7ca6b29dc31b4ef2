//! Lookup of the filter sets that match a message.
//!
//! The result is that of [`FilterSet::matches`] for each set, without asking each. Broadcasts match every stream, so
//! no shard looks them up here. Invariant: no node stays that leads to no key.

use std::collections::{BTreeMap, BTreeSet};
use std::str::Split;

use super::{ANY_LEVEL, ANY_REST, FilterSet, HIDDEN, SEPARATOR, Topics};

/// Keys of filter sets, found by the topics of a message.
///
/// A tree by level: a search follows the child with the level's name and the child `+`. Its cost depends on the levels
/// and on the matches, not on the number of sets. Filters that mix names and `+` at several levels double the paths
/// with each such level, up to the number of nodes.
#[derive(Debug, Default)]
pub(crate) struct Index {
    root: Node,
}

impl Index {
    /// Adds a key to each filter of a set. A set without filters adds nothing.
    pub(crate) fn insert(&mut self, filters: &FilterSet, key: usize) {
        for filter in filters.0.iter() {
            self.root.insert(filter, key);
        }
    }

    /// Removes a key from each filter of the set that it was inserted with.
    pub(crate) fn remove(&mut self, filters: &FilterSet, key: usize) {
        for filter in filters.0.iter() {
            self.root.remove(filter.split(SEPARATOR), key);
        }
    }

    /// Replaces `found` by the keys of the sets that match one of the topics, each once and in order. A broadcast finds
    /// none.
    pub(crate) fn matching(&self, topics: &Topics, found: &mut Vec<usize>) {
        found.clear();
        for topic in topics.iter() {
            self.root.collect(topic.split(SEPARATOR), !topic.starts_with(HIDDEN), found);
        }
        found.sort_unstable();
        found.dedup();
    }
}

/// Filters that share their first levels. Only the root may be empty.
#[derive(Debug, Default)]
struct Node {
    /// Filters that continue with a name. Boxed, because a map of one node makes room for eleven.
    named: BTreeMap<Box<str>, Box<Node>>,
    /// Filters that continue with `+`.
    any: Option<Box<Node>>,
    /// Keys of the filter that continues with `#`.
    rest: BTreeSet<usize>,
    /// Keys of the filter that ends here.
    here: BTreeSet<usize>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.rest.is_empty() && self.here.is_empty()
    }

    fn insert(&mut self, filter: &str, key: usize) {
        let mut node = self;
        for level in filter.split(SEPARATOR) {
            node = match level {
                ANY_REST => {
                    node.rest.insert(key);
                    return;
                }
                ANY_LEVEL => node.any.get_or_insert_default(),
                // This allocates the name of a child that is already there as well.
                name => node.named.entry(Box::from(name)).or_default(),
            };
        }
        node.here.insert(key);
    }

    /// Removes a key from the filter that continues with these levels, and each node that becomes empty.
    fn remove(&mut self, mut levels: Split<'_, char>, key: usize) {
        match levels.next() {
            None => {
                self.here.remove(&key);
            }
            Some(ANY_REST) => {
                self.rest.remove(&key);
            }
            Some(ANY_LEVEL) => {
                if let Some(child) = &mut self.any {
                    child.remove(levels, key);
                }
                self.any.take_if(|child| child.is_empty());
            }
            Some(name) => {
                let Some(child) = self.named.get_mut(name) else { return };
                child.remove(levels, key);
                if child.is_empty() {
                    self.named.remove(name);
                }
            }
        }
    }

    /// Adds the keys of all filters that match the rest of a topic. `with_wildcards` is false at a hidden first level.
    fn collect(&self, mut levels: Split<'_, char>, with_wildcards: bool, found: &mut Vec<usize>) {
        if with_wildcards {
            found.extend(&self.rest);
        }
        let Some(level) = levels.next() else {
            found.extend(&self.here);
            return;
        };
        if let Some(child) = self.named.get(level) {
            child.collect(levels.clone(), true, found);
        }
        if let Some(child) = self.any.as_ref().filter(|_| with_wildcards) {
            child.collect(levels, true, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::MOST_LEVELS;
    use super::super::tests::{
        any_filters, any_topics, filter_set, filter_set_of, reference_matches, topics, topics_of,
    };
    use super::*;

    fn found(index: &Index, topics: &Topics) -> Vec<usize> {
        let mut found = vec![99];
        index.matching(topics, &mut found);
        found
    }

    #[test]
    fn broadcasts_are_not_indexed() {
        let mut index = Index::default();
        index.insert(&filter_set(&[]), 1);
        assert!(index.root.is_empty());
        index.insert(&filter_set(&["#"]), 2);
        assert_eq!(found(&index, &Topics::none()), []);
    }

    #[test]
    fn a_key_is_found_once_and_in_order() {
        let mut index = Index::default();
        index.insert(&filter_set(&["a/b", "a/+", "#", "c"]), 3);
        index.insert(&filter_set(&["+/b"]), 2);
        index.insert(&filter_set(&["a/b", "d"]), 1);
        assert_eq!(found(&index, &topics(&["a/b", "c"])), [1, 2, 3]);
        index.remove(&filter_set(&["a/b", "d"]), 1);
        assert_eq!(found(&index, &topics(&["a/b", "d"])), [2, 3]);
    }

    #[test]
    fn removing_a_missing_key_changes_nothing() {
        let mut index = Index::default();
        index.insert(&filter_set(&["a/b"]), 1);
        index.remove(&filter_set(&["a", "a/+", "a/#", "a/b/c", "+", "#", "x"]), 1);
        index.remove(&filter_set(&["a/b"]), 2);
        assert_eq!(found(&index, &topics(&["a/b"])), [1]);
    }

    #[test]
    fn a_filter_of_many_levels_is_indexed() {
        let deepest = "/".repeat(MOST_LEVELS - 1);
        let wild = ["+"; MOST_LEVELS / 2].join("/");
        let mut index = Index::default();
        index.insert(&filter_set(&[&deepest]), 1);
        index.insert(&filter_set(&[&wild]), 2);
        assert_eq!(found(&index, &topics(&[&deepest])), [1]);
        assert_eq!(found(&index, &topics(&[&deepest[..MOST_LEVELS / 2 - 1]])), [2]);
        index.remove(&filter_set(&[&deepest]), 1);
        index.remove(&filter_set(&[&wild]), 2);
        assert!(index.root.is_empty());
    }

    proptest! {
        /// Compares with a plain list of pairs after each change, then removes everything.
        #[test]
        fn an_index_finds_what_the_reference_does(
            changes in vec((any::<bool>(), any_filters(), 0_usize..4, any_topics()), 1..24),
        ) {
            let mut index = Index::default();
            let mut pairs = BTreeSet::new();
            for (is_insert, filters, key, texts) in changes {
                if is_insert {
                    index.insert(&filter_set_of(&filters), key);
                    pairs.extend(filters.into_iter().map(|filter| (filter, key)));
                } else {
                    // One that is there, where there is one, and one that perhaps is not.
                    let present = pairs.iter().find(|(_, other)| *other == key).map(|(filter, _)| filter.clone());
                    let filters: Vec<_> = filters.into_iter().chain(present).collect();
                    index.remove(&filter_set_of(&filters), key);
                    pairs.retain(|(filter, other)| *other != key || !filters.contains(filter));
                }
                let is_wanted = |filter: &str| texts.iter().any(|topic| reference_matches(filter, topic));
                let wanted = pairs.iter().filter(|(filter, _)| is_wanted(filter));
                let expected: BTreeSet<_> = wanted.map(|(_, key)| *key).collect();
                prop_assert_eq!(found(&index, &topics_of(&texts)), Vec::from_iter(expected));
                prop_assert_eq!(index.root.is_empty(), pairs.is_empty());
            }
            for (filter, key) in pairs {
                index.remove(&filter_set_of(&[filter]), key);
            }
            prop_assert!(index.root.is_empty(), "a node is left: {index:?}");
        }
    }
}
