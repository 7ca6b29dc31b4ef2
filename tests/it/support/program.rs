//! The program, as a process of its own.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};
use smolcast::Address;

use super::{DEADLINE, Served, wait_until};

/// How the variables begin that the program goes by: its own, and a service manager's.
const SETTINGS: [&str; 4] = ["SMOLCAST_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"];

/// A process that serves. Dropping it kills it.
pub(crate) struct Program {
    /// The first of its TCP addresses; where it has none, one that nobody can connect to.
    pub(crate) addr: SocketAddr,
    /// What it printed first, without the line's end.
    pub(crate) start_line: String,
    process: Process,
    /// Its standard output behind the first line, once it has ended.
    stdout: Receiver<Vec<u8>>,
    /// All of its standard error, once it has ended.
    stderr: Receiver<Vec<u8>>,
    /// And what has come of it until now.
    complaints: Arc<Mutex<Vec<u8>>>,
}

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A child that does not outlive its test.
pub(crate) struct Process(Child);

impl Process {
    /// The program with none of this process's settings, started by another one where `launcher` is not empty: that
    /// one has to become the program, so that the process is the same.
    pub(crate) fn command(launcher: &[&str]) -> Command {
        let words = [launcher, &[env!("CARGO_BIN_EXE_smolcast")]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        let is_setting = |name: &str| SETTINGS.iter().any(|setting| name.starts_with(setting));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command
    }

    /// Starts a command.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}")))
    }

    /// Starts the program with these flags, and does not wait until it serves.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::spawn(piped(Self::command(&[]).args(flags)))
    }

    /// Starts it with nobody who reads what it says: the reading ends of its output are closed at once.
    pub(crate) fn start_unheard(flags: &[&str]) -> Self {
        let mut process = Self::start(flags);
        drop((process.0.stdout.take(), process.0.stderr.take()));
        process
    }

    /// Its number, by which the system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Lets it have no more descriptors than these, or as many as before.
    pub(crate) fn limit_descriptors(&self, count: Option<u64>) {
        let own = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: count.or(own.maximum), maximum: own.maximum };
        prlimit(Some(Pid::from_child(&self.0)), Resource::Nofile, limit).expect("a child may be limited");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("the process is there");
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_until("the process has ended", || self.0.try_wait().expect("it is a child of this process").is_some());
        self.0.wait().expect("it is a child of this process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, which is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Starts it on a free port and reads its first line.
    #[track_caller]
    pub(crate) fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[])
    }

    /// Starts it on a free port, with these variables set.
    #[track_caller]
    pub(crate) fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch(&[], flags, variables)
    }

    /// The same, started by another program that becomes it.
    #[track_caller]
    pub(crate) fn launch(launcher: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Process::command(launcher);
        Self::spawn(command.args(["--port", "0"]).args(flags).envs(variables.iter().copied()))
    }

    /// Starts it as these variables say.
    #[track_caller]
    pub(crate) fn start_without_flags(variables: &[(&str, &str)]) -> Self {
        Self::spawn(Process::command(&[]).envs(variables.iter().copied()))
    }

    /// Starts it with these flags and no others.
    #[track_caller]
    pub(crate) fn start_on(flags: &[&str]) -> Self {
        Self::spawn(Process::command(&[]).args(flags))
    }

    /// The addresses that its first line names, in that order.
    pub(crate) fn addresses(&self) -> Vec<&str> {
        let addresses = self.start_line.strip_prefix("Listening on ").and_then(|rest| rest.split_once(" with "));
        addresses.map(|(addresses, _)| addresses.split(", ").collect()).unwrap_or_default()
    }

    /// Starts what a test has put together itself.
    #[track_caller]
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_as_it_is(piped(command))
    }

    /// The same, with a standard error that may be somebody else's.
    #[track_caller]
    pub(crate) fn spawn_as_it_is(command: &mut Command) -> Self {
        Self::once_it_serves(Process::spawn(command))
    }

    /// A process that was started, once it has said its first line.
    #[track_caller]
    pub(crate) fn once_it_serves(mut process: Process) -> Self {
        let complaints = Arc::default();
        let stderr = copy_in_background(process.0.stderr.take(), Arc::clone(&complaints));
        let (start_line, reader) = read_line(process.0.stdout.take());
        let line = start_line.strip_suffix('\n').unwrap_or_else(|| panic!("no start line: {start_line:?}"));
        let addr = address(line).unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let stdout = read_in_background(Some(reader));
        Self { addr, start_line: line.to_owned(), process, stdout, stderr, complaints }
    }

    /// Where the start line says that its admin address is, at its very end.
    #[track_caller]
    pub(crate) fn admin(&self) -> Address {
        let line = &self.start_line;
        let (_, url) = line.rsplit_once("; admin on ").unwrap_or_else(|| panic!("no admin address: {line:?}"));
        match url.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')) {
            Some(address) => Address::Tcp(address.parse().unwrap_or_else(|_| panic!("no address: {line:?}"))),
            None => url.parse().unwrap_or_else(|_| panic!("no address: {line:?}")),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its number, by which the system knows it.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The most memory that it has ever held, in KiB.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("the system counts memory");
        kib.parse().expect("it counts in digits")
    }

    /// Lets it have no more descriptors than these, or as many as before.
    pub(crate) fn limit_descriptors(&self, count: Option<u64>) {
        self.process.limit_descriptors(count);
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.0.try_wait().expect("it is a child of this process").is_none()
    }

    /// What it has said on its standard error until now.
    pub(crate) fn complaints(&self) -> String {
        let bytes = self.complaints.lock().expect("who reads has not panicked");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Finished {
        let status = self.process.wait();
        finished_with(status, &self.stdout, &self.stderr)
    }

    /// Ends it as it is, for what it has said until then.
    #[track_caller]
    pub(crate) fn kill(mut self) -> Finished {
        self.process.0.kill().expect("the process is there");
        let status = self.process.wait();
        finished_with(status, &self.stdout, &self.stderr)
    }
}

impl Served for Program {
    fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Runs it with nothing but these flags and variables, up to its end.
#[track_caller]
pub(crate) fn finished(flags: &[&str], variables: &[(&str, &str)]) -> Finished {
    Finished::of(&[], flags, variables)
}

impl Finished {
    /// The same, started by another program that becomes it.
    #[track_caller]
    pub(crate) fn of(launcher: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of_command(Process::command(launcher).args(flags).envs(variables.iter().copied()))
    }

    /// The same, of a command that becomes the program.
    #[track_caller]
    pub(crate) fn of_command(command: &mut Command) -> Self {
        let mut process = Process::spawn(piped(command));
        let stdout = read_in_background(process.0.stdout.take());
        let stderr = read_in_background(process.0.stderr.take());
        let status = process.wait();
        finished_with(status, &stdout, &stderr)
    }
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// The first TCP address that a start line names, for clients of this machine.
#[track_caller]
fn address(line: &str) -> Option<SocketAddr> {
    let rest = line.strip_prefix("Listening on ").and_then(|rest| rest.split_once(" with "));
    let (addresses, _) = rest.unwrap_or_else(|| panic!("no start line: {line:?}"));
    let mut urls = addresses.split(", ").filter_map(|address| address.strip_prefix("http://"));
    let address = urls.next()?.strip_suffix('/').and_then(|address| address.parse().ok());
    let mut addr: SocketAddr = address.unwrap_or_else(|| panic!("no address: {line:?}"));
    if addr.ip().is_unspecified() {
        addr.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    Some(addr)
}

/// Reads one line; what follows it can be read on.
#[track_caller]
fn read_line(pipe: Option<ChildStdout>) -> (String, BufReader<ChildStdout>) {
    let mut reader = BufReader::new(pipe.expect("it is piped"));
    let (sender, line) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        // What cannot be read is no start line, which is what the test then says.
        let _ = reader.read_line(&mut line);
        let _ = sender.send((line, reader));
    });
    line.recv_timeout(DEADLINE).expect("the start line comes within the deadline")
}

/// Reads a pipe up to its end, so that the process is never held up by it. Where there is none, nothing was said.
fn read_in_background(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    copy_in_background(pipe, Arc::default())
}

/// The same, for who looks at what has come before the end.
fn copy_in_background(mut pipe: Option<impl Read + Send + 'static>, copy: Arc<Mutex<Vec<u8>>>) -> Receiver<Vec<u8>> {
    let (sender, all) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What has come until an error is what it has said.
                Ok(0) | Err(_) => break,
                Ok(count) => copy.lock().expect("who looks has not panicked").extend_from_slice(&buffer[..count]),
            }
        }
        let bytes = copy.lock().expect("who looks has not panicked").clone();
        let _ = sender.send(bytes);
    });
    all
}

#[track_caller]
fn finished_with(status: ExitStatus, stdout: &Receiver<Vec<u8>>, stderr: &Receiver<Vec<u8>>) -> Finished {
    let text = |pipe: &Receiver<Vec<u8>>| {
        let bytes = pipe.recv_timeout(DEADLINE).expect("a process that has ended says no more");
        String::from_utf8(bytes).expect("it speaks UTF-8")
    };
    Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
