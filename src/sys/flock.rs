//! A lock on an open file or folder, which keeps other processes from what they lock as well.
//!
//! The lock is the open file's (`flock`), and would stay until the last copy of its descriptor is closed: one may be in
//! a child process that this one is starting. The invariant: it is gone when this is dropped, whoever has a copy.

use std::ops::Deref;
use std::os::fd::AsFd;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Something open that is locked for as long as this is there. However the process ends, it is no more.
#[derive(Debug)]
pub(crate) struct Locked<F: AsFd>(F);

impl<F: AsFd> Locked<F> {
    /// Locks it, or gives it back: `WOULDBLOCK` says that somebody else has it locked.
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
