//! Many raw sockets at a time, driven by one thread.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::{DEADLINE, TestServer};

/// Descriptors for the largest crowd, with both ends in one process.
const DESCRIPTORS: u64 = 5000;

/// Raises the descriptor limit of this process and of the programs that it starts.
#[track_caller]
pub(crate) fn make_room() {
    TestServer::raise_descriptor_limit();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let enough = limit.is_none_or(|limit| limit >= DESCRIPTORS);
    assert!(enough, "these tests need {DESCRIPTORS} descriptors (ulimit -Hn), and may have {limit:?}");
}

/// Connects with a receive buffer of this size from the first segment on: a small one blocks the server sooner.
#[track_caller]
pub(crate) fn connect_tight(addr: SocketAddr, buffer: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(buffer).expect("SO_RCVBUF can be set");
    socket.connect_timeout(&addr.into(), DEADLINE).unwrap_or_else(|error| panic!("no connection to {addr}: {error}"));
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("TCP_NODELAY can be set");
    stream
}

/// Sockets that never block.
pub(crate) struct Crowd(Vec<Member>);

/// One socket of a crowd.
struct Member {
    /// `None` once the server has closed or reset it.
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Crowd {
    /// Opens `count` connections that each send `begun`.
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr, count: usize, begun: &[u8]) -> Self {
        Self::of((0..count).map(|_| TcpStream::connect(addr).expect("the backlog has room")), begun)
    }

    /// Adopts these connections; each sends `begun` at once.
    #[track_caller]
    pub(crate) fn of(streams: impl IntoIterator<Item = TcpStream>, begun: &[u8]) -> Self {
        let members = streams.into_iter().map(|mut stream| {
            stream.write_all(begun).expect("a new connection takes some bytes");
            stream.set_nonblocking(true).expect("a socket can be non-blocking");
            Member { stream: Some(stream), received: Vec::new() }
        });
        Self(members.collect())
    }

    /// Sends bytes on every open socket, as far as its buffer takes them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for mut stream in self.0.iter().filter_map(|member| member.stream.as_ref()) {
            // Reading finds out if the server has closed it.
            let _ = stream.write(bytes);
        }
    }

    /// Reads everything that has arrived; returns the number of sockets that the server has closed.
    pub(crate) fn read(&mut self) -> usize {
        self.0.iter_mut().for_each(Member::read);
        self.0.iter().filter(|member| member.stream.is_none()).count()
    }

    /// Reads until all have ended; returns the bytes of each.
    #[track_caller]
    pub(crate) fn read_to_the_end(mut self, limit: Duration) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + limit;
        loop {
            let left = self.0.len() - self.read();
            if left == 0 {
                return self.0.into_iter().map(|member| member.received).collect();
            }
            assert!(
                Instant::now() < deadline,
                "{left} of {} connections have not ended within {limit:?}",
                self.0.len()
            );
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

impl Member {
    fn read(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut buffer = [0; 16 * 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(count @ 1..) => self.received.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        self.stream = None;
    }
}
