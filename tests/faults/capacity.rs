//! More browsers than the server admits: each gets its own delay.

use rustix::process::Signal;
use support::measure::report;
use support::{Client, Served, retry_of, wait_until};

use crate::Program;

const ROOM: usize = 20;
const TURNED_AWAY: usize = 300;

#[test]
fn browsers_over_capacity_get_different_retries() {
    let program = Program::start(&["--max-connections", &ROOM.to_string()]);
    let mut streams: Vec<_> = (0..ROOM).map(|_| program.stream()).collect();
    let mut delays: Vec<_> = (0..TURNED_AWAY).map(|_| turned_away(&program)).collect();
    delays.sort_unstable();
    let (first, last) = (delays[0], delays[TURNED_AWAY - 1]);
    assert!(first < 3500 && last > 8500, "from {first} to {last} ms");
    let widest = delays.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    assert!(widest < 500, "no client returns within {widest} ms of the six seconds");
    delays.dedup();
    report("over capacity", format_args!("{} different delays for {TURNED_AWAY} browsers", delays.len()));
    // A later one finds the place that has become free.
    drop(streams.pop());
    let mut back = None;
    wait_until("there is room", || {
        back = admitted(&program);
        back.is_some()
    });
    program.signal(Signal::TERM);
    for stream in &mut streams {
        stream.expect_end(b"");
    }
    assert_eq!(program.finish().code, Some(0));
}

/// Requests a stream as a browser does.
#[track_caller]
fn ask(program: &Program) -> Client {
    let mut client = program.connect();
    let response = client.request("GET /sse HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n");
    response.expect_status(200).expect_field("content-type", "text/event-stream");
    client
}

/// The delay of a browser over capacity.
#[track_caller]
fn turned_away(program: &Program) -> u64 {
    retry_of(&ask(program).rest())
}

/// A stream, if there is room for it.
#[track_caller]
fn admitted(program: &Program) -> Option<Client> {
    let mut client = ask(program);
    (client.read_until(b"\n") == b":ok\n").then_some(client)
}
