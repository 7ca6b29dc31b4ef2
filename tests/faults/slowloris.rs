//! Two thousand slow clients: slow to send a head, to send a body, to read responses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smolcast::Limits;
use support::measure::{Samples, report, time_until, timed};
use support::procfs::Observed;
use support::{Client, DEADLINE, EventStream, Served, TestServer, get, post, with};

use crate::Program;
use crate::crowd::{Crowd, connect_tight, make_room};

const SLOW: usize = 2000;

/// Longest time for each normal request, with much to spare.
const PATIENCE: Duration = Duration::from_secs(1);

/// A server under attack.
struct Victim {
    addr: SocketAddr,
    observed: Observed,
    base: usize,
}

impl Victim {
    fn of(program: &Program) -> Self {
        make_room();
        program.publish("first");
        let observed = Observed::new(program.id());
        Self { addr: program.addr, observed, base: observed.descriptors() }
    }
}

/// Counts and publishes again and again until `until` is set, and holds that each response comes in time.
#[track_caller]
fn normal_traffic(addr: SocketAddr, until: &AtomicBool) -> Samples {
    let (mut counts, mut publishes) = (Samples::default(), Samples::default());
    let mut stream = EventStream::open(Client::connect(addr));
    for number in 0.. {
        if until.load(Ordering::Relaxed) {
            break;
        }
        let (response, took) = timed(|| Client::connect(addr).request(get("/connections")));
        assert_eq!(response.expect_status(200).body, b"1");
        counts.push(took);
        if number % 4 == 0 {
            let line = format!("message {number}");
            let ((), took) = timed(|| {
                Client::connect(addr).request(post(&line)).expect_status(202);
                stream.expect_data(&line);
            });
            publishes.push(took);
        }
        // As often as polite clients, not as a bench.
        thread::park_timeout(Duration::from_millis(2));
    }
    assert!(counts.max() < PATIENCE, "GET /connections: {counts}");
    assert!(publishes.max() < PATIENCE, "a publish and its event: {publishes}");
    report("a publish and its event meanwhile", publishes);
    counts
}

/// Drips these bytes, one for each connection now and then, beside normal traffic. Ends when the server has closed the
/// whole crowd; returns the responses.
#[track_caller]
fn drip_to_the_end(what: &str, mut crowd: Crowd, addr: SocketAddr, limit: Duration) -> Vec<Vec<u8>> {
    let (over, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let normal = scope.spawn(|| normal_traffic(addr, &over));
        while crowd.read() < SLOW && start.elapsed() < limit {
            crowd.send(b"x");
            thread::park_timeout(Duration::from_millis(100));
        }
        let (ended, took) = (crowd.read(), start.elapsed());
        over.store(true, Ordering::Relaxed);
        let counts = normal.join().expect("normal traffic has not failed");
        assert_eq!(ended, SLOW, "after {took:?} not all are gone");
        report(what, format_args!("{SLOW} connections gone after {took:.1?}; GET /connections meanwhile: {counts}"));
    });
    crowd.read_to_the_end(DEADLINE)
}

#[track_caller]
fn expect_timeouts(answers: &[Vec<u8>]) {
    for answer in answers {
        assert!(answer.starts_with(b"HTTP/1.1 408 "), "{:?}", answer.escape_ascii());
    }
}

/// From the first byte: the deadline of 3 s, a linger of 2 s, and 3 s to spare.
const DRIPPED: Duration = Duration::from_secs(3 + 2 + 3);

/// Two thousand at a time.
#[test]
#[ignore = "heavy: two thousand connections, for seconds"]
fn endless_heads_delay_no_client_and_end_in_time() {
    let program = Program::start(&["--head-timeout", "3s"]);
    let victim = Victim::of(&program);
    let crowd = Crowd::connect(victim.addr, SLOW, b"GET /sse HTTP/1.1\r\nHost: h\r\nX: ");
    expect_timeouts(&drip_to_the_end("slow heads", crowd, victim.addr, DRIPPED));
    expect_nothing_left(&program, &victim);
}

/// Two thousand at a time.
#[test]
#[ignore = "heavy: two thousand connections, for seconds"]
fn endless_bodies_delay_no_client_and_end_in_time() {
    let program = Program::start(&["--body-timeout", "3s"]);
    let victim = Victim::of(&program);
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n";
    let crowd = Crowd::connect(victim.addr, SLOW, head.as_bytes());
    expect_timeouts(&drip_to_the_end("slow bodies", crowd, victim.addr, DRIPPED));
    expect_nothing_left(&program, &victim);
}

#[track_caller]
fn expect_nothing_left(program: &Program, victim: &Victim) {
    time_until("its descriptors are free", DEADLINE, || victim.observed.descriptors() <= victim.base);
    assert_eq!(program.count(), 0);
}

/// Two thousand at a time, closed in time.
#[test]
#[ignore = "heavy: two thousand connections, for seconds"]
fn clients_that_never_read_delay_no_other() {
    make_room();
    // Small system buffers, so that two thousand fill quickly; the timeouts are the same.
    let limits = with!(Limits::default(), { unsent_bytes: 4096, write_timeout: Duration::from_secs(2) });
    let server = TestServer::with_limits(limits);
    let addr = server.addr;
    let (over, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        let normal = scope.spawn(|| normal_traffic(addr, &over));
        let requests = get("/nope").repeat(100);
        let mut crowd = Crowd::of((0..SLOW).map(|_| connect_tight(addr, 2048)), &requests);
        // The clients never read, so the server alone can find out, and it has closed all of them.
        while server.metrics.answers_stalled() < SLOW as u64 && start.elapsed() < 4 * DEADLINE {
            crowd.send(&requests);
            thread::park_timeout(Duration::from_millis(50));
        }
        let took = start.elapsed();
        over.store(true, Ordering::Relaxed);
        let counts = normal.join().expect("normal traffic has not failed");
        assert_eq!(server.metrics.answers_stalled(), SLOW as u64, "closed after {took:?}");
        let answers = format_args!("{SLOW} connections gone after {took:.1?}; GET /connections meanwhile: {counts}");
        report("responses that are never read", answers);
        time_until("none of them is left", DEADLINE, || server.metrics.connections() == 0);
    });
}
