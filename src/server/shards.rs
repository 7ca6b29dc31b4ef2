//! The threads of a server's shards: started, dealt clients, joined.
//!
//! It serves no client. The invariant: once [`Shards`] is dropped, every thread is gone.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::channel::{self, Sender};
use smol::future::FutureExt;

use super::shard::{self, ShardParts};
use super::shutdown::{self, EndNotice, Signals};
use crate::connection::Shared;
use crate::fanout::ShardHandle;
use crate::hub::QueueReceiver;
use crate::net::{Admission, Client, Listener};

/// Clients in the queue of a shard.
const DEALT_AHEAD: usize = 1024;

/// Pause of accepting while the queue of every shard is full. Meanwhile clients wait in the backlog.
const PAUSE: Duration = Duration::from_millis(5);

/// Commands in the queue of a shard.
const COMMANDS_AHEAD: usize = 16;

/// The shards of a server. Dropping it ends them at once and joins their threads.
#[derive(Debug)]
pub(super) struct Shards {
    clients: Vec<Sender<Client>>,
    /// The shard that gets the next client.
    next: usize,
    pub(super) signals: Signals,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    /// Starts a shard for each receiver; returns a handle to each for the admin side.
    pub(super) fn start(
        shared: &Shared,
        heartbeat: Option<Duration>,
        receivers: Vec<QueueReceiver>,
        since: Instant,
    ) -> io::Result<(Self, Vec<ShardHandle>)> {
        let (signals, of_shards) = shutdown::signals(receivers.len());
        let mut shards = Self { clients: Vec::new(), next: 0, signals, threads: Vec::new() };
        let mut handles = Vec::new();
        for (number, receiver) in receivers.into_iter().enumerate() {
            // The first tick, however long ago the server was made.
            shared.metrics.shards()[number].ticked(since.elapsed());
            let (dealt, clients) = channel::bounded(DEALT_AHEAD);
            let (request, commands) = channel::bounded(COMMANDS_AHEAD);
            let (shared, signals) = (shared.clone(), of_shards.clone());
            let end_notice = EndNotice(signals.ended.clone());
            let parts = ShardParts { shared, number, since, heartbeat, receiver, clients, commands, signals };
            let thread = thread::Builder::new().name(format!("smolcast-{number}")).spawn(move || {
                let _end_notice = end_notice;
                shard::run(parts);
            })?;
            handles.push(ShardHandle::new(request));
            shards.clients.push(dealt);
            shards.threads.push(thread);
        }
        Ok((shards, handles))
    }

    /// Deals accepted clients to the shards in turn; returns only if a shard ends, which is a bug.
    pub(super) async fn deal(&mut self, listener: &mut Listener, admission: &mut Admission) -> io::Result<()> {
        let (clients, next) = (&self.clients, &mut self.next);
        let deal = async {
            loop {
                let (io, peer) = listener.accept().await;
                let Some(mut client) = admission.admit(io, peer) else { continue };
                while let Err(back) = deal_one(clients, next, client) {
                    client = back;
                    Timer::after(PAUSE).await;
                }
            }
        };
        deal.or(self.signals.threads_ended(1)).await;
        Err(io::Error::other("a worker thread ended unexpectedly, which is a bug; its panic is on stderr"))
    }

    /// Closes the clients' queues: each shard finishes with the clients that it has.
    pub(super) fn stop_dealing(&mut self) {
        self.clients.clear();
    }

    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }
}

/// Deals a client to the shard that is next, or to the first behind it with room: a shard that hangs keeps no client
/// from the others. Gives the client back if no shard has room.
fn deal_one(shards: &[Sender<Client>], next: &mut usize, mut client: Client) -> Result<(), Client> {
    for _ in 0..shards.len() {
        let turn = *next % shards.len();
        *next += 1;
        match shards[turn].try_send(client) {
            Ok(()) => return Ok(()),
            Err(full) => client = full.into_inner(),
        }
    }
    Err(client)
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stop_dealing();
        self.signals.abort = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use async_io::Async;
    use smol::channel::Receiver;

    use super::*;
    use crate::metrics::Metrics;
    use crate::net::ConnectionPermit;

    fn client(number: u64) -> Client {
        let (io, _) = UnixStream::pair().expect("a descriptor is free");
        let io = Async::new(OwnedFd::from(io)).expect("a socket");
        Client { io, rejection: Some(number), proxy: None, permit: ConnectionPermit::new(&Metrics::default()) }
    }

    #[test]
    fn clients_of_a_full_shard_go_to_the_others() {
        let ((hangs, left), (works, taken)) = (channel::bounded(2), channel::bounded(3));
        let (shards, mut next) = ([hangs, works], 0);
        let mut deal = |client| deal_one(&shards, &mut next, client);
        for number in 0..4 {
            assert!(deal(client(number)).is_ok(), "each in its turn");
        }
        assert!(deal(client(4)).is_ok(), "the first has no room");
        let back = deal(client(5)).expect_err("none has room");
        let numbers =
            |clients: &Receiver<Client>| std::iter::from_fn(|| clients.try_recv().ok()?.rejection).collect::<Vec<_>>();
        assert_eq!((numbers(&taken), back.rejection), (vec![1, 3, 4], Some(5)));
        assert!(deal(back).is_ok(), "there is room again");
        assert_eq!((numbers(&taken), numbers(&left)), (vec![5], vec![0, 2]));
    }
}
