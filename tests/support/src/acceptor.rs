//! A server of a test's own: a thread for each connection, since a client may open some and stay silent.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// A listener that hands its connections to a function. Once dropped it accepts no more; open connections go on.
pub struct Acceptor {
    addr: SocketAddr,
    /// Checked after each accept.
    ended: Arc<AtomicBool>,
    /// The accepting thread, until it is joined.
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Accepts on a free loopback port.
    #[track_caller]
    pub fn start(serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"), serve)
    }

    /// Accepts on this socket. `serve` gets each connection with its number and runs on a thread of its own; its error
    /// only ends the connection.
    #[track_caller]
    pub fn on(
        listener: TcpListener,
        serve: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let addr = listener.local_addr().expect("it is bound");
        let (ended, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let is_ended = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                if is_ended.load(Ordering::Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || connection.and_then(|connection| serve(connection, number)));
            }
        });
        Self { addr, ended, thread: Some(thread) }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Acceptor {
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
