//! The end of a file, to which bytes are added.
//!
//! It knows nothing of records. The invariant: bytes are added all or not at all, and a part of a failed write behind
//! `end` is cut off before the next write.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::file::Locked;

/// A file that can be written to. Tests have one that fails.
pub(crate) trait Storage: Send {
    fn file(&self) -> &File;

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file().write_all_at(bytes, offset)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file().set_len(length)
    }
}

impl Storage for Locked {
    fn file(&self) -> &File {
        self
    }
}

/// Adds to a file.
pub(super) struct Appender {
    storage: Box<dyn Storage>,
    /// The position after the last byte that counts.
    end: u64,
    /// Set if part of a failed write may lie behind `end`.
    is_torn: bool,
}

impl Appender {
    /// Adds to a file of `end` bytes.
    pub(super) fn new(storage: impl Storage + 'static, end: u64) -> Self {
        Self { storage: Box::new(storage), end, is_torn: false }
    }

    pub(super) fn file(&self) -> &File {
        self.storage.file()
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Adds all of the bytes, or none and returns the error of the write.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.truncate(self.end)?;
        }
        let written = self.storage.write(bytes, self.end);
        if written.is_ok() {
            self.end += bytes.len() as u64;
        } else {
            self.is_torn = true;
            // If this fails too, the next call tries again.
            let _ = self.truncate(self.end);
        }
        written
    }

    /// Cuts off the bytes behind a position.
    pub(super) fn truncate(&mut self, end: u64) -> io::Result<()> {
        self.storage.truncate(end)?;
        self.end = end;
        self.is_torn = false;
        Ok(())
    }
}
