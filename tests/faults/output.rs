//! Outputs of the program that are full, closed, or failing.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use support::measure::{time_until, timed};
use support::procfs::Observed;
use support::{Client, DEADLINE, EventStream, FreePort, get, post, wait_until};

use crate::Process;

/// A program with an output that the test cannot read, so that it must be given its port.
struct Mute {
    port: FreePort,
    process: Process,
}

impl Mute {
    #[track_caller]
    fn start(launcher: &[&str], flags: &[&str], stdout: Stdio, stderr: Stdio) -> Self {
        let port = FreePort::new();
        let mut command = Process::command(launcher);
        command.args(["--port", &port.number().to_string()]).args(flags).stdout(stdout).stderr(stderr);
        let process = Process::spawn(&mut command);
        wait_until("it listens", || Client::try_connect(port.addr()).is_ok());
        Self { port, process }
    }

    fn connect(&self) -> Client {
        Client::connect(self.port.addr())
    }

    /// Holds that it serves.
    #[track_caller]
    fn expect_service(&self, line: &str) -> EventStream {
        assert_eq!(self.connect().request(get("/connections")).expect_status(200).body, b"0");
        let mut stream = EventStream::open(self.connect());
        self.connect().request(post(line)).expect_status(202);
        stream.expect_data(line);
        stream
    }

    /// Holds that it shuts down when signalled.
    #[track_caller]
    fn expect_orderly_end(mut self, mut stream: EventStream) {
        self.process.signal(Signal::TERM);
        stream.expect_end(b"");
        assert_eq!(self.process.wait().code(), Some(0));
    }
}

/// A full pipe, and its reading end, which is never read.
#[track_caller]
fn full() -> (Stdio, UnixStream) {
    let (mut writer, reader) = UnixStream::pair().expect("a pair of sockets");
    writer.set_nonblocking(true).expect("a socket can be non-blocking");
    for size in [4096, 1] {
        while writer.write(&vec![b'x'; size]).is_ok() {}
    }
    writer.set_nonblocking(false).expect("a socket can block");
    (Stdio::from(OwnedFd::from(writer)), reader)
}

#[test]
fn it_serves_and_ends_with_a_closed_output() {
    let launcher = ["sh", "-c", "exec \"$@\" >&- 2>&-", "sh"];
    let mute = Mute::start(&launcher, &[], Stdio::null(), Stdio::null());
    let stream = mute.expect_service("heard");
    mute.expect_orderly_end(stream);
}

#[test]
fn it_serves_and_ends_with_a_failing_output() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").expect("Linux has it"));
    let mute = Mute::start(&[], &[], full(), full());
    let stream = mute.expect_service("heard");
    mute.expect_orderly_end(stream);
}

#[test]
fn it_serves_and_ends_with_a_full_output() {
    let (stdout, _unread) = full();
    let mute = Mute::start(&[], &[], stdout, Stdio::null());
    let stream = mute.expect_service("heard");
    mute.expect_orderly_end(stream);
}

/// It has a line to log, which could block it: the lack of descriptors.
#[test]
fn it_accepts_again_with_a_full_standard_error() {
    let (stderr, _unread) = full();
    let mute = Mute::start(&[], &[], Stdio::null(), stderr);
    let mut stream = mute.expect_service("heard");
    let mut publisher = mute.connect();
    publisher.request(post("before")).expect_status(202);
    stream.expect_data("before");
    mute.process.limit_descriptors(Some(0));
    let mut waiting = mute.connect();
    waiting.send(get("/connections"));
    assert!(!waiting.readable_within(Duration::from_millis(500)), "accepted without a descriptor");
    publisher.request(post("meanwhile")).expect_status(202);
    stream.expect_data("meanwhile");
    mute.process.limit_descriptors(None);
    assert!(waiting.readable_within(DEADLINE), "it accepts nothing any more");
    assert_eq!(waiting.response().expect_status(200).body, b"1");
    mute.expect_orderly_end(stream);
}

/// Its last line: the drain was too short.
#[test]
fn it_ends_after_the_drain_with_a_full_standard_error() {
    let (stderr, _unread) = full();
    let mut mute = Mute::start(&[], &["--drain", "500ms"], Stdio::null(), stderr);
    let mut stream = mute.expect_service("heard");
    let mut publisher = mute.connect();
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    publisher.request(head).expect_status(100);
    mute.process.signal(Signal::TERM);
    stream.expect_end(b"");
    let (status, took) = timed(|| mute.process.wait());
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

/// A second signal ends it even if its log blocks.
#[test]
fn a_signal_ends_it_with_a_full_output() {
    let (stdout, _unread) = full();
    let mut mute = Mute::start(&[], &[], stdout, Stdio::null());
    let observed = Observed::new(mute.process.id());
    time_until("its signals are caught", DEADLINE, || observed.catches_term());
    mute.process.signal(Signal::TERM);
    mute.process.signal(Signal::TERM);
    mute.process.wait();
}
