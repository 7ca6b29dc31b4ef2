//! The memory table of RELIABILITY.md, with the worst input for a row: what a client or a publisher can make it cost.

use std::net::TcpStream;

use support::measure::report;
use support::procfs::Observed;
use support::{Served, get, post};

use crate::Program;
use crate::crowd::{Crowd, connect_tight, make_room};

/// Memory of tasks, sockets and the allocator, in KiB.
const SLACK: usize = 6 * 1024;

/// Holds that the program takes no more memory than this, in KiB, beside what it took at first.
#[track_caller]
fn expect_bound(what: &str, program: &Program, before: usize, bound: usize) {
    let grown = program.peak_memory().saturating_sub(before);
    report(what, format_args!("{grown} KiB, bound {bound} KiB"));
    assert!(grown <= bound, "{what}: {grown} KiB, which is above {bound} KiB");
}

/// The longest query of filters: 64 of 32 levels, none of which begins as another does.
fn worst_filters(stream: usize) -> String {
    let filter = |number: usize| {
        let levels = (0..32).map(|level| match level {
            0 => format!("{stream}.{number}"),
            _ if (number >> (level % 6)) & 1 == 0 => "a".to_owned(),
            _ => "%2B".to_owned(),
        });
        format!("topic={}", levels.collect::<Vec<_>>().join("/"))
    };
    (0..64).map(filter).collect::<Vec<_>>().join("&")
}

#[test]
#[ignore = "heavy: hundreds of streams with 64 filters each"]
fn streams_with_the_worst_filters() {
    const STREAMS: usize = 400;
    make_room();
    let program = Program::start(&["--workers", "2"]);
    let before = Observed::new(program.id()).resident();
    let mut crowd = Vec::new();
    for stream in 0..STREAMS {
        let filters = worst_filters(stream);
        assert!(filters.len() < 8000, "{} bytes", filters.len());
        let request = get(&format!("/sse?{filters}"));
        crowd.push(Crowd::of([TcpStream::connect(program.addr).expect("the backlog has room")], &request));
    }
    program.wait_for_count(STREAMS);
    expect_bound("a stream with 64 filters of 32 levels", &program, before, STREAMS * 64 + SLACK);
    drop(crowd);
    program.wait_for_count(0);
}

#[test]
#[ignore = "heavy: hundreds of streams that resume and never read"]
fn streams_that_resume_and_never_read() {
    const STREAMS: usize = 300;
    make_room();
    // An event of one line break after another is seven times as long as its message.
    for (what, message, count) in
        [("many short events", "x".to_owned(), 20_000), ("long events", "\n".repeat(1 << 20), 5)]
    {
        let program = Program::start(&["--workers", "2", "--history", "100000,64m"]);
        let mut publisher = program.connect();
        for _ in 0..count {
            publisher.request(post(&message)).expect_status(202);
        }
        let before = Observed::new(program.id()).resident();
        let request = get("/sse?last_event_id=earliest");
        let crowd = Crowd::of((0..STREAMS).map(|_| connect_tight(program.addr, 2048)), &request);
        program.wait_for_count(STREAMS);
        expect_bound(what, &program, before, STREAMS * 24 + SLACK);
        drop(crowd);
    }
}

#[test]
#[ignore = "heavy: hundreds of requests that do not end"]
fn requests_that_do_not_end() {
    const CLIENTS: usize = 100;
    make_room();
    let program = Program::start(&["--workers", "2"]);
    let before = Observed::new(program.id()).resident();
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nX: {}\r\n", "x".repeat(15_000));
    let sized = format!("{head}Content-Length: {}\r\n\r\n", 1 << 20);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n", 1 << 20);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| program.connect()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(if number % 2 == 0 { &sized } else { &chunked });
        client.send("x".repeat((1 << 20) - 1));
    }
    program.wait_for_count(0);
    expect_bound("a request that does not end", &program, before, CLIENTS * (2 * 1024 + 32) + SLACK);
}

#[test]
#[ignore = "slow: it publishes a hundred megabytes"]
fn histories_of_any_events() {
    const SIZE: usize = 16;
    for (what, data, query) in [
        ("short events", "x".to_owned(), ""),
        ("events with an id of their own", "x".to_owned(), "?id=NUMBER"),
        ("events of line breaks", "\n".repeat(100_000), ""),
    ] {
        let program = Program::start(&["--workers", "2", "--history", &format!("10000000,{SIZE}m")]);
        let mut publisher = program.connect();
        publisher.request(post("warm")).expect_status(202);
        let before = Observed::new(program.id()).resident();
        let count = 100_000.min((64 << 20) / data.len().max(1) / 7 + 100);
        for first in (0..count).step_by(100) {
            let request = |number: usize| {
                let query = query.replace("NUMBER", &format!("{number:064}"));
                format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{data}", data.len())
            };
            publisher.send((first..first + 100).map(request).collect::<String>());
            (0..100).for_each(|_| drop(publisher.response().expect_status(202)));
        }
        expect_bound(what, &program, before, SIZE * 1024 + SLACK);
    }
}
