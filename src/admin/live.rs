//! Events of the live page: first the set-up of the server, then its state each second, all in JSON.
//!
//! They hold totals, not rates: the page takes differences, and a missed second costs it nothing. They hold no secret.

use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

use super::{AdminContext, configuration};
use crate::event::json::{self, Object};
use crate::fanout::{Command, ShardHandle, SlowReport};
use crate::metrics::{Distribution, StreamEnd};
use crate::sys::unix_millis;

/// Slow streams that a page lists.
const STREAMS_SHOWN: usize = 20;

/// Longest wait for the reply of a shard. A page goes on without a shard that takes longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The view of one page.
pub(super) struct Live<'c> {
    context: &'c AdminContext,
    /// The latencies that the last sample included.
    latency: Distribution,
}

impl<'c> Live<'c> {
    pub(super) fn new(context: &'c AdminContext) -> Self {
        Self { context, latency: context.shared.metrics.latency() }
    }

    /// The event with the set-up of the server.
    pub(super) fn hello(&self) -> String {
        let context = self.context;
        let addresses = context.config.listen.iter().map(|address| json::string(&address.to_string()));
        let data = Object::default()
            .with_text("version", env!("CARGO_PKG_VERSION"))
            .with("started", unix_millis(context.started))
            .with("pid", std::process::id())
            .with("workers", context.shared.metrics.shards().len())
            .with("addresses", json::array(addresses))
            .with("connection_limit", context.connection_limit)
            .with("configuration", self.configuration())
            .end();
        event("hello", &data)
    }

    /// The event with the configuration alone, part of which can change.
    pub(super) fn changed_configuration(&self) -> String {
        event("configuration", &self.configuration())
    }

    fn configuration(&self) -> String {
        configuration::rows(&self.context.config, &self.context.shared.access_control.settings())
    }

    /// The event with the state of the server now.
    pub(super) async fn sample(&mut self) -> String {
        let context = self.context;
        let metrics = &context.shared.metrics;
        let data = Object::default()
            .with("at", unix_millis(SystemTime::now()))
            .with("streams", metrics.streams())
            .with("connections", metrics.connections())
            .with("messages", metrics.messages())
            .with("deliveries", metrics.deliveries())
            .with("bytes", metrics.delivered_bytes())
            .with_optional("latency", self.new_latency())
            .with("ready", context.health.ready().is_ok())
            .with("workers", workers(context))
            .with("ended", counts(StreamEnd::ALL.map(|(end, name)| (name, metrics.streams_ended(end)))))
            .with("publishes", counts(metrics.publishes()))
            .with("refused", counts(metrics.rejections()))
            .with_optional("history", history(context))
            .with("slowest", json::array(slowest(context).await))
            .end();
        event("sample", &data)
    }

    /// The quantiles of the messages written since the last sample; none if there were no messages.
    fn new_latency(&mut self) -> Option<String> {
        let latency = self.context.shared.metrics.latency();
        let new = latency.since(&self.latency);
        self.latency = latency;
        let seconds = |part| new.quantile(part).map(|micros| micros as f64 / 1e6);
        Some(Object::default().with("p50", seconds(0.5)?).with("p99", seconds(0.99)?).end())
    }
}

fn event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn counts(counts: impl IntoIterator<Item = (&'static str, u64)>) -> String {
    counts.into_iter().fold(Object::default(), |object, (name, count)| object.with(name, count)).end()
}

fn workers(context: &AdminContext) -> String {
    let workers = context.shared.metrics.shards().iter().zip(context.health.last_ticks());
    json::array(workers.map(|(shard, last_tick)| {
        Object::default()
            .with("streams", shard.streams.get())
            .with("deliveries", shard.deliveries.get())
            .with("bytes", shard.bytes.get())
            .with("window_bytes", shard.window_bytes.get())
            .with("slow", shard.slow.get())
            .with("turned", last_tick.as_secs_f64())
            .end()
    }))
}

fn history(context: &AdminContext) -> Option<String> {
    let (events, bytes, oldest) = context.shared.hub.history()?.held();
    let oldest = oldest.unwrap_or_default().as_secs_f64();
    Some(Object::default().with("events", events).with("bytes", bytes).with("oldest", oldest).end())
}

/// The slowest streams of all shards, those with the most bytes to come first.
async fn slowest(context: &AdminContext) -> Vec<String> {
    // All shards are asked before the first reply is awaited: however many hang, that takes the time of one.
    let asked = context.handles.iter();
    let replies: Vec<_> =
        asked.map(|handle| handle.ask(|reply| Command::Slowest(STREAMS_SHOWN, reply), PATIENCE)).collect();
    let mut all: Vec<(usize, Duration, SlowReport<String>)> = Vec::new();
    for (worker, reply) in replies.into_iter().enumerate() {
        all.extend(reply.await.into_iter().flatten().map(|(time, report)| (worker, time, report)));
    }
    all.sort_by_key(|(_, _, report)| Reverse(report.bytes));
    all.truncate(STREAMS_SHOWN);
    let shown = all.into_iter().map(|(worker, time, report)| {
        Object::default()
            .with_text("id", &format!("{}-{worker}-{}", unix_millis(context.started), report.number))
            .with_text("peer", &report.seen)
            .with("worker", worker)
            .with("behind", report.bytes)
            .with("seconds", time.as_secs_f64())
            .with("topics", json::array(report.filters.iter().map(json::string)))
            .end()
    });
    shown.collect()
}

/// Disconnects the slow stream with this id; returns false if there is none. `None` if its shard has not replied in
/// time, and may still disconnect it.
pub(super) async fn disconnect(context: &AdminContext, id: &str) -> Option<bool> {
    let Some((handle, number)) = shard_and_number(context, id) else { return Some(false) };
    handle.ask(|reply| Command::Disconnect(number, reply), PATIENCE).await
}

/// Finds the shard that an id names. The id holds the server's start, so that a page that was open over a
/// restart ends no other stream.
fn shard_and_number<'c>(context: &'c AdminContext, id: &str) -> Option<(&'c ShardHandle, u64)> {
    let rest = id.strip_prefix(&format!("{}-", unix_millis(context.started)))?;
    let (worker, number) = rest.split_once('-')?;
    let worker: usize = worker.parse().ok()?;
    Some((context.handles.get(worker)?, number.parse().ok()?))
}
