//! A unix socket as a file: made, replaced if it is stale, and removed at the end.
//!
//! It accepts nothing. The invariants: a socket that another process listens on is never replaced, and no file is
//! removed but the socket that this server has made, or a stale one in its place.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::acceptor::BACKLOG;
use crate::sys::Locked;

/// The longest wait for the lock on a folder. A server holds it for a few calls only.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// The file of a unix socket that this server has made, removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// The device and inode, which tell it from another file at the same path.
    identity: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // If it cannot be removed, the next server finds it stale.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Makes a socket at `path` and listens, in the place of a stale one if there is one.
pub(super) fn bind(path: &Path, mode: u32) -> io::Result<(Socket, SocketFile)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let address = SockAddr::unix(path)?;
    let _lock = lock_folder(path);
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path, &address)?;
            socket.bind(&address)?;
        }
        bound => bound?,
    }
    let file = SocketFile::at(path)?;
    // Before it listens: no client connects with looser permissions.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok((socket, file))
}

/// Removes a socket that no process listens on.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is no socket"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full queue too means that a process listens, and must not block this one.
    probe.set_nonblocking(true)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// Locks the folder of a socket until the guard is dropped.
///
/// A socket looks stale until it listens, so two servers that start at once could each remove the other's. Any process
/// that can read the folder can lock it forever, so the wait is bounded. Without a lock, as in a folder that this user
/// cannot read, the socket is made all the same.
fn lock_folder(path: &Path) -> Option<Locked<OwnedFd>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut folder = rustix::fs::open(folder, flags, Mode::empty()).ok()?;
    let start = Instant::now();
    loop {
        match Locked::new(folder) {
            Ok(locked) => return Some(locked),
            Err((back, Errno::WOULDBLOCK | Errno::INTR)) if start.elapsed() < LOCK_PATIENCE => folder = back,
            Err(_) => return None,
        }
        thread::sleep(LOCK_RETRY);
    }
}

#[cfg(all(test, target_os = "linux"))]
pub(super) mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::Barrier;

    use super::super::Acceptor;
    use super::*;
    use crate::config::{Address, DEFAULT_MODE, Limits};

    /// An empty folder of the test's own.
    pub(in super::super) fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("smolcast-socket-{name}-{}", std::process::id()));
        // An earlier process with this id may have left one.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder can be made");
        folder
    }

    pub(in super::super) fn bind(path: &Path, mode: u32) -> io::Result<Acceptor> {
        Acceptor::bind(&Address::Unix { path: path.to_owned(), mode }, false, &Limits::default())
    }

    #[test]
    fn unix_socket_has_its_mode_until_it_is_removed() {
        let folder = folder("mode");
        let path = folder.join("s");
        for mode in [0o600, 0o660, 0o777] {
            let mut acceptor = bind(&path, mode).expect("nobody is there");
            assert_eq!(fs::metadata(&path).expect("it is a file").mode() & 0o777, mode);
            let _peer = UnixStream::connect(&path).expect("it listens");
            let accepted = std::future::poll_fn(|cx| acceptor.poll_accept(cx));
            assert_eq!(smol::block_on(accepted).expect("a client is there").1, None);
            drop(acceptor);
            assert!(!path.exists());
        }
        fs::remove_dir(folder).expect("it is empty");
    }

    #[test]
    fn stale_socket_is_replaced_and_no_other_file() {
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

    /// Each server took the other's socket for a stale one before that listened, and removed it.
    #[test]
    fn of_two_servers_at_once_one_has_the_path() {
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
    fn locked_folder_keeps_no_server_from_starting() {
        let folder = folder("locked");
        let path = folder.join("s");
        let _kept = lock_folder(&path).expect("nobody has it");
        let _acceptor = bind(&path, DEFAULT_MODE).expect("nobody is there");
        UnixStream::connect(&path).expect("it listens");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    #[test]
    fn socket_that_replaced_ours_stays() {
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
