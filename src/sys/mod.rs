//! Small parts that any room may use: file locks, facts about this process, Unix time, one policy each for poisoned
//! locks and repeated log lines.
//!
//! It knows nothing of the server.

mod flock;
mod mutex;
mod process;
mod throttle;
mod time;

pub(crate) use self::flock::Locked;
pub(crate) use self::mutex::lock;
pub(crate) use self::process::Process;
pub(crate) use self::throttle::Throttle;
pub(crate) use self::time::unix_millis;
