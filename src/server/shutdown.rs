//! Graceful shutdown: the order of the end, from the last accept to the disk.
//!
//! It begins when the future that was given to [`Server::run`](super::Server::run) ends. From step 1 on it has
//! [`Limits::drain_timeout`](crate::Limits::drain_timeout) for the steps that wait for clients. The last step takes as
//! long as the disk does. Each step has its code below, in this order:
//!
//! | step | longest time |
//! | --- | --- |
//! | 0. Health reports the end, and everything is served: load balancers find another server. | `drain_delay` |
//! | 1. Accepting stops: the listening sockets close. | |
//! | 2. Shards end idle connections and respond to the requests in flight. Half a head has a second. | half |
//! | 3. The log takes nothing more; messages that it has taken are queued for the shards. | a quarter |
//! | 4. The hub closes: nothing more is published. | |
//! | 5. Shards deliver their queue, and end each stream between two events. | the rest |
//! | 6. Connections that are still open are cut. | |
//! | 7. The threads of the shards are joined. | |
//! | 8. The log's last writes reach the disk. | unbounded |
//!
//! If the future of `run` is dropped, or a shard fails, guards take steps 4 and 6 to 8 alone. The invariant: however a
//! server ends, its threads, tasks and sockets are gone once its end returns.

use std::time::{Duration, Instant};

use async_io::Timer;
use smol::channel::{self, Receiver, Sender};

use super::shards::Shards;
use crate::connection::{Context, Shared};
use crate::hub::Hub;
use crate::metrics::{Serving, StreamEnd};
use crate::net::{Listener, Sink, within};

/// Time for the disk before a warning says that the server waits for it.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// Step 0: announces the end this long before it begins.
pub(super) async fn announce(serving: Serving, delay: Duration) {
    drop(serving);
    if !delay.is_zero() {
        Timer::after(delay).await;
    }
}

/// Shuts down gracefully: the steps from 1 on, in their order.
pub(super) async fn shut_down(listener: Listener, mut shards: Shards, shared: &Shared) {
    let Shared { hub, metrics, limits, .. } = shared;
    let (start, time) = (Instant::now(), limits.drain_timeout);
    // 1. The kernel refuses clients that connect from here on.
    drop(listener);
    // 2. A request that never ends takes half of the time.
    shards.stop_dealing();
    let _ = within(time / 2, shards.signals.answered.recv()).await;
    // 3. Takes no time unless the disk hangs. The quarter that is left then is for the streams.
    let _ = within(time / 4, hub.close_log()).await;
    // 4. Shards find the end of their queue behind its last message.
    hub.close();
    // 5. The last stream to end is the end of its shard.
    let rest = time.saturating_sub(start.elapsed());
    let is_over = within(rest, shards.signals.threads_ended(shards.threads())).await.is_some();
    // 6. The count comes first: step 7 ends the streams.
    if !is_over && metrics.connections() > 0 {
        metrics.streams_ended_at_once(StreamEnd::Cut, metrics.streams());
        log::warn!("what did not end within {time:?} is closed as it is");
    }
    // 7. Aborts the shards that are left.
    drop(shards);
    // 8. Without a bound: a message that was accepted is on the disk in the end.
    if within(DISK_PATIENCE, hub.log_synced()).await.is_none() {
        log::warn!("waiting for the disk to take the last of the history");
        hub.log_synced().await;
    }
}

/// Step 2 on a shard, once it is dealt no more clients: ends idle connections, and waits for the requests in flight.
pub(super) async fn answer_requests<S: Sink>(context: &Context<S>, answered: Sender<()>) {
    context.clock.stop();
    context.requests.empty().await;
    drop(answered);
}

/// The server's side of the signals between it and its shards. A channel that closes is a signal.
#[derive(Debug)]
pub(super) struct Signals {
    /// Closes once no shard has a request in flight.
    answered: Receiver<()>,
    /// Gets a message from each thread that ends.
    ended: Receiver<()>,
    /// Dropped to have the shards end at once.
    pub(super) abort: Option<Sender<()>>,
}

/// A shard's side of the signals.
#[derive(Clone, Debug)]
pub(super) struct ShardSignals {
    /// Dropped once this shard has no request in flight.
    pub(super) answered: Sender<()>,
    /// Gets a message when the shard's thread ends, from an [`EndNotice`].
    pub(super) ended: Sender<()>,
    /// Closes if the shard has to end at once.
    pub(super) abort: Receiver<()>,
}

/// Both sides of the signals, for this number of shards. Each shard gets a clone of the second.
pub(super) fn signals(shards: usize) -> (Signals, ShardSignals) {
    let ((answered, all_answered), (abort, aborted)) = (channel::bounded(1), channel::bounded(1));
    let (ended, ends) = channel::bounded(shards);
    let of_server = Signals { answered: all_answered, ended: ends, abort: Some(abort) };
    (of_server, ShardSignals { answered, ended, abort: aborted })
}

impl Signals {
    /// Waits until this number of threads has ended.
    pub(super) async fn threads_ended(&self, count: usize) {
        for _ in 0..count {
            let _ = self.ended.recv().await;
        }
    }
}

/// Reports the end of a shard's thread when dropped, even by a panic.
pub(super) struct EndNotice(pub(super) Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // The channel has room for every shard, and is closed if the server is gone.
        let _ = self.0.try_send(());
    }
}

/// Steps 4 and 8 when dropped, however the server ends: nothing more is published and the log's folder is unlocked,
/// even if the program still has a publisher.
#[derive(Debug)]
pub(super) struct HubGuard(pub(super) Hub);

impl Drop for HubGuard {
    fn drop(&mut self) {
        self.0.join();
    }
}
