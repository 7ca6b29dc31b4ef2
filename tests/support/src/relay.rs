//! A path between a client and the server that breaks after a given number of bytes, anywhere within an event.
//!
//! The server sees a client that leaves; the client sees a stream that ends early.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// A listener that forwards to a server. Once dropped it accepts no more; open connections end with either side.
pub struct Relay {
    /// Its own address, for clients.
    pub addr: SocketAddr,
    /// Connections that it has broken.
    broken: Arc<AtomicUsize>,
    /// Checked after each accept.
    ended: Arc<AtomicBool>,
    /// The accepting thread, until it is joined.
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Forwards to `server`. The first connections carry `lengths` bytes to the client, later ones everything.
    #[track_caller]
    pub fn start(server: SocketAddr, lengths: &[usize]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (broken, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (lengths, count, is_ended) = (lengths.to_vec(), Arc::clone(&broken), Arc::clone(&ended));
        let thread = thread::spawn(move || accept(&listener, server, &lengths, &count, &is_ended));
        Self { addr, broken, ended, thread: Some(thread) }
    }

    /// Number of connections that it has broken.
    pub fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // One more connection wakes it.
        let woken = TcpStream::connect(self.addr).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // A panic of it has been printed.
            let _ = thread.join();
        }
    }
}

fn accept(
    listener: &TcpListener,
    server: SocketAddr,
    lengths: &[usize],
    broken: &Arc<AtomicUsize>,
    ended: &AtomicBool,
) {
    let lengths = lengths.iter().map(|length| Some(*length)).chain(std::iter::repeat(None));
    for (client, length) in listener.incoming().zip(lengths) {
        if ended.load(Ordering::Relaxed) {
            return;
        }
        let broken = Arc::clone(broken);
        // The test misses the messages of a connection that ends early by itself.
        thread::spawn(move || carry(&client?, server, length, &broken));
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
