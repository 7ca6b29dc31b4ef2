//! A client's socket: reads and writes that end by a deadline.
//!
//! A socket is the descriptor of a connected stream, TCP or unix; options that only TCP has do nothing on the other. It
//! tries each system call first, and waits for the reactor only if the call would block. It does not tell a peer that
//! closed from one that reset or is unreachable: each is gone. The invariant: no wait outlasts its [`Deadline`].

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

/// The end of a wait for a socket without a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The deadline passed first.
    Expired,
    /// The peer is gone, or the socket has failed.
    Gone,
}

/// The write side of a stream, as an audience sees it.
pub trait Sink {
    /// Takes some of the bytes and returns their number; fails with [`io::ErrorKind::WouldBlock`] if it can take none.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Sets if closing resets the connection: a client in the middle of an event then sees a failure, and the kernel
    /// keeps nothing for it.
    fn reset_on_close(&self, reset: bool);
}

/// A connection's socket, which is the [`Sink`] of its audience. No call blocks.
pub(crate) trait Socket: Sink {
    /// Reads some bytes; 0 once the peer has closed its side.
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Ready when a read that would have blocked is worth another try.
    fn poll_readable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>>;

    /// Ready when a [`Sink::try_write`] that would have blocked is worth another try.
    fn poll_writable(&self, cx: &mut task::Context<'_>) -> Poll<io::Result<()>>;

    /// Tells the peer that nothing more comes.
    fn shutdown_write(&self) -> io::Result<()>;

    /// The peer's address and port, or `unix`, for people.
    fn peer(&self) -> String;

    /// Has the kernel give up a peer that acknowledges nothing for this long. `None` leaves that to the caller: the
    /// kernel takes a peer that reads slowly, and so mostly has its window closed, for one that is gone.
    fn set_user_timeout(&self, timeout: Option<Duration>);
}

/// A write to a closed peer is an error, not a signal to the process.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
/// There the program has to ignore SIGPIPE, as those of Rust do.
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

    fn peer(&self) -> String {
        let address = SockRef::from(self).peer_addr().ok();
        match address.map(|address| (address.as_socket(), address.is_unix())) {
            Some((Some(address), _)) => address.to_string(),
            Some((None, true)) => "unix".to_owned(),
            // The peer is gone already.
            Some((None, false)) | None => "-".to_owned(),
        }
    }

    fn set_user_timeout(&self, timeout: Option<Duration>) {
        #[cfg(target_os = "linux")]
        {
            // Zero stands for the kernel's default, a quarter of an hour.
            let millis = timeout.map_or(0, |timeout| u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
            // Fails only on a failed socket, and on a unix socket, which knows at once that its peer is gone.
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

    fn reset_on_close(&self, reset: bool) {
        // Fails only on a failed socket. On a unix socket it does nothing: there a stream ends in the middle of an
        // event, which clients discard (WHATWG HTML, 9.2.6).
        let _ = rustix::net::sockopt::set_socket_linger(self, reset.then_some(Duration::ZERO));
    }
}

/// Reads some bytes and shows them to `keep`; returns their number, 0 once the peer has closed its side.
///
/// Cancel safe: if it is dropped before it returns, no byte is lost.
pub(crate) async fn read(
    io: &impl Socket,
    deadline: &Deadline<'_>,
    read_buffer: &ReadBuffer,
    mut keep: impl FnMut(&[u8]),
) -> Result<usize, Interrupted> {
    let poll_readable = |cx: &mut task::Context<'_>| io.poll_readable(cx);
    poll_fn(|cx| poll_io(cx, deadline, poll_readable, || read_buffer.read(|buffer| io.read(buffer), &mut keep))).await
}

/// Writes all bytes, with the write timeout for each step.
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

/// Closes in stages, so that the peer can read the last response (RFC 9112, 9.6).
///
/// Shuts down the write side, then drops input until the peer closes too. Closing with unread bytes would send a reset,
/// which destroys a response on its way.
///
/// # Errors
///
/// If the peer does not close within the linger limits.
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
        // A peer that always has more to say must not starve the other connections of its thread.
        yield_now().await;
    }
    Err(Lingers)
}

/// A peer that does not close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lingers;

/// Tries `step` until it succeeds, fails, or would block past the deadline.
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
