//! The way between a client and the server, which breaks: each connection ends after so many bytes of its answer,
//! wherever in an event that is.
//!
//! The server sees a client that goes away, and the client a stream that ends early.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Dropping it lets no more connections in; those that it has end with their client or with the server.
pub(crate) struct Relay {
    pub(crate) addr: SocketAddr,
    /// How many connections it has ended by itself.
    broken: Arc<AtomicUsize>,
    /// Looked at after each accept.
    ended: Arc<AtomicBool>,
    /// Where it accepts, until it is joined.
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Leads to this server: the first connections carry so many bytes each to the client, the later ones all.
    #[track_caller]
    pub(crate) fn start(server: SocketAddr, lengths: &[usize]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let (broken, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (lengths, count, is_ended) = (lengths.to_vec(), Arc::clone(&broken), Arc::clone(&ended));
        let thread = thread::spawn(move || accept(&listener, server, &lengths, &count, &is_ended));
        Self { addr, broken, ended, thread: Some(thread) }
    }

    pub(crate) fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // One more connection, for it to look.
        let woken = TcpStream::connect(self.addr).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            // What it panicked with, if it did, has been printed.
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
        // A connection that ends early is the server's affair or the client's; what is missed for it, the test misses.
        thread::spawn(move || carry(&client?, server, length, &broken));
    }
}

/// Carries one connection until it has brought so many bytes, or one of its sides ends it.
fn carry(client: &TcpStream, server: SocketAddr, length: Option<usize>, broken: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (from, to) = (client.try_clone()?, server.try_clone()?);
    // A client that ends its own direction has gone.
    thread::spawn(move || io::copy(&mut &from, &mut &to).and_then(|_| to.shutdown(Shutdown::Both)));
    let limit = length.map_or(u64::MAX, |length| u64::try_from(length).unwrap_or(u64::MAX));
    let carried = copy_as_it_comes(&mut (&server).take(limit), &mut &*client);
    if carried == limit {
        broken.fetch_add(1, Ordering::Relaxed);
    }
    // Each may be gone already.
    let _ = server.shutdown(Shutdown::Both);
    client.shutdown(Shutdown::Both)
}

/// How many bytes came through before either side ended.
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
