//! Response to `GET /metrics`: the server's counters, and the facts that only the admin side has.
//!
//! Those are readiness, limits, the age of the workers' last ticks, the history and the process. All of it is read when
//! Prometheus asks, on the admin thread.

use super::AdminContext;
use super::response::AdminResponse;
use crate::metrics::{Exposition, Metrics};
use crate::sys::Process;

pub(super) fn response(context: &AdminContext) -> AdminResponse {
    let mut out = context.shared.metrics.exposition();
    let ready = f64::from(u8::from(context.health.ready().is_ok()));
    let help = "1 while the server serves and the loop of every worker runs, else 0.";
    out.after("smolcast_build_info").gauge("smolcast_ready", help, ready);
    let (help, limit) = ("Connections that the server has room for.", context.connection_limit as f64);
    out.after("smolcast_connections").gauge("smolcast_connections_limit", help, limit);
    let ages = context.health.last_ticks().enumerate().map(|(number, age)| (number.to_string(), age.as_secs_f64()));
    let help = "Time since the worker's loop last ran, which it does several times a second.";
    out.after("smolcast_worker_deliveries_total").gauges("smolcast_worker_turn_age_seconds", help, "worker", ages);
    add_history(context, &mut out);
    add_process(&mut out);
    AdminResponse::new("200 OK", Metrics::MEDIA_TYPE, out.text())
}

fn add_history(context: &AdminContext, out: &mut Exposition) {
    let Some(history) = context.shared.hub.history() else { return };
    let (events, bytes, age) = history.held();
    out.gauge("smolcast_history_events", "Events in the history.", events as f64);
    out.gauge("smolcast_history_bytes", "Memory that the history takes.", bytes as f64);
    let age = age.unwrap_or_default().as_secs_f64();
    out.gauge("smolcast_history_oldest_age_seconds", "Age of the oldest event in the history.", age);
}

/// The names and texts are those of Prometheus' own client libraries.
fn add_process(out: &mut Exposition) {
    let Some(process) = Process::read() else { return };
    let help = "Total user and system CPU time spent in seconds.";
    out.counter_of("process_cpu_seconds_total", help, process.cpu_seconds);
    let gauges = [
        ("process_start_time_seconds", "Start time since 1970 in seconds.", process.started_at),
        ("process_threads", "Threads.", Some(process.threads as f64)),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", Some(process.virtual_bytes as f64)),
        ("process_resident_memory_bytes", "Resident memory size in bytes.", Some(process.resident_bytes as f64)),
        ("process_open_fds", "Open file descriptors.", process.open_descriptors.map(|count| count as f64)),
        ("process_max_fds", "Most open file descriptors.", process.descriptor_limit.map(|limit| limit as f64)),
    ];
    for (name, help, value) in gauges {
        if let Some(value) = value {
            out.gauge(name, help, value);
        }
    }
}
