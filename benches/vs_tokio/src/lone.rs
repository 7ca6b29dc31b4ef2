//! The load alone, against a server that runs already: `load --url http://127.0.0.1:1942`.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;

use argh::FromArgs;
use hdrhistogram::Histogram;

use crate::crowd::{Crowd, Opening};
use crate::flags::{address, typed};
use crate::load::{self, Load, Outcome};
use crate::process::{family, raise_descriptor_limit};
use crate::stamp::check_size;
use anyhow::{Result, bail};

const CONNECTS_AT_ONCE: usize = 100;

/// Opens streams of a running server, publishes to it at a steady rate, and tells when each message reached each of
/// them.
#[derive(FromArgs)]
struct Options {
    /// the server, http://127.0.0.1:1942 where not given
    #[argh(option, from_str_fn(address), default = "SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1942)")]
    url: SocketAddrV4,

    /// open streams, 1000 where not given
    #[argh(option, default = "1000")]
    clients: usize,

    /// messages a second, 20 where not given
    #[argh(option, default = "20")]
    rate: u64,

    /// seconds measured, behind the warm-up; 10 where not given
    #[argh(option, default = "10.0")]
    seconds: f64,

    /// bytes of a message, 33 or more; 100 where not given
    #[argh(option, default = "100")]
    size: usize,

    /// messages that are due at the same moment, 1 where not given
    #[argh(option, default = "1")]
    burst: u64,

    /// process of the server, whose CPU time is then told too, with that of its children
    #[argh(option)]
    pid: Option<u32>,
}

pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = typed("cargo run --release -p vs_tokio -- load", words);
    check_size(options.size)?;
    if options.clients == 0 || options.rate == 0 || options.burst == 0 || !(0.1..=86_400.0).contains(&options.seconds) {
        bail!("--clients, --rate and --burst must be 1 or more, --seconds between 0.1 and 86400");
    }
    raise_descriptor_limit()?;
    let Options { url: server, rate, size, seconds, burst, clients, .. } = options;
    let load = Load { rate, size, seconds, burst, ..Load::default() };
    eprintln!("opening {clients} streams of {server}, then {:.1} s of messages", load.total_seconds());
    let mut crowd = Crowd::open(server, clients, Opening::at_once(CONNECTS_AT_ONCE))?;
    let outcome = load::offer(server, &options.pid.map_or_else(Vec::new, family), &mut crowd, load)?;
    print!("{}", told(&outcome, options.pid.is_some()));
    Ok(if outcome.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn told(outcome: &Outcome, with_cpu: bool) -> String {
    let mut lines = vec![
        format!("received      {} of {}", outcome.received, outcome.expected),
        format!("deliveries    {:.0} a second", outcome.window_receipts as f64 / outcome.window_seconds),
        format!("latency, ms   {}", quantiles(&outcome.latency)),
        format!("to the last   {}", quantiles(&outcome.last_subscriber)),
    ];
    if with_cpu {
        let per_delivery = |microseconds: f64| microseconds / outcome.window_receipts as f64;
        let (total, user) = (per_delivery(outcome.server.total()), per_delivery(outcome.server.user));
        lines.push(format!("server's CPU  {total:.3} us a delivery, {user:.3} of it in user space"));
    }
    lines.push(format!("load's CPU    {:.2} cores", outcome.generator_cores()));
    lines.extend(outcome.warnings().into_iter().map(|warning| format!("warning: {warning}")));
    lines.join("\n") + "\n"
}

fn quantiles(latency: &Histogram<u64>) -> String {
    let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
    let (p50, p99, p999, max) = (at(0.5), at(0.99), at(0.999), latency.max() as f64 / 1e3);
    format!("p50 {p50:.1}  p99 {p99:.1}  p99.9 {p999:.1}  max {max:.1}")
}
