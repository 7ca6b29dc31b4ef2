//! Prometheus text of the counters: exposition format 0.0.4, by the `prometheus` crate.
//!
//! Pure: it reads counters, and no clock, socket or process. The admin side adds the families that need those. Names
//! and units follow the conventions of Prometheus. Label values are fixed words and numbers of workers: no client can
//! add a series, and so fill the memory of a Prometheus.

use std::ops::RangeInclusive;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::{Count, Distribution, Metrics, PublishOutcome, ShardMetrics, StatusClass, StreamEnd};

/// Upper bounds of batch sizes: less than 2 to 1024 messages, by powers of two.
const BATCH_POWERS: RangeInclusive<u32> = 1..=10;

/// Upper bounds of times: 128 microseconds to half a minute, by powers of two of a microsecond.
const TIME_POWERS: RangeInclusive<u32> = 7..=25;

impl Metrics {
    /// The media type of the text that [`Metrics::render`] returns: the `Content-Type` of a response that holds it.
    pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Renders the counters as text for Prometheus, for a program that has a `/metrics` of its own.
    ///
    /// The `/metrics` of the [admin address](crate::Config::admin) has the same families, and others that are no
    /// counters: readiness, limits, the history and the process.
    ///
    /// ```
    /// use smolcast::{Config, Metrics, Server};
    ///
    /// /// The response of the program's own `GET /metrics`: a media type and a body.
    /// fn response(metrics: &Metrics) -> (&'static str, String) {
    ///     (Metrics::MEDIA_TYPE, metrics.render())
    /// }
    ///
    /// # fn main() -> Result<(), smolcast::BindError> {
    /// let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
    /// let metrics = server.metrics(); // cheap to clone, for the program's handlers
    /// let (_, body) = response(&metrics);
    /// assert!(body.contains("\nsmolcast_streams 0\n"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn render(&self) -> String {
        self.exposition().text()
    }

    /// The families of all counters, in the order of the page.
    pub(crate) fn exposition(&self) -> Exposition {
        let mut out = Exposition::default();
        let version = [(env!("CARGO_PKG_VERSION").to_owned(), 1.0)];
        out.gauges("smolcast_build_info", "The version that runs, as a label; the value is 1.", "version", version);
        out.counter("smolcast_panics_total", "Connection tasks that panicked, which is a bug.", self.panics());
        self.add_streams(&mut out);
        self.add_messages(&mut out);
        self.add_requests(&mut out);
        self.add_connections(&mut out);
        self.add_workers(&mut out);
        out
    }

    /// Times from the start of a publish to the message's last write, in microseconds.
    pub(crate) fn latency(&self) -> Distribution {
        Distribution::of(self.shards().iter().map(|shard| &shard.latency))
    }

    /// Publish requests by outcome.
    pub(crate) fn publishes(&self) -> [(&'static str, u64); PublishOutcome::ALL.len()] {
        PublishOutcome::ALL.map(|(outcome, name)| (name, self.sum(|shard| &shard.publishes[outcome as usize])))
    }

    /// Rejected connections by reason. One over the limit of its address counts under another reason as well.
    pub(crate) fn rejections(&self) -> [(&'static str, u64); 4] {
        [
            ("connections", self.connections_refused()),
            ("dropped", self.connections_dropped()),
            ("address", self.connections_over_ip_limit()),
            ("filters", self.streams_over_filter_limit()),
        ]
    }

    fn sum(&self, count: impl Fn(&ShardMetrics) -> &Count) -> u64 {
        self.shards().iter().map(|shard| count(shard).get()).sum()
    }

    fn add_streams(&self, out: &mut Exposition) {
        out.gauge("smolcast_streams", "Open streams.", self.streams() as f64);
        let ends = StreamEnd::ALL.map(|(end, name)| (name, self.streams_ended(end)));
        out.counters("smolcast_stream_ends_total", "Streams that ended, by reason.", "reason", ends);
        let slow = self.sum(|shard| &shard.slow) as f64;
        out.gauge("smolcast_streams_behind", "Slow streams: open, with events that wait for the client.", slow);
        let times_slow = self.sum(|shard| &shard.times_slow);
        out.counter("smolcast_stream_falls_total", "Times that a stream became slow.", times_slow);
        let help = "Times that a slow stream skipped to the newest events.";
        out.counter("smolcast_stream_skips_total", help, self.streams_skipped());
        let window = self.sum(|shard| &shard.window_bytes) as f64;
        out.gauge("smolcast_window_bytes", "Memory that holds events for slow streams.", window);
    }

    fn add_messages(&self, out: &mut Exposition) {
        out.counter("smolcast_messages_total", "Messages accepted.", self.messages());
        let help = "Messages written to streams, each counted once for each of its streams.";
        out.counter("smolcast_deliveries_total", help, self.deliveries());
        out.counter("smolcast_delivered_bytes_total", "Bytes written to streams.", self.delivered_bytes());
        let sizes = Distribution::of(self.shards().iter().map(|shard| &shard.batch_sizes));
        let help = "Messages that a worker wrote together in one round.";
        let most_messages = |end: u64| (end - 1) as f64;
        out.histogram("smolcast_batch_messages", help, &sizes, sizes.sum as f64, BATCH_POWERS, most_messages);
        let help = "Time from the start of a publish to the message's last write by the last worker.";
        let (times, seconds) = (self.latency(), |micros: u64| micros as f64 / 1e6);
        let name = "smolcast_publish_to_last_write_seconds";
        out.histogram(name, help, &times, seconds(times.sum), TIME_POWERS, seconds);
    }

    fn add_requests(&self, out: &mut Exposition) {
        let classes = StatusClass::ALL.map(|(class, name)| (name, self.sum(|shard| &shard.responses[class as usize])));
        out.counters("smolcast_requests_total", "Requests answered, by class of status.", "status", classes);
        out.counters("smolcast_publishes_total", "Publish requests, by outcome.", "outcome", self.publishes());
        let help = "Publishes that waited because too many bytes were in flight.";
        out.counter("smolcast_publishes_delayed_total", help, self.publishes_delayed());
    }

    fn add_connections(&self, out: &mut Exposition) {
        out.gauge("smolcast_connections", "Open connections, streams included.", self.connections() as f64);
        let help = "Connections rejected: told to come back, over the limit of their address, or closed at once. One \
                    over the limit of its address counts under another reason as well.";
        out.counters("smolcast_connections_refused_total", help, "reason", self.rejections());
        let closed = [
            ("idle", self.connections_idled()),
            ("answer_stalled", self.answers_stalled()),
            ("lingered", self.lingers_cut()),
        ];
        let help = "Connections that the server closed before the client did, by reason.";
        out.counters("smolcast_connections_closed_total", help, "reason", closed);
        let help =
            "Failed accepts: the system had no descriptor or memory for a connection, or a listening socket failed.";
        out.counter("smolcast_accept_failures_total", help, self.accept_failures());
    }

    fn add_workers(&self, out: &mut Exposition) {
        let each = |count: fn(&ShardMetrics) -> &Count| {
            let shards = self.shards().iter().enumerate();
            shards.map(move |(number, shard)| (number.to_string(), count(shard).get()))
        };
        let streams = each(|shard| &shard.streams).map(|(number, streams)| (number, streams as f64));
        out.gauges("smolcast_worker_streams", "Open streams of each worker.", "worker", streams);
        let help = "Messages that each worker wrote to streams, each counted once for each of its streams.";
        out.counters("smolcast_worker_deliveries_total", help, "worker", each(|shard| &shard.deliveries));
    }
}

/// Families of metrics, in the order in which the text has them.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    families: Vec<MetricFamily>,
    /// The place of the next family.
    next: usize,
}

impl Exposition {
    /// Has the families that are added from now on follow this one, or all of them if there is none.
    pub(crate) fn after(&mut self, name: &str) -> &mut Self {
        let found = self.families.iter().position(|family| family.name() == name);
        self.next = found.map_or(self.families.len(), |index| index + 1);
        self
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::GAUGE, vec![gauge(value)]);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counter_of(name, help, value as f64);
    }

    /// A counter of fractions, such as seconds.
    pub(crate) fn counter_of(&mut self, name: &str, help: &str, value: f64) {
        self.add(name, help, MetricType::COUNTER, vec![counter(value)]);
    }

    /// A gauge for each value of a label.
    pub(crate) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (String, f64)>,
    ) {
        let metrics = values.into_iter().map(|(word, value)| labelled(gauge(value), label, word));
        self.add(name, help, MetricType::GAUGE, metrics.collect());
    }

    /// A counter for each value of a label.
    pub(crate) fn counters(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (impl Into<String>, u64)>,
    ) {
        let metrics = values.into_iter().map(|(word, value)| labelled(counter(value as f64), label, word.into()));
        self.add(name, help, MetricType::COUNTER, metrics.collect());
    }

    /// A histogram whose buckets end below powers of two; `bound` converts such an end to the unit of the metric.
    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        counted: &Distribution,
        sum: f64,
        powers: RangeInclusive<u32>,
        bound: impl Fn(u64) -> f64,
    ) {
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
        self.add(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    /// The whole text. Metrics of no server have no worker, and so leave out the families by worker.
    pub(crate) fn text(&self) -> String {
        let encoded = TextEncoder::new().encode_to_string(&self.families);
        encoded.expect("every family has a name and a sample, and writing to a string does not fail")
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.insert(self.next, family);
        self.next += 1;
    }
}

fn gauge(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metric
}

fn counter(value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    metric
}

fn labelled(mut metric: Metric, name: &str, value: String) -> Metric {
    let mut label = LabelPair::default();
    label.set_name(name.to_owned());
    label.set_value(value);
    metric.set_label(vec![label]);
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_added_where_they_belong() {
        let mut out = Metrics::default().exposition();
        out.after("smolcast_build_info").gauge("smolcast_ready", "Ready.", 1.0);
        let names: Vec<_> = out.families[..3].iter().map(MetricFamily::name).collect();
        assert_eq!(names, ["smolcast_build_info", "smolcast_ready", "smolcast_panics_total"]);
        out.after("none").counter("last", "Last.", 2);
        assert!(out.text().ends_with("# HELP last Last.\n# TYPE last counter\nlast 2\n"));
    }

    #[test]
    fn metrics_of_no_server_render_without_workers() {
        assert!(!Metrics::default().render().contains("worker_"));
        assert!(Metrics::of_shards(2).render().contains("\nsmolcast_worker_streams{worker=\"1\"} 0\n"));
    }
}
