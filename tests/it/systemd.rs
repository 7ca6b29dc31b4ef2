//! The service manager's side of the program: the variables and sockets of systemd's protocol.
//!
//! No systemd is needed: a shell passes the sockets, and the test listens for notifications.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Client, DEADLINE, EventStream, Folder, Served, get, post, wait_until};

use crate::{Process, Program, finished};

/// Becomes its arguments, with standard input as the first passed socket.
const HANDS_OVER: [&str; 4] = ["sh", "-c", "export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\" 3<&0 </dev/null", "sh"];
/// The same with a second socket, its standard error.
const HANDS_TWO_OVER: [&str; 4] =
    ["sh", "-c", "export LISTEN_PID=$$ LISTEN_FDS=2; exec \"$@\" 3<&0 4<&2 </dev/null 2>/dev/null", "sh"];

/// The program with this socket passed.
fn with_socket(socket: impl Into<OwnedFd>) -> Command {
    let mut command = Process::command(&HANDS_OVER);
    command.stdin(Stdio::from(socket.into()));
    command
}

fn tcp() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = socket.local_addr().expect("it is bound");
    (socket, addr)
}

#[test]
fn a_passed_socket_replaces_addresses() {
    let folder = Folder::new();
    let never = folder.path("never");
    let (socket, addr) = tcp();
    // A client that connected before the server started waits in the backlog.
    let mut early = Client::connect(addr);
    early.send(get("/connections"));
    let program = Program::spawn(with_socket(socket).args(["--port", "0"]).arg("--unix").arg(&never));
    assert_eq!(program.addresses(), [format!("http://{addr}/")], "{}", program.start_line);
    early.response().expect_status(200);
    assert!(!never.exists(), "the flags' was not made");
    program.signal(Signal::TERM);
    let said = program.finish();
    let vain = format!("http://127.0.0.1:0/, unix:{}", never.display());
    let line = format!("smolcast: warn: sockets were handed over, so nothing listens on {vain}\n");
    assert_eq!((said.code, said.untimed()), (Some(0), line));
}

#[test]
fn a_passed_unix_socket_is_left_to_its_owner() {
    let folder = Folder::new();
    let path = folder.path("s");
    let socket = UnixListener::bind(&path).expect("the path is free");
    let program = Program::spawn(&mut with_socket(socket));
    assert_eq!(program.addresses(), [format!("unix:{}", path.display())]);
    let mut stream = EventStream::open(Client::connect_unix(&path));
    Client::connect_unix(&path).request(post("hello")).expect_status(202);
    stream.expect_data("hello");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    assert!(path.exists());
}

#[test]
fn several_passed_sockets_keep_their_order() {
    let folder = Folder::new();
    let path = folder.path("s");
    let (socket, addr) = tcp();
    let unix = UnixListener::bind(&path).expect("the path is free");
    let mut command = Process::command(&HANDS_TWO_OVER);
    command.stdin(Stdio::from(OwnedFd::from(socket))).stdout(Stdio::piped()).stderr(Stdio::from(OwnedFd::from(unix)));
    command.env("LISTEN_FDNAMES", "smolcast.socket:other");
    let program = Program::spawn_as_it_is(&mut command);
    assert_eq!(program.addresses(), [format!("http://{addr}/"), format!("unix:{}", path.display())]);
    let mut stream = program.stream();
    Client::connect_unix(&path).request(post("hello")).expect_status(202);
    stream.expect_data("hello");
}

#[test]
fn a_socket_named_admin_is_the_admin_address() {
    let (socket, addr) = tcp();
    // The flags' public address stays; their admin address is replaced.
    let flags = ["--port", "0", "--admin", "127.0.0.1:0"];
    let program = Program::spawn(with_socket(socket).args(flags).env("LISTEN_FDNAMES", "admin"));
    assert_ne!(program.addr, addr);
    assert!(program.start_line.ends_with(&format!("; admin on http://{addr}/")), "{}", program.start_line);
    Client::connect(addr).request(get("/healthz")).expect_status(200);
    program.request(get("/healthz")).expect_status(404);
    program.publish("x");
    // Descriptors that it needs for itself are not given to clients, however it got its sockets.
    let limit = |program: &Program| program.start_line.split_once("up to ").map(|(_, rest)| rest[..8].to_owned());
    let (socket, _) = tcp();
    let handed = Program::spawn(with_socket(socket).args(["--port", "0"]).env("LISTEN_FDNAMES", "admin"));
    assert_eq!(limit(&handed), limit(&program));
    assert_ne!(limit(&handed), limit(&Program::start(&[])));
}

#[test]
fn a_second_socket_named_admin_is_refused() {
    let (socket, _) = tcp();
    let hands_one_over_twice = HANDS_OVER[2].replace("LISTEN_FDS=1", "LISTEN_FDS=2").replace("3<&0", "3<&0 4<&0");
    let mut command = Process::command(&["sh", "-c", &hands_one_over_twice, "sh"]);
    let refused =
        Process::finish_command(command.stdin(Stdio::from(OwnedFd::from(socket))).env("LISTEN_FDNAMES", "admin:admin"));
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
    assert!(refused.stderr.contains("number 2 (admin)"), "{refused:?}");
}

#[test]
fn sockets_passed_to_another_process_are_left_alone() {
    let own = std::process::id().to_string();
    let program = Program::start_with(&[], &[("LISTEN_FDS", "1"), ("LISTEN_PID", &own), ("LISTEN_FDNAMES", "admin")]);
    program.publish("x");
}

/// In one line, with exit code 1.
#[test]
fn a_passed_socket_that_does_not_listen_is_refused() {
    let (_listener, addr) = tcp();
    let connected = TcpStream::connect(addr).expect("it listens");
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let file = std::fs::File::open("/dev/null").expect("every system has it");
    let unusable = [
        ("web", "Accept=no", connected.into()),
        ("web", "ListenStream=", udp.into()),
        ("web", "ListenStream=", OwnedFd::from(file)),
    ];
    for (name, reason, socket) in unusable {
        let refused = Process::finish_command(with_socket(socket).args(["--port", "0"]).env("LISTEN_FDNAMES", name));
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
        assert!(
            refused.stderr.contains(reason) && refused.stderr.contains(&format!("number 1 ({name})")),
            "{refused:?}"
        );
    }
}

/// A service manager, which receives notifications.
struct Manager {
    socket: UnixDatagram,
    address: String,
    _folder: Folder,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let path = folder.path("notify");
        let socket = UnixDatagram::bind(&path).expect("the path is free");
        Self { socket, address: path.to_str().expect("a plain name").to_owned(), _folder: folder }
    }

    /// A manager with an abstract socket.
    #[cfg(target_os = "linux")]
    fn without_file() -> Self {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("smolcast-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a short name");
        let socket = UnixDatagram::bind_addr(&address).expect("the path is free");
        Self { socket, address: format!("@{name}"), ..Self::new() }
    }

    /// The program, with the address of this manager.
    fn start(&self, variables: &[(&str, &str)]) -> Program {
        Program::start_with(&[], &[&[("NOTIFY_SOCKET", self.address.as_str())], variables].concat())
    }

    /// The next notification, one line for each assignment.
    #[track_caller]
    fn told(&self) -> String {
        self.socket.set_read_timeout(Some(DEADLINE)).expect("a time above 0");
        let mut bytes = [0; 4096];
        let length = self.socket.recv(&mut bytes).expect("it is told something within the deadline");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[track_caller]
    fn expect(&self, told: &str) {
        assert_eq!(self.told(), told);
    }

    /// True once every notification has been read.
    fn is_done(&self) -> bool {
        self.socket.set_nonblocking(true).expect("a socket can be asked not to wait");
        self.socket.recv(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

#[test]
fn the_manager_hears_of_start_and_shutdown() {
    let manager = Manager::new();
    let program = manager.start(&[]);
    manager.expect(&format!("READY=1\nSTATUS=Serving on http://{}/", program.addr));
    let mut stream = program.stream();
    program.signal(Signal::TERM);
    manager.expect("STOPPING=1\nSTATUS=Shutting down: delivering accepted messages");
    stream.expect_end(b"");
    let said = program.finish();
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""));
    assert!(manager.is_done(), "no watchdog was asked for");
}

#[cfg(target_os = "linux")]
#[test]
fn a_manager_may_have_an_abstract_name() {
    let manager = Manager::without_file();
    let program = manager.start(&[]);
    assert!(manager.told().starts_with("READY=1\n"));
    program.signal(Signal::TERM);
    assert!(manager.told().starts_with("STOPPING=1\n"));
    let said = program.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

/// With files and without them: a manager that requests a reload waits for its end.
#[test]
fn the_manager_hears_of_a_reload_and_its_end() {
    let folder = Folder::new();
    let hosts = folder.path("hosts");
    std::fs::write(&hosts, "h\n").expect("it can be written");
    let hosts = hosts.to_str().expect("a plain name");
    for flags in [["--allow-host-file", hosts].as_slice(), &[]] {
        let manager = Manager::new();
        let program = Program::start_with(flags, &[("NOTIFY_SOCKET", &manager.address)]);
        let ready = format!("READY=1\nSTATUS=Serving on http://{}/", program.addr);
        manager.expect(&ready);
        for _ in 0..2 {
            program.signal(Signal::HUP);
            let told = manager.told();
            let time = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|time| time.parse::<u64>().ok());
            assert!(time.is_some_and(|time| time > 0), "{told:?}");
            manager.expect(&ready);
        }
        program.publish("x");
    }
}

#[test]
fn a_program_that_cannot_listen_is_never_ready() {
    let manager = Manager::new();
    let (_taken, addr) = tcp();
    let refused = finished(&["--listen", &addr.to_string()], &[("NOTIFY_SOCKET", &manager.address)]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(manager.is_done());
}

#[test]
fn the_watchdog_is_fed_at_half_its_interval() {
    let manager = Manager::new();
    let start = Instant::now();
    let program = manager.start(&[("WATCHDOG_USEC", "400000")]);
    assert!(manager.told().starts_with("READY=1\n"));
    for _ in 0..4 {
        manager.expect("WATCHDOG=1");
    }
    // A busy machine may take longer, up to the deadline of each.
    let time = start.elapsed();
    assert!(time >= Duration::from_millis(600), "once, and three times more within {time:?}");
    program.signal(Signal::TERM);
    let ending = (0..3).map(|_| manager.told()).find(|told| told.starts_with("STOPPING=1\n"));
    assert!(ending.is_some(), "it ends");
    assert_eq!(program.finish().code, Some(0));
}

/// systemd also kills a service that does not feed its watchdog during the shutdown.
#[test]
fn the_watchdog_is_fed_during_the_shutdown() {
    let manager = Manager::new();
    let program = manager.start(&[("WATCHDOG_USEC", "20000")]);
    let mut client = program.connect();
    let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    client.request(head).expect_status(100);
    program.signal(Signal::TERM);
    wait_until("it is told of the end", || manager.told().starts_with("STOPPING=1\n"));
    for _ in 0..5 {
        manager.expect("WATCHDOG=1");
    }
    client.send("hello");
    client.response().expect_status(202);
    assert_eq!(program.finish().code, Some(0));
}

#[test]
fn another_processs_watchdog_is_not_fed() {
    let manager = Manager::new();
    let own = std::process::id().to_string();
    // At this rate there would be some before the first response.
    for variables in [[("WATCHDOG_USEC", "2"), ("WATCHDOG_PID", &own)].as_slice(), &[("WATCHDOG_USEC", "0")]] {
        let program = manager.start(variables);
        assert!(manager.told().starts_with("READY=1\n"));
        program.publish("x");
        program.signal(Signal::TERM);
        assert!(manager.told().starts_with("STOPPING=1\n"));
        assert_eq!(program.finish().code, Some(0));
    }
}

#[test]
fn a_manager_that_never_reads_delays_nothing() {
    let manager = Manager::new();
    // Soon more than any queue holds.
    let program = manager.start(&[("WATCHDOG_USEC", "2")]);
    let mut stream = program.stream();
    for number in 0..300 {
        program.publish(number.to_string());
        stream.expect_data(&number.to_string());
    }
    program.signal(Signal::TERM);
    stream.expect_end(b"");
    let said = program.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_missing_manager_is_one_warning() {
    let folder = Folder::new();
    let nowhere = folder.path("nowhere");
    let nowhere = nowhere.to_str().expect("a plain name");
    let program = Program::start_with(&[], &[("NOTIFY_SOCKET", nowhere), ("WATCHDOG_USEC", "2000")]);
    program.publish("x");
    program.signal(Signal::TERM);
    let said = program.finish();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
    let expected = format!("smolcast: warn: cannot tell the service manager at {nowhere} how the server is: ");
    assert!(said.untimed().starts_with(&expected), "{said:?}");
}
