//! What a client has sent and nobody has taken yet.
//!
//! A buffer that grows with what arrives and with nothing else: no size that a client names reserves memory. Its
//! users bound it, by refusing a request before the buffer would grow past their limit.

/// What an empty buffer may keep for the next request of a client that sends many.
const KEPT_SIZE: usize = 4 * 1024;

/// The unread bytes of a connection.
#[derive(Debug, Default)]
pub(crate) struct RecvBuffer {
    buffer: Vec<u8>,
    /// How much of the buffer was taken already.
    taken: usize,
}

impl RecvBuffer {
    /// The unread bytes, oldest first.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    /// The number of unread bytes.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.taken
    }

    /// Whether there is no unread byte.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the first `count` bytes away.
    pub(crate) fn consume(&mut self, count: usize) {
        self.taken += count.min(self.len());
        if self.is_empty() {
            self.taken = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_SIZE);
        }
    }

    /// Appends what has arrived.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_comes_out_in_order() {
        let mut input = RecvBuffer::default();
        input.extend(b"hello");
        input.consume(2);
        input.extend(b" world");
        assert_eq!((input.bytes(), input.len()), (&b"llo world"[..], 9));
        input.consume(9);
        assert!(input.is_empty());
    }

    #[test]
    fn a_long_message_leaves_no_memory_behind() {
        let mut input = RecvBuffer::default();
        input.extend(&[b'a'; 200_000]);
        input.consume(1);
        assert_eq!(input.len(), 199_999, "nothing is lost while something is unread");
        input.consume(199_999);
        assert!(input.buffer.capacity() <= KEPT_SIZE);
    }
}
