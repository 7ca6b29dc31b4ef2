//! What the live page is told: once how the server is set up, then each second how it is.
//!
//! Totals and not rates: who reads takes differences, and loses nothing when it misses a second.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{AdminContext, configuration};
use crate::event::json::{self, Object};
use crate::fanout::{Command, ShardHandle, SlowReport};
use crate::metrics::{Distribution, StreamEnd};

/// The streams that are furthest behind: so many are shown.
const STREAMS_SHOWN: usize = 20;

/// How long a worker may take to answer; one that takes longer is left out.
const PATIENCE: Duration = Duration::from_millis(500);

/// One page's own view: what is new since it last looked.
pub(super) struct Live<'w> {
    watched: &'w AdminContext,
    latency: Distribution,
}

impl<'w> Live<'w> {
    pub(super) fn new(watched: &'w AdminContext) -> Self {
        Self { watched, latency: watched.latency() }
    }

    /// How the server is set up.
    pub(super) fn hello(&self) -> String {
        let watched = self.watched;
        let data = Object::default()
            .with_text("version", env!("CARGO_PKG_VERSION"))
            .with("started", unix_millis(watched.started))
            .with("pid", std::process::id())
            .with("workers", watched.shared.metrics.shards().len())
            .with(
                "addresses",
                json::array(watched.config.listen.iter().map(|address| json::string(&address.to_string()))),
            )
            .with("connection_limit", watched.connection_limit)
            .with("configuration", self.configuration())
            .end();
        event("hello", &data)
    }

    /// The configuration alone, which can change.
    pub(super) fn changed_configuration(&self) -> String {
        event("configuration", &self.configuration())
    }

    fn configuration(&self) -> String {
        configuration::rows(&self.watched.config, &self.watched.shared.settings.access())
    }

    /// How the server is now.
    pub(super) async fn sample(&mut self) -> String {
        let watched = self.watched;
        let metrics = &watched.shared.metrics;
        let data = Object::default()
            .with("at", unix_millis(SystemTime::now()))
            .with("streams", metrics.streams())
            .with("connections", metrics.connections())
            .with("messages", metrics.messages())
            .with("deliveries", metrics.deliveries())
            .with("bytes", metrics.delivered_bytes())
            .with_optional("latency", self.new_latency())
            .with("ready", watched.health.ready().is_ok())
            .with("workers", workers(watched))
            .with("ended", counts(StreamEnd::ALL.map(|(end, name)| (name, metrics.streams_ended(end)))))
            .with("publishes", counts(watched.publishes()))
            .with("refused", counts(watched.refused()))
            .with_optional("history", history(watched))
            .with("slowest", json::array(slowest(watched).await))
            .end();
        event("sample", &data)
    }

    /// The quantiles of the messages that were written since the last time; nothing where there were none.
    fn new_latency(&mut self) -> Option<String> {
        let latency = self.watched.latency();
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

fn workers(watched: &AdminContext) -> String {
    let workers = watched.shared.metrics.shards().iter().zip(watched.health.last_ticks());
    json::array(workers.map(|(shard, ticked)| {
        Object::default()
            .with("streams", shard.streams.get())
            .with("deliveries", shard.deliveries.get())
            .with("bytes", shard.bytes.get())
            .with("window_bytes", shard.window_bytes.get())
            .with("slow", shard.slow.get())
            .with("turned", ticked.as_secs_f64())
            .end()
    }))
}

fn history(watched: &AdminContext) -> Option<String> {
    let (events, bytes, oldest) = watched.shared.hub.history()?.held();
    let oldest = oldest.unwrap_or_default().as_secs_f64();
    Some(Object::default().with("events", events).with("bytes", bytes).with("oldest", oldest).end())
}

/// The streams that are furthest behind, those first.
async fn slowest(watched: &AdminContext) -> Vec<String> {
    // All are asked before the first is waited for: however many hang, that takes the time of one.
    let handles = watched.handles().iter();
    let request: Vec<_> =
        handles.map(|handle| handle.ask(|reply| Command::Slowest(STREAMS_SHOWN, reply), PATIENCE)).collect();
    let mut all: Vec<(usize, Duration, SlowReport<String>)> = Vec::new();
    for (worker, answer) in request.into_iter().enumerate() {
        all.extend(answer.await.into_iter().flatten().map(|(time, behind)| (worker, time, behind)));
    }
    all.sort_by_key(|(_, _, behind)| std::cmp::Reverse(behind.bytes));
    all.truncate(STREAMS_SHOWN);
    let shown = all.into_iter().map(|(worker, time, behind)| {
        Object::default()
            .with_text("id", &format!("{}-{worker}-{}", unix_millis(watched.started), behind.number))
            .with_text("peer", &behind.seen)
            .with("worker", worker)
            .with("behind", behind.bytes)
            .with("seconds", time.as_secs_f64())
            .with("topics", json::array(behind.filters.iter().map(json::string)))
            .end()
    });
    shown.collect()
}

/// What became of a wish to end a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disconnect {
    Done,
    /// There is none with this id that is behind.
    NotFound,
    /// Its worker has not answered yet, and may still do it.
    Unanswered,
}

/// Has the stream with this id end.
pub(super) async fn disconnect(watched: &AdminContext, id: &str) -> Disconnect {
    let Some((handle, number)) = hatch_and_number(watched, id) else { return Disconnect::NotFound };
    match handle.ask(|reply| Command::Disconnect(number, reply), PATIENCE).await {
        Some(true) => Disconnect::Done,
        Some(false) => Disconnect::NotFound,
        None => Disconnect::Unanswered,
    }
}

fn hatch_and_number<'w>(watched: &'w AdminContext, id: &str) -> Option<(&'w ShardHandle, u64)> {
    // A page that was open over a restart must not mean one stream and end another.
    let rest = id.strip_prefix(&format!("{}-", unix_millis(watched.started)))?;
    let (worker, number) = rest.split_once('-')?;
    let worker: usize = worker.parse().ok()?;
    Some((watched.handles().get(worker)?, number.parse().ok()?))
}

fn unix_millis(time: SystemTime) -> u128 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}
