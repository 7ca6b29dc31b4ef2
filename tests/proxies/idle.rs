//! Streams that are idle for longer than a proxy's timeout.

use std::time::{Duration, Instant};

use support::Served;
use support::measure::report;

use crate::Program;
use crate::curl::{Next, Stream, Version};
use crate::proxy::{Kind, Proxy, for_each};

/// The timeouts of a proxy are cut from a minute to three seconds, and the heartbeat from 15 seconds to one.
const SHORT: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(8);

fn changes(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Nginx => &[("proxy_read_timeout 60s", "proxy_read_timeout 3s")],
        Kind::Caddy => &[("read_timeout 60s", "read_timeout 3s")],
        Kind::Haproxy => &[("timeout client 60s", "timeout client 3s"), ("timeout server 60s", "timeout server 3s")],
    }
}

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy, and waits for their time-outs"]
fn heartbeats_alone_outlive_the_proxys_timeout() {
    for_each("idle", |kind| {
        let (beating, silent) = (Program::start(&["--heartbeat", "1s"]), Program::start(&["--heartbeat", "0"]));
        let start = Instant::now();
        let [mut kept, cut] = [&beating, &silent].map(|program| {
            let proxy = Proxy::start(kind, program.addr, changes(kind));
            let streams = Version::BOTH.map(|version| Stream::open(&proxy, version));
            (proxy, streams)
        });
        // The control: without heartbeats the file's timeout ends the stream.
        for mut stream in cut.1 {
            assert!(matches!(stream.next(IDLE), Next::End), "{}: a silent stream is not cut", kind.name());
        }
        let after = start.elapsed();
        assert!(after >= SHORT, "{}: cut after {after:?}", kind.name());
        for stream in &mut kept.1 {
            let rest = IDLE.saturating_sub(start.elapsed());
            let next = stream.next(rest);
            assert!(matches!(next, Next::Silence), "{}: a stream with heartbeats: {next:?}", kind.name());
        }
        beating.publish("still there");
        for stream in &mut kept.1 {
            stream.expect("still there");
        }
        report("idle", format_args!("{}: silent streams are cut after {after:.1?}, others never", kind.name()));
    });
}
