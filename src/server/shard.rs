//! One shard: a thread with an executor, and on it connections, streams, a dispatcher and a timer.
//!
//! From the arrival of a message to the last socket, it shares nothing with another thread. It accepts no connection:
//! clients are dealt to it. It ends in two steps, each when a channel closes. Without more clients it finishes the
//! requests in flight; without more messages it ends its streams.

use std::time::{Duration, Instant, SystemTime};

use async_io::Timer;
use smol::LocalExecutor;
use smol::channel::Receiver;
use smol::future;

use super::shutdown::{self, ShardSignals};
use crate::connection::{Connection, Context, Shared};
use crate::fanout::Command;
use crate::hub::QueueReceiver;
use crate::net::{Client, Sink, Socket};

/// The parts that a shard starts with.
#[derive(Debug)]
pub(super) struct ShardParts {
    pub(super) shared: Shared,
    /// The number of this shard.
    pub(super) number: usize,
    /// The time at which the server was made, which ticks are reported from.
    pub(super) since: Instant,
    pub(super) heartbeat: Option<Duration>,
    pub(super) receiver: QueueReceiver,
    /// The clients dealt to this shard; closed when there are no more.
    pub(super) clients: Receiver<Client>,
    pub(super) commands: Receiver<Command>,
    pub(super) signals: ShardSignals,
}

/// Serves until the shard has ended: the body of its thread.
pub(super) fn run(parts: ShardParts) {
    let ShardParts { shared, number, since, heartbeat, receiver, clients, commands, signals } = parts;
    let ShardSignals { answered, abort, .. } = signals;
    let context = Context::new(shared, number, receiver, SystemTime::now());
    let executor = LocalExecutor::new();
    let serve = async {
        let begin = async {
            while let Ok(client) = clients.recv().await {
                executor.spawn(Connection::new(client, &context)).detach();
            }
            shutdown::answer_requests(&context, answered).await;
        };
        future::zip(begin, executor.spawn(context.dispatcher.run())).await;
        context.connections.empty().await;
    };
    let aborted = async {
        let _ = abort.recv().await;
    };
    // None of these ends. A panic in one is the shard's: a task that waits for another panics with it.
    let beside = future::or(
        executor.spawn(tick(&context, since)),
        future::or(executor.spawn(heartbeat_round(&context, heartbeat)), executor.spawn(answer(&context, commands))),
    );
    async_io::block_on(executor.run(future::or(serve, future::or(beside, aborted))));
}

/// Keeps the shard's time: deadlines and the date.
///
/// It waits for its timer alone, so that the metrics show for how long the shard's other tasks hold each other up.
async fn tick(context: &Context<impl Sink>, since: Instant) {
    loop {
        context.shard_metrics.ticked(since.elapsed());
        Timer::after(context.clock.tick_length()).await;
        context.clock.tick();
        context.date.set(SystemTime::now());
        context.dispatcher.tick();
    }
}

/// Sends heartbeats, each round of which takes as long as writing to all streams does.
async fn heartbeat_round(context: &Context<impl Sink>, heartbeat: Option<Duration>) {
    let Some(heartbeat) = heartbeat.map(|heartbeat| context.clock.ticks(heartbeat)) else {
        return future::pending().await;
    };
    loop {
        Timer::after(context.clock.tick_length()).await;
        context.dispatcher.heartbeat_round(heartbeat).await;
    }
}

/// Carries out the commands of the admin side. A reply to a command that was given up is dropped.
async fn answer(context: &Context<impl Socket>, commands: Receiver<Command>) {
    while let Ok(command) = commands.recv().await {
        match command {
            Command::Slowest(most, reply) => {
                let slow = context.dispatcher.slowest(most, |io| io.peer());
                let time = |ticks| context.clock.tick_length() * u32::try_from(ticks).unwrap_or(u32::MAX);
                let timed = slow.into_iter().map(|slow| (time(slow.ticks), slow));
                let _ = reply.try_send(timed.collect());
            }
            Command::Disconnect(number, reply) => {
                let _ = reply.try_send(context.dispatcher.disconnect(number));
            }
        }
    }
    // Every sender is gone, and this must not end.
    future::pending::<()>().await;
}
