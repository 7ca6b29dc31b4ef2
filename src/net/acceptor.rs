//! One socket that listens: how it is made, how connections are taken from it, what becomes of it.
//!
//! A unix socket is a file as well: one that is left over from a server that is gone is replaced, one that somebody
//! listens on is not, and at the end it is removed, unless somebody else has put another in its place.

use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::task::{self, Poll};
use std::thread;
use std::time::{Duration, Instant};

use async_io::Async;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::Shutdown;
#[cfg(target_os = "linux")]
use socket2::SockRef;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::config::{Address, DEFAULT_MODE, Limits};
use crate::sys::Locked;

/// Connections that the system has completed and nobody has accepted yet. With std's 128 a storm of connects overflows
/// it, and each SYN that is lost costs its client a second.
const BACKLOG: i32 = 4096;

/// A server has a folder locked for a few calls; whoever does for this long is none.
const LONGEST_TURN: Duration = Duration::from_secs(2);
const SHORT_WAIT: Duration = Duration::from_millis(1);

/// A socket that listens already, such as one that a service manager hands over.
#[derive(Debug)]
pub struct Inherited(Listening);

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl From<TcpListener> for Inherited {
    fn from(socket: TcpListener) -> Self {
        Self(Listening::Tcp(socket))
    }
}

impl From<UnixListener> for Inherited {
    fn from(socket: UnixListener) -> Self {
        Self(Listening::Unix(socket))
    }
}

/// A socket that listens, and its address.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// The file of a unix socket of our own.
    file: Option<SocketFile>,
    io: Io,
    address: Address,
    limits: Limits,
    /// Whether others may hold the socket too.
    is_inherited: bool,
    /// Whether connections may wait that came before the socket had our options, and so are without them.
    has_early: bool,
}

#[derive(Debug)]
enum Io {
    Tcp(Async<TcpListener>),
    Unix(Async<UnixListener>),
}

impl Acceptor {
    /// Makes the socket and listens. `only_v6` keeps IPv4 out of an IPv6 wildcard.
    pub(crate) fn bind(address: &Address, only_v6: bool, limits: &Limits) -> io::Result<Self> {
        let (file, io, address) = match address {
            Address::Tcp(address) => {
                let socket = bind_tcp(*address, only_v6, limits)?;
                let address = socket.local_addr()?.into();
                (None, Io::Tcp(Async::new(socket)?), address)
            }
            Address::Unix { path, mode } => {
                let (socket, file) = bind_unix(path, *mode)?;
                (Some(file), Io::Unix(Async::new(socket)?), Address::Unix { path: path.clone(), mode: *mode })
            }
        };
        Ok(Self { file, io, address, limits: limits.clone(), is_inherited: false, has_early: false })
    }

    /// A door over a socket that listens already.
    pub(crate) fn over(inherited: Inherited, limits: &Limits) -> io::Result<Self> {
        let (io, address) = match inherited.0 {
            Listening::Tcp(socket) => {
                set_options(&socket, limits)?;
                let address = socket.local_addr()?.into();
                (Io::Tcp(Async::new(socket)?), address)
            }
            Listening::Unix(socket) => {
                let path = socket.local_addr()?.as_pathname().unwrap_or(Path::new("")).to_owned();
                // Its owner has chosen that. A socket without a file has none to tell.
                let mode = fs::metadata(&path).map_or(DEFAULT_MODE, |file| file.mode() & 0o777);
                (Io::Unix(Async::new(socket)?), Address::Unix { path, mode })
            }
        };
        Ok(Self { file: None, io, address, limits: limits.clone(), is_inherited: true, has_early: true })
    }

    /// Where clients connect to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Takes a connection: its socket and its peer's address, if that has one. Ready with an error of any kind but that
    /// there is none; then the task is woken when there may be.
    pub(super) fn poll_accept(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<(OwnedFd, Option<IpAddr>)>> {
        loop {
            match self.accept() {
                // All that waited are taken.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_early = false,
                taken => return Poll::Ready(taken),
            }
            let ready = match &self.io {
                Io::Tcp(socket) => socket.poll_readable(cx),
                Io::Unix(socket) => socket.poll_readable(cx),
            };
            task::ready!(ready)?;
        }
    }

    fn accept(&self) -> io::Result<(OwnedFd, Option<IpAddr>)> {
        match &self.io {
            Io::Tcp(socket) => {
                let (io, peer) = socket.get_ref().accept()?;
                // On Linux a connection inherits the options that the socket had when the connection was queued. Other
                // systems inherit none.
                if self.has_early || cfg!(not(target_os = "linux")) {
                    // Fails only if the connection has failed, which its first read reports.
                    let _ = set_options(&io, &self.limits);
                }
                Ok((io.into(), Some(peer.ip())))
            }
            Io::Unix(socket) => socket.get_ref().accept().map(|(io, _)| (io.into(), None)),
        }
    }
}

impl Drop for Acceptor {
    /// Nobody comes in from here on, not even while a child process that is being started has a copy of the descriptor.
    /// A socket that was handed over is its owner's, who may listen on.
    fn drop(&mut self) {
        // First: once nobody listens, another server may take the file for one that is left over, and put its own in
        // its place.
        drop(self.file.take());
        if !self.is_inherited {
            // Where a system knows no such thing of a listening socket, closing it has to do.
            let _ = rustix::net::shutdown(self.io.as_fd(), Shutdown::Both);
        }
    }
}

impl AsFd for Io {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

fn bind_tcp(address: SocketAddr, only_v6: bool, limits: &Limits) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A server that was just ended must not keep the next one waiting for its old connections.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    set_options(&socket, limits)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    let _turn = take_turn(path);
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::at(path)?;
    // Nobody can connect before it listens, so nobody comes in by looser permissions.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full has somebody who listens, too.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Waits for this server's turn to make a socket in a folder: until a socket listens it looks like one that is left
/// over, so two servers that start at once could each remove the other's. The turn ends with what is returned.
///
/// It is not waited for for ever: whoever may read the folder may lock it for as long as he likes. Where there is none
/// to have, such as in a folder that this user may not read, the socket is made without.
fn take_turn(path: &Path) -> Option<Locked<OwnedFd>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
    let start = Instant::now();
    loop {
        match Locked::new(folder) {
            Ok(locked) => return Some(locked),
            Err((back, Errno::WOULDBLOCK | Errno::INTR)) if start.elapsed() < LONGEST_TURN => folder = back,
            Err(_) => return None,
        }
        thread::sleep(SHORT_WAIT);
    }
}

/// The file that a unix socket of ours is, removed when dropped.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// What tells it from another at the same path.
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // Where it cannot be removed, the next server finds that nobody listens on it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Small frames leave at once, the system keeps little that it cannot send, and a peer that acknowledges nothing for as
/// long as a write may stall is given up.
fn set_options(socket: &impl AsFd, limits: &Limits) -> io::Result<()> {
    rustix::net::sockopt::set_tcp_nodelay(socket, true)?;
    #[cfg(target_os = "linux")]
    {
        let timeout = u32::try_from(limits.user_timeout().as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(socket, timeout)?;
        let unsent = u32::try_from(limits.unsent_bytes).unwrap_or(u32::MAX).min(i32::MAX.unsigned_abs());
        SockRef::from(socket).set_tcp_notsent_lowat(unsent)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = limits;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::future::poll_fn;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;
    use std::sync::Barrier;

    use super::*;

    fn accept(acceptor: &mut Acceptor) -> (OwnedFd, Option<IpAddr>) {
        smol::block_on(poll_fn(|cx| acceptor.poll_accept(cx))).expect("somebody is there")
    }

    #[track_caller]
    fn expect_options(socket: &OwnedFd) {
        assert!(rustix::net::sockopt::tcp_nodelay(socket).expect("an option"));
        assert_eq!(rustix::net::sockopt::tcp_user_timeout(socket).expect("an option"), 8000);
        assert_eq!(SockRef::from(socket).tcp_notsent_lowat().expect("an option"), 12_345);
    }

    fn limits() -> Limits {
        Limits { write_timeout: Duration::from_secs(7), unsent_bytes: 12_345, ..Limits::default() }
    }

    #[test]
    fn connections_inherit_the_tcp_options() {
        let mut acceptor = Acceptor::bind(&([127, 0, 0, 1], 0).into(), false, &limits()).expect("a free port");
        let _peer = TcpStream::connect(acceptor.address().tcp().expect("it is one")).expect("it listens");
        let (socket, peer) = accept(&mut acceptor);
        assert_eq!(peer, Some([127, 0, 0, 1].into()));
        expect_options(&socket);
    }

    /// Connections queued before the server started had no options, and later ones were given theirs twice.
    #[test]
    fn early_connections_get_tcp_options() {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let owners = socket.try_clone().expect("a descriptor is free");
        let address = socket.local_addr().expect("it is bound");
        let _early = [0, 1].map(|_| TcpStream::connect(address).expect("it listens"));
        let mut acceptor = Acceptor::over(socket.into(), &limits()).expect("it listens");
        for _ in 0..2 {
            expect_options(&accept(&mut acceptor).0);
        }
        let is_empty = smol::block_on(poll_fn(|cx| Poll::Ready(acceptor.poll_accept(cx).is_pending())));
        assert!(is_empty, "both are accepted");
        rustix::net::sockopt::set_tcp_nodelay(&owners, false).expect("an option");
        let _late = TcpStream::connect(address).expect("it listens");
        let (socket, _) = accept(&mut acceptor);
        assert!(!rustix::net::sockopt::tcp_nodelay(&socket).expect("an option"), "it only inherits");
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("smolcast-door-{name}-{}", std::process::id()));
        // What an earlier process of this number has left.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder can be made");
        folder
    }

    fn bind(path: &Path, mode: u32) -> io::Result<Acceptor> {
        Acceptor::bind(&Address::Unix { path: path.to_owned(), mode }, false, &Limits::default())
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_is_gone_at_the_end() {
        let folder = folder("mode");
        let path = folder.join("s");
        for mode in [0o600, 0o660, 0o777] {
            let mut acceptor = bind(&path, mode).expect("nobody is there");
            assert_eq!(fs::metadata(&path).expect("it is a file").mode() & 0o777, mode);
            let _peer = UnixStream::connect(&path).expect("it listens");
            let (_, peer) = smol::block_on(poll_fn(|cx| acceptor.poll_accept(cx))).expect("somebody is there");
            assert_eq!(peer, None);
            drop(acceptor);
            assert!(!path.exists());
        }
        fs::remove_dir(folder).expect("it is empty");
    }

    /// Such as a child process has until it executes its program.
    fn copy_of(acceptor: &Acceptor) -> OwnedFd {
        acceptor.io.as_fd().try_clone_to_owned().expect("a descriptor is free")
    }

    fn refused<T: std::fmt::Debug>(connected: io::Result<T>) {
        assert_eq!(connected.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn nobody_comes_in_at_the_end_though_a_child_has_a_copy_of_the_socket() {
        let folder = folder("copy");
        let path = folder.join("s");
        let unix = bind(&path, DEFAULT_MODE).expect("nobody is there");
        let moved = folder.join("moved");
        fs::rename(&path, &moved).expect("it can be moved");
        let tcp = Acceptor::bind(&([127, 0, 0, 1], 0).into(), false, &Limits::default()).expect("a free port");
        let address = tcp.address().tcp().expect("it is one");
        let _in_a_child = [copy_of(&unix), copy_of(&tcp)];
        drop((unix, tcp));
        refused(UnixStream::connect(&moved));
        refused(TcpStream::connect(address));
        Acceptor::bind(&address.into(), false, &Limits::default()).expect("the port is free");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    #[test]
    fn a_socket_that_was_handed_over_listens_on_for_its_owner() {
        let owners = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let handed = owners.try_clone().expect("a descriptor is free");
        drop(Acceptor::over(handed.into(), &Limits::default()).expect("it listens"));
        TcpStream::connect(owners.local_addr().expect("it is bound")).expect("it still listens");
    }

    #[test]
    fn a_unix_socket_that_was_handed_over_has_the_mode_that_its_owner_gave_it() {
        let folder = folder("handed");
        let path = folder.join("s");
        let socket = UnixListener::bind(&path).expect("nobody is there");
        let address = || {
            let handed = socket.try_clone().expect("a descriptor is free");
            let acceptor = Acceptor::over(handed.into(), &Limits::default()).expect("it listens");
            acceptor.address().clone()
        };
        for mode in [0o600, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("it is ours");
            assert_eq!(address(), Address::Unix { path: path.clone(), mode });
        }
        fs::remove_dir_all(folder).expect("it is ours");
        assert_eq!(address(), Address::Unix { path, mode: DEFAULT_MODE }, "there is no file any more");
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_nothing_else_is() {
        let folder = folder("stale");
        let path = folder.join("s");
        drop(UnixListener::bind(&path).expect("nobody is there"));
        assert!(path.exists(), "std leaves it");
        let acceptor = bind(&path, DEFAULT_MODE).expect("it is replaced");
        assert_eq!(bind(&path, DEFAULT_MODE).expect_err("it is in use").kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("it still listens");
        drop(acceptor);
        fs::write(&path, "precious").expect("a file can be made");
        assert_eq!(bind(&path, DEFAULT_MODE).expect_err("it is a file").kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("it is there"), b"precious");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    /// Each took the other's for one that was left over, for as long as that did not listen, and removed it.
    #[test]
    fn of_two_servers_that_start_at_once_one_has_the_path_and_the_other_is_told() {
        let folder = folder("race");
        let path = folder.join("s");
        for round in 0..1000 {
            if round % 2 == 0 {
                drop(UnixListener::bind(&path).expect("nobody is there"));
            }
            let start = Barrier::new(2);
            let [one, other] = thread::scope(|scope| {
                let bind_at_once = || {
                    start.wait();
                    bind(&path, DEFAULT_MODE)
                };
                [scope.spawn(bind_at_once), scope.spawn(bind_at_once)].map(|server| server.join().expect("it ends"))
            });
            let (acceptor, error) = match (one, other) {
                (Ok(acceptor), Err(error)) | (Err(error), Ok(acceptor)) => (acceptor, error),
                both => panic!("round {round}: {both:?}"),
            };
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "round {round}");
            UnixStream::connect(&path).unwrap_or_else(|error| panic!("round {round}: nobody is there: {error}"));
            drop(acceptor);
        }
        fs::remove_dir(folder).expect("it is empty");
    }

    #[test]
    fn whoever_keeps_the_folder_locked_keeps_no_server_from_starting() {
        let folder = folder("locked");
        let path = folder.join("s");
        let _kept = take_turn(&path).expect("nobody has it");
        let _door = bind(&path, DEFAULT_MODE).expect("nobody is there");
        UnixStream::connect(&path).expect("it listens");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    #[test]
    fn a_socket_that_somebody_else_has_put_there_stays() {
        let folder = folder("other");
        let path = folder.join("s");
        let acceptor = bind(&path, DEFAULT_MODE).expect("nobody is there");
        fs::rename(&path, folder.join("old")).expect("it can be moved");
        let _other = UnixListener::bind(&path).expect("nobody is there any more");
        drop(acceptor);
        assert!(path.exists());
        fs::remove_dir_all(folder).expect("it is ours");
    }
}
