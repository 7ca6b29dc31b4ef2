//! How many streams ask for which topics, over all shards.
//!
//! A stream without topics is not in it: it gets broadcasts alone, and those are for every stream. A lock is taken when
//! a stream with topics opens or ends, and by who asks; no message takes one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::topic::{Directory, Interest, Topics};

/// The count, shared by all shards.
#[derive(Clone, Debug)]
pub(crate) struct Census(Arc<Mutex<Directory<usize>>>);

impl Census {
    /// A census of nobody.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Directory::new())))
    }

    /// Counts one more stream of this interest.
    pub(crate) fn enter(&self, interest: &Interest) {
        *self.lock().entry(interest, || 0) += 1;
    }

    /// Counts one less.
    pub(crate) fn leave(&self, interest: &Interest) {
        self.lock().retain_one(interest, |count| {
            *count -= 1;
            *count > 0
        });
    }

    /// The number of streams that a message with these topics is for.
    pub(crate) fn count(&self, topics: &Topics) -> usize {
        let (directory, mut keys) = (self.lock(), Vec::new());
        directory.matching(topics, &mut keys);
        keys.into_iter().filter_map(|key| directory.get(key)).sum()
    }

    fn lock(&self) -> MutexGuard<'_, Directory<usize>> {
        // Nothing that is done under the lock leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_by_what_they_ask_for_while_they_are_there() {
        let census = Census::new();
        let interest = |filters: &[&str]| Interest::parse(filters.iter().copied()).expect("filters");
        let count = |topics: &[&str]| census.count(&Topics::parse(topics.iter().copied()).expect("topics"));
        [&["a"][..], &["a"], &["a", "b/#"]].iter().for_each(|filters| census.enter(&interest(filters)));
        assert_eq!((count(&["a"]), count(&["b"]), count(&["a", "b"]), count(&["c"])), (3, 1, 3, 0));
        census.leave(&interest(&["a"]));
        assert_eq!(count(&["a"]), 2);
        census.leave(&interest(&["b/#", "a"]));
        census.leave(&interest(&["a"]));
        assert_eq!((count(&["a"]), census.lock().iter().count()), (0, 0));
    }
}
