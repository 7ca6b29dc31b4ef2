//! Two hundred clients that come and go over topics, publishers and restarts: each gets every event of its filter.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::ops::Range;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use support::measure::{report, timed};
use support::{Client, DEADLINE, EventStream, Folder, FreePort, Served, sse};

use crate::Program;
use crate::crowd::make_room;

const CLIENTS: usize = 200;
const PUBLISHERS: usize = 4;
/// Messages of each publisher to each server.
const MESSAGES: usize = 1000;
const SERVERS: usize = 5;
const TOPICS: [&str; 8] = ["a", "b", "c/1", "c/2", "c/3", "d/x/1", "d/y/1", "e"];

/// A client's query, and a function that tells if it includes a topic.
type Interest = (&'static str, fn(&str) -> bool);

const INTERESTS: [Interest; 5] = [
    ("", |topic| topic.is_empty()),
    ("topic=a&topic=b&", |topic| ["", "a", "b"].contains(&topic)),
    ("topic=c/%2B&", |topic| topic.is_empty() || topic.starts_with("c/")),
    ("topic=d/+/1&topic=e&", |topic| topic.is_empty() || topic.starts_with("d/") || topic == "e"),
    ("topic=%23&", |_| true),
];

/// A client, from its first stream to its last.
struct Wanderer {
    addr: SocketAddr,
    filters: &'static str,
    last: String,
    lines: Vec<String>,
    turn: u64,
}

impl Wanderer {
    fn random(&mut self, below: u64) -> u64 {
        self.turn = self.turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.turn >> 33) % below
    }

    /// Reconnects until it has seen the last message.
    fn wander(mut self) -> Vec<String> {
        loop {
            // Nothing listens during a restart.
            if let Ok(stream) = TcpStream::connect(self.addr) {
                if self.stay(stream).is_break() {
                    return self.lines;
                }
            }
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Reads some events, or all until the server ends the stream, and leaves in one of several ways.
    fn stay(&mut self, mut stream: TcpStream) -> ControlFlow<()> {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout above zero can be set");
        let request = format!("GET /sse?{}last_event_id={} HTTP/1.1\r\nHost: h\r\n\r\n", self.filters, self.last);
        // Behind the head comes `:ok`, and no line of either is an event's.
        let (mut parser, mut buffer) = (sse::Parser::default(), [0; 16 * 1024]);
        let (stay, mut seen) = (1 + self.random(2000), 0);
        if stream.write_all(request.as_bytes()).is_err() {
            return Continue(());
        }
        while seen < stay {
            let count = match stream.read(&mut buffer) {
                Ok(count @ 1..) => count,
                Ok(0) | Err(_) => return Continue(()),
            };
            for sse::Message { event, data, last_event_id } in parser.feed(&buffer[..count]) {
                assert_ne!(event, "gap", "after {}", self.last);
                self.last = last_event_id;
                if data == "end" {
                    return Break(());
                }
                self.lines.push(data);
                seen += 1;
            }
        }
        match self.random(3) {
            0 => drop(stream),
            1 => Client::over(stream).expect("it is connected").reset(),
            _ => stream.shutdown(Shutdown::Write).expect("it is connected"),
        }
        Continue(())
    }
}

/// Publishes one message after the other, each after the response to the last.
fn publish(addr: SocketAddr, publisher: usize, numbers: Range<usize>) {
    let mut client = Client::connect(addr);
    for number in numbers {
        let topic = TOPICS.get((publisher + number) % (TOPICS.len() + 1)).copied().unwrap_or_default();
        let query = if topic.is_empty() { String::new() } else { format!("?topic={topic}") };
        let line = format!("{topic} {publisher} {number}");
        let head = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", line.len());
        client.send(format!("{head}{line}"));
        client.response().expect_status(202);
    }
}

/// Starts a server at the same port, with the history of the last one.
#[track_caller]
fn start(port: u16, history_dir: &str) -> Program {
    Program::start_without_flags(&[
        ("SMOLCAST_PORT", &port.to_string()),
        ("SMOLCAST_HISTORY", "30000,64m,1h"),
        ("SMOLCAST_HISTORY_DIR", history_dir),
        ("SMOLCAST_HISTORY_SYNC", "always"),
    ])
}

/// Publishes to one server after the other; each is shut down or killed.
#[track_caller]
fn publish_to_servers(port: u16, history_dir: &str) -> Program {
    let mut program = start(port, history_dir);
    for server in 0..SERVERS {
        let (addr, numbers) = (program.addr, server * MESSAGES..(server + 1) * MESSAGES);
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let numbers = numbers.clone();
                scope.spawn(move || publish(addr, publisher, numbers));
            }
        });
        if server % 2 == 0 {
            program.signal(Signal::TERM);
            assert_eq!(program.finish().code, Some(0));
        } else {
            drop(program.kill());
        }
        program = start(port, history_dir);
    }
    program.publish("end");
    program
}

#[test]
#[ignore = "slow: two hundred clients, twenty thousand messages, five restarts"]
fn clients_get_each_event_once_in_order_over_restarts() {
    make_room();
    let folder = Folder::new();
    let history_dir = folder.file("history");
    let port = FreePort::new();
    let addr = port.addr();
    let ((lines, order), took) = timed(|| {
        thread::scope(|scope| {
            let wanderers: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let (filters, _) = INTERESTS[number % INTERESTS.len()];
                    let (last, turn) = ("earliest".to_owned(), number as u64);
                    scope.spawn(move || Wanderer { addr, filters, last, lines: Vec::new(), turn }.wander())
                })
                .collect();
            let program = publish_to_servers(port.number(), &history_dir);
            let request = b"GET /sse?topic=%23&last_event_id=earliest HTTP/1.1\r\nHost: h\r\n\r\n";
            let mut all = EventStream::open_with(program.connect(), request).0;
            let order: Vec<_> = (0..PUBLISHERS * MESSAGES * SERVERS).map(|_| all.message().data).collect();
            (wanderers.into_iter().map(|wanderer| wanderer.join().expect("it comes back")).collect::<Vec<_>>(), order)
        })
    });
    for (number, lines) in lines.iter().enumerate() {
        let (filters, wants) = INTERESTS[number % INTERESTS.len()];
        let expected = order.iter().filter(|line| wants(line.split(' ').next().unwrap_or_default()));
        assert!(expected.eq(lines), "client {number} of {filters:?} has {} events", lines.len());
    }
    let events: usize = lines.iter().map(Vec::len).sum();
    report(
        "streams that come back",
        format_args!("{events} events to {CLIENTS} clients over {SERVERS} restarts, {took:.1?}"),
    );
}
