//! Cases that hold for every client.

use std::net::SocketAddr;

use support::bodies::BODIES;
use support::missed::{self, LENGTHS, PART_OF_A_HEAD};
use support::sse::Message;
use support::{Relay, Served};

use crate::Program;
use crate::ear::Ear;

/// Number of connections that break before one that does not.
pub(crate) const BREAKS: usize = LENGTHS.len() + 1;

pub(crate) fn url_of(addr: SocketAddr) -> String {
    format!("http://{addr}/sse")
}

/// One message reaches every client.
#[track_caller]
pub(crate) fn a_broadcast_arrives(listen: impl Fn(&str) -> Ear, publish: impl FnOnce(&Program, &str)) {
    let program = Program::start(&[]);
    let ears: Vec<_> = (0..3).map(|_| listen(&url_of(program.addr))).collect();
    ears.iter().for_each(Ear::expect_open);
    assert_eq!(program.count(), ears.len());
    publish(&program, "hello");
    for ear in &ears {
        let Message { event, data, .. } = ear.message();
        assert_eq!((event.as_str(), data.as_str()), ("message", "hello"));
    }
    drop(ears);
    program.wait_for_count(0);
}

/// A message of any shape arrives unchanged, its line breaks as LF.
#[track_caller]
pub(crate) fn every_body_arrives_intact(listen: impl Fn(&str) -> Ear, publish: impl Fn(&Program, &str)) {
    let program = Program::start(&[]);
    let ear = listen(&url_of(program.addr));
    ear.expect_open();
    let long = "a line of many\r\n".repeat(20_000);
    let normalised = long.replace('\r', "");
    for (published, received) in BODIES.into_iter().chain([(long.as_str(), normalised.as_str())]) {
        publish(&program, published);
        let Message { event, data, .. } = ear.message();
        assert_eq!((event.as_str(), data.as_str()), ("message", received), "of {published:?}");
    }
}

/// Messages that a client missed on broken connections arrive after it reconnects, once and in order.
///
/// `listen` opens a stream and returns a function that waits for its next message over any number of reconnects.
#[track_caller]
pub(crate) fn what_was_missed_arrives<N: FnMut() -> Message>(listen: impl FnOnce(&str) -> N) {
    let program = Program::start(&["--history", "1000"]);
    let relay = Relay::start(program.addr, &[&LENGTHS[..], &[PART_OF_A_HEAD]].concat());
    let mut next = listen(&url_of(relay.addr));
    program.wait_for_count(1);
    let mut expect = |(id, text): missed::Published| {
        let Message { event, data, last_event_id } = next();
        assert_eq!((event.as_str(), last_event_id, data), ("message", id, text));
    };
    missed::publish_all(&program).into_iter().for_each(&mut expect);
    assert_eq!(relay.broken(), BREAKS, "connections that broke");
    expect(missed::publish(&program, "", "live"));
}
