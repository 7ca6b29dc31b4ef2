//! The worker threads of a running server: started, dealt clients to, and ended.
//!
//! However a server ends, every thread is gone when this is.

use std::io;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use async_io::Timer;
use smol::channel::{self, Receiver, Sender};
use smol::future::FutureExt;

use super::shard::{self, Job};
use crate::connection::Shared;
use crate::fanout::ShardHandle;
use crate::hub::{Hub, QueueReceiver};
use crate::net::{Admission, Client, Listener, within};

/// Accepted clients that a shard has not begun with.
const DEALT_AHEAD: usize = 1024;

/// How long accepting pauses where no shard has room for another client: those who come wait in the backlog.
const PAUSE: Duration = Duration::from_millis(5);

/// Questions that a shard has not begun with.
const COMMANDS_AHEAD: usize = 16;

/// The worker threads of a running server.
#[derive(Debug)]
pub(crate) struct Shards {
    clients: Vec<Sender<Client>>,
    /// Whose turn it is.
    next: usize,
    hub: Hub,
    /// Closed when no shard has a request in flight any more.
    answered: Receiver<()>,
    /// Gets a word from each shard that ends.
    ended: Receiver<()>,
    /// Dropped to have the shards end as they are.
    abort: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Shards {
    /// Starts a thread for each intake; returns the ways into them for whoever watches over them.
    pub(crate) fn start(
        shared: &Shared,
        heartbeat: Option<Duration>,
        receivers: Vec<QueueReceiver>,
        since: Instant,
    ) -> io::Result<(Self, Vec<ShardHandle>)> {
        let (answered_by, answered) = channel::bounded(1);
        let (ended_by, ended) = channel::bounded(receivers.len());
        let (abort, aborted) = channel::bounded(1);
        let (clients, threads, mut handles) = (Vec::new(), Vec::new(), Vec::new());
        let hub = shared.hub.clone();
        let mut shards = Self { clients, next: 0, hub, answered, ended, abort: Some(abort), threads };
        for (number, receiver) in receivers.into_iter().enumerate() {
            // Its first turn, however long ago the server was made.
            shared.metrics.shards()[number].ticked(since.elapsed());
            let (dealt, clients) = channel::bounded(DEALT_AHEAD);
            let (request, commands) = channel::bounded(COMMANDS_AHEAD);
            let job = Job {
                shared: shared.clone(),
                number,
                since,
                heartbeat,
                receiver,
                clients,
                commands,
                abort: aborted.clone(),
                answered: answered_by.clone(),
            };
            let end = EndNotice(ended_by.clone());
            let thread = thread::Builder::new().name(format!("smolcast-{number}")).spawn(move || {
                let _end = end;
                shard::run(job);
            })?;
            handles.push(ShardHandle::new(request));
            shards.clients.push(dealt);
            shards.threads.push(thread);
        }
        Ok((shards, handles))
    }

    /// Deals accepted clients to the shards in turn; returns only if a shard ends, which is a bug.
    pub(crate) async fn deal(&mut self, listener: &mut Listener, admission: &mut Admission) -> io::Result<()> {
        let ended = self.ended.clone();
        let deal = async {
            loop {
                let (io, peer) = listener.accept().await;
                let Some(mut client) = admission.admit(io, peer) else { continue };
                while let Err(back) = self.deal_one(client) {
                    client = back;
                    Timer::after(PAUSE).await;
                }
            }
        };
        let watch = async {
            let _ = ended.recv().await;
        };
        deal.or(watch).await;
        Err(io::Error::other("a worker thread ended unexpectedly, which is a bug; its panic is on stderr"))
    }

    /// Deals a client to the shard whose turn it is, or to the next that has room: one that hangs keeps none from the
    /// others. Gives the client back where no shard has room.
    fn deal_one(&mut self, mut client: Client) -> Result<(), Client> {
        for _ in 0..self.clients.len() {
            let turn = self.next % self.clients.len();
            self.next += 1;
            match self.clients[turn].try_send(client) {
                Ok(()) => return Ok(()),
                Err(refused) => client = refused.into_inner(),
            }
        }
        Err(client)
    }

    /// Has the shards end in order; returns whether all have within `time`.
    pub(crate) async fn drain(&mut self, time: Duration) -> bool {
        let start = Instant::now();
        self.clients.clear();
        // Closed by the last shard that has answered its requests; nothing is ever sent. A request that does not come
        // to its end leaves half of the time.
        let _ = within(time / 2, self.answered.recv()).await;
        // What the history's file has got is published: that takes no time but where its disk hangs, which leaves a
        // quarter of it, in which the streams can come to their end.
        let _ = within(time / 4, self.hub.settle()).await;
        self.hub.close();
        let all = async {
            for _ in &self.threads {
                let _ = self.ended.recv().await;
            }
        };
        within(time.saturating_sub(start.elapsed()), all).await.is_some()
    }
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.clients.clear();
        self.abort = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

/// Tells that a shard's thread is ending, whatever ends it.
struct EndNotice(Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // There is room for a word from each shard, and nobody to tell where the server is gone.
        let _ = self.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use async_io::Async;

    use super::*;
    use crate::config::Limits;
    use crate::metrics::Metrics;
    use crate::net::ConnectionPermit;

    fn client(number: u64) -> Client {
        let (io, _) = UnixStream::pair().expect("a descriptor is free");
        let io = Async::new(OwnedFd::from(io)).expect("a socket");
        Client { io, rejection: Some(number), proxy: None, place: ConnectionPermit::new(&Metrics::default()) }
    }

    #[test]
    fn what_one_shard_has_no_room_for_goes_to_the_others() {
        let ((hangs, left), (works, taken)) = (channel::bounded(2), channel::bounded(3));
        let (_, never) = channel::bounded(1);
        let (hub, _intakes) = Hub::new(&Limits::default(), None, 1, Metrics::default()).expect("no thread is started");
        let (clients, threads) = (vec![hangs, works], Vec::new());
        let mut shards = Shards { clients, next: 0, hub, answered: never.clone(), ended: never, abort: None, threads };
        for number in 0..4 {
            assert!(shards.deal_one(client(number)).is_ok(), "each in its turn");
        }
        assert!(shards.deal_one(client(4)).is_ok(), "the first has no room");
        let back = shards.deal_one(client(5)).expect_err("none has room");
        let numbers =
            |clients: &Receiver<Client>| std::iter::from_fn(|| clients.try_recv().ok()?.rejection).collect::<Vec<_>>();
        assert_eq!((numbers(&taken), back.rejection), (vec![1, 3, 4], Some(5)));
        assert!(shards.deal_one(back).is_ok(), "there is room again");
        assert_eq!((numbers(&taken), numbers(&left)), (vec![5], vec![0, 2]));
    }
}
