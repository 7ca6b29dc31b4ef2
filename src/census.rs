//! How many streams ask for which topics, over all shards.
//!
//! A stream without topics is not in it: it gets broadcasts alone, and those are for every stream. A lock is taken when
//! a stream with topics opens or ends, and by who asks; no message takes one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::topic::{Directory, Interest, Topics};

/// The count, shared by all shards.
#[derive(Clone, Debug)]
pub(crate) struct Census(Arc<Mutex<Directory<usize>>>);

impl Census {
    /// A census of nobody.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Directory::new())))
    }

    /// Counts one more stream of this interest for as long as the guard lives; none where it is in broadcasts alone.
    pub(crate) fn enter(&self, interest: &Interest) -> Option<Box<Present>> {
        if interest.is_empty() {
            return None;
        }
        *self.lock().entry(interest, || 0) += 1;
        Some(Box::new(Present { census: self.clone(), interest: interest.clone() }))
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

/// A stream's place in the census, given back when dropped.
#[derive(Debug)]
pub(crate) struct Present {
    census: Census,
    interest: Interest,
}

impl Drop for Present {
    fn drop(&mut self) {
        self.census.lock().retain_one(&self.interest, |count| {
            *count -= 1;
            *count > 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_by_what_they_ask_for_while_they_are_there() {
        let census = Census::new();
        let enter = |filters: &[&str]| census.enter(&Interest::parse(filters.iter().copied()).expect("filters"));
        let count = |topics: &[&str]| census.count(&Topics::parse(topics.iter().copied()).expect("topics"));
        assert!(enter(&[]).is_none());
        let (_one, other, _both) = (enter(&["a"]), enter(&["a"]), enter(&["a", "b/#"]));
        assert_eq!((count(&["a"]), count(&["b"]), count(&["a", "b"]), count(&["c"])), (3, 1, 3, 0));
        drop(other);
        assert_eq!(count(&["a"]), 2);
    }
}
