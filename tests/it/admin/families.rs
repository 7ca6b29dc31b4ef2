//! The list of metrics: every family, and labels that no client controls.

use std::net::Ipv4Addr;

use smolcast::{Limits, Retention};
use support::{Client, EventStream, Served, config, wait_until, with};

use super::{admin, get, metrics, start, text};

const COUNTERS: [&str; 15] = [
    "smolcast_accept_failures_total",
    "smolcast_connections_closed_total",
    "smolcast_connections_refused_total",
    "smolcast_delivered_bytes_total",
    "smolcast_deliveries_total",
    "smolcast_messages_total",
    "smolcast_panics_total",
    "smolcast_publishes_delayed_total",
    "smolcast_publishes_total",
    "smolcast_requests_total",
    "smolcast_stream_ends_total",
    "smolcast_stream_falls_total",
    "smolcast_stream_skips_total",
    "smolcast_worker_deliveries_total",
    #[cfg(target_os = "linux")]
    "process_cpu_seconds_total",
];

const GAUGES: [&str; 18] = [
    "smolcast_build_info",
    "smolcast_connections",
    "smolcast_connections_limit",
    "smolcast_history_bytes",
    "smolcast_history_events",
    "smolcast_history_oldest_age_seconds",
    "smolcast_ready",
    "smolcast_streams",
    "smolcast_streams_behind",
    "smolcast_window_bytes",
    "smolcast_worker_streams",
    "smolcast_worker_turn_age_seconds",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_threads",
    "process_virtual_memory_bytes",
];

const HISTOGRAMS: [&str; 2] = ["smolcast_batch_messages", "smolcast_publish_to_last_write_seconds"];

#[cfg(target_os = "linux")]
#[test]
fn every_family_has_its_help_and_type() {
    let server = start(with!(config(Limits::default()), { history: Some(Retention::default()) }));
    let response = get(admin(&server), "/metrics").expect_status(200);
    response.expect_field("content-type", "text/plain; version=0.0.4; charset=utf-8");
    let all = metrics(&server);
    let kinds = [("counter", &COUNTERS[..]), ("gauge", &GAUGES), ("histogram", &HISTOGRAMS)];
    let expected = kinds.iter().flat_map(|(kind, names)| names.iter().map(|name| (*name, *kind)));
    let found = all.kinds.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
    assert_eq!(found.collect::<Vec<_>>(), sorted(expected));
    assert!(all.kinds.keys().all(|name| all.samples.keys().any(|sample| sample.starts_with(name))), "{all:#?}");
    assert_eq!(all.by_label("smolcast_build_info").into_keys().collect::<Vec<_>>(), [env!("CARGO_PKG_VERSION")]);
    assert!(all.value("process_resident_memory_bytes") > 0.0 && all.value("process_open_fds") > 3.0, "{all:#?}");
}

#[test]
fn a_program_renders_what_the_page_has_of_the_counters() {
    let server = start(config(Limits::default()));
    let heads = |text: &str| text.lines().filter(|line| line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    let (rendered, page) = (heads(&server.metrics.render()), heads(&text(admin(&server), "/metrics")));
    let common = page.iter().filter(|line| rendered.contains(line));
    assert_eq!(common.collect::<Vec<_>>(), rendered.iter().collect::<Vec<_>>(), "the same families in the same order");
    assert!(rendered.len() > 40, "{rendered:#?}");
}

#[test]
fn without_a_history_its_families_are_absent() {
    let server = start(config(Limits::default()));
    assert!(!text(admin(&server), "/metrics").contains("history"));
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.collect();
    items.sort();
    items
}

/// No topic, address, path or name of a client becomes a label: any client could fill a Prometheus's memory.
#[test]
fn no_client_data_becomes_a_label() {
    let server = start(config(Limits::default()));
    let before = metrics(&server);
    let odd = "oddity-4711";
    let (mut streams, from) = (Vec::new(), Ipv4Addr::new(127, 47, 11, 9));
    for request in [
        format!("GET /sse?topic={odd} HTTP/1.1\r\nHost: {odd}\r\nUser-Agent: {odd}\r\n\r\n"),
        format!("GET /sse?topic={odd}/%23 HTTP/1.1\r\nHost: h\r\nOrigin: http://{odd}\r\n\r\n"),
    ] {
        streams.push(EventStream::open_with(Client::connect_from(from, server.addr), request.as_bytes()).0);
    }
    for request in [
        format!("POST /broadcast?topic={odd}&event={odd}&id={odd} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"),
        format!("GET /{odd} HTTP/1.1\r\nHost: {odd}\r\n\r\n"),
        format!("{odd} / HTTP/1.1\r\nHost: h\r\n\r\n"),
    ] {
        Client::connect_from(from, server.addr).request(request);
    }
    wait_until("the message was written", || server.metrics.deliveries() == 2);
    let after = text(admin(&server), "/metrics");
    assert!(!after.contains(odd) && !after.contains("127."), "{after}");
    let samples = |all: &super::Exposition| all.samples.keys().cloned().collect::<Vec<_>>();
    assert_eq!(samples(&before), samples(&metrics(&server)), "no sample more than before");
    let labels = after.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', '=']).nth(1));
    let labels = sorted(labels.map(str::to_owned));
    let known = ["le", "outcome", "reason", "status", "version", "worker"];
    assert!(labels.iter().all(|label| known.contains(&label.as_str())), "{labels:?}");
    assert_eq!(server.count(), 2);
}
