//! The admin address: health, metrics and a live page for operators.
//!
//! A thread of its own serves it, so that it responds while shards hang, and costs them only what it asks them. It has
//! a port of its own. A client that reaches it may read everything, publish, and disconnect streams, without a token.
//! Each connection serves one request. Pages of other origins change nothing ([`guard`]).

mod configuration;
mod guard;
mod live;
mod page;
mod prometheus;
mod publish;
mod response;
mod service;

use std::io;
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use smol::LocalExecutor;
use smol::channel::{self, Sender};
use smol::future;

use self::service::AdminService;
use crate::config::Config;
use crate::connection::Shared;
use crate::fanout::ShardHandle;
use crate::metrics::Health;
use crate::net::Listener;

/// The server, as the admin address sees it.
#[derive(Debug)]
pub(crate) struct AdminContext {
    pub(crate) config: Config,
    pub(crate) shared: Shared,
    pub(crate) health: Health,
    pub(crate) connection_limit: usize,
    pub(crate) started: SystemTime,
    /// One for each shard.
    pub(crate) handles: Vec<ShardHandle>,
}

/// The thread that serves the admin address; dropping this ends it.
#[derive(Debug)]
pub(crate) struct Admin {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Starts the thread.
    pub(crate) fn start(mut listener: Listener, context: AdminContext) -> io::Result<Self> {
        let (stop, stopped) = channel::bounded::<()>(1);
        let thread = thread::Builder::new().name("smolcast-admin".to_owned()).spawn(move || {
            let service = AdminService::new(&context);
            let executor = LocalExecutor::new();
            let stopped = async {
                // Nothing is ever sent: the channel only closes.
                let _ = stopped.recv().await;
            };
            let serve = future::or(service.tick(), service.accept(&mut listener, &executor));
            async_io::block_on(executor.run(future::or(serve, stopped)));
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread is on stderr already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
