//! The latency of an event from the server to a browser behind a proxy.

use std::time::{Duration, Instant};

use support::Served;
use support::measure::{Samples, report};

use crate::Program;
use crate::curl::{Stream, Version};
use crate::proxy::{Proxy, for_each_alone};

const EVENTS: usize = 20;

/// The promised latency. A proxy that buffers takes seconds, or forever.
const SOON: Duration = Duration::from_millis(100);

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn an_event_passes_within_a_tenth_of_a_second() {
    for_each_alone("latency", |kind| {
        let program = Program::start(&[]);
        let proxy = Proxy::start(kind, program.addr, &[]);
        for version in Version::BOTH {
            let mut stream = Stream::open(&proxy, version);
            let mut samples = Samples::default();
            for number in 0..EVENTS {
                let message = format!("event {number}");
                let sent = Instant::now();
                program.publish(&message);
                samples.push(stream.expect(&message) - sent);
            }
            report("latency", format_args!("{} over {version}: {samples}", kind.name()));
            // Two of twenty may be slow, on a busy machine.
            assert!(samples.percentile(90) < SOON, "{} over {version}: {samples}", kind.name());
        }
    });
}
