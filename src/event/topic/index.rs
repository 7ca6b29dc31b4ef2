//! Lookup of the filter sets that match a message.
//!
//! The result is that of [`FilterSet::matches`] for each set, without asking each. Broadcasts match every stream, so
//! no shard looks them up here. Invariants: no node stays that leads to no key, and every node but the root has a key
//! or two ways on. So there are less than twice as many nodes as filters, whatever their levels.

use std::collections::BTreeMap;

use super::{ANY_LEVEL, ANY_REST, FilterSet, HIDDEN, SEPARATOR, Topics};

/// Keys of filter sets, found by the topics of a message.
///
/// A tree by level, in which levels without a branch share a node. A search follows the child with the level's name and
/// the child `+`. It visits each node once, so its cost is bounded by the number of distinct filters.
#[derive(Debug, Default)]
pub(crate) struct Index {
    root: Node,
}

impl Index {
    /// Adds a key to each filter of a set. A set without filters adds nothing.
    pub(crate) fn insert(&mut self, filters: &FilterSet, key: usize) {
        for filter in filters.0.iter() {
            let (levels, is_rest) = split(filter);
            self.root.insert(&levels, is_rest, key);
        }
    }

    /// Removes a key from each filter of the set that it was inserted with.
    pub(crate) fn remove(&mut self, filters: &FilterSet, key: usize) {
        for filter in filters.0.iter() {
            let (levels, is_rest) = split(filter);
            self.root.remove(&levels, is_rest, key);
        }
    }

    /// Replaces `found` by the keys of the sets that match one of the topics, each once and in order. A broadcast finds
    /// none.
    pub(crate) fn matching(&self, topics: &Topics, found: &mut Vec<usize>) {
        found.clear();
        let mut levels = Vec::new();
        for topic in topics.iter() {
            levels.clear();
            levels.extend(topic.split(SEPARATOR));
            self.root.collect_children(&levels, !topic.starts_with(HIDDEN), found);
        }
        found.sort_unstable();
        found.dedup();
    }
}

/// The levels of a filter before a last `#`, and if it has that.
fn split(filter: &str) -> (Vec<&str>, bool) {
    let mut levels: Vec<_> = filter.split(SEPARATOR).collect();
    let is_rest = levels.last() == Some(&ANY_REST);
    levels.truncate(levels.len() - usize::from(is_rest));
    (levels, is_rest)
}

/// Filters that share their first levels. Only the root may be empty.
#[derive(Debug, Default)]
struct Node {
    /// Levels between the one by which the parent leads here and the branch, each behind a separator.
    label: Box<str>,
    /// Filters that continue with a name. Boxed, because a map of one node makes room for eleven.
    named: BTreeMap<Box<str>, Box<Node>>,
    /// Filters that continue with `+`.
    any: Option<Box<Node>>,
    /// Keys of the filter that continues with `#`.
    rest: Keys,
    /// Keys of the filter that ends here.
    here: Keys,
}

/// Keys in order.
#[derive(Debug, Default)]
struct Keys(Vec<usize>);

impl Keys {
    fn insert(&mut self, key: usize) {
        if let Err(index) = self.0.binary_search(&key) {
            // Most filters are those of one set.
            self.0.reserve_exact(usize::from(self.0.is_empty()));
            self.0.insert(index, key);
        }
    }

    fn remove(&mut self, key: usize) {
        if let Ok(index) = self.0.binary_search(&key) {
            self.0.remove(index);
            if self.0.len() < self.0.capacity() / 4 {
                self.0.shrink_to_fit();
            }
        }
    }
}

impl Node {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.any.is_none() && self.has_no_key()
    }

    fn has_no_key(&self) -> bool {
        self.rest.0.is_empty() && self.here.0.is_empty()
    }

    /// Levels of the label.
    fn label(&self) -> impl Iterator<Item = &str> {
        self.label.split(SEPARATOR).skip(1)
    }

    fn keys(&mut self, is_rest: bool) -> &mut Keys {
        if is_rest { &mut self.rest } else { &mut self.here }
    }

    /// Adds a key to the filter that continues with these levels.
    fn insert(&mut self, levels: &[&str], is_rest: bool, key: usize) {
        let shared = self.label().zip(levels).take_while(|(own, level)| own == *level).count();
        if shared < self.label().count() {
            self.branch_behind(shared);
        }
        let Some((level, behind)) = levels[shared..].split_first() else {
            self.keys(is_rest).insert(key);
            return;
        };
        let child = match *level {
            ANY_LEVEL => self.any.get_or_insert_with(|| Self::with_label(behind)),
            // This allocates the name of a child that is already there as well.
            name => self.named.entry(Box::from(name)).or_insert_with(|| Self::with_label(behind)),
        };
        child.insert(behind, is_rest, key);
    }

    fn with_label(levels: &[&str]) -> Box<Self> {
        let mut label = String::with_capacity(levels.iter().map(|level| level.len() + 1).sum());
        for level in levels {
            label.push(SEPARATOR);
            label.push_str(level);
        }
        Box::new(Self { label: label.into(), ..Self::default() })
    }

    /// Moves everything behind so many levels of the label to a child of its own.
    fn branch_behind(&mut self, levels: usize) {
        let label = std::mem::take(&mut self.label);
        let positions = label.match_indices(SEPARATOR).map(|(position, _)| position);
        let Some(position) = positions.clone().nth(levels) else { return };
        let behind = positions.clone().nth(levels + 1).unwrap_or(label.len());
        let child = Box::new(std::mem::take(self)).labelled(&label[behind..]);
        self.label = Box::from(&label[..position]);
        match &label[position + 1..behind] {
            ANY_LEVEL => self.any = Some(child),
            name => {
                self.named.insert(Box::from(name), child);
            }
        }
    }

    fn labelled(mut self: Box<Self>, label: &str) -> Box<Self> {
        self.label = Box::from(label);
        self
    }

    /// Removes a key from the filter that continues with these levels, and each node that is not needed any more.
    fn remove(&mut self, levels: &[&str], is_rest: bool, key: usize) {
        let mut rest = levels.iter();
        if !self.label().all(|own| rest.next().is_some_and(|level| *level == own)) {
            return;
        }
        let Some((level, behind)) = rest.as_slice().split_first() else {
            self.keys(is_rest).remove(key);
            return;
        };
        let child = match *level {
            ANY_LEVEL => self.any.as_mut(),
            name => self.named.get_mut(name),
        };
        let Some(child) = child else { return };
        child.remove(behind, is_rest, key);
        if child.is_empty() {
            match *level {
                ANY_LEVEL => self.any = None,
                name => {
                    self.named.remove(name);
                }
            }
        } else {
            child.join_only_child();
        }
    }

    /// Joins a node with the only one that it leads to, unless a filter ends here.
    fn join_only_child(&mut self) {
        if !self.has_no_key() || self.named.len() + usize::from(self.any.is_some()) != 1 {
            return;
        }
        let named = self.named.pop_first();
        let (name, child) = match (named, self.any.take()) {
            (Some((name, child)), _) => (name, child),
            (None, Some(child)) => (Box::from(ANY_LEVEL), child),
            (None, None) => return,
        };
        let label = [&*self.label, "/", &name, &child.label].concat();
        *self = *child.labelled(&label);
    }

    /// Adds the keys of all filters that match the rest of a topic.
    fn collect(&self, levels: &[&str], found: &mut Vec<usize>) {
        let mut rest = levels.iter();
        for own in self.label() {
            match rest.next() {
                Some(level) if own == ANY_LEVEL || own == *level => {}
                Some(_) | None => return,
            }
        }
        self.collect_children(rest.as_slice(), true, found);
    }

    /// The same behind the label. `with_wildcards` is false at a hidden first level.
    fn collect_children(&self, levels: &[&str], with_wildcards: bool, found: &mut Vec<usize>) {
        if with_wildcards {
            found.extend(&self.rest.0);
        }
        let Some((level, behind)) = levels.split_first() else {
            found.extend(&self.here.0);
            return;
        };
        if let Some(child) = self.named.get(*level) {
            child.collect(behind, found);
        }
        if let Some(child) = self.any.as_ref().filter(|_| with_wildcards) {
            child.collect(behind, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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

    /// Number of nodes below this one, each of which has to be needed.
    fn nodes_below(node: &Node) -> usize {
        let children = || node.named.values().chain(&node.any);
        for child in children() {
            let ways = child.named.len() + usize::from(child.any.is_some());
            assert!(!child.has_no_key() || ways > 1, "a node without a use: {child:?}");
        }
        children().map(|child| 1 + nodes_below(child)).sum()
    }

    #[test]
    fn nodes_are_less_than_twice_as_many_as_filters() {
        let mut index = Index::default();
        let level = |number: usize, level: usize| if (number * 7) >> (level % 8) & 1 == 0 { "a" } else { "+" };
        let filter = |number: usize| (0..32).map(|at| level(number, at)).collect::<Vec<_>>().join("/");
        let filters: Vec<_> = (0..64).map(filter).collect();
        let filters: Vec<_> = filters.iter().map(String::as_str).collect();
        let set = filter_set(&filters);
        index.insert(&set, 1);
        let distinct = set.iter().count();
        assert!(distinct > 32 && nodes_below(&index.root) < 2 * distinct);
        index.remove(&set, 1);
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
                let distinct = pairs.iter().map(|(filter, _)| filter).collect::<BTreeSet<_>>().len();
                prop_assert!(nodes_below(&index.root) <= 2 * distinct);
            }
            for (filter, key) in pairs {
                index.remove(&filter_set_of(&[filter]), key);
            }
            prop_assert!(index.root.is_empty(), "a node is left: {index:?}");
        }
    }
}
