//! The program under test, as a process.
//!
//! Cargo gives its path to test binaries alone, so each of them names it once, by [`program_under_test!`].
//!
//! [`program_under_test!`]: crate::program_under_test

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use smolcast::Address;

use crate::procfs::Observed;
use crate::{Child, DEADLINE, Served, wait_until};

/// Prefixes of the variables that configure the program: its own, and a service manager's.
const SETTINGS: [&str; 4] = ["SMOLCAST_", "LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"];

/// A program that cargo has built for the tests.
pub trait Binary {
    /// The path of its executable.
    const PATH: &'static str;
}

/// Names the program under test in the root of a test binary: `Program` and `Process`, and `finished` to run it.
#[macro_export]
macro_rules! program_under_test {
    () => {
        /// The program that cargo has built for these tests.
        pub(crate) enum Smolcast {}

        impl $crate::Binary for Smolcast {
            const PATH: &'static str = env!("CARGO_BIN_EXE_smolcast");
        }

        pub(crate) type Program = $crate::Program<Smolcast>;
        pub(crate) type Process = $crate::Process<Smolcast>;

        /// Runs the program with these flags and variables to its end.
        #[track_caller]
        pub(crate) fn finished(flags: &[&str], variables: &[(&str, &str)]) -> $crate::Finished {
            Process::finished(&[], flags, variables)
        }
    };
}

/// The program once it serves. Its drop kills it.
pub struct Program<B> {
    /// Its first TCP address; without one, an address that accepts no connection.
    pub addr: SocketAddr,
    /// The first line of its standard output, without the line end.
    pub start_line: String,
    process: Process<B>,
    /// The rest of its standard output, once it has ended.
    stdout: Receiver<Vec<u8>>,
    /// All its standard error, once it has ended.
    stderr: Receiver<Vec<u8>>,
    /// Its standard error until now.
    complaints: Arc<Mutex<Vec<u8>>>,
}

/// The end of a process, and all its output.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output, without a start line that was read before.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Finished {
    /// Standard error without the time (RFC 3339, in UTC) that each line has to begin with.
    ///
    /// # Panics
    ///
    /// If a line has none.
    #[track_caller]
    pub fn untimed(&self) -> String {
        let strip = |line: &str| {
            let (time, rest) = line.split_once(' ').unwrap_or_default();
            let form: String = time.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
            assert_eq!(form, "0000-00-00T00:00:00.000Z", "the time of {line:?}");
            format!("{rest}\n")
        };
        self.stderr.lines().map(strip).collect()
    }
}

/// The program as a child process. Its drop kills it.
pub struct Process<B> {
    child: Child,
    binary: PhantomData<B>,
}

impl<B: Binary> Process<B> {
    /// A command for the program, without the settings of this process.
    ///
    /// A `launcher` that is not empty starts it and must become it by `exec`, so that the process stays the same.
    pub fn command(launcher: &[&str]) -> Command {
        let words = [launcher, &[B::PATH]].concat();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        let is_setting = |name: &str| SETTINGS.iter().any(|setting| name.starts_with(setting));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command
    }

    /// Starts the program with these flags, without waiting until it serves.
    #[track_caller]
    pub fn start(flags: &[&str]) -> Self {
        Self::spawn(piped(Self::command(&[]).args(flags)))
    }

    /// Starts it with an output that nobody reads: the reading ends are closed at once.
    pub fn start_unheard(flags: &[&str]) -> Self {
        let mut process = Self::start(flags);
        drop((process.child.stdout.take(), process.child.stderr.take()));
        process
    }

    /// Runs it with these flags and variables to its end.
    #[track_caller]
    pub fn finished(launcher: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Finished {
        Self::finish_command(Self::command(launcher).args(flags).envs(variables.iter().copied()))
    }
}

impl<B> Process<B> {
    /// Starts a command.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self { child: Child::spawn(command), binary: PhantomData }
    }

    /// Runs a command that becomes the program to its end.
    #[track_caller]
    pub fn finish_command(command: &mut Command) -> Finished {
        let mut process = Self::spawn(piped(command));
        let stdout = read_in_background(process.child.stdout.take());
        let stderr = read_in_background(process.child.stderr.take());
        let status = process.wait();
        finished_with(status, &stdout, &stderr)
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sets its limit of descriptors; `None` restores the maximum.
    #[cfg(target_os = "linux")]
    pub fn limit_descriptors(&self, count: Option<u64>) {
        use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
        let own = getrlimit(Resource::Nofile);
        let limit = Rlimit { current: count.or(own.maximum), maximum: own.maximum };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("a child may be limited");
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process exists");
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_until("the process has ended", || !self.is_running());
        self.child.wait().expect("it is a child of this process")
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is a child of this process").is_none()
    }
}

impl<B: Binary> Program<B> {
    /// Starts it on a free port and reads its first line.
    #[track_caller]
    pub fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[])
    }

    /// Starts it on a free port, with these variables set.
    #[track_caller]
    pub fn start_with(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::launch(&[], flags, variables)
    }

    /// Starts it on a free port through a `launcher` that becomes it.
    #[track_caller]
    pub fn launch(launcher: &[&str], flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Process::<B>::command(launcher);
        Self::spawn(command.args(["--port", "0"]).args(flags).envs(variables.iter().copied()))
    }

    /// Starts it with these variables and no flag.
    #[track_caller]
    pub fn start_without_flags(variables: &[(&str, &str)]) -> Self {
        Self::spawn(Process::<B>::command(&[]).envs(variables.iter().copied()))
    }

    /// Starts it with exactly these flags.
    #[track_caller]
    pub fn start_on(flags: &[&str]) -> Self {
        Self::spawn(Process::<B>::command(&[]).args(flags))
    }
}

impl<B> Program<B> {
    /// Starts a test's own command.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_as_it_is(piped(command))
    }

    /// Starts a command whose outputs the test has set.
    #[track_caller]
    pub fn spawn_as_it_is(command: &mut Command) -> Self {
        Self::once_it_serves(Process::spawn(command))
    }

    /// Waits for the first line of a started process.
    #[track_caller]
    pub fn once_it_serves(process: Process<B>) -> Self {
        Self::serving_or_ended(process).unwrap_or_else(|finished| panic!("no start line: {finished:?}"))
    }

    /// Starts a command that either serves or ends.
    #[track_caller]
    pub fn try_spawn(command: &mut Command) -> Result<Self, Finished> {
        Self::serving_or_ended(Process::spawn(piped(command)))
    }

    #[track_caller]
    fn serving_or_ended(mut process: Process<B>) -> Result<Self, Finished> {
        let complaints = Arc::default();
        let stderr = copy_in_background(process.child.stderr.take(), Arc::clone(&complaints));
        let (start_line, reader) = read_line(process.child.stdout.take());
        let stdout = read_in_background(Some(reader));
        let Some(line) = start_line.strip_suffix('\n') else {
            let status = process.wait();
            return Err(finished_with(status, &stdout, &stderr));
        };
        let addr = first_tcp_address(line).unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        Ok(Self { addr, start_line: line.to_owned(), process, stdout, stderr, complaints })
    }

    /// The addresses in its start line, in that order.
    pub fn addresses(&self) -> Vec<&str> {
        let addresses = self.start_line.strip_prefix("Listening on ").and_then(|rest| rest.split_once(" with "));
        addresses.map(|(addresses, _)| addresses.split(", ").collect()).unwrap_or_default()
    }

    /// The admin address, at the end of its start line.
    #[track_caller]
    pub fn admin(&self) -> Address {
        let line = &self.start_line;
        let (_, url) = line.rsplit_once("; admin on ").unwrap_or_else(|| panic!("no admin address: {line:?}"));
        match url.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/')) {
            Some(address) => Address::Tcp(address.parse().unwrap_or_else(|_| panic!("no address: {line:?}"))),
            None => url.parse().unwrap_or_else(|_| panic!("no address: {line:?}")),
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The most resident memory that it ever had, in KiB.
    pub fn peak_memory(&self) -> usize {
        Observed::new(self.id()).peak_resident()
    }

    /// Sets its limit of descriptors; `None` restores the maximum.
    #[cfg(target_os = "linux")]
    pub fn limit_descriptors(&self, count: Option<u64>) {
        self.process.limit_descriptors(count);
    }

    /// True until it ends.
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Its standard error until now.
    pub fn complaints(&self) -> String {
        let bytes = self.complaints.lock().expect("the reading thread has not panicked");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let status = self.process.wait();
        finished_with(status, &self.stdout, &self.stderr)
    }

    /// Kills it; returns its output until then.
    #[track_caller]
    pub fn kill(mut self) -> Finished {
        self.process.child.kill().expect("the process exists");
        let status = self.process.wait();
        finished_with(status, &self.stdout, &self.stderr)
    }
}

impl<B> Served for Program<B> {
    fn addr(&self) -> SocketAddr {
        self.addr
    }
}

fn piped(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// The first TCP address in a start line, as clients of this machine reach it.
#[track_caller]
fn first_tcp_address(line: &str) -> Option<SocketAddr> {
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

/// Reads one line; the reader returned continues behind it.
#[track_caller]
fn read_line(pipe: Option<ChildStdout>) -> (String, BufReader<ChildStdout>) {
    let mut reader = BufReader::new(pipe.expect("it is piped"));
    let (sender, line) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        // An error leaves no start line, and the test says so.
        let _ = reader.read_line(&mut line);
        let _ = sender.send((line, reader));
    });
    line.recv_timeout(DEADLINE).expect("the start line comes within the deadline")
}

/// Reads a pipe to its end, so that it never blocks the process. Without a pipe the output is empty.
fn read_in_background(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    copy_in_background(pipe, Arc::default())
}

/// Reads a pipe to its end; `copy` has the bytes until now.
fn copy_in_background(mut pipe: Option<impl Read + Send + 'static>, copy: Arc<Mutex<Vec<u8>>>) -> Receiver<Vec<u8>> {
    let (sender, all) = channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            match pipe.as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Bytes before an error count as output.
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    copy.lock().expect("no reader has panicked").extend_from_slice(&buffer[..count]);
                }
            }
        }
        let bytes = copy.lock().expect("no reader has panicked").clone();
        let _ = sender.send(bytes);
    });
    all
}

#[track_caller]
fn finished_with(status: ExitStatus, stdout: &Receiver<Vec<u8>>, stderr: &Receiver<Vec<u8>>) -> Finished {
    let text = |pipe: &Receiver<Vec<u8>>| {
        let bytes = pipe.recv_timeout(DEADLINE).expect("an ended process closes its outputs");
        String::from_utf8(bytes).expect("its output is UTF-8")
    };
    Finished { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}
