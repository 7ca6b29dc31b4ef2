//! The admin address: metrics, health, and a live page, for whoever looks after the server.
//!
//! It has a thread of its own, so that it answers when workers do not, and costs them nothing but what they are asked
//! for. It never shares a port with the public side: whoever reaches it may see all of it, publish, and disconnect
//! streams. Each connection is for one request; pages of other origins get nothing done.

mod configuration;
mod guard;
mod live;
mod page;
mod prometheus;
mod response;
mod service;
mod trial;

use std::io;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use smol::LocalExecutor;
use smol::channel::{self, Sender};
use smol::future;

use self::service::AdminService;
use crate::config::Config;
use crate::connection::Shared;
use crate::fanout::ShardHandle;
use crate::metrics::{Count, Distribution, Health, PublishOutcome, ShardMetrics};
use crate::net::Listener;

/// What is watched over.
#[derive(Debug)]
pub(crate) struct AdminContext {
    pub(crate) config: Config,
    pub(crate) shared: Shared,
    pub(crate) health: Health,
    pub(crate) connection_limit: usize,
    pub(crate) started: SystemTime,
    /// The ways into the shards, once there are any.
    pub(crate) handles: Arc<OnceLock<Vec<ShardHandle>>>,
}

impl AdminContext {
    fn handles(&self) -> &[ShardHandle] {
        self.handles.get().map_or(&[], Vec::as_slice)
    }

    /// What all shards have counted.
    fn sum(&self, count: impl Fn(&ShardMetrics) -> &Count) -> u64 {
        self.shared.metrics.shards().iter().map(|shard| count(shard).get()).sum()
    }

    /// The times from acceptance to last write so far, in microseconds.
    fn latency(&self) -> Distribution {
        Distribution::of(self.shared.metrics.shards().iter().map(|shard| &shard.latency))
    }

    /// Requests to publish, by outcome.
    fn publishes(&self) -> Vec<(&'static str, u64)> {
        let named = PublishOutcome::ALL.into_iter();
        named.map(|(publish, name)| (name, self.sum(|shard| &shard.publishes[publish as usize]))).collect()
    }

    /// Connections refused, by reason. One over its address's limit is one of the others as well.
    fn refused(&self) -> [(&'static str, u64); 3] {
        let metrics = &self.shared.metrics;
        [
            ("connections", metrics.connections_refused()),
            ("dropped", metrics.connections_dropped()),
            ("address", metrics.connections_over_ip_limit()),
        ]
    }
}

/// The thread that serves the address. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Dropped to have the thread end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Begins to serve.
    pub(crate) fn start(mut listener: Listener, watched: AdminContext) -> io::Result<Self> {
        let (stop, stopped) = channel::bounded::<()>(1);
        let thread = thread::Builder::new().name("smolcast-admin".to_owned()).spawn(move || {
            let service = AdminService::new(&watched);
            let executor = LocalExecutor::new();
            let stopped = async {
                // Nothing is ever sent: the channel only closes.
                let _ = stopped.recv().await;
            };
            let serve = future::or(service.turn(), service.accept(&mut listener, &executor));
            async_io::block_on(executor.run(future::or(serve, stopped)));
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on stderr.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
