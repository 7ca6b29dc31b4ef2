//! The reactor's own thread, started while an error can still be told.
//!
//! async-io starts that thread when it is first used, and panics if the system allows no more threads.

use std::any::Any;
use std::io;
use std::panic::catch_unwind;
use std::time::Duration;

use async_io::Timer;
use rustix::io::Errno;
use smol::future::{block_on, poll_once};

/// Starts the reactor and its thread, unless they run already.
///
/// # Errors
///
/// The system allows no more threads, or no descriptors for the reactor. The panic hook has said so too.
pub(crate) fn start_reactor() -> io::Result<()> {
    // A timer that has to wait registers with the reactor, which starts its thread first. async-io's own `block_on`
    // would abort the process: it needs the thread once more as it unwinds.
    let started = catch_unwind(|| block_on(poll_once(Timer::after(Duration::from_secs(1)))));
    started.map(drop).map_err(|panic| error_of(&*panic))
}

/// The system's error behind the reactor's panic.
fn error_of(panic: &(dyn Any + Send)) -> io::Error {
    let text = panic.downcast_ref::<String>().map_or("the reactor does not start", String::as_str);
    if text.contains("thread") { Errno::AGAIN.into() } else { io::Error::other(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reactor_panics_become_errors() {
        assert!(start_reactor().is_ok() && start_reactor().is_ok(), "once and again");
        let thread = error_of(&"cannot spawn async-io thread: Os { code: 11 }".to_owned());
        assert_eq!(thread.kind(), io::ErrorKind::WouldBlock);
        let other = error_of(&"cannot initialize I/O event notification: EMFILE".to_owned());
        assert_eq!(other.to_string(), "cannot initialize I/O event notification: EMFILE");
    }
}
