//! The service manager: the sockets that it hands over, and the notifications that it gets.
//!
//! Both come by variables of the environment, which systemd sets and other managers imitate. Without them this module
//! does nothing. A manager that does not listen never blocks the server: a thread notifies it, and a failure is one
//! warning.

use std::env;
use std::ffi::{OsStr, OsString};
use std::future;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use smol::Timer;
use smolcast::{Inherited, NotReady, Sockets};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::log::LineWriter;

/// Name of the admin address's socket in its unit (`FileDescriptorName=`).
const ADMIN: &str = "admin";

/// Longest time between two checks of a stuck shard.
const LONGEST_RECHECK: Duration = Duration::from_secs(1);

/// Takes the sockets that the service manager handed over, if any.
///
/// Removes their variables from the environment, so the caller must not have started a thread yet.
pub(crate) fn sockets() -> Result<Sockets, String> {
    let mut handed = ListenFd::from_env();
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Sockets::default();
    for number in 0..handed.len() {
        let name = names.next().unwrap_or_default();
        let unusable = |reason: &str| {
            let name = if name.is_empty() { String::new() } else { format!(" ({name})") };
            format!("cannot use the socket that was handed over as number {}{name}: {reason}", number + 1)
        };
        let socket = take(&mut handed, number).ok_or_else(|| unusable(NOT_LISTENING))?;
        if name != ADMIN {
            sockets.public.push(socket);
        } else if sockets.admin.replace(socket).is_some() {
            return Err(unusable("it is the second of that name, and there is only one admin address"));
        }
    }
    Ok(sockets)
}

const NOT_LISTENING: &str = "it is not a listening TCP or unix socket; its unit needs ListenStream= and Accept=no";

fn take(handed: &mut ListenFd, number: usize) -> Option<Inherited> {
    // A socket of another kind stays, for the next attempt.
    if let Ok(Some(socket)) = handed.take_tcp_listener(number) {
        return listens(&socket).then(|| socket.into());
    }
    let socket = handed.take_unix_listener(number).ok()??;
    listens(&socket).then(|| socket.into())
}

/// Returns true for a listening socket, false for a connection.
fn listens(socket: &impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        true
    }
}

/// The service manager that started this process, if it wants notifications.
#[derive(Debug)]
pub(crate) struct Manager {
    writer: Option<LineWriter>,
    /// Status line of a server that is ready.
    status: String,
    /// The manager's `WatchdogSec=`: it restarts a server that is silent for longer.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that the environment names.
    ///
    /// # Errors
    ///
    /// The system allows no thread for the notifications.
    pub(crate) fn from_env(status: String) -> io::Result<Self> {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let writer = name.map(|name| LineWriter::new(Outbox { name, has_failed: false })).transpose()?;
        let watchdog = sd_notify::watchdog_enabled().filter(|watchdog| writer.is_some() && !watchdog.is_zero());
        Ok(Self { writer, status, watchdog })
    }

    /// Reports that the server is ready, at its start or after a reload.
    pub(crate) fn ready(&self) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// Reports a reload, which lasts until [`ready`](Self::ready).
    pub(crate) fn reloading(&self) {
        // The manager ignores a reload without its time.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// Reports the start of a graceful shutdown.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Shutting down: delivering accepted messages")]);
    }

    /// Feeds the watchdog twice in its time, unless a shard is stuck; the manager restarts a server that stays stuck.
    /// Never ends.
    pub(crate) async fn feed_watchdog<T>(&self, ready: impl Fn() -> Result<(), NotReady>) -> T {
        let wait = async |pause| {
            Timer::after(pause).await;
        };
        self.feed_watchdog_by(ready, wait).await
    }

    /// [`feed_watchdog`](Self::feed_watchdog) with the caller's clock.
    async fn feed_watchdog_by<T>(&self, ready: impl Fn() -> Result<(), NotReady>, wait: impl AsyncFn(Duration)) -> T {
        let Some(watchdog) = self.watchdog else { return future::pending().await };
        let mut was_stuck = false;
        loop {
            // A server that starts or shuts down is healthy too.
            let stuck = ready().err().filter(|reason| matches!(reason, NotReady::Stuck(_)));
            match stuck {
                None => self.tell(&[NotifyState::Watchdog]),
                Some(stuck) if !was_stuck => {
                    log::warn!("{stuck}; the service manager's watchdog is not fed until it does");
                }
                Some(_) => {}
            }
            was_stuck = stuck.is_some();
            // A shard may be late for a moment, such as after a pause of the process. A soon recheck finds it well
            // before the watchdog's time is up.
            wait(if was_stuck { (watchdog / 20).min(LONGEST_RECHECK) } else { watchdog / 2 }).await;
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Some(writer) = &self.writer {
            writer.write(states.iter().map(NotifyState::to_string).collect::<Vec<_>>().join("\n"));
        }
    }

    /// Waits a moment until the last notification is sent.
    pub(crate) fn finish(self) {
        if let Some(writer) = self.writer {
            writer.finish();
        }
    }
}

/// The manager's socket: each write is one datagram.
#[derive(Debug)]
struct Outbox {
    name: OsString,
    has_failed: bool,
}

impl Write for Outbox {
    fn write(&mut self, states: &[u8]) -> io::Result<usize> {
        let sent = send(&self.name, states);
        if let (Err(error), false) = (&sent, self.has_failed) {
            let name = Path::new(&self.name).display();
            log::warn!("cannot tell the service manager at {name} how the server is: {error}");
            self.has_failed = true;
        }
        sent
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a datagram to a socket's name: a path, or an `@` and a name of Linux's abstract namespace.
fn send(name: &OsStr, datagram: &[u8]) -> io::Result<usize> {
    let abstract_name = name.as_bytes().strip_prefix(b"@").map(|name| [b"\0", name].concat());
    let address = SockAddr::unix(abstract_name.as_deref().map_or(name, OsStr::from_bytes))?;
    // A new socket each time, because a restarted manager listens at the same name.
    Socket::new(Domain::UNIX, Type::DGRAM, None)?.send_to(datagram, &address)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::mpsc::{Sender, channel};

    use log::{LevelFilter, Log, Metadata, Record};
    use smol::future::{FutureExt, poll_once};

    use super::*;

    struct Recorder(Sender<Vec<u8>>);

    impl Write for Recorder {
        fn write(&mut self, states: &[u8]) -> io::Result<usize> {
            self.0.send(states.to_owned()).map_err(io::Error::other)?;
            Ok(states.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The notifications that a manager gets while the server goes through these states.
    fn notified(states: &[Result<(), NotReady>]) -> Vec<Vec<u8>> {
        let (sender, sent) = channel();
        let writer = LineWriter::new(Recorder(sender)).ok();
        let manager = Manager { writer, status: String::new(), watchdog: Some(Duration::from_micros(2)) };
        let (done_by, done) = smol::channel::bounded::<()>(1);
        let turn = Cell::new(0);
        let ready = || {
            let now = turn.replace(turn.get() + 1);
            states.get(now).copied().unwrap_or_else(|| {
                done_by.close();
                // A state without a notification.
                Err(NotReady::Stuck(0))
            })
        };
        let end = async {
            let _ = done.recv().await;
        };
        smol::block_on(end.or(manager.feed_watchdog(ready)));
        manager.finish();
        sent.iter().collect()
    }

    #[test]
    fn the_watchdog_is_fed_unless_a_shard_is_stuck() {
        let stuck = Err(NotReady::Stuck(1));
        for (states, times) in [
            ([Ok(()), Ok(()), Ok(())], 3),
            ([stuck, stuck, stuck], 0),
            ([stuck, Ok(()), stuck], 1),
            ([Err(NotReady::Starting), Ok(()), Err(NotReady::Ending)], 3),
        ] {
            assert_eq!(notified(&states), vec![b"WATCHDOG=1"; times], "{states:?}");
        }
    }

    thread_local! {
        /// Warnings that this thread has logged.
        static WARNINGS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    struct Warnings;

    impl Log for Warnings {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            WARNINGS.with_borrow_mut(|warnings| warnings.push(record.args().to_string()));
        }

        fn flush(&self) {}
    }

    /// The next check once came half of the watchdog's time later: one unlucky check was a restart.
    #[test]
    fn a_stuck_shard_is_rechecked_soon_and_warned_of_once() {
        log::set_logger(&Warnings).expect("no other test has a logger");
        log::set_max_level(LevelFilter::Warn);
        let (well, stuck, other) = (Ok(()), Err(NotReady::Stuck(1)), Err(NotReady::Stuck(0)));
        let states = [well, stuck, well, stuck, stuck, other, well, Err(NotReady::Ending)];
        for (watchdog, soon) in [(2000, 100), (30_000, 1000)] {
            let (sender, sent) = channel();
            let writer = LineWriter::new(Recorder(sender)).ok();
            let manager = Manager { writer, status: String::new(), watchdog: Some(Duration::from_millis(watchdog)) };
            let (turn, pauses) = (Cell::new(0), RefCell::new(Vec::new()));
            let wait = async |pause: Duration| {
                pauses.borrow_mut().push(pause.as_millis());
                turn.set(turn.get() + 1);
                if turn.get() == states.len() {
                    future::pending::<()>().await;
                }
            };
            let feeding = manager.feed_watchdog_by::<()>(|| states[turn.get()], wait);
            assert_eq!(smol::block_on(poll_once(feeding)), None);
            manager.finish();
            assert_eq!(sent.iter().collect::<Vec<_>>(), vec![b"WATCHDOG=1"; 4]);
            let half = u128::from(watchdog / 2);
            assert_eq!(pauses.take(), [half, soon, half, soon, soon, soon, half, half]);
            let warned = WARNINGS.take();
            assert!(warned.len() == 2 && warned.iter().all(|line| line.starts_with("worker 1 ")), "{warned:?}");
        }
    }
}
