//! A server that restarts: streams return by themselves.

use std::time::Duration;

use rustix::process::Signal;
use support::Served;
use support::measure::report;

use crate::Program;
use crate::chromium::Chromium;
use crate::page::{CONNECTING, Page};
use crate::site::{Report, Site};

/// Number of hosts, all of them this machine: a browser opens six connections to one host and port.
const HOSTS: usize = 4;
const STREAMS: usize = 5 * HOSTS;

/// The range of the reconnect delay, 3 s to 9 s, plus some time for a busy machine.
const SHORTEST: Duration = Duration::from_millis(2900);
const LONGEST: Duration = Duration::from_secs(15);

/// A page with all its streams open, and the program that serves them.
#[track_caller]
fn open_streams(chromium: Chromium) -> (Page, Program) {
    let program = Program::start(&["--host", "0.0.0.0"]);
    let port = program.addr.port();
    let script = format!("for (let i = 0; i < {STREAMS}; i++) watch(`http://127.0.0.${{1 + i % {HOSTS}}}:{port}`, i);");
    let mut page = Page::open(chromium, Site::bind(), &script);
    page.expect_each("open", STREAMS);
    program.wait_for_count(STREAMS);
    (page, program)
}

/// Starts the program at the port of an earlier one.
#[track_caller]
fn start_again(port: u16) -> Program {
    Program::start_without_flags(&[("SMOLCAST_HOST", "0.0.0.0"), ("SMOLCAST_PORT", &port.to_string())])
}

/// The next error of each stream; the stream must reconnect after it.
#[track_caller]
fn expect_errors(page: &mut Page) -> Vec<Report> {
    let errors = page.expect_each("error", STREAMS);
    assert!(errors.iter().all(|error| error.ready == CONNECTING), "streams are given up: {errors:?}");
    errors
}

/// Holds that all streams are open again and receive messages; returns their reconnects.
#[track_caller]
fn expect_back(page: &mut Page, program: &Program, errors: &[Report]) -> Returns {
    let opened = page.expect_each("open", STREAMS);
    program.wait_for_count(STREAMS);
    program.publish("all back");
    for message in page.expect_each("message", STREAMS) {
        assert_eq!(message.data, "all back", "on stream {}", message.stream);
    }
    assert_eq!((page.others("open"), page.others("error")), (0, 0), "they come back once");
    let mut waits: Vec<_> = opened.iter().zip(errors).map(|(opened, error)| opened.at - error.at).collect();
    let mut moments: Vec<_> = opened.into_iter().map(|opened| opened.at).collect();
    waits.sort_unstable();
    moments.sort_unstable();
    Returns { waits, moments }
}

/// The reconnects of all streams, in order.
struct Returns {
    /// Delays since the end of the stream.
    waits: Vec<Duration>,
    moments: Vec<Duration>,
}

impl Returns {
    fn shortest(&self) -> Duration {
        self.waits[0]
    }

    fn longest(&self) -> Duration {
        self.waits[STREAMS - 1]
    }

    /// The time from the first reconnect to the last.
    fn spread(&self) -> Duration {
        self.moments[STREAMS - 1] - self.moments[0]
    }

    /// The most reconnects within half a second.
    fn most_at_once(&self) -> usize {
        let within = |start: Duration| {
            self.moments.iter().filter(|moment| (start..start + Duration::from_millis(500)).contains(moment)).count()
        };
        self.moments.iter().map(|moment| within(*moment)).max().unwrap_or(0)
    }

    fn report(&self, test: &str) {
        let (shortest, longest, spread, most) = (self.shortest(), self.longest(), self.spread(), self.most_at_once());
        report(
            test,
            format_args!(
                "{STREAMS} streams are back {shortest:.2?} to {longest:.2?} after their end, spread over \
                 {spread:.2?}, at most {most} in half a second"
            ),
        );
    }
}

#[test]
#[ignore = "it needs a browser, and waits for streams that come back after seconds"]
fn after_a_restart_streams_return_at_different_times() {
    let Some(chromium) = Chromium::find("a restart") else { return };
    let (mut page, program) = open_streams(chromium);
    let port = program.addr.port();
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let program = start_again(port);
    let errors = expect_errors(&mut page);
    let returns = expect_back(&mut page, &program, &errors);
    returns.report("a restart");
    assert!(returns.shortest() >= SHORTEST, "a stream came back before it was told to");
    assert!(returns.longest() <= LONGEST, "a stream came back long after it was told to");
    assert!(returns.spread() >= Duration::from_secs(2), "they came back at one moment");
    assert!(returns.most_at_once() <= STREAMS / 2, "many came back at one moment");
}

#[test]
#[ignore = "it needs a browser, and waits for streams that come back after seconds"]
fn after_a_crash_streams_return_at_the_browsers_delay() {
    let Some(chromium) = Chromium::find("a crash") else { return };
    let (mut page, program) = open_streams(chromium);
    let port = program.addr.port();
    assert_eq!(program.kill().code, None, "it was killed");
    expect_errors(&mut page);
    // The first reconnect finds no server, and streams go on trying.
    let errors = expect_errors(&mut page);
    let program = start_again(port);
    let returns = expect_back(&mut page, &program, &errors);
    returns.report("a crash");
    assert!(returns.longest() <= LONGEST, "a stream came back too late");
}
