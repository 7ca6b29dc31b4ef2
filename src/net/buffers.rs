//! Buffers for what clients send: one for all reads of a shard, and one for the unread bytes of a connection.
//!
//! They grow with bytes that have arrived, and for nothing else: no size that a client names reserves memory. They have
//! no limit of their own: a connection rejects a request before its buffer grows past the limits.

use std::cell::RefCell;
use std::io;

/// The size of a read: a long message takes few of them.
const READ_SIZE: usize = 64 * 1024;

/// Capacity that an empty buffer keeps for the next request of its client.
const KEPT_SIZE: usize = 4 * 1024;

/// The buffer that all reads of a shard land in.
///
/// A connection that waits for its client holds no memory for it. It copies what it keeps before the next read.
#[derive(Debug)]
pub(crate) struct ReadBuffer(RefCell<Box<[u8]>>);

impl Default for ReadBuffer {
    fn default() -> Self {
        Self(RefCell::new(vec![0; READ_SIZE].into()))
    }
}

impl ReadBuffer {
    /// Reads once and shows the bytes to `keep`; returns their number, 0 at the end of the input.
    pub(crate) fn read(
        &self,
        read: impl FnOnce(&mut [u8]) -> io::Result<usize>,
        keep: impl FnOnce(&[u8]),
    ) -> io::Result<usize> {
        let mut buffer = self.0.borrow_mut();
        let count = read(&mut buffer)?;
        keep(&buffer[..count]);
        Ok(count)
    }
}

/// The unread bytes of a connection.
#[derive(Debug, Default)]
pub(crate) struct RecvBuffer {
    buffer: Vec<u8>,
    /// Bytes at the front that were consumed.
    consumed: usize,
}

impl RecvBuffer {
    /// The unread bytes, oldest first.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.consumed..]
    }

    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.consumed
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.consumed += count.min(self.len());
        if self.is_empty() {
            self.consumed = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEPT_SIZE);
        }
    }

    /// Appends bytes that have arrived.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_order() {
        let mut input = RecvBuffer::default();
        input.extend(b"hello");
        input.consume(2);
        input.extend(b" world");
        assert_eq!((input.bytes(), input.len()), (&b"llo world"[..], 9));
        input.consume(9);
        assert!(input.is_empty());
    }

    #[test]
    fn long_message_leaves_no_memory_behind() {
        let mut input = RecvBuffer::default();
        input.extend(&[b'a'; 200_000]);
        input.consume(1);
        assert_eq!(input.len(), 199_999, "an unread byte is kept");
        input.consume(199_999);
        assert!(input.buffer.capacity() <= KEPT_SIZE);
    }
}
