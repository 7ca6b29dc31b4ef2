//! Facts and locks of the operating system, for one process: file locks, and the numbers that `/proc` has of it.

mod flock;
mod process;

pub(crate) use self::flock::Locked;
pub(crate) use self::process::Process;
