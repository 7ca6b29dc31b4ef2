//! A lock on an open file or folder, against other processes that lock it too.
//!
//! It does not stop a process that locks nothing. The kernel keeps a `flock` until the last copy of the descriptor is
//! closed. A child process that is being started may have a copy. The invariant: dropping the lock releases it, despite
//! copies.

use std::ops::Deref;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// An open file or folder, locked until this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Locked<F: AsFd>(F);

impl<F: AsFd> Locked<F> {
    /// Locks it, or gives it back; `WOULDBLOCK` means that another process has it locked.
    pub(crate) fn new(open: F) -> Result<Self, (F, Errno)> {
        match flock(&open, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self(open)),
            Err(error) => Err((open, error)),
        }
    }
}

impl<F: AsFd> Deref for Locked<F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F: AsFd> Drop for Locked<F> {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
