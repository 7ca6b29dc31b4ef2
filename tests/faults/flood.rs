//! A flood of publishers: slowed to the pace of the streams, with no accepted message lost.

use std::net::SocketAddr;
use std::thread;

use smolcast::Limits;
use support::measure::{Samples, report, timed};
use support::procfs::Observed;
use support::{Client, EventStream, Served, TestServer, post, with};

use crate::Program;
use crate::crowd::make_room;

const PUBLISHERS: usize = 100;

/// Amount and length of each publisher's messages.
#[derive(Clone, Copy)]
struct Flood {
    rounds: usize,
    /// Messages of one write, sent before the first response is read.
    pipelined: usize,
    message: usize,
}

impl Flood {
    fn messages(self) -> usize {
        PUBLISHERS * self.rounds * self.pipelined
    }

    fn line(self, publisher: usize, number: usize) -> String {
        let name = format!("{publisher:03} {number:05} ");
        format!("{name}{}", "x".repeat(self.message - name.len()))
    }

    /// Publishes from these connections in turn; returns the time of each segment's responses.
    #[track_caller]
    fn publish(self, addr: SocketAddr, publishers: std::ops::Range<usize>) -> Samples {
        let mut clients: Vec<_> = publishers.map(|publisher| (publisher, Client::connect(addr))).collect();
        let mut times = Samples::default();
        for round in 0..self.rounds {
            for (publisher, client) in &mut clients {
                let numbers = round * self.pipelined..(round + 1) * self.pipelined;
                client.send(numbers.map(|number| post(self.line(*publisher, number))).collect::<Vec<_>>().concat());
            }
            let ((), took) = timed(|| {
                for (_, client) in &mut clients {
                    (0..self.pipelined).for_each(|_| drop(client.response().expect_status(202)));
                }
            });
            times.push(took);
        }
        times
    }

    /// Reads every message: each once, and each publisher's own in order.
    #[track_caller]
    fn read(self, stream: &mut EventStream) {
        let mut next = [0; PUBLISHERS];
        let length = "data: ".len() + self.message + "\n\n".len();
        for read in 0..self.messages() {
            let event = String::from_utf8(stream.client().read_exactly(length)).expect("an event is text");
            let publisher: usize = event.get(6..9).and_then(|name| name.parse().ok()).unwrap_or(PUBLISHERS);
            assert!(publisher < PUBLISHERS, "no publisher sent this, after {read} events: {:?}", &event[..32]);
            let expected = format!("data: {}\n\n", self.line(publisher, next[publisher]));
            assert!(event == expected, "expected {:?}, not {:?}, after {read} events", &expected[..32], &event[..32]);
            next[publisher] += 1;
        }
    }

    /// Runs all publishers and all streams at once.
    #[track_caller]
    fn run(self, server: &impl Served, streams: &mut [EventStream]) -> Vec<Samples> {
        let addr = server.addr();
        thread::scope(|scope| {
            let readers: Vec<_> = streams.iter_mut().map(|stream| scope.spawn(|| self.read(stream))).collect();
            let halves = [0..PUBLISHERS / 2, PUBLISHERS / 2..PUBLISHERS];
            let publishers = halves.map(|half| scope.spawn(move || self.publish(addr, half)));
            let published = publishers.map(thread::ScopedJoinHandle::join);
            let read: Vec<_> = readers.into_iter().map(thread::ScopedJoinHandle::join).collect();
            assert!(read.iter().all(Result::is_ok), "a stream that reads has missed something");
            published.map(|times| times.expect("every publish is accepted")).into()
        })
    }
}

#[test]
#[ignore = "heavy: two hundred megabytes of messages"]
fn a_flood_of_publishers_is_slowed_and_loses_nothing() {
    const LAG: usize = 4 * 1024 * 1024;
    make_room();
    let flood = Flood { rounds: 16, pipelined: 16, message: 8 * 1024 };
    let program = Program::start(&["--workers", "2", "--max-lag", "4m"]);
    let mut streams = [program.stream(), program.stream()];
    let base = Observed::new(program.id()).resident();
    let (times, took) = timed(|| flood.run(&program, &mut streams));
    let grown = program.peak_memory() - base;
    // The lag of a stream and a batch for each shard, messages under way, unread input of publishers, and the
    // allocator.
    let limits = Limits::default();
    let unread = PUBLISHERS * 128 * 1024;
    let bound = (2 * (LAG + limits.batch_bytes) + limits.publish_queue_bytes + unread) / 1024 + 8 * 1024;
    let sent = flood.messages() * flood.message / 1024;
    report("a flood", format_args!("{sent} KiB in {took:.1?}, {grown} KiB more than {base} KiB; bound {bound} KiB"));
    times.iter().for_each(|times| report("a round of fifty publishers' answers", times));
    assert!(grown < bound, "{grown} KiB more than {base} KiB, which is above {bound} KiB");
    assert_eq!(program.count(), 2);
    assert_eq!(program.kill().stderr, "");
}

#[test]
fn waiting_publishers_lose_nothing_and_keep_their_order() {
    let flood = Flood { rounds: 2, pipelined: 10, message: 2048 };
    let limits = with!(Limits::default(), {
        publish_queue: 4,
        publish_queue_bytes: 16 * 1024,
        window_bytes: 16 * 1024 * 1024,
    });
    let server = TestServer::with_limits(limits);
    let mut streams = [server.stream(), server.stream()];
    flood.run(&server, &mut streams);
    assert_eq!(server.metrics.messages(), flood.messages() as u64);
    assert!(server.metrics.publishes_delayed() > 0, "no publisher has waited");
}
