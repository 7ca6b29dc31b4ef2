//! Accepts that fail: without descriptors, without memory, or for one connection.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use support::measure::{report, time_until, timed};
use support::procfs::Observed;
use support::{Client, EventStream, Served, get, post, showing};

use crate::Program;
use crate::crowd::{Crowd, make_room};
use crate::shim::Shim;

/// Duration of the lack: several of the longest pauses between two attempts.
const WANT: Duration = Duration::from_secs(3);

/// Longest time until accepting resumes.
const RECOVERY: Duration = Duration::from_secs(3);

/// Largest share of that time that the server may compute. It delivers a message now and then, and otherwise waits.
const BUSY: f64 = 0.2;

/// Connections that are open before the lack and must be served throughout.
struct Open {
    program: Program,
    streams: Vec<EventStream>,
    publisher: Client,
    published: usize,
}

impl Open {
    #[track_caller]
    fn in_program(program: Program) -> Self {
        let streams = (0..10).map(|_| program.stream()).collect();
        let mut publisher = program.connect();
        publisher.request(post("before")).expect_status(202);
        let mut open = Self { program, streams, publisher, published: 0 };
        open.expect_everywhere("before");
        open
    }

    /// Publishes on the open connection; each stream gets the message within a second.
    #[track_caller]
    fn publish(&mut self) {
        let line = format!("message {}", self.published);
        self.published += 1;
        let ((), took) = timed(|| {
            self.publisher.request(post(&line)).expect_status(202);
            self.expect_everywhere(&line);
        });
        assert!(took < Duration::from_secs(1), "{line:?} took {took:?}");
    }

    #[track_caller]
    fn expect_everywhere(&mut self, line: &str) {
        self.streams.iter_mut().for_each(|stream| stream.expect_data(line));
    }

    /// Serves the open connections during the lack, while `waiting` gets nothing. Returns the server's share of CPU
    /// time, held to show that it waits and does not spin.
    #[track_caller]
    fn outlast(&mut self, waiting: &mut Client) -> f64 {
        let observed = Observed::new(self.program.id());
        let (start, cpu) = (Instant::now(), observed.cpu());
        while start.elapsed() < WANT {
            self.publish();
            assert!(!waiting.readable_within(Duration::from_millis(300)), "accepted, with nothing to accept with");
        }
        let busy = (observed.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
        assert!(busy < BUSY, "it computed for {:.0} % of the time", 100.0 * busy);
        busy
    }

    /// Kills the program and holds that it has logged one such line.
    #[track_caller]
    fn expect_one_line(self) {
        let said = self.program.kill();
        assert_eq!((said.stderr.lines().count(), said.stdout.as_str()), (1, ""), "said once: {said:?}");
    }
}

/// A connection that waits in the backlog with its request.
#[track_caller]
fn wait_in_line(program: &Program) -> Client {
    let mut client = program.connect();
    client.send(get("/connections"));
    client
}

/// Holds that the waiting connection is served within the recovery time.
#[track_caller]
fn expect_recovery(waiting: &mut Client) -> Duration {
    let (answered, took) = timed(|| waiting.readable_within(RECOVERY));
    assert!(answered, "not accepted within {RECOVERY:?} of the want's end");
    assert_eq!(waiting.response().expect_status(200).body, b"10");
    took
}

/// Open connections are served meanwhile.
#[test]
#[ignore = "slow: it looks at the processor's time for seconds"]
fn a_lack_of_descriptors_is_waited_out() {
    const FREE: usize = 20;
    make_room();
    let mut open = Open::in_program(Program::start(&["--head-timeout", "60s"]));
    let observed = Observed::new(open.program.id());
    let base = observed.descriptors();
    open.program.limit_descriptors(Some(observed.limit_for(FREE)));
    let half = Crowd::connect(open.program.addr, FREE, b"GET /connections HTT");
    time_until("its descriptors are used up", RECOVERY, || observed.descriptors() == base + FREE);
    let mut waiting = wait_in_line(&open.program);
    let late = Crowd::connect(open.program.addr, 100, &get("/connections"));
    let busy = open.outlast(&mut waiting);
    // Some clients leave; nothing else helps, since the limit stays.
    drop(half);
    let recovery = expect_recovery(&mut waiting);
    let answers = late.read_to_the_end(RECOVERY);
    assert!(answers.iter().all(|answer| answer.ends_with(b"\r\n\r\n10")), "the others in line are served as well");
    open.publish();
    time_until("its descriptors are free again", RECOVERY, || observed.descriptors() == base);
    open.program.limit_descriptors(None);
    report("no descriptors (EMFILE)", format_args!("busy {:.1} %, accepting again after {recovery:?}", 100.0 * busy));
    open.expect_one_line();
}

#[test]
#[ignore = "slow: it looks at the processor's time for seconds"]
fn any_lack_of_resources_for_an_accept_is_waited_out() {
    for (name, errno) in [("ENFILE", Errno::NFILE), ("ENOBUFS", Errno::NOBUFS), ("ENOMEM", Errno::NOMEM)] {
        let _row = showing(name, b"");
        let Some(shim) = Shim::compile("what the system lacks for an accept") else { return };
        let number = errno.raw_os_error().to_string();
        let mut open = Open::in_program(shim.start(&[], &[("FAULT_ERRNO", &number)]));
        shim.begin();
        let mut waiting = wait_in_line(&open.program);
        let busy = open.outlast(&mut waiting);
        shim.end();
        let recovery = expect_recovery(&mut waiting);
        open.publish();
        report(name, format_args!("busy {:.1} %, accepting again after {recovery:?}", 100.0 * busy));
        open.expect_one_line();
    }
}

/// A program whose next hundred accepts fail, and a connection behind them.
#[track_caller]
fn start_with_failures(shim: &Shim, errno: Errno) -> (Program, Client) {
    let number = errno.raw_os_error().to_string();
    let program = shim.start(&[], &[("FAULT_ERRNO", &number), ("FAULT_TIMES", "100")]);
    let waiting = wait_in_line(&program);
    (program, waiting)
}

#[test]
fn an_error_of_one_connection_is_skipped_at_once() {
    let Some(shim) = Shim::compile("what ails one connection") else { return };
    // Errors that are waited out would take a minute and a half for so many failures.
    let (_program, mut waiting) = start_with_failures(&shim, Errno::NFILE);
    assert!(!waiting.readable_within(Duration::from_millis(300)), "no accept has failed");
    for (name, errno) in [("ECONNABORTED", Errno::CONNABORTED), ("EPERM", Errno::PERM), ("EPROTO", Errno::PROTO)] {
        let _row = showing(name, b"");
        let (program, mut waiting) = start_with_failures(&shim, errno);
        assert!(waiting.readable_within(Duration::from_secs(1)), "it is not passed over at once");
        assert_eq!(waiting.response().expect_status(200).body, b"0");
        assert_eq!(program.kill().stderr, "", "none of it is worth a word");
    }
}
