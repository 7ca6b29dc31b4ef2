//! The server's counters as Prometheus reads them: text exposition format 0.0.4, over the `prometheus` crate.
//!
//! Everything is read when it is asked for, by the thread that was asked. Names and units follow Prometheus'
//! conventions; the values of labels are words that are written here, and the numbers of workers: never a topic or an
//! address.

use std::ops::RangeInclusive;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Error, TextEncoder};

use super::AdminContext;
use crate::metrics::{Count, Distribution, ShardMetrics, StatusClass, StreamEnd};
use crate::sys::Process;

/// The media type of what [`text`] gives.
pub(super) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Batch sizes are told up to 1023 messages: less than so many powers of two.
const BATCH_POWERS: RangeInclusive<u32> = 1..=10;

/// Times are told from 128 microseconds to half a minute: less than so many powers of two of a microsecond.
const TIME_POWERS: RangeInclusive<u32> = 7..=25;

/// All metrics, as text.
pub(super) fn text(watched: &AdminContext) -> Result<String, Error> {
    let mut families = Vec::new();
    server(watched, &mut families);
    streams(watched, &mut families);
    messages(watched, &mut families);
    requests(watched, &mut families);
    connections(watched, &mut families);
    workers(watched, &mut families);
    history(watched, &mut families);
    process(&mut families);
    TextEncoder::new().encode_to_string(&families)
}

fn server(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let version = labelled(gauge(1.0), "version", env!("CARGO_PKG_VERSION"));
    out.push(family("smolcast_build_info", "The version that runs.", MetricType::GAUGE, [version]));
    let ready = f64::from(u8::from(watched.health.ready().is_ok()));
    out.push(one_gauge("smolcast_ready", "Whether the server serves and every worker turns.", ready));
    let panics = watched.shared.metrics.panics();
    out.push(one_counter("smolcast_panics_total", "Connection tasks that panicked, which is a bug.", panics));
}

fn streams(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let metrics = &watched.shared.metrics;
    out.push(one_gauge("smolcast_streams", "Streams open now.", metrics.streams() as f64));
    let ends = StreamEnd::ALL.map(|(end, name)| labelled(counter(metrics.streams_ended(end)), "reason", name));
    out.push(family("smolcast_stream_ends_total", "Streams that ended, by reason.", MetricType::COUNTER, ends));
    let behind = watched.sum(|shard| &shard.slow);
    out.push(one_gauge("smolcast_streams_behind", "Streams that do not keep up now.", behind as f64));
    let times_slow = metrics.shards().iter().map(|shard| shard.times_slow()).sum();
    out.push(one_counter("smolcast_stream_falls_total", "Times that a stream fell behind.", times_slow));
    let skips = metrics.streams_skipped();
    out.push(one_counter(
        "smolcast_stream_skips_total",
        "Times that a slow stream skipped to the newest events.",
        skips,
    ));
    let window = watched.sum(|shard| &shard.window_bytes);
    let help = "What is held in memory for streams that do not keep up.";
    out.push(one_gauge("smolcast_window_bytes", help, window as f64));
}

fn messages(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let metrics = &watched.shared.metrics;
    out.push(one_counter("smolcast_messages_total", "Messages accepted.", metrics.messages()));
    let help = "Messages written to a stream, each message counted for each of its streams.";
    out.push(one_counter("smolcast_deliveries_total", help, metrics.deliveries()));
    let help = "Bytes written to streams.";
    out.push(one_counter("smolcast_delivered_bytes_total", help, metrics.delivered_bytes()));
    let sizes = Distribution::of(metrics.shards().iter().map(|shard| &shard.batch_sizes));
    let help = "Messages that were written together, for each round of a worker.";
    let most_messages = |end: u64| (end - 1) as f64;
    out.push(histogram("smolcast_batch_messages", help, &sizes, sizes.sum as f64, BATCH_POWERS, most_messages));
    let help = "From when a message came to be published to its last write, on the last of all workers.";
    let (times, seconds) = (watched.latency(), |micros: u64| micros as f64 / 1e6);
    let name = "smolcast_publish_to_last_write_seconds";
    out.push(histogram(name, help, &times, seconds(times.sum), TIME_POWERS, seconds));
}

fn requests(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let answers = StatusClass::ALL
        .map(|(answer, name)| labelled(counter(watched.sum(|shard| &shard.answers[answer as usize])), "status", name));
    out.push(family("smolcast_requests_total", "Requests answered, by status.", MetricType::COUNTER, answers));
    let publishes = watched.publishes().into_iter();
    let publishes: Vec<_> = publishes.map(|(name, count)| labelled(counter(count), "outcome", name)).collect();
    let help = "Requests to publish, by outcome.";
    out.push(family("smolcast_publishes_total", help, MetricType::COUNTER, publishes));
    let delayed = watched.shared.metrics.publishes_delayed();
    let help = "Publishes that waited because too many bytes were under way.";
    out.push(one_counter("smolcast_publishes_delayed_total", help, delayed));
}

fn connections(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let metrics = &watched.shared.metrics;
    let open = metrics.connections() as f64;
    out.push(one_gauge("smolcast_connections", "Connections open now, streams included.", open));
    let limit = watched.connection_limit as f64;
    out.push(one_gauge("smolcast_connections_limit", "Connections that there is room for.", limit));
    let refused = watched.refused().map(|(reason, count)| labelled(counter(count), "reason", reason));
    let help = "Connections refused: told to come back for want of room, over the limit of their address, or closed at \
                once. One that is over its address's limit is counted as told or closed as well.";
    out.push(family("smolcast_connections_refused_total", help, MetricType::COUNTER, refused));
    let closed = [
        ("idle", metrics.connections_idled()),
        ("answer_stalled", metrics.answers_stalled()),
        ("lingered", metrics.lingers_cut()),
    ];
    let closed = closed.map(|(reason, count)| labelled(counter(count), "reason", reason));
    let help = "Connections closed before their clients closed them.";
    out.push(family("smolcast_connections_closed_total", help, MetricType::COUNTER, closed));
    let failures = metrics.accept_failures();
    let help = "Times that the system had no descriptor or memory for a new connection, or a listening socket failed.";
    out.push(one_counter("smolcast_accept_failures_total", help, failures));
}

fn workers(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let each = |count: fn(&ShardMetrics) -> &Count| {
        watched.shared.metrics.shards().iter().map(move |shard| count(shard).get())
    };
    let numbered = |metrics: Vec<Metric>| {
        let metrics = metrics.into_iter().enumerate();
        metrics.map(|(number, metric)| labelled(metric, "worker", &number.to_string())).collect::<Vec<_>>()
    };
    let streams = each(|shard| &shard.streams).map(|count| gauge(count as f64)).collect();
    let help = "Streams open now, by worker.";
    out.push(family("smolcast_worker_streams", help, MetricType::GAUGE, numbered(streams)));
    let deliveries = each(|shard| &shard.deliveries).map(counter).collect();
    let help = "Messages written to a stream, by worker.";
    out.push(family("smolcast_worker_deliveries_total", help, MetricType::COUNTER, numbered(deliveries)));
    let last_ticks = watched.health.last_ticks().map(|time| gauge(time.as_secs_f64())).collect();
    let help = "How long ago the worker's loop last turned, which it does several times a second.";
    out.push(family("smolcast_worker_turn_age_seconds", help, MetricType::GAUGE, numbered(last_ticks)));
}

fn history(watched: &AdminContext, out: &mut Vec<MetricFamily>) {
    let Some(history) = watched.shared.hub.history() else { return };
    let (events, bytes, age) = history.held();
    out.push(one_gauge("smolcast_history_events", "Events held for streams that come back.", events as f64));
    out.push(one_gauge("smolcast_history_bytes", "What they take in memory.", bytes as f64));
    let age = age.unwrap_or_default().as_secs_f64();
    out.push(one_gauge("smolcast_history_oldest_age_seconds", "How old the oldest of them is.", age));
}

fn process(out: &mut Vec<MetricFamily>) {
    let Some(process) = Process::read() else { return };
    let help = "Total user and system CPU time spent in seconds.";
    let cpu = metric_of(MetricType::COUNTER, process.cpu_seconds);
    out.push(family("process_cpu_seconds_total", help, MetricType::COUNTER, [cpu]));
    let gauges = [
        ("process_start_time_seconds", "Start time since 1970 in seconds.", process.started_at),
        ("process_threads", "Threads.", Some(process.threads as f64)),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", Some(process.virtual_bytes as f64)),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", Some(process.resident_bytes as f64)),
        ("process_open_fds", "Open file descriptors.", process.open_descriptors.map(|count| count as f64)),
        ("process_max_fds", "Most open file descriptors.", process.descriptor_limit.map(|limit| limit as f64)),
    ];
    let known = gauges.into_iter().filter_map(|(name, help, value)| Some(one_gauge(name, help, value?)));
    out.extend(known);
}

fn family(name: &str, help: &str, kind: MetricType, metrics: impl Into<Vec<Metric>>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics.into());
    family
}

fn one_gauge(name: &str, help: &str, value: f64) -> MetricFamily {
    family(name, help, MetricType::GAUGE, [gauge(value)])
}

fn one_counter(name: &str, help: &str, value: u64) -> MetricFamily {
    family(name, help, MetricType::COUNTER, [counter(value)])
}

fn gauge(value: f64) -> Metric {
    metric_of(MetricType::GAUGE, value)
}

fn counter(value: u64) -> Metric {
    metric_of(MetricType::COUNTER, value as f64)
}

fn metric_of(kind: MetricType, value: f64) -> Metric {
    let mut metric = Metric::default();
    if kind == MetricType::COUNTER {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn labelled(mut metric: Metric, name: &str, value: &str) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value.to_owned());
    metric.set_label(vec![label]);
    metric
}

/// A histogram whose buckets end below these powers of two, which `bound` tells in the metric's unit.
fn histogram(
    name: &str,
    help: &str,
    counted: &Distribution,
    sum: f64,
    powers: RangeInclusive<u32>,
    bound: impl Fn(u64) -> f64,
) -> MetricFamily {
    let buckets = powers.map(|power| {
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound(1 << power));
        bucket.set_cumulative_count(counted.below_power(power));
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(counted.count());
    histogram.set_sample_sum(sum);
    let mut metric = Metric::default();
    metric.set_histogram(histogram);
    family(name, help, MetricType::HISTOGRAM, [metric])
}
