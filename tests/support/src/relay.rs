//! A path between a client and the server that breaks after a given number of bytes, anywhere within an event.
//!
//! The server sees a client that leaves; the client sees a stream that ends early.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::Acceptor;

/// A listener that forwards to a server. Once dropped it accepts no more; open connections end with either side.
pub struct Relay {
    /// Its own address, for clients.
    pub addr: SocketAddr,
    /// Connections that it has broken.
    broken: Arc<AtomicUsize>,
    _acceptor: Acceptor,
}

impl Relay {
    /// Forwards to `server`. The first connections carry `lengths` bytes to the client, later ones everything.
    #[track_caller]
    pub fn start(server: SocketAddr, lengths: &[usize]) -> Self {
        let broken = Arc::new(AtomicUsize::new(0));
        let (lengths, count) = (lengths.to_vec(), Arc::clone(&broken));
        let acceptor =
            Acceptor::start(move |client, number| carry(&client, server, lengths.get(number).copied(), &count));
        Self { addr: acceptor.addr(), broken, _acceptor: acceptor }
    }

    /// Number of connections that it has broken.
    pub fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }
}

/// Forwards one connection until the client has `length` bytes, or one side ends it.
fn carry(client: &TcpStream, server: SocketAddr, length: Option<usize>, broken: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    // A client that closes its own direction has left.
    thread::spawn(move || io::copy(&mut &from, &mut &to).and_then(|_| to.shutdown(Shutdown::Both)));
    let limit = length.map_or(u64::MAX, |length| u64::try_from(length).unwrap_or(u64::MAX));
    let carried = copy_as_it_comes(&mut (&server).take(limit), &mut &*client);
    if carried == limit {
        broken.fetch_add(1, Ordering::Relaxed);
    }
    // Either side may have closed already.
    let _ = server.shutdown(Shutdown::Both);
    client.shutdown(Shutdown::Both)
}

/// Copies until either side ends; returns the number of bytes.
fn copy_as_it_comes(from: &mut impl Read, to: &mut impl Write) -> u64 {
    let (mut buffer, mut total) = ([0; 4096], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        total += count as u64;
    }
    total
}
