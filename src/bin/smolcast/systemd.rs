//! The service manager: the sockets that it hands over, and what it wants to be told.
//!
//! Both are variables of the environment, which systemd sets on Linux and others imitate; where they are not set,
//! nothing is done. A manager that does not listen, or not any more, never holds the server up: a thread tells it, and
//! that it cannot be told is one warning.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::future;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use smol::Timer;
use smolcast::{Inherited, NotReady, Sockets};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::log::LineWriter;

/// The name that a unit gives to the socket of the admin address (`FileDescriptorName=`).
const ADMIN: &str = "admin";

/// How long it takes at most until a worker that was stuck is looked at again.
const LONGEST_DOUBT: Duration = Duration::from_secs(1);

/// The sockets that were handed over; none where nobody did.
///
/// This takes the variables that tell of them out of the environment, so it has to be called before there are other
/// threads.
pub(crate) fn sockets() -> Result<Sockets, UnusableSocket> {
    let mut handed = ListenFd::from_env();
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut sockets = Sockets::default();
    for number in 0..handed.len() {
        let name = names.next().unwrap_or_default();
        let unusable = |reason| UnusableSocket { number, name: name.to_owned(), reason };
        let socket = take(&mut handed, number).ok_or_else(|| unusable(NOT_LISTENING))?;
        if name != ADMIN {
            sockets.public.push(socket);
        } else if sockets.admin.replace(socket).is_some() {
            return Err(unusable("there is one admin address, and it is the second of that name"));
        }
    }
    Ok(sockets)
}

const NOT_LISTENING: &str = "it is no TCP or unix socket that listens; its unit takes ListenStream= and Accept=no";

fn take(handed: &mut ListenFd, number: usize) -> Option<Inherited> {
    // What is no TCP socket stays in its place.
    if let Ok(Some(socket)) = handed.take_tcp_listener(number) {
        return listens(&socket).then(|| socket.into());
    }
    let socket = handed.take_unix_listener(number).ok()??;
    listens(&socket).then(|| socket.into())
}

/// Whether it is a socket that connections come from, and not itself one of them.
fn listens(socket: &impl AsFd) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = socket;
        true
    }
}

/// A socket that was handed over, and why it is of no use.
#[derive(Debug)]
pub(crate) struct UnusableSocket {
    /// Its place among those that were.
    number: usize,
    name: String,
    reason: &'static str,
}

impl fmt::Display for UnusableSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the socket that was handed over as number {}", self.number + 1)?;
        if !self.name.is_empty() {
            write!(f, " ({})", self.name)?;
        }
        write!(f, ": {}", self.reason)
    }
}

impl std::error::Error for UnusableSocket {}

/// Who started this process and wants to know how it is, if anybody does.
#[derive(Debug)]
pub(crate) struct Manager {
    writer: Option<LineWriter>,
    /// What the server does while it is well.
    status: String,
    /// How long it may be silent before it is taken for stuck.
    patience: Option<Duration>,
}

impl Manager {
    /// The one that the environment tells of.
    pub(crate) fn from_env(status: String) -> Self {
        let name = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let writer = name.map(|name| LineWriter::new(Outbox { name, has_failed: false }));
        let patience = sd_notify::watchdog_enabled().filter(|patience| writer.is_some() && !patience.is_zero());
        Self { writer, status, patience }
    }

    /// The server serves, for the first time or again.
    pub(crate) fn ready(&self) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(&self.status)]);
    }

    /// The server reads its files anew, from now until it is [`ready`](Self::ready).
    pub(crate) fn reloading(&self) {
        // Without the time there is no reload for the manager, and it is told of none.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The server ends in order.
    pub(crate) fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("Ending: what was accepted is being delivered")]);
    }

    /// Tells again and again that the server is well, twice in the time that the manager waits. While a worker is
    /// stuck it is told nothing, and starts the server again when that lasts. Never ends.
    pub(crate) async fn keep_posted<T>(&self, ready: impl Fn() -> Result<(), NotReady>) -> T {
        let wait = async |pause| {
            Timer::after(pause).await;
        };
        self.keep_posted_by(ready, wait).await
    }

    /// The same, with a clock of the caller's.
    async fn keep_posted_by<T>(&self, ready: impl Fn() -> Result<(), NotReady>, wait: impl AsyncFn(Duration)) -> T {
        let Some(patience) = self.patience else { return future::pending().await };
        let mut was_stuck = false;
        loop {
            // One that ends is well too.
            let stuck = ready().err().filter(|reason| matches!(reason, NotReady::Stuck(_)));
            match stuck {
                None => self.tell(&[NotifyState::Watchdog]),
                Some(stuck) if !was_stuck => {
                    log::warn!("{stuck}; the service manager is told nothing until it does");
                }
                Some(_) => {}
            }
            was_stuck = stuck.is_some();
            // A worker may be late for a moment, as after a pause of the whole process: then there is still time to
            // tell, where it is seen soon.
            wait(if was_stuck { (patience / 20).min(LONGEST_DOUBT) } else { patience / 2 }).await;
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Some(writer) = &self.writer {
            writer.write(states.iter().map(NotifyState::to_string).collect::<Vec<_>>().join("\n"));
        }
    }

    /// Gives what was told last a moment to be sent.
    pub(crate) fn finish(self) {
        if let Some(writer) = self.writer {
            writer.finish();
        }
    }
}

/// The manager's socket: what is written at once is one datagram.
#[derive(Debug)]
struct Outbox {
    name: OsString,
    has_failed: bool,
}

impl Write for Outbox {
    fn write(&mut self, states: &[u8]) -> io::Result<usize> {
        let sent = send(&self.name, states);
        if let (Err(error), false) = (&sent, self.has_failed) {
            log::warn!("cannot tell the service manager how the server is: {error}");
            self.has_failed = true;
        }
        sent
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a datagram to a socket of this name: a path, or behind an `@` a name that no file has.
fn send(name: &OsStr, datagram: &[u8]) -> io::Result<usize> {
    let without_file = name.as_bytes().strip_prefix(b"@").map(|name| [b"\0", name].concat());
    let address = SockAddr::unix(without_file.as_deref().map_or(name, OsStr::from_bytes))?;
    // A new socket each time: the manager may be another one meanwhile, at the same name.
    Socket::new(Domain::UNIX, Type::DGRAM, None)?.send_to(datagram, &address)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::sync::mpsc::{Sender, channel};

    use log::{LevelFilter, Log, Metadata, Record};
    use smol::future::{FutureExt, poll_once};

    use super::*;

    struct Told(Sender<Vec<u8>>);

    impl Write for Told {
        fn write(&mut self, states: &[u8]) -> io::Result<usize> {
            self.0.send(states.to_owned()).map_err(io::Error::other)?;
            Ok(states.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a manager is told while the server is so, one after the other.
    fn told_of(states: &[Result<(), NotReady>]) -> Vec<Vec<u8>> {
        let (sender, told) = channel();
        let writer = Some(LineWriter::new(Told(sender)));
        let manager = Manager { writer, status: String::new(), patience: Some(Duration::from_micros(2)) };
        let (done_by, done) = smol::channel::bounded::<()>(1);
        let turn = Cell::new(0);
        let ready = || {
            let now = turn.replace(turn.get() + 1);
            states.get(now).copied().unwrap_or_else(|| {
                done_by.close();
                // Of which nothing is told.
                Err(NotReady::Stuck(0))
            })
        };
        let end = async {
            let _ = done.recv().await;
        };
        smol::block_on(end.or(manager.keep_posted(ready)));
        manager.finish();
        told.iter().collect()
    }

    #[test]
    fn the_watchdog_is_fed_unless_a_worker_is_stuck() {
        let stuck = Err(NotReady::Stuck(1));
        for (states, times) in [
            ([Ok(()), Ok(()), Ok(())], 3),
            ([stuck, stuck, stuck], 0),
            ([stuck, Ok(()), stuck], 1),
            ([Err(NotReady::Starting), Ok(()), Err(NotReady::Ending)], 3),
        ] {
            assert_eq!(told_of(&states), vec![b"WATCHDOG=1"; times], "{states:?}");
        }
    }

    thread_local! {
        /// What this thread has warned of.
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

    /// It was once looked at again only half of the patience later: one unlucky look was a restart.
    #[test]
    fn a_stuck_worker_is_soon_looked_at_again_and_warned_of_once() {
        log::set_logger(&Warnings).expect("no other test has a logger");
        log::set_max_level(LevelFilter::Warn);
        let (well, stuck, other) = (Ok(()), Err(NotReady::Stuck(1)), Err(NotReady::Stuck(0)));
        let states = [well, stuck, well, stuck, stuck, other, well, Err(NotReady::Ending)];
        for (patience, soon) in [(2000, 100), (30_000, 1000)] {
            let (sender, told) = channel();
            let writer = Some(LineWriter::new(Told(sender)));
            let manager = Manager { writer, status: String::new(), patience: Some(Duration::from_millis(patience)) };
            let (turn, pauses) = (Cell::new(0), RefCell::new(Vec::new()));
            let wait = async |pause: Duration| {
                pauses.borrow_mut().push(pause.as_millis());
                turn.set(turn.get() + 1);
                if turn.get() == states.len() {
                    future::pending::<()>().await;
                }
            };
            let looking = manager.keep_posted_by::<()>(|| states[turn.get()], wait);
            assert_eq!(smol::block_on(poll_once(looking)), None);
            manager.finish();
            assert_eq!(told.iter().collect::<Vec<_>>(), vec![b"WATCHDOG=1"; 4]);
            let half = u128::from(patience / 2);
            assert_eq!(pauses.take(), [half, soon, half, soon, soon, soon, half, half]);
            let warned = WARNINGS.take();
            assert!(warned.len() == 2 && warned.iter().all(|line| line.starts_with("worker 1 ")), "{warned:?}");
        }
    }
}
