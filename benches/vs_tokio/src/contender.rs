//! The measured servers as processes: how each is started, where it listens, and that none outlives the comparison.
//!
//! A server is started through this very executable (`guard`), which asks the kernel to kill it with its parent and
//! then becomes it: so an interrupt, or even a kill of the comparison, leaves nothing behind.

use std::env;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::clock::{SECOND, now, until};
use crate::flags::address;
use crate::process::{family, kill_family};
use crate::servers;
use anyhow::{Context, Error, Result, anyhow, bail, ensure};

/// The hidden word that starts the guard.
pub(crate) const GUARD: &str = "guard";

const START_LIMIT: u64 = 10 * SECOND;

/// A server as it is named and started.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) name: String,
    command: Vec<String>,
    /// True for this program's own servers, which all take the same flags.
    is_own: bool,
}

impl Contender {
    /// One of this program's own servers.
    pub(crate) fn own(name: &str, workers: usize) -> Result<Self> {
        let words = [&this_program()?, "serve", name, "--workers", &workers.to_string()].map(str::to_owned);
        Ok(Self { name: name.to_owned(), command: words.into(), is_own: true })
    }

    /// The same with comments after so many seconds of silence, where there is a way to tell it that.
    pub(crate) fn with_heartbeat(mut self, seconds: u64) -> Self {
        if self.is_own {
            self.command.extend(["--heartbeat".to_owned(), seconds.to_string()]);
        }
        self
    }

    pub(crate) fn is_own(&self) -> bool {
        self.is_own
    }

    /// Its command line, for the report.
    pub(crate) fn command(&self) -> String {
        self.command.join(" ")
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let expected = "expected NAME=COMMAND, such as other='/usr/bin/other --port {port}'";
        let (name, command) = text.split_once('=').ok_or(expected)?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || command.is_empty() {
            return Err(expected.to_owned());
        }
        Ok(Self { name: name.to_owned(), command, is_own: false })
    }
}

/// The servers of these names, all where none is given, and the guests.
pub(crate) fn contenders(names: &[String], guests: &[Contender], workers: usize) -> Result<Vec<Contender>> {
    let is_guest = |name: &str| guests.iter().any(|guest| guest.name == name);
    if let Some(name) = names.iter().find(|name| servers::ALL.iter().all(|own| own.name != **name) && !is_guest(name)) {
        let all = servers::ALL.map(|server| server.name).join(", ");
        bail!("no server is named {name}; there are {all}");
    }
    let is_asked_for = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let own = servers::ALL.iter().filter(|own| is_asked_for(own.name) && !is_guest(own.name));
    let mut contenders = own.map(|own| Contender::own(own.name, workers)).collect::<Result<Vec<_>>>()?;
    contenders.extend(guests.iter().cloned());
    Ok(contenders)
}

/// A running server; dropping it kills it and what it started.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) address: SocketAddrV4,
    child: Child,
    /// Held open, or the server's next line to it would be its last.
    _output: Option<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts `contender` and returns once it listens.
    pub(crate) fn start(contender: &Contender) -> Result<Self> {
        Self::spawn(contender, Stdio::inherit())
    }

    /// The same, with its standard error to be read.
    pub(crate) fn start_apart(contender: &Contender) -> Result<(Self, ChildStderr)> {
        let mut server = Self::spawn(contender, Stdio::piped())?;
        let errors = server.child.stderr.take();
        errors.map(|errors| (server, errors)).ok_or_else(|| anyhow!("the server has no standard error"))
    }

    fn spawn(contender: &Contender, errors: Stdio) -> Result<Self> {
        let name = &contender.name;
        let mut command = [&[this_program()?, GUARD.to_owned()], &contender.command[..]].concat();
        let port = free_port()?;
        let is_told_port = command.iter().any(|part| part.contains("{port}"));
        for part in &mut command {
            *part = part.replace("{port}", &port.to_string());
        }
        let output = if is_told_port { Stdio::null() } else { Stdio::piped() };
        let mut starting = Command::new(&command[0]);
        // In a group of its own, Ctrl-C does not reach it: that is for this program, which ends the server itself, and
        // may have to ask it some things before.
        starting.args(&command[1..]).stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let mut child = starting.spawn().with_context(|| format!("starting {name} ({})", command[0]))?;
        let output = child.stdout.take();
        let mut server =
            Self { name: name.to_owned(), address: SocketAddrV4::new(Ipv4Addr::LOCALHOST, port), child, _output: None };
        match output {
            Some(output) => server.learn_address(output)?,
            None => server.await_listener()?,
        }
        Ok(server)
    }

    /// Every process of it, by now.
    pub(crate) fn processes(&self) -> Vec<u32> {
        family(self.child.id())
    }

    /// Fails where the server ended on its own.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(&format!("ended on its own ({status})"))),
            Err(error) => Err(self.failure(&format!("cannot be waited for ({error})"))),
        }
    }

    /// Asks it to end, with SIGTERM, and tells how it did; `None` where it still runs at `deadline`.
    pub(crate) fn terminate(&mut self, deadline: u64) -> Result<Option<ExitStatus>> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).context("sending SIGTERM to the server")?;
        loop {
            let status = self.child.try_wait().context("waiting for the server's end")?;
            if status.is_some() || now() > deadline {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn learn_address(&mut self, output: ChildStdout) -> Result<()> {
        let mut output = BufReader::new(output);
        let address = first_line(&mut output).and_then(|line| listening_address(line.trim_end()));
        self.address = address.map_err(|reason| self.failure(&format!("{reason:#}")))?;
        self._output = Some(output);
        Ok(())
    }

    /// A server that was told its port need not print anything: the first accepted connection
    /// tells.
    fn await_listener(&mut self) -> Result<()> {
        let deadline = now() + START_LIMIT;
        while TcpStream::connect(self.address).is_err() {
            self.check_alive()?;
            if now() > deadline {
                return Err(self.failure(&format!("did not listen on {} in 10 s", self.address)));
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn failure(&self, what: &str) -> Error {
        anyhow!("{} {what}; run its command by hand to see why", self.name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Once it has been waited for, its number may be another process's.
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_family(self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// Becomes the server given by `command`, to be killed when the bench ends. Returns on failure
/// only.
pub(crate) fn guard(command: &[String]) -> Error {
    let Some((program, arguments)) = command.split_first() else {
        return anyhow!("no command to guard");
    };
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return anyhow!("asking to be killed with the bench: {error}");
    }
    let error = Command::new(program).args(arguments).exec();
    anyhow!("starting {program}: {error}")
}

fn this_program() -> Result<String> {
    let path = env::current_exe().context("finding this program's own file")?;
    let path = path.into_os_string().into_string();
    path.map_err(|_| anyhow!("the path of this program is not UTF-8"))
}

fn free_port() -> Result<u16> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|probe| probe.local_addr());
    Ok(probe.context("looking for a free port")?.port())
}

fn first_line(output: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    let mut waited_for = [PollFd::new(output.get_ref(), PollFlags::IN)];
    match poll(&mut waited_for, Some(&until(now() + START_LIMIT))).context("waiting for its first line")? {
        0 => bail!("printed no line in 10 s"),
        _ => output.read_line(&mut line).context("reading its first line")?,
    };
    ensure!(!line.is_empty(), "ended without printing where it listens");
    Ok(line)
}

fn listening_address(line: &str) -> Result<SocketAddrV4> {
    match line.strip_prefix("Listening on ").and_then(|url| address(url).ok()) {
        Some(address) if address.ip().is_loopback() => Ok(address),
        Some(address) => Err(anyhow!("listens on {address}, not on loopback")),
        None => Err(anyhow!("printed {line:?} where `Listening on http://127.0.0.1:PORT/` was expected")),
    }
}
