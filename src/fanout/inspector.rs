//! Commands from other threads to a shard, which alone may touch its subscribers.
//!
//! A handle carries commands and replies; a task of the shard carries them out (`server/shard.rs`).
//!
//! Invariant: no caller waits longer than it asked to, even for a shard that hangs.

use std::time::{Duration, Instant};

use smol::channel::{self, Sender};

use crate::event::topic::FilterSet;
use crate::net::within;

/// One slow subscriber, as the operator sees it.
#[derive(Clone, Debug)]
pub(crate) struct SlowReport<T> {
    /// Its number within its shard.
    pub(crate) number: u64,
    /// The bytes that its client has yet to get.
    pub(crate) bytes: u64,
    /// The ticks for which it has been slow.
    pub(crate) ticks: u64,
    /// The filters that its client asked for.
    pub(crate) filters: FilterSet,
    /// The part of its sink that the caller asked to see.
    pub(crate) seen: T,
}

/// A command to a shard, with the channel for the reply.
#[derive(Debug)]
pub(crate) enum Command {
    /// Reports the slowest subscribers, at most so many, with the time for which each has been slow and its peer.
    Slowest(usize, Sender<Vec<(Duration, SlowReport<String>)>>),
    /// Ends the stream of the slow subscriber with this number. The reply is whether there was one.
    Disconnect(u64, Sender<bool>),
}

/// Another thread's way to command one shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    commands: Sender<Command>,
}

impl ShardHandle {
    /// A handle of the shard that receives these commands.
    pub(crate) fn new(commands: Sender<Command>) -> Self {
        Self { commands }
    }

    /// Sends a command at once, and returns the wait for its reply, which ends `patience` after that.
    ///
    /// A caller sends to all shards before its first wait, so a hung shard does not hold up the others.
    pub(crate) fn ask<T>(
        &self,
        command: impl FnOnce(Sender<T>) -> Command,
        patience: Duration,
    ) -> impl Future<Output = Option<T>> {
        let (reply, replied) = channel::bounded(1);
        let (request, start) = (self.commands.try_send(command(reply)), Instant::now());
        async move {
            request.ok()?;
            // A reply that came in time is there, however late the caller polls.
            within(patience.saturating_sub(start.elapsed()), replied.recv()).await?.ok()
        }
    }
}
