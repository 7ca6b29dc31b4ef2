//! One buffer that all reads of a shard land in.
//!
//! A connection that waits for its client holds no buffer for what may come: bytes are read into this one, and who
//! wants to keep them copies them out before anybody else reads. Large reads then cost memory once for each shard.

use std::cell::RefCell;
use std::io;

/// Large enough that a long message takes few reads.
const SIZE: usize = 64 * 1024;

/// The buffer.
#[derive(Debug)]
pub(crate) struct ReadBuffer(RefCell<Box<[u8]>>);

impl Default for ReadBuffer {
    fn default() -> Self {
        Self(RefCell::new(vec![0; SIZE].into()))
    }
}

impl ReadBuffer {
    /// Reads once and has `keep` look at what was read; returns how many bytes that was, 0 at the end of the input.
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
