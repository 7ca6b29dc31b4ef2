//! A stopped process, or a wall clock that jumps: no client is cut off for it.

use std::time::Duration;

use rustix::process::Signal;
use support::measure::{report, time_until, timed};
use support::procfs::Observed;
use support::{Client, DEADLINE, EventStream, Served, assert_bytes, get, post};

use crate::Program;
use crate::crowd::make_room;
use crate::shim::Shim;

/// Duration of the stop: far longer than any of its timeouts.
const PAUSE: Duration = Duration::from_secs(20);

const STREAMS: usize = 200;

const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\n";

/// Everything under way when the process is stopped, each kind in a wait that has a deadline.
struct UnderWay {
    streams: Vec<EventStream>,
    head: Client,
    body: Client,
    idle: Client,
    /// A stream whose client pauses before the stop, and reads again during it.
    behind: EventStream,
}

/// The bytes that the slow client has yet to read.
const LARGE: usize = 400 * 1024;

impl UnderWay {
    #[track_caller]
    fn in_program(program: &Program) -> Self {
        let behind = EventStream::open_tight(program.connect());
        let large = "x".repeat(LARGE);
        program.publish(&large);
        program.publish(&large);
        let streams = (0..STREAMS).map(|_| program.stream()).collect();
        let mut idle = program.connect();
        idle.request(post("begin")).expect_status(202);
        let mut body = program.connect();
        let begun = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
        body.request(begun).expect_status(100);
        body.send("hel");
        let mut head = program.connect();
        head.send("GET /connections HTT");
        let mut under_way = Self { streams, head, body, idle, behind };
        under_way.expect_everywhere("begin");
        assert_eq!(program.count(), STREAMS + 1);
        under_way
    }

    #[track_caller]
    fn expect_everywhere(&mut self, line: &str) {
        self.streams.iter_mut().for_each(|stream| stream.expect_data(line));
    }

    /// Continues all of it as if nothing had happened.
    #[track_caller]
    fn go_on(&mut self) {
        self.body.send("lo");
        self.body.response().expect_status(202);
        self.expect_everywhere("hello");
        self.idle.request(post("idle")).expect_status(202);
        self.expect_everywhere("idle");
        self.head.send("P/1.1\r\nHost: h\r\n\r\n");
        let count = self.head.response().expect_status(200);
        assert_eq!(count.body, (STREAMS + 1).to_string().into_bytes());
        for line in ["begin", "while it stood still", "hello", "idle"] {
            self.behind.expect_data(line);
        }
    }
}

#[test]
#[ignore = "slow: it stands still for twenty seconds"]
fn a_stopped_process_goes_on_where_it_was() {
    make_room();
    let flags = "--write-timeout 4s --head-timeout 4s --body-timeout 4s --idle-timeout 4s --heartbeat 0 --max-lag 2m";
    let program = Program::start(&flags.split(' ').collect::<Vec<_>>());
    let observed = Observed::new(program.id());
    let mut under_way = UnderWay::in_program(&program);
    program.signal(Signal::STOP);
    time_until("it is stopped", DEADLINE, || observed.is_stopped());
    // The kernel goes on: it accepts connections and their input.
    let mut late = program.connect();
    late.send(post("while it stood still"));
    // It reads again, so that it is slow and not stalled.
    let large = ["data: ", &"x".repeat(LARGE), "\n\n"].concat();
    under_way.behind.expect(&large.as_bytes()[..1024]);
    assert!(!under_way.streams[0].client().readable_within(PAUSE), "it is stopped and cannot have sent anything");
    program.signal(Signal::CONT);
    let ((), took) = timed(|| {
        // The first `Date` may still be from before.
        assert_bytes("to the client that came meanwhile", ACCEPTED, &late.read_exactly(ACCEPTED.len()));
        under_way.expect_everywhere("while it stood still");
    });
    under_way.behind.expect(&large.as_bytes()[1024..]);
    under_way.behind.expect(large.as_bytes());
    under_way.go_on();
    assert_eq!(program.count(), STREAMS + 1);
    report("stopped for 20 s", format_args!("what was published meanwhile is with {STREAMS} streams {took:?} later"));
    assert_eq!(program.kill().stderr, "", "none of it is worth a word");
}

/// The value of a response's `Date`.
#[track_caller]
fn date(program: &Program) -> String {
    let mut client = program.connect();
    client.send(get("/connections"));
    let answer = String::from_utf8(client.rest()).expect("an answer is ASCII");
    let line = answer.lines().find_map(|line| line.strip_prefix("Date: "));
    line.unwrap_or_else(|| panic!("no Date: {answer:?}")).to_owned()
}

#[test]
fn setting_the_wall_clock_changes_the_date_alone() {
    const EPOCH: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
    let Some(shim) = Shim::compile("a wall clock that is set") else { return };
    // Back to a time before 1970, for which there is no date.
    let flags = ["--head-timeout", "2s", "--heartbeat", "1s", "--workers", "2"];
    let program = shim.start(&flags, &[("FAULT_SECONDS", "4000000000")]);
    // Each shard has its own date, and connections are dealt in turn.
    let is_epoch = || [date(&program), date(&program)].map(|date| date == EPOCH);
    let mut stream = program.stream();
    let mut idle = program.connect();
    idle.request(post("begin")).expect_status(202);
    assert_eq!(stream.message().data, "begin");
    assert_eq!(is_epoch(), [false; 2]);
    shim.begin();
    time_until("the date is the wall clock's", DEADLINE, || is_epoch() == [true; 2]);
    // Deadlines and heartbeats go on.
    let mut slow = program.connect();
    slow.send("GET /");
    assert!(slow.rest().starts_with(b"HTTP/1.1 408 "), "a head still has its time");
    assert_eq!(stream.block(), b":\n\n");
    // Forward by more than a century, past every deadline.
    shim.end();
    time_until("the date is the wall clock's again", DEADLINE, || is_epoch() == [false; 2]);
    idle.request(post("end")).expect_status(202);
    assert_eq!(stream.message().data, "end");
    assert_eq!(program.count(), 1);
    let said = program.kill();
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""), "none of it is worth a word");
}
