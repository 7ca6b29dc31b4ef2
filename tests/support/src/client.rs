//! A client of raw bytes: a blocking socket with a deadline on every read.
//!
//! It knows requests and responses as bytes, and works with any server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::{DEADLINE, Response, assert_bytes, escaped};

/// The end of a connection, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server's FIN.
    Closed,
    /// A reset: bytes under way are lost.
    Reset,
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// Longest wait of one read.
    patience: Duration,
    /// Bytes read from the socket and not yet taken by the test.
    ahead: Vec<u8>,
}

impl Client {
    /// Connects, or panics.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|error| panic!("no connection to {addr}: {error}"))
    }

    /// Connects, if it can.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&addr, DEADLINE)?)
    }

    /// Wraps a connected socket.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Self { stream, patience: DEADLINE, ahead: Vec::new() })
    }

    /// Connects to a unix socket, read and written by the same calls.
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let stream = TcpStream::from(OwnedFd::from(stream));
        stream.set_write_timeout(Some(DEADLINE)).expect("an option of any socket");
        Self { stream, patience: DEADLINE, ahead: Vec::new() }
    }

    /// Connects from an address of this machine.
    pub fn connect_from(source: Ipv4Addr, addr: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let own = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&own, &SocketAddr::from((source, 0))).expect("an address of this machine");
        connect(&own, &addr).unwrap_or_else(|error| panic!("no connection to {addr}: {error}"));
        Self::over(TcpStream::from(own)).expect("options can be set")
    }

    /// Sets the longest wait of one read, instead of [`DEADLINE`].
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Shrinks the receive buffer, for a slow reader. Any smaller, and loopback would crawl.
    pub fn tight(self) -> Self {
        set_socket_recv_buffer_size(&self.stream, 64 * 1024).expect("SO_RCVBUF can be set");
        self
    }

    /// The socket, for its options.
    pub fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        if let Err(error) = self.try_send(bytes) {
            panic!("cannot send: {error}\n bytes: {}", escaped(bytes));
        }
    }

    /// Sends bytes to a server that may have closed meanwhile.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Closes the client's direction with a FIN; the other one stays open.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the socket is connected");
    }

    /// Closes the connection with a reset.
    pub fn reset(self) {
        rustix::net::sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO)).expect("SO_LINGER can be set");
    }

    /// Reads as many bytes as `expected` has and holds that they are the same.
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        let deadline = Instant::now() + self.patience;
        while self.ahead.len() < expected.len() {
            let differs = self.ahead != expected[..self.ahead.len()];
            match self.fill(deadline) {
                Ok(true) if !differs => {}
                Ok(_) => assert_bytes("differs, or ends early", expected, &self.ahead),
                Err(error) => {
                    panic!("{error}\n expected: {}\n received: {}", escaped(expected), escaped(&self.ahead))
                }
            }
        }
        let rest = self.ahead.split_off(expected.len());
        let received = std::mem::replace(&mut self.ahead, rest);
        assert_bytes("read", expected, &received);
    }

    /// Reads to the end of the first `mark`.
    #[track_caller]
    pub fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        match self.try_read_until(mark) {
            Some(found) => found,
            None => {
                panic!("ended without {}\n received: {}", escaped(mark), escaped(&self.ahead))
            }
        }
    }

    /// Reads to the end of the first `mark`; `None` if the server closes before it.
    #[track_caller]
    pub fn try_read_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let deadline = Instant::now() + self.patience;
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.ahead[searched..], mark) {
                let rest = self.ahead.split_off(searched + at + mark.len());
                return Some(std::mem::replace(&mut self.ahead, rest));
            }
            searched = (self.ahead.len() + 1).saturating_sub(mark.len());
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    panic!("{error} before {}\n received: {}", escaped(mark), escaped(&self.ahead))
                }
            }
        }
    }

    /// Reads exactly `count` bytes.
    #[track_caller]
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + self.patience;
        while self.ahead.len() < count {
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) => panic!("ended before {count} bytes\n received: {}", escaped(&self.ahead)),
                Err(error) => panic!("{error} before {count} bytes\n received: {}", escaped(&self.ahead)),
            }
        }
        let rest = self.ahead.split_off(count);
        std::mem::replace(&mut self.ahead, rest)
    }

    /// Reads to the server's FIN; panics at a reset.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let (bytes, end) = self.rest_and_end();
        assert_eq!(end, End::Closed, "received before the reset: {}", escaped(&bytes));
        bytes
    }

    /// Reads to the end, whether FIN or reset.
    #[track_caller]
    pub fn rest_and_end(&mut self) -> (Vec<u8>, End) {
        let deadline = Instant::now() + self.patience;
        let end = loop {
            match self.fill(deadline) {
                Ok(true) => {}
                Ok(false) => break End::Closed,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break End::Reset,
                Err(error) => panic!("{error} before the end\n received: {}", escaped(&self.ahead)),
            }
        };
        (std::mem::take(&mut self.ahead), end)
    }

    /// Holds that the server closes and sends nothing more.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        assert_bytes("after the last response", b"", &self.rest());
    }

    /// Reads one response and holds it to the rules of [`Response::check`].
    #[track_caller]
    pub fn response(&mut self) -> Response {
        let response = Response::read(self);
        response.check();
        response
    }

    /// Sends one request and reads the response.
    #[track_caller]
    pub fn request(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes);
        self.response()
    }

    /// True if bytes or the end can be read within `wait`.
    #[track_caller]
    pub fn readable_within(&mut self, wait: Duration) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        self.stream.set_read_timeout(Some(wait)).expect("a timeout above zero can be set");
        let peeked = self.stream.peek(&mut [0]);
        !peeked.is_err_and(|error| is_timeout(&error))
    }

    /// Reads once into `ahead`; false at the end.
    fn fill(&mut self, deadline: Instant) -> io::Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        // A server that never stops sending must not keep the test longer than one that sends nothing.
        let late = || io::Error::new(ErrorKind::TimedOut, format!("nothing more came within {:?}", self.patience));
        if left.is_zero() {
            return Err(late());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 65_536];
        let count = match self.stream.read(&mut buffer) {
            Err(error) if is_timeout(&error) => return Err(late()),
            other => other?,
        };
        self.ahead.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }
}

/// Position of `mark` in `bytes`.
fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
