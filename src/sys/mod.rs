//! What every room may need of the system and of std: file locks, facts about this process, one policy for poisoned
//! locks, one for repeated log lines.

mod flock;
mod mutex;
mod process;
mod throttle;

pub(crate) use self::flock::Locked;
pub(crate) use self::mutex::lock;
pub(crate) use self::process::Process;
pub(crate) use self::throttle::Throttle;
