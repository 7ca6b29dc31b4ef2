//! One worker thread: its executor, its connections and streams, its dispatcher and its timer.
//!
//! A shard owns what it serves: from a message's arrival to the last socket nothing is shared with another thread. It
//! ends in two steps, each when the one who started it says so by closing a channel: with no more clients to come it
//! finishes the requests in flight, with no more messages to come it ends its streams.

use std::time::{Duration, Instant, SystemTime};

use async_io::Timer;
use smol::LocalExecutor;
use smol::channel::{Receiver, Sender};
use smol::future;

use crate::access::Access;
use crate::audience::Sink;
use crate::census::Census;
use crate::config::Limits;
use crate::connection::Connection;
use crate::context::Context;
use crate::hub::{Hub, Intake};
use crate::listener::Client;
use crate::metrics::Metrics;

/// What a shard is started with.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) limits: Limits,
    pub(crate) access: Access,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) hub: Hub,
    /// This shard's side of the hub.
    pub(crate) intake: Intake,
    pub(crate) metrics: Metrics,
    /// Which of the shards this is.
    pub(crate) number: usize,
    /// When the server was made, from which turns are counted.
    pub(crate) since: Instant,
    /// Who asks for which topics, over all shards.
    pub(crate) census: Census,
    /// The clients dealt to this shard; closed when there are no more.
    pub(crate) clients: Receiver<Client>,
    /// Closed when the shard has to end as it is.
    pub(crate) abort: Receiver<()>,
    /// Dropped when no request is in flight any more.
    pub(crate) answered: Sender<()>,
}

/// Serves until the shard has ended: the body of its thread.
pub(crate) fn run(job: Job) {
    let Job { limits, access, heartbeat, hub, intake, metrics, number, since, census, clients, abort, answered } = job;
    let context = Context::new(limits, access, hub, intake, metrics, number, census);
    let executor = LocalExecutor::new();
    let serve = async {
        let dispatcher = executor.spawn(context.dispatcher.run());
        let sweep = executor.spawn(sweep(&context, since, heartbeat));
        while let Ok(client) = clients.recv().await {
            executor.spawn(Connection::new(client, &context)).detach();
        }
        context.clock.stop();
        let tell = async {
            context.requests.empty().await;
            drop(answered);
        };
        executor.spawn(tell).detach();
        dispatcher.await;
        context.connections.empty().await;
        sweep.cancel().await;
    };
    let aborted = async {
        // Nothing is ever sent: the channel only closes.
        let _ = abort.recv().await;
    };
    async_io::block_on(executor.run(future::or(serve, aborted)));
}

/// The shard's one timer: deadlines, the date and heartbeats.
async fn sweep(context: &Context<impl Sink>, since: Instant, heartbeat: Option<Duration>) {
    let heartbeat = heartbeat.map(|heartbeat| context.clock.ticks(heartbeat));
    loop {
        context.tally.turned(since.elapsed());
        Timer::after(context.clock.tick_length()).await;
        context.clock.tick(SystemTime::now());
        context.dispatcher.tick(heartbeat).await;
    }
}
