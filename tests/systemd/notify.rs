//! The server's notifications to a service manager. The test is the manager, at the other end of `NOTIFY_SOCKET`.

use std::collections::VecDeque;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use support::{DEADLINE, Folder, Served};

use crate::{Process, Program};

/// The watchdog's interval.
const WATCHDOG: Duration = Duration::from_secs(2);

/// Becomes a program with this process's watchdog.
const WATCHED: [&str; 4] = ["sh", "-c", r#"WATCHDOG_PID=$$ exec "$@""#, "sh"];

/// A service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    /// The value of `NOTIFY_SOCKET`.
    name: String,
    /// Lines of the last datagram that the test has not read yet.
    lines: VecDeque<String>,
    /// The last `STATUS=`.
    status: String,
}

impl Manager {
    #[track_caller]
    fn at_path(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).expect("a path that is free");
        Self::over(socket, path.to_str().expect("UTF-8").to_owned())
    }

    /// Binds an abstract name, written with an `@`.
    #[track_caller]
    fn at_name(name: &str) -> Self {
        let address = SocketAddr::from_abstract_name(name).expect("a short name");
        Self::over(UnixDatagram::bind_addr(&address).expect("a name that is free"), format!("@{name}"))
    }

    fn over(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout above zero can be set");
        Self { socket, name, lines: VecDeque::new(), status: String::new() }
    }

    /// Starts the program with these variables added.
    #[track_caller]
    fn start(&self, launcher: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Program {
        let mut command = Process::command(launcher);
        command.args(["--port", "0"]).args(flags).env("NOTIFY_SOCKET", &self.name);
        Program::spawn(command.envs(variables.iter().copied()))
    }

    /// The next line other than a status.
    #[track_caller]
    fn next(&mut self) -> String {
        loop {
            match self.lines.pop_front() {
                Some(line) => match line.strip_prefix("STATUS=") {
                    Some(status) => status.clone_into(&mut self.status),
                    None => return line,
                },
                None => self.receive(),
            }
        }
    }

    #[track_caller]
    fn receive(&mut self) {
        let mut buffer = [0; 4096];
        let count = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("nothing was said: {error}"));
        let text = std::str::from_utf8(&buffer[..count]).expect("it speaks UTF-8");
        assert!(!text.is_empty(), "a datagram says something");
        self.lines.extend(text.lines().map(str::to_owned));
    }

    #[track_caller]
    fn expect(&mut self, line: &str) {
        assert_eq!(self.next(), line, "the status is {:?}", self.status);
    }
}

/// Uptime of the machine in microseconds, including suspended time, which its monotonic clock leaves out.
fn uptime() -> u64 {
    let text = fs::read_to_string("/proc/uptime").expect("the system counts");
    let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).expect("seconds come first");
    // The kernel counts hundredths.
    (seconds * 1e6) as u64 + 10_000
}

/// The status of a request for this host.
#[track_caller]
fn status_for(program: &Program, host: &str) -> u16 {
    program.request(format!("GET /connections HTTP/1.1\r\nHost: {host}\r\n\r\n")).status
}

#[test]
#[ignore = "with the other tests of systemd, though it needs nothing of it"]
fn it_announces_its_start_and_its_shutdown() {
    let folder = Folder::new();
    let managers =
        [Manager::at_path(&folder.path("notify")), Manager::at_name(&format!("smolcast-{}", std::process::id()))];
    for mut manager in managers {
        let program = manager.start(&[], &[], &[]);
        manager.expect("READY=1");
        program.signal(Signal::TERM);
        manager.expect("STOPPING=1");
        assert_eq!(program.finish().code, Some(0));
        assert_ne!(manager.status, "", "a status for the operator");
    }
}

#[test]
#[ignore = "with the other tests of systemd, though it needs nothing of it"]
fn it_announces_a_reload_and_its_end() {
    let folder = Folder::new();
    let mut manager = Manager::at_path(&folder.path("notify"));
    let hosts = folder.path("hosts");
    fs::write(&hosts, "one.example\n").expect("it can be written");
    let program = manager.start(&[], &["--allow-host-file", hosts.to_str().expect("UTF-8")], &[]);
    manager.expect("READY=1");
    assert_eq!((status_for(&program, "one.example"), status_for(&program, "two.example")), (200, 421));
    fs::write(&hosts, "two.example\n").expect("it can be written");
    program.signal(Signal::HUP);
    manager.expect("RELOADING=1");
    let line = manager.next();
    let time: Option<u64> = line.strip_prefix("MONOTONIC_USEC=").and_then(|digits| digits.parse().ok());
    // A machine that was suspended has been up for longer than its clock says.
    assert!(time.is_some_and(|time| (1..=uptime()).contains(&time)), "{line:?}");
    manager.expect("READY=1");
    assert_eq!((status_for(&program, "one.example"), status_for(&program, "two.example")), (421, 200));
    program.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    assert_eq!(program.finish().code, Some(0));
}

#[test]
#[ignore = "with the other tests of systemd, though it needs nothing of it"]
fn the_watchdog_is_fed_within_its_interval() {
    let folder = Folder::new();
    let mut manager = Manager::at_path(&folder.path("notify"));
    let microseconds = WATCHDOG.as_micros().to_string();
    let program = manager.start(&WATCHED, &[], &[("WATCHDOG_USEC", &microseconds)]);
    manager.expect("READY=1");
    manager.socket.set_read_timeout(Some(WATCHDOG)).expect("a timeout above zero can be set");
    for _ in 0..3 {
        manager.expect("WATCHDOG=1");
    }
    program.signal(Signal::TERM);
    // It goes on until the program ends.
    let last = (0..10).map(|_| manager.next()).find(|line| line != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert_eq!(program.finish().code, Some(0));
}

#[test]
#[ignore = "with the other tests of systemd, though it needs nothing of it"]
fn another_processs_watchdog_hears_nothing() {
    let folder = Folder::new();
    let mut manager = Manager::at_path(&folder.path("notify"));
    let program = manager.start(&[], &[], &[("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")]);
    manager.expect("READY=1");
    let mut stream = program.stream();
    for number in 0..100 {
        program.publish(format!("{number}"));
        stream.expect_data(&number.to_string());
    }
    program.signal(Signal::TERM);
    manager.expect("STOPPING=1");
    assert_eq!(program.finish().code, Some(0));
}
