//! Browsers that leave.

use support::Served;

use crate::Program;
use crate::curl::{Stream, Version};
use crate::proxy::{Proxy, for_each};

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn a_browser_that_leaves_is_uncounted_at_once() {
    for_each("leaving", |kind| {
        // Without heartbeats, so that no write can fail.
        let program = Program::start(&["--heartbeat", "0"]);
        let proxy = Proxy::start(kind, program.addr, &[]);
        let streams = Version::BOTH.map(|version| [(); 3].map(|()| Stream::open(&proxy, version)));
        program.wait_for_count(6);
        let mut left = 6;
        for stream in streams.into_iter().flatten() {
            drop(stream);
            left -= 1;
            program.wait_for_count(left);
        }
    });
}
