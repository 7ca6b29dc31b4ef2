//! What a client has sent and nobody has taken yet.
//!
//! A buffer that grows with what arrives and with nothing else: no size that a client names reserves memory. Its
//! users bound it, by refusing a request before the buffer would grow past their limit.

use std::ops::Range;

/// Room for the head of an ordinary request, or for many small ones behind each other.
const FIRST_SIZE: usize = 4 * 1024;

/// The unread bytes of a connection.
#[derive(Debug, Default)]
pub(crate) struct Input {
    /// Zeroed where nothing has been read yet, so that a read can be handed a slice of it.
    buffer: Vec<u8>,
    /// Where in it the unread bytes are.
    unread: Range<usize>,
}

impl Input {
    /// The unread bytes, oldest first.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// The number of unread bytes.
    pub(crate) fn len(&self) -> usize {
        self.unread.len()
    }

    /// Whether there is no unread byte.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Takes the first `count` bytes away.
    pub(crate) fn consume(&mut self, count: usize) {
        self.unread.start += count.min(self.len());
        if self.unread.is_empty() {
            self.unread = 0..0;
        }
    }

    /// Room for more bytes, never empty; [`Input::added`] says how much of it was filled.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.unread.start > 0 {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        if self.unread.end == self.buffer.len() {
            self.buffer.resize((self.buffer.len() * 2).max(FIRST_SIZE), 0);
        }
        &mut self.buffer[self.unread.end..]
    }

    /// So many bytes of the room were filled.
    pub(crate) fn added(&mut self, count: usize) {
        self.unread.end = (self.unread.end + count).min(self.buffer.len());
    }

    /// Gives back what one large message made the buffer grow to.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() && self.buffer.len() > 16 * FIRST_SIZE {
            self.buffer = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(input: &mut Input, bytes: &[u8]) {
        for byte in bytes {
            input.room()[0] = *byte;
            input.added(1);
        }
    }

    #[test]
    fn what_is_added_comes_out_in_order() {
        let mut input = Input::default();
        add(&mut input, b"hello");
        input.consume(2);
        add(&mut input, b" world");
        assert_eq!(input.bytes(), b"llo world");
        input.consume(9);
        assert!(input.is_empty());
    }

    #[test]
    fn it_grows_by_what_arrives_and_shrinks_when_empty() {
        let mut input = Input::default();
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        add(&mut input, &sent);
        assert_eq!(input.bytes(), sent);
        assert!(input.buffer.len() < 2 * sent.len() + FIRST_SIZE);
        input.consume(1);
        input.shrink();
        assert_eq!(input.len(), sent.len() - 1, "nothing is lost while something is unread");
        input.consume(sent.len());
        input.shrink();
        assert_eq!(input.buffer.capacity(), 0);
    }
}
