//! One listening socket, made by the server or handed over: its options, its address, its end.
//!
//! It neither limits nor retries: that is the work of [`Admission`](super::Admission) and
//! [`Listener`](super::Listener). The invariant: once it is dropped, no client connects to a socket that the server has
//! made, even if a child process holds a copy of the descriptor.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::task::{self, Poll};

use async_io::Async;
use rustix::net::Shutdown;
use socket2::{Domain, SockRef, Socket, Type};

use super::unix_socket::{self, SocketFile};
use crate::config::{Address, DEFAULT_MODE, Limits};

/// Connections that the kernel completes before the server accepts them. A storm of connects overflows the 128 of std,
/// and each lost SYN costs its client a second.
pub(super) const BACKLOG: i32 = 4096;

/// A socket that listens already: a service manager hands it over, for one.
#[derive(Debug)]
pub struct Inherited(OwnedFd);

impl From<TcpListener> for Inherited {
    fn from(socket: TcpListener) -> Self {
        Self(socket.into())
    }
}

impl From<UnixListener> for Inherited {
    fn from(socket: UnixListener) -> Self {
        Self(socket.into())
    }
}

/// A listening socket and its address.
#[derive(Debug)]
pub(crate) struct Acceptor {
    /// Set for a unix socket that this server has made.
    file: Option<SocketFile>,
    io: Async<OwnedFd>,
    address: Address,
    limits: Limits,
    /// Set if other processes may hold the socket too.
    is_inherited: bool,
    /// Set while connections may be queued that came before the socket had its options.
    has_early: bool,
}

impl Acceptor {
    /// Makes the socket and listens. `only_v6` keeps IPv4 out of an IPv6 wildcard.
    pub(crate) fn bind(address: &Address, only_v6: bool, limits: &Limits) -> io::Result<Self> {
        let (socket, file) = match address {
            Address::Tcp(address) => (bind_tcp(*address, only_v6, limits)?, None),
            Address::Unix { path, mode } => {
                let (socket, file) = unix_socket::bind(path, *mode)?;
                (socket, Some(file))
            }
        };
        // With the port that the kernel has picked.
        let address = socket.local_addr()?.as_socket().map_or_else(|| address.clone(), Address::Tcp);
        let (io, limits) = (Async::new(socket.into())?, limits.clone());
        Ok(Self { file, io, address, limits, is_inherited: false, has_early: false })
    }

    /// An acceptor over a socket that listens already.
    pub(crate) fn over(inherited: Inherited, limits: &Limits) -> io::Result<Self> {
        let local = SockRef::from(&inherited.0).local_addr()?;
        let address = if let Some(address) = local.as_socket() {
            set_options(&inherited.0, limits)?;
            Address::Tcp(address)
        } else {
            let path = local.as_pathname().unwrap_or(Path::new("")).to_owned();
            // The socket's owner has chosen the mode. A socket without a file has none.
            let mode = fs::metadata(&path).map_or(DEFAULT_MODE, |file| file.mode() & 0o777);
            Address::Unix { path, mode }
        };
        let (io, limits) = (Async::new(inherited.0)?, limits.clone());
        Ok(Self { file: None, io, address, limits, is_inherited: true, has_early: true })
    }

    /// The address that clients connect to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Accepts a connection, and the address of its peer unless it came by a unix socket.
    pub(super) fn poll_accept(&mut self, cx: &mut task::Context<'_>) -> Poll<io::Result<(OwnedFd, Option<IpAddr>)>> {
        loop {
            match self.accept() {
                // The queue is empty, so that all early connections are accepted.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.has_early = false,
                accepted => return Poll::Ready(accepted),
            }
            task::ready!(self.io.poll_readable(cx))?;
        }
    }

    fn accept(&self) -> io::Result<(OwnedFd, Option<IpAddr>)> {
        let (socket, peer) = SockRef::from(&self.io).accept()?;
        let peer = peer.as_socket().map(|peer| peer.ip());
        // On Linux a connection inherits the options that the socket had when the connection was queued. Other systems
        // inherit none.
        if peer.is_some() && (self.has_early || cfg!(not(target_os = "linux"))) {
            // Fails only if the connection has failed, which its first read reports.
            let _ = set_options(&socket, &self.limits);
        }
        Ok((socket.into(), peer))
    }
}

impl Drop for Acceptor {
    /// Shuts down a socket that the server has made. One that was handed over is its owner's, which may listen on.
    fn drop(&mut self) {
        // The file goes first: once the socket does not listen, another server may replace the file with its own.
        drop(self.file.take());
        if !self.is_inherited {
            // Fails on systems that shut down no listening socket. There it ends with its last descriptor.
            let _ = rustix::net::shutdown(&self.io, Shutdown::Both);
        }
    }
}

fn bind_tcp(address: SocketAddr, only_v6: bool, limits: &Limits) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // Old connections of a server that has just ended must not keep the next one from the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    set_options(&socket, limits)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Sets the options of TCP connections: small frames leave at once, the kernel keeps little unsent data, and gives up a
/// peer that acknowledges nothing for as long as a write may stall.
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
    use std::fs::Permissions;
    use std::future::poll_fn;
    use std::net::TcpStream;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::super::unix_socket::tests::{bind, folder};
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

    fn expect_refused<T: std::fmt::Debug>(connected: io::Result<T>) {
        assert_eq!(connected.expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn dropped_acceptor_refuses_clients_despite_copies() {
        let folder = folder("copy");
        let path = folder.join("s");
        let unix = bind(&path, DEFAULT_MODE).expect("nobody is there");
        let moved = folder.join("moved");
        fs::rename(&path, &moved).expect("it can be moved");
        let tcp = Acceptor::bind(&([127, 0, 0, 1], 0).into(), false, &Limits::default()).expect("a free port");
        let address = tcp.address().tcp().expect("it is one");
        // A child process has such copies until it executes its program.
        let _copies = [&unix, &tcp].map(|acceptor| acceptor.io.as_fd().try_clone_to_owned().expect("a descriptor"));
        drop((unix, tcp));
        expect_refused(UnixStream::connect(&moved));
        expect_refused(TcpStream::connect(address));
        Acceptor::bind(&address.into(), false, &Limits::default()).expect("the port is free");
        fs::remove_dir_all(folder).expect("it is ours");
    }

    #[test]
    fn inherited_socket_listens_on_for_its_owner() {
        let owners = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let handed = owners.try_clone().expect("a descriptor is free");
        drop(Acceptor::over(handed.into(), &Limits::default()).expect("it listens"));
        TcpStream::connect(owners.local_addr().expect("it is bound")).expect("it still listens");
    }

    #[test]
    fn inherited_unix_socket_keeps_its_owners_mode() {
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
}
