//! An overloaded shard: slower, never taken for stuck, and no stream is cut for it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use smolcast::{Limits, StreamEnd};
use support::measure::report;
use support::{DEADLINE, Served, TestServer, config, with};

use crate::crowd::make_room;

const ROOMS: usize = 3000;
const PUBLISHERS: usize = 300;
const TIME: Duration = Duration::from_secs(6);

/// Publishes without subscribers for a while, over many connections and in large batches.
fn publish(addr: SocketAddr, connections: usize) {
    let one = "POST /broadcast?topic=nobody HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
    let (messages, mut answers) = (one.repeat(50), [0; 1 << 16]);
    let mut all: Vec<_> = (0..connections).map(|_| TcpStream::connect(addr).expect("there is room")).collect();
    let end = Instant::now() + TIME;
    while Instant::now() < end {
        for connection in &mut all {
            connection.write_all(messages.as_bytes()).expect("it is served");
        }
        for connection in &mut all {
            connection.set_read_timeout(Some(DEADLINE)).expect("an option");
            assert!(connection.read(&mut answers).expect("it is answered") > 0);
        }
    }
}

/// Heartbeats of many audiences each waited for all other tasks once, so the shard's clock stopped.
#[test]
#[ignore = "slow: it keeps a worker busy for seconds"]
fn a_busy_shard_is_ready_and_cuts_no_stream() {
    make_room();
    let server =
        TestServer::start(with!(config(with!(Limits::default(), { turn_timeout: Duration::from_millis(1500) })), {
            workers: NonZeroUsize::new(1),
            heartbeat: Some(Duration::from_millis(500)),
        }));
    let rooms: Vec<_> = (0..ROOMS)
        .map(|number| {
            let mut stream = TcpStream::connect(server.addr()).expect("the backlog has room");
            let request = format!("GET /sse?topic=room/{number} HTTP/1.1\r\nHost: h\r\n\r\n");
            stream.write_all(request.as_bytes()).expect("a new connection takes some bytes");
            stream
        })
        .collect();
    server.wait_for_count(ROOMS);
    let addr = server.addr();
    let publishers: Vec<_> = (0..2).map(|_| thread::spawn(move || publish(addr, PUBLISHERS / 2))).collect();
    let mut looks = 0;
    while publishers.iter().any(|publisher| !publisher.is_finished()) {
        assert_eq!(server.health.ready(), Ok(()), "after {looks} looks");
        looks += 1;
        thread::park_timeout(Duration::from_millis(20));
    }
    publishers.into_iter().for_each(|publisher| publisher.join().expect("all is answered"));
    assert_eq!((server.count(), server.metrics.streams_ended(StreamEnd::Lagged)), (ROOMS, 0));
    let (published, delivered) = (server.metrics.messages(), server.metrics.delivered_bytes());
    report("busy", format_args!("{published} messages beside heartbeats of {delivered} bytes, ready at {looks} looks"));
    drop(rooms);
}
