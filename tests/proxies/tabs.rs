//! Many tabs of one browser, which share an HTTP/2 connection.

use support::Served;

use crate::Program;
use crate::node::{CLOSES, Tabs};
use crate::proxy::{Proxy, for_each};

/// More than three times a browser's HTTP/1.1 connections to one host.
const TABS: usize = 20;

/// Each gets every event.
#[test]
#[ignore = "it needs nginx, Caddy, HAProxy and Node"]
fn twenty_tabs_share_one_connection() {
    for_each("tabs", |kind| {
        // Without heartbeats, so that no write can fail and no comment comes between.
        let program = Program::start(&["--heartbeat", "0"]);
        let proxy = Proxy::start(kind, program.addr, &[]);
        let mut tabs = Tabs::open(&proxy, TABS);
        tabs.expect("connected by h2");
        let opened = (0..TABS).flat_map(|tab| ["status 200", ":ok"].map(|line| format!("{tab} {line}")));
        tabs.expect_in_any_order(opened.collect());
        assert_eq!(program.count(), TABS);
        program.publish("to all");
        tabs.expect_of_each("data: to all", |_| true);
        // One tab is closed: its stream ends, and the connection stays for the others.
        program.wait_for_count(TABS - 1);
        program.publish("to the others");
        tabs.expect_of_each("data: to the others", |tab| tab != CLOSES);
        drop(tabs);
        program.wait_for_count(0);
    });
}
