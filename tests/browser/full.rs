//! A stream over capacity: the browser gets a delay and reconnects.

use std::time::Duration;

use support::Served;
use support::measure::report;

use crate::Program;
use crate::chromium::Chromium;
use crate::page::{CONNECTING, Page};
use crate::site::Site;

const ROOM: usize = 8;

/// Number of times that the page is over capacity.
const REFUSALS: usize = 2;

/// The range of the delay, plus some time for a busy machine.
const SHORTEST: Duration = Duration::from_millis(2900);
const LONGEST: Duration = Duration::from_secs(12);

#[test]
#[ignore = "it needs a browser, and waits for a stream that comes back after seconds"]
fn a_stream_over_capacity_reconnects_until_admitted() {
    let Some(chromium) = Chromium::find("no room") else { return };
    let program = Program::start(&["--max-connections", &ROOM.to_string()]);
    let streams: Vec<_> = (0..ROOM).map(|_| program.stream()).collect();
    let mut page = Page::open(chromium, Site::bind(), &format!("watch('http://{}')", program.addr));
    let mut waits = Vec::new();
    let mut last = None;
    for _ in 0..REFUSALS {
        let opened = page.expect("open");
        waits.extend(last.map(|last| opened.at - last));
        let error = page.expect("error");
        assert_eq!(error.ready, CONNECTING, "for this stream the server is gone for ever");
        last = Some(error.at);
    }
    drop(streams);
    waits.extend(last.map(|last| page.expect("open").at - last));
    program.wait_for_count(1);
    program.publish("room at last");
    assert_eq!(page.expect("message").data, "room at last");
    assert_eq!((page.others("open"), page.others("error")), (0, 0), "it has come to stay");
    let is_told = |wait: &Duration| (SHORTEST..LONGEST).contains(wait);
    assert!(waits.iter().all(is_told), "waits that are not the server's advice: {waits:.1?}");
    report("no room", format_args!("refused {REFUSALS} times, the page comes back after {waits:.1?}"));
}
