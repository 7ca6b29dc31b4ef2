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

use crate::connection::{Connection, Context, Shared};
use crate::fanout::Command;
use crate::hub::QueueReceiver;
use crate::net::{Client, Sink, Socket};

/// What a shard is started with.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) shared: Shared,
    /// Which of the shards this is.
    pub(crate) number: usize,
    /// When the server was made, from which turns are counted.
    pub(crate) since: Instant,
    pub(crate) heartbeat: Option<Duration>,
    /// This shard's side of the hub.
    pub(crate) receiver: QueueReceiver,
    /// The clients dealt to this shard; closed when there are no more.
    pub(crate) clients: Receiver<Client>,
    pub(crate) commands: Receiver<Command>,
    /// Closed when the shard has to end as it is.
    pub(crate) abort: Receiver<()>,
    /// Dropped when no request is in flight any more.
    pub(crate) answered: Sender<()>,
}

/// Serves until the shard has ended: the body of its thread.
pub(crate) fn run(job: Job) {
    let Job { shared, number, since, heartbeat, receiver, clients, commands, abort, answered } = job;
    let context = Context::new(shared, number, receiver, SystemTime::now());
    let executor = LocalExecutor::new();
    let serve = async {
        let begin = async {
            while let Ok(client) = clients.recv().await {
                executor.spawn(Connection::new(client, &context)).detach();
            }
            context.clock.stop();
            context.requests.empty().await;
            drop(answered);
        };
        future::zip(begin, executor.spawn(context.dispatcher.run())).await;
        context.connections.empty().await;
    };
    // None of these ends. A panic in one is the shard's: whoever waits for a task panics with it.
    let beside = future::or(
        executor.spawn(tick(&context, since)),
        future::or(executor.spawn(heartbeat_round(&context, heartbeat)), executor.spawn(answer(&context, commands))),
    );
    let aborted = async {
        // Nothing is ever sent: the channel only closes.
        let _ = abort.recv().await;
    };
    async_io::block_on(executor.run(future::or(serve, future::or(beside, aborted))));
}

/// The shard's time: deadlines and the date. It waits for nothing but its timer, so that it tells how long the shard's
/// other tasks keep each other waiting.
async fn tick(context: &Context<impl Sink>, since: Instant) {
    loop {
        context.shard_metrics.ticked(since.elapsed());
        Timer::after(context.clock.tick_length()).await;
        context.clock.tick();
        context.date.set(SystemTime::now());
        context.dispatcher.tick();
    }
}

/// Heartbeats, which take as long as writing to all streams does.
async fn heartbeat_round(context: &Context<impl Sink>, heartbeat: Option<Duration>) {
    let Some(heartbeat) = heartbeat.map(|heartbeat| context.clock.ticks(heartbeat)) else {
        return future::pending().await;
    };
    loop {
        Timer::after(context.clock.tick_length()).await;
        context.dispatcher.heartbeat_round(heartbeat).await;
    }
}

/// Answers whoever asks. One that has gone meanwhile does not want to know.
async fn answer(context: &Context<impl Socket>, commands: Receiver<Command>) {
    while let Ok(command) = commands.recv().await {
        match command {
            Command::Slowest(most, reply) => {
                let behind = context.dispatcher.slowest(most, |io| io.peer());
                let time = |ticks| context.clock.tick_length() * u32::try_from(ticks).unwrap_or(u32::MAX);
                let timed = behind.into_iter().map(|behind| (time(behind.ticks), behind));
                let _ = reply.try_send(timed.collect());
            }
            Command::Disconnect(number, reply) => {
                let _ = reply.try_send(context.dispatcher.disconnect(number));
            }
        }
    }
    // Nobody can ask any more.
    future::pending::<()>().await;
}
