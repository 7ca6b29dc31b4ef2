//! A client's socket, used in time: every wait for it ends by a deadline.
//!
//! It is a descriptor of a connected stream socket, whatever its family: TCP and unix sockets are read and written by
//! the same calls, and what only one of them has is asked for and not missed on the other.
//!
//! Reads and writes try the system call first and wait for the reactor only when it would block. What became of the
//! peer is not told apart: closed, reset or unreachable, it is gone, and nobody is left to tell.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::task::{self, Poll};
use std::time::Duration;

use async_io::Async;
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use smol::future::yield_now;
use socket2::SockRef;

use super::{Deadline, ReadBuffer};
use crate::config::Limits;

/// Why a wait for a socket ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The deadline passed first.
    Expired,
    /// The peer is gone, or the socket failed.
    Gone,
}

/// What an audience writes to.
pub(crate) trait Sink {
    /// Takes some of the bytes and returns how many, or fails with [`io::ErrorKind::WouldBlock`] if it can take none.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Is told that it ends in the middle of an event, so that its end shows a failure.
    fn tear(&self);
}

/// What a connection needs of its socket, which is a [`Sink`] for its audience. Nothing here blocks.
pub(crate) trait Socket: Sink {
    /// Reads some bytes: 0 at the end of the peer's side.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Ready when a read that would have blocked is worth another try.
    fn poll_readable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>>;

    /// The same for a write, which is [`Sink::try_write`].
    fn poll_writable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>>;

    /// Says to the peer that nothing more comes.
    fn shutdown_write(&self) -> io::Result<()>;

    /// Has the socket's end be an orderly one, or else a reset: a peer in the middle of an event then takes it for a
    /// failure, and the system keeps nothing for it.
    fn end_orderly(&self, orderly: bool);

    /// Where the peer is, for people: an address and a port, or `unix`.
    fn peer(&self) -> String;

    /// Has the system give up a peer that acknowledges nothing for this long, or leaves that to the caller: the system
    /// takes one whose window is mostly closed, because it reads slowly, for one that is gone.
    fn set_user_timeout(&self, timeout: Option<Duration>);
}

/// A peer that has closed is an error of the write and no signal to the process.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// There a program has to take no notice of SIGPIPE, as Rust's own do.
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

impl Socket for Async<OwnedFd> {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self, buffer, RecvFlags::empty())?.0)
    }

    fn poll_readable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_readable(self, cx)
    }

    fn poll_writable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_writable(self, cx)
    }

    fn shutdown_write(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(self, Shutdown::Write)?)
    }

    fn end_orderly(&self, orderly: bool) {
        let linger = (!orderly).then_some(Duration::ZERO);
        // Fails only on a socket that has failed already. On a unix socket it changes nothing: there a peer finds the
        // end of the stream in the middle of an event, which no client takes for one.
        let _ = rustix::net::sockopt::set_socket_linger(self, linger);
    }

    fn peer(&self) -> String {
        let address = SockRef::from(self).peer_addr().ok();
        match address.map(|address| (address.as_socket(), address.is_unix())) {
            Some((Some(address), _)) => address.to_string(),
            Some((None, true)) => "unix".to_owned(),
            // It is gone already.
            Some((None, false)) | None => "-".to_owned(),
        }
    }

    fn set_user_timeout(&self, timeout: Option<Duration>) {
        #[cfg(target_os = "linux")]
        {
            // Zero is the system's own, which is a quarter of an hour.
            let millis = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
            // Fails only on a socket that has failed already, and on a unix socket, which knows when its peer is gone.
            let _ = rustix::net::sockopt::set_tcp_user_timeout(self, millis);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = timeout;
    }
}

impl Sink for Async<OwnedFd> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, bytes, SEND_FLAGS)?)
    }

    fn tear(&self) {
        self.end_orderly(false);
    }
}

/// Reads some bytes and has `keep` look at them; returns how many, 0 where the peer has closed its side.
///
/// Cancel safe: no byte is lost when it is dropped before it returns.
pub(crate) async fn read(
    io: &impl Socket,
    deadline: &Deadline<'_>,
    read_buffer: &ReadBuffer,
    mut keep: impl FnMut(&[u8]),
) -> Result<usize, Interrupted> {
    let poll_readable = |cx: &mut task::Context<'_>| io.poll_readable(cx);
    poll_fn(|cx| poll_io(cx, deadline, poll_readable, || read_buffer.read(|buffer| io.read(buffer), &mut keep))).await
}

/// Writes all of `bytes`, with `deadline` for each step of it.
pub(crate) async fn write_all(
    io: &impl Socket,
    deadline: &Deadline<'_>,
    limits: &Limits,
    mut bytes: &[u8],
) -> Result<(), Interrupted> {
    let poll_writable = |cx: &mut task::Context<'_>| io.poll_writable(cx);
    while !bytes.is_empty() {
        deadline.set(limits.write_timeout);
        match poll_fn(|cx| poll_io(cx, deadline, poll_writable, || io.try_write(bytes))).await? {
            0 => return Err(Interrupted::Gone),
            count => bytes = &bytes[count..],
        }
    }
    Ok(())
}

/// Closes the way that lets the peer read what it was sent last (RFC 9112, 9.6): says that nothing more comes, and
/// drops what the peer still sends until it closes too, within limits. Closing with unread bytes would send a reset,
/// which destroys an answer on its way.
///
/// # Errors
///
/// When the peer has not closed within those limits.
pub(crate) async fn close_in_stages(
    io: &impl Socket,
    deadline: &Deadline<'_>,
    limits: &Limits,
    read_buffer: &ReadBuffer,
) -> Result<(), Lingers> {
    if io.shutdown_write().is_err() {
        return Ok(());
    }
    deadline.set(limits.linger_timeout);
    let mut dropped = 0;
    while dropped < limits.linger_bytes {
        match read(io, deadline, read_buffer, |_| ()).await {
            Ok(count @ 1..) => dropped += count,
            Ok(0) | Err(Interrupted::Gone) => return Ok(()),
            Err(Interrupted::Expired) => break,
        }
        // A peer that always has more to say must not keep its thread from the others.
        yield_now().await;
    }
    Err(Lingers)
}

/// A peer that does not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lingers;

/// Tries `step` until it does not block, or the deadline passes.
fn poll_io(
    cx: &mut task::Context<'_>,
    deadline: &Deadline<'_>,
    poll_ready: impl Fn(&mut task::Context<'_>) -> Poll<io::Result<()>>,
    mut step: impl FnMut() -> io::Result<usize>,
) -> Poll<Result<usize, Interrupted>> {
    loop {
        match step() {
            Ok(count) => return Poll::Ready(Ok(count)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return Poll::Ready(Err(Interrupted::Gone)),
        }
        match poll_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Interrupted::Gone)),
            Poll::Pending => return deadline.poll_past(cx).map(|()| Err(Interrupted::Expired)),
        }
    }
}
