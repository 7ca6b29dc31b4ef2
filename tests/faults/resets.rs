//! Clients that reset their connections at any moment, by the thousand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use smolcast::Limits;
use support::measure::{report, time_until, timed};
use support::procfs::Observed;
use support::{Client, DEADLINE, Served, TestServer, get, post, with};

use crate::Program;
use crate::crowd::{connect_tight, make_room};

/// The moments at which a client resets.
const MOMENTS: [Moment; 8] = [
    Moment::Sent(""),
    Moment::Sent("GET /ss"),
    Moment::Sent("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe"),
    Moment::Sent("POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"),
    Moment::Sent("GET /connections HTTP/1.1\r\nHost: h\r\n\r\n"),
    Moment::Sent("GET /sse HTTP/1.1\r\nHost: h\r\n\r\n"),
    Moment::Opened,
    Moment::WithinAnEvent,
];

#[derive(Clone, Copy)]
enum Moment {
    /// It has sent this and waits for nothing.
    Sent(&'static str),
    /// It has a stream.
    Opened,
    /// It has a stream and has read a part of an event.
    WithinAnEvent,
}

impl Moment {
    /// Connects, does its part, and resets.
    #[track_caller]
    fn come_and_reset(self, addr: SocketAddr) {
        let mut stream = connect_tight(addr, 4096);
        match self {
            Self::Sent(bytes) => stream.write_all(bytes.as_bytes()).expect("a new connection takes some bytes"),
            Self::Opened => read_to(&mut stream, b":ok\n\n"),
            Self::WithinAnEvent => read_to(&mut stream, b"data: xxx"),
        }
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).expect("SO_LINGER can be set");
    }
}

/// Requests a stream and reads until this has come.
#[track_caller]
fn read_to(stream: &mut TcpStream, mark: &[u8]) {
    stream.write_all(&get("/sse")).expect("a new connection takes some bytes");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout above zero can be set");
    let mut received = Vec::new();
    let mut buffer = [0; 512];
    while !received.windows(mark.len()).any(|window| window == mark) {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| panic!("{error} before {:?}", mark.escape_ascii()));
        assert!(count > 0, "ended before {:?}", mark.escape_ascii());
        received.extend_from_slice(&buffer[..count]);
    }
}

/// A large message: a client that reads a little of it is within an event.
fn message() -> Vec<u8> {
    vec![b'x'; 60_000]
}

/// Runs `each` clients of each kind from several threads while messages are published; returns the number of messages.
#[track_caller]
fn storm(addr: SocketAddr, each: usize) -> usize {
    const THREADS: usize = 4;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let publisher = scope.spawn(|| {
            let mut client = Client::connect(addr);
            let mut published = 0;
            while !stop.load(Ordering::Relaxed) {
                client.request(post(message())).expect_status(202);
                published += 1;
                // Often enough for clients that reset within an event, and no more than the others can read.
                thread::park_timeout(Duration::from_millis(5));
            }
            published
        });
        let clients: Vec<_> = (0..THREADS)
            .map(|first| {
                let moments = MOMENTS.iter().cycle().skip(first).take(each * MOMENTS.len() / THREADS);
                scope.spawn(move || moments.for_each(|moment| moment.come_and_reset(addr)))
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a client has failed");
        publisher.join().expect("the publisher has not failed")
    })
}

/// No descriptor is left either.
#[test]
#[ignore = "heavy: eight thousand connections, and as many resets"]
fn the_count_is_exact_after_a_storm_of_resets() {
    const EACH: usize = 1000;
    make_room();
    let program = Program::start(&["--max-lag", "16m"]);
    let addr = program.addr;
    let observed = Observed::new(program.id());
    let base = observed.descriptors();
    let mut stay = program.stream();
    let event = [b"data: ", &message()[..], b"\n\n"].concat();
    let (published, took) = timed(|| {
        thread::scope(|scope| {
            let storm = scope.spawn(|| storm(addr, EACH));
            let mut received = 0;
            // The remaining streams have every message, whole.
            loop {
                let is_over = storm.is_finished();
                if stay.client().readable_within(Duration::from_millis(500)) {
                    stay.expect(&event);
                    received += 1;
                } else if is_over {
                    break;
                }
            }
            let published = storm.join().expect("the storm has not failed");
            assert_eq!(received, published, "the stream that stays has every message once");
            published
        })
    });
    program.wait_for_count(1);
    drop(stay);
    program.wait_for_count(0);
    let freed = time_until("its descriptors are free", DEADLINE, || observed.descriptors() == base);
    report(
        "a storm of resets",
        format_args!("{} in {took:.1?}, {published} messages meanwhile; free {freed:?} later", EACH * MOMENTS.len()),
    );
    let said = program.kill();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "a panic would be on its standard error");
}

#[test]
fn resets_at_any_moment_are_counted_and_never_panic() {
    let server = TestServer::with_limits(with!(Limits::default(), { window_bytes: 16 * 1024 * 1024 }));
    storm(server.addr, 12);
    server.wait_for_count(0);
    time_until("every connection is counted out", DEADLINE, || server.metrics.connections() == 0);
    assert_eq!((server.metrics.streams(), server.metrics.panics()), (0, 0));
    server.publish("still here");
}
