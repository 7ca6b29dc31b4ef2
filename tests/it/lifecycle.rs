//! The server within another program: bound, run, ended, dropped, with nothing left behind.

use std::fs;
use std::future::{Future, pending, ready};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use smolcast::{Event, HistoryDir, Limits, NotReady, Publisher, Server};
use support::{
    Client, DEADLINE, End, EventStream, Folder, Served, TestServer, alone, assert_bytes, config, get, parse_responses,
    post, wait_until, with, within_deadline,
};

fn bind() -> Server {
    Server::bind(config(Limits::default())).unwrap_or_else(|error| panic!("cannot bind: {error}"))
}

fn tcp(server: &Server) -> SocketAddr {
    server.local_addr().expect("it listens on a TCP port")
}

/// It counts the streams as well.
#[test]
fn a_program_publishes_to_its_own_server() {
    let server = bind();
    let (addr, publisher) = (tcp(&server), server.publisher());
    assert_eq!((server.streams(), publisher.streams()), (0, 0));
    let running = thread::spawn(move || {
        let mut stream = EventStream::open(Client::connect(addr));
        let streams = publisher.streams();
        within_deadline(publisher.publish(Event::new("from within"))).expect("the server runs");
        stream.expect_data("from within");
        (streams, stream)
    });
    let until = async {
        while !running.is_finished() {
            smol::Timer::after(Duration::from_millis(5)).await;
        }
    };
    within_deadline(server.run(until)).expect("the server ends well");
    let (streams, mut stream) = running.join().expect("the client has not failed");
    assert_eq!(streams, 1);
    stream.expect_end(b"");
}

#[test]
fn a_publisher_may_go_to_any_thread() {
    fn assert_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
    assert_shareable(&bind().publisher());
}

#[test]
fn any_executor_may_run_a_server() {
    fn assert_shareable<T: Send + Sync + 'static>(_: &T) {}
    fn assert_spawnable<T: Send + 'static>(_: T) {}
    let server = bind();
    assert_shareable(&server);
    assert_spawnable(server.run(ready(())));
}

#[test]
fn the_socket_listens_from_bind_on() {
    let server = bind();
    let addr = tcp(&server);
    assert!(addr.ip().is_loopback() && addr.port() != 0, "{addr}");
    let mut early = Client::connect(addr);
    early.send(get("/sse"));
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let running = thread::spawn(move || {
        smol::block_on(server.run(async move {
            // Ends by the sender's drop only.
            let _ = stopped.recv().await;
        }))
    });
    early.response().expect_status(200);
    early.expect(b":ok\n\n");
    drop(stop);
    running.join().expect("the server has not panicked").expect("the server ends well");
}

#[test]
fn a_taken_port_is_a_helpful_error() {
    let first = bind();
    let port = tcp(&first).port();
    let Err(error) =
        Server::bind(with!(config(Limits::default()), { listen: vec![(Ipv4Addr::LOCALHOST, port).into()] }))
    else {
        panic!("bound to {port} twice");
    };
    let text = error.to_string();
    assert!(text.contains(&port.to_string()), "it names the port: {text:?}");
    assert!(!text.contains('\n') && text.len() > 20, "one line that says what to do: {text:?}");
    assert!(text.contains("port"), "it says what to change: {text:?}");
    let _: &dyn std::error::Error = &error;
}

#[test]
fn a_port_is_free_once_its_server_has_ended() {
    let mut server = TestServer::start_default();
    let mut stream = server.stream();
    server.publish("x");
    let port = server.addr.port();
    server.join();
    stream.rest();
    let again =
        TestServer::start(with!(config(Limits::default()), { listen: vec![(Ipv4Addr::LOCALHOST, port).into()] }));
    assert_eq!(again.addr.port(), port);
    assert_eq!(again.count(), 0);
}

/// Each gets a delay after which to reconnect.
#[test]
fn a_shutdown_ends_streams_between_two_events() {
    let mut server = TestServer::start_default();
    let mut streams: Vec<_> = (0..30).map(|_| server.stream()).collect();
    server.publish("a\nb");
    server.stop();
    let delays: Vec<_> = streams.iter_mut().map(|stream| stream.expect_end(b"data: a\ndata: b\n\n")).collect();
    assert!(delays.iter().any(|delay| *delay != delays[0]), "not jittered: {delays:?}");
    server.join();
    assert_eq!(server.publisher.streams(), 0);
}

#[test]
fn a_shutdown_delivers_every_accepted_message_first() {
    let mut server = TestServer::start_default();
    let mut streams: Vec<_> = (0..10).map(|_| server.stream()).collect();
    let lines: Vec<_> = (0..200).map(|number| format!("message {number}")).collect();
    let mut client = server.connect();
    client.send(lines.iter().map(post).collect::<Vec<_>>().concat());
    for _ in &lines {
        client.response().expect_status(202);
    }
    server.stop();
    let events: String = lines.iter().map(|line| format!("data: {line}\n\n")).collect();
    for stream in &mut streams {
        stream.expect_end(events.as_bytes());
    }
    server.join();
}

#[test]
fn a_shutdown_does_not_wait_for_idle_connections() {
    let mut server = TestServer::with_limits(with!(Limits::default(), { drain_timeout: 20 * DEADLINE }));
    let mut used = server.connect();
    used.request(post("x")).expect_status(202);
    let mut fresh = server.connect();
    // Later requests have been served, so the server knows both.
    server.publish("y");
    server.join();
    assert_bytes("on the idle connection", b"", &used.rest_and_end().0);
    assert_bytes("on the fresh connection", b"", &fresh.rest_and_end().0);
}

/// Each waited for half of the drain: a connection that a browser opens ahead may send half a head at any time.
#[test]
fn a_shutdown_waits_for_half_a_head_for_a_second() {
    let mut server = TestServer::with_limits(with!(Limits::default(), { drain_timeout: 20 * DEADLINE }));
    let mut first = server.connect();
    first.send("POST /broadcast HTTP/1.1\r\nHo");
    let mut later = server.connect();
    later.request(post("x")).expect_status(202);
    later.send("GET /sse HTTP/1.1\r\nHo");
    // Later requests have been served, so the server knows both.
    server.publish("y");
    let start = Instant::now();
    server.join();
    assert!(start.elapsed() < Duration::from_secs(4), "it took {:?}", start.elapsed());
    assert_bytes("for half of a first head", b"", &first.rest_and_end().0);
    assert_bytes("for half of a later head", b"", &later.rest_and_end().0);
}

#[test]
fn a_drain_delay_serves_while_it_is_not_ready() {
    let mut server = TestServer::with_limits(with!(Limits::default(), { drain_delay: Duration::from_secs(2) }));
    wait_until("it is ready", || server.health.ready() == Ok(()));
    let start = Instant::now();
    server.stop();
    wait_until("it is not ready", || server.health.ready() == Err(NotReady::Ending));
    let mut stream = server.stream();
    server.publish("x");
    stream.expect_end(b"data: x\n\n");
    server.join();
    assert!(start.elapsed() >= Duration::from_secs(2), "it took {:?}", start.elapsed());
}

/// A publish whose head the server has read, and whose body it waits for.
#[track_caller]
fn begin_publish(server: &TestServer) -> Client {
    let mut client = server.connect();
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    client
}

#[test]
fn a_publish_in_flight_at_the_shutdown_is_delivered() {
    let mut server = TestServer::start(with!(config(Limits::default()), { workers: NonZeroUsize::new(1) }));
    let mut stream = server.stream();
    let mut idle = server.connect();
    idle.request(post("")).expect_status(202);
    stream.expect_data("");
    let mut client = begin_publish(&server);
    client.send("hel");
    server.stop();
    // The only shard closes idle connections once it knows of the shutdown.
    idle.expect_closed();
    client.send("lo");
    let answer = client.response().expect_status(202);
    assert!(answer.closes(), "it is the last answer and must say so: {answer:?}");
    client.expect_closed();
    stream.expect_end(b"data: hello\n\n");
    server.join();
}

#[test]
fn an_unfinished_publish_delays_shutdown_for_the_drain_only() {
    let mut server = TestServer::with_limits(with!(Limits::default(), { drain_timeout: Duration::from_millis(300) }));
    let mut stream = server.stream();
    let mut client = begin_publish(&server);
    server.join();
    client.rest_and_end();
    stream.expect_end(b"");
}

#[test]
fn a_stalled_stream_delays_shutdown_for_the_drain_only() {
    let limits =
        with!(Limits::default(), { drain_timeout: Duration::from_millis(300), window_bytes: 1024 * 1024 * 1024 });
    let mut server = TestServer::with_limits(limits);
    let mut stalled = server.stream();
    for _ in 0..32 {
        server.publish(vec![b'x'; 1024 * 1024]);
    }
    assert_eq!(server.publisher.streams(), 1, "it is within the window");
    server.join();
    let (received, end) = stalled.rest_and_end();
    let whole = received.is_empty() || received.ends_with(b"\n\n");
    assert!(whole || end == End::Reset, "an event that is torn must not look like an orderly end");
}

#[test]
fn a_publisher_of_an_ended_server_gets_an_error() {
    let mut server = TestServer::start_default();
    let publisher = server.publisher.clone();
    server.join();
    expect_publish_error(&publisher);
    let server = bind();
    let publisher = server.publisher();
    drop(server);
    expect_publish_error(&publisher);
}

#[track_caller]
fn expect_publish_error(publisher: &Publisher) {
    let outcome = within_deadline(publisher.publish(Event::new("too late")));
    let error = outcome.expect_err("the server has ended");
    assert!(!error.to_string().is_empty());
    assert_eq!(publisher.streams(), 0);
}

#[test]
fn a_server_told_to_stop_before_it_runs_ends_at_once() {
    within_deadline(bind().run(ready(()))).expect("the server ends well");
}

/// A server that runs up to its first stream, then its future is dropped.
#[track_caller]
fn run_and_drop() -> (EventStream, SocketAddr) {
    let server = bind();
    let addr = tcp(&server);
    let client = thread::spawn(move || EventStream::open(Client::connect(addr)));
    let served = async {
        while !client.is_finished() {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
    };
    within_deadline(smol::future::or(
        async {
            server.run(pending()).await.expect("the server runs well");
            panic!("it ended, and nothing ended it");
        },
        served,
    ));
    (client.join().expect("the client has not failed"), addr)
}

#[test]
fn dropping_the_run_frees_everything_at_once() {
    let (mut stream, addr) = run_and_drop();
    assert!(Client::try_connect(addr).is_err(), "the port is still open");
    let (rest, end) = stream.rest_and_end();
    assert!(rest.is_empty() || end == End::Closed && rest.ends_with(b"\n\n"), "{:?}", rest.escape_ascii());
}

/// Even if a `Publisher` of it lives on.
#[test]
fn a_dropped_run_unlocks_its_history_dir() {
    let folder = Folder::new();
    let dir = || Some(HistoryDir::new(folder.path("history")));
    let bind = || Server::bind(with!(config(Limits::default()), { history_dir: dir() })).expect("it binds");
    let server = bind();
    let publisher = server.publisher();
    within_deadline(publisher.publish(Event::new("x"))).expect("it is taken");
    let mut running = Box::pin(server.run(pending()));
    assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(running);
    expect_publish_error(&publisher);
    // A server that never runs leaves nothing behind either, and neither does its future.
    for never in [drop, |server: Server| drop(server.run(pending()))] {
        let server = bind();
        let publisher = server.publisher();
        within_deadline(publisher.publish(Event::new("z"))).expect("it is taken");
        never(server);
        expect_publish_error(&publisher);
    }
    drop(bind());
}

#[test]
fn dropping_a_server_before_it_runs_closes_its_port() {
    let server = bind();
    let addr = tcp(&server);
    let mut early = Client::connect(addr);
    drop(server);
    assert!(Client::try_connect(addr).is_err(), "the port is still open");
    assert_bytes("from a server that never ran", b"", &early.rest_and_end().0);
}

#[test]
fn a_run_polled_once_and_dropped_is_gone() {
    let server = bind();
    let addr = tcp(&server);
    let mut run = Box::pin(server.run(pending()));
    let first = run.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(first, Poll::Pending));
    drop(run);
    assert!(Client::try_connect(addr).is_err(), "the port is still open");
}

/// The threads and descriptors of this process.
fn held() -> (usize, usize) {
    let count = |path| fs::read_dir(path).expect("/proc is there").count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// One server from start to end, in one of several ways.
fn come_and_go(way: usize) {
    match way % 4 {
        0 => {
            let mut server = TestServer::start_default();
            let mut stream = server.stream();
            server.publish("x");
            stream.expect_data("x");
            assert_eq!(server.count(), 1);
            server.join();
            stream.rest();
        }
        1 => drop(run_and_drop()),
        2 => drop(bind()),
        _ => {
            let server = TestServer::start_default();
            let mut client = server.connect();
            client.send([post("x"), get("/nope"), b"BAD\r\n\r\n".to_vec()].concat());
            parse_responses(&client.rest(), &["POST", "GET", "GET"]);
        }
    }
}

#[test]
fn fifty_servers_leave_no_thread_and_no_descriptor() {
    if !alone(&[], "lifecycle::fifty_servers_leave_no_thread_and_no_descriptor") {
        return;
    }
    // The runtime keeps a thread and some descriptors from its first use on.
    (0..4).for_each(come_and_go);
    let mut base = held();
    wait_until("the first servers' threads have ended", || {
        let now = held();
        std::mem::replace(&mut base, now) == now
    });
    for way in 0..50 {
        come_and_go(way);
    }
    wait_until(&format!("threads and descriptors are back to {base:?}"), || held() <= base);
    let (threads, descriptors) = held();
    assert!(threads <= base.0 && descriptors <= base.1, "{:?} above {base:?}", (threads, descriptors));
}

#[test]
fn a_server_is_ready_while_it_serves() {
    let server = bind();
    let health = server.health();
    assert_eq!(health.ready(), Err(NotReady::Starting));
    let mut server = TestServer::run(server);
    wait_until("it is ready", || server.health.ready() == Ok(()));
    server.join();
    assert_eq!(health.ready(), Err(NotReady::Ending));
    let dropped = bind().health();
    assert_eq!(dropped.ready(), Err(NotReady::Starting), "it has never run");
}
