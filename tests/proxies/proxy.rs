//! A proxy: found on this machine, set up from its file in `deploy/`, run, and ended with its test.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use smolcast::Address;
use support::measure::{skipped, time_until};
use support::{Folder, FreePort};

use crate::{PATIENCE, certificate, curl, node};

/// Runs the proxy in the background, prints its process id, and kills its group once its own input ends.
///
/// The input ends when the test drops it or dies.
const KEEPER: &str = r#""$@" >>"$0" 2>&1 & echo $!; read -r _; kill -KILL 0"#;

/// Folders for nginx's temporary files: its defaults are not writable for a plain user.
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/// Lines of the proxy's output shown in a failure.
const SHOWN_LINES: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Caddy,
    Haproxy,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Caddy, Self::Haproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
        }
    }

    /// The name of its program, or its path if only root has the folder in `PATH`.
    fn program(self) -> Option<String> {
        let word = if self == Self::Caddy { "version" } else { "-v" };
        let runs = |program: &String| {
            let output = Command::new(program).arg(word).stdin(Stdio::null()).output();
            output.is_ok_and(|output| output.status.success())
        };
        [self.name().to_owned(), format!("/usr/sbin/{}", self.name())].into_iter().find(runs)
    }

    fn shipped(self) -> String {
        let path = match self {
            Self::Nginx => "deploy/nginx.conf",
            Self::Caddy => "deploy/Caddyfile",
            Self::Haproxy => "deploy/haproxy.cfg",
        };
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Parts of the file that name the operator's machine, each with its replacement.
    fn places(self, root: &str, port: u16, upstream: &Address) -> Vec<(&'static str, String)> {
        let mut places = vec![("/etc/ssl/smolcast", root.to_owned())];
        places.extend(match self {
            Self::Nginx => {
                let temporary = TEMPORARY.map(|name| format!("    {name}_temp_path {root}/{name};\n")).concat();
                vec![
                    ("listen 443 ", format!("listen 127.0.0.1:{port} ")),
                    ("/run/nginx.pid", format!("{root}/pid")),
                    ("/var/log/nginx", root.to_owned()),
                    ("http {\n", format!("http {{\n{temporary}")),
                ]
            }
            Self::Caddy => vec![
                ("admin localhost:2019", format!("admin unix/{root}/admin")),
                ("\nevents.example.com {", format!("\nevents.example.com:{port} {{\n\tbind 127.0.0.1")),
            ],
            Self::Haproxy => vec![
                ("bind :443 ", format!("bind 127.0.0.1:{port} ")),
                ("log /dev/log local0", "log stderr format raw local0".to_owned()),
            ],
        });
        if self == Self::Haproxy && !rustix::process::getuid().is_root() {
            places.push(("    user haproxy\n    group haproxy\n", String::new()));
        }
        places.extend(self.upstream(upstream));
        places
    }

    /// The replacement for the server's address: TCP as in the file, or the file's line for a unix socket.
    fn upstream(self, upstream: &Address) -> Vec<(&'static str, String)> {
        let path = match upstream {
            Address::Tcp(addr) => return vec![("127.0.0.1:1942", addr.to_string())],
            Address::Unix { path, .. } => path.to_str().expect("the path is UTF-8"),
            other => panic!("no line for {other}"),
        };
        let (tcp, unix) = match self {
            Self::Nginx => ("        server 127.0.0.1:1942;\n", "# server unix:/run/smolcast/smolcast.sock"),
            Self::Caddy => ("127.0.0.1:1942 ", "# to unix//run/smolcast/smolcast.sock"),
            Self::Haproxy => {
                ("    server smolcast 127.0.0.1:1942\n", "# server smolcast unix@/run/smolcast/smolcast.sock")
            }
        };
        let line = unix.trim_start_matches("# ").replace("/run/smolcast/smolcast.sock", path);
        vec![(tcp, String::new()), (unix, line)]
    }

    fn words(self, file: &str) -> Vec<&str> {
        match self {
            Self::Nginx => vec!["-c", file, "-g", "daemon off;"],
            Self::Caddy => vec!["run", "--config", file, "--adapter", "caddyfile"],
            Self::Haproxy => vec!["-W", "-f", file],
        }
    }
}

/// Runs a test for each installed proxy, all in parallel.
#[track_caller]
pub(crate) fn for_each(test: &str, run: impl Fn(Kind) + Sync) {
    let kinds = found(test);
    thread::scope(|scope| {
        let run = &run;
        let threads = kinds.map(|kind| (kind, scope.spawn(move || run(kind))));
        // Collected so that all start before the first is joined.
        for (kind, thread) in threads.collect::<Vec<_>>() {
            assert!(thread.join().is_ok(), "{test}: failed with {}", kind.name());
        }
    });
}

/// Runs a test for each installed proxy, one after the other, for measurements.
pub(crate) fn for_each_alone(test: &str, run: impl Fn(Kind)) {
    found(test).for_each(run);
}

/// The installed proxies; prints a line about each other one.
fn found(test: &str) -> impl Iterator<Item = Kind> {
    let has_tools = certificate::can_be_made() && curl::is_here() && node::is_here();
    if !has_tools {
        skipped(test, "it takes openssl, node, and a curl that speaks HTTP/2");
    }
    let test = test.to_owned();
    Kind::ALL.into_iter().filter(move |kind| {
        let is_here = kind.program().is_some();
        if !is_here {
            skipped(&test, format_args!("there is no {}", kind.name()));
        }
        is_here && has_tools
    })
}

/// A running proxy. Its drop ends all processes and removes the folder.
pub(crate) struct Proxy {
    kind: Kind,
    program: String,
    file: String,
    port: FreePort,
    /// The shell that keeps the proxy: the leader of its process group.
    keeper: Child,
    /// The process that takes signals.
    master: Pid,
    folder: Folder,
}

impl Proxy {
    /// Starts it in front of a server, with further changes to its file.
    #[track_caller]
    pub(crate) fn start(kind: Kind, upstream: impl Into<Address>, changes: &[(&str, &str)]) -> Self {
        let folder = Folder::new();
        certificate::make(&folder);
        let port = FreePort::new();
        let mut text = kind.shipped();
        let root = folder.as_ref().to_str().expect("the path is UTF-8");
        let places = kind.places(root, port.number(), &upstream.into());
        let places = places.iter().map(|(from, to)| (*from, to.as_str()));
        for (from, to) in places.chain(changes.iter().copied()) {
            assert!(text.contains(from), "the file for {} has no {from:?}", kind.name());
            text = text.replace(from, to);
        }
        let file = folder.path("config").to_str().expect("the path is UTF-8").to_owned();
        fs::write(&file, text).expect("the folder is new");
        let program = kind.program().expect("it was found");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER]).arg(folder.path("log")).arg(&program).args(kind.words(&file));
        at_home(&mut command, &folder).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut keeper = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut line = String::new();
        let output = keeper.stdout.take().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("the keeper says the number of its child");
        let master = line.trim().parse().ok().and_then(Pid::from_raw).expect("it is a number");
        let proxy = Self { kind, program, file, port, keeper, master, folder };
        let addr = proxy.port.addr();
        time_until(&format!("{} listens", kind.name()), PATIENCE, || TcpStream::connect(addr).is_ok());
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.number()
    }

    /// The file with the certificate to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path("cert.pem")
    }

    /// Reloads its file, as its operator would.
    #[track_caller]
    pub(crate) fn reload(&self) {
        let words: &[&str] = match self.kind {
            Kind::Nginx => &["-c", &self.file, "-s", "reload"],
            Kind::Caddy => &["reload", "--force", "--config", &self.file, "--adapter", "caddyfile"],
            Kind::Haproxy => return kill_process(self.master, Signal::USR2).expect("it runs"),
        };
        let log = File::options().append(true).open(self.folder.path("log")).expect("the keeper has made it");
        let mut command = Command::new(&self.program);
        at_home(command.args(words), &self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let status = command.status().expect("it ran before");
        assert!(status.success(), "{command:?}: {status}");
    }

    /// The last lines of its output.
    fn last_words(&self) -> String {
        let said = ["log", "error.log"].map(|name| fs::read(self.folder.path(name)).unwrap_or_default()).concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{} said:\n{}", self.kind.name(), self.last_words());
        }
        // The keeper is reaped last: until then no other group can have its number.
        let _ = kill_process_group(Pid::from_child(&self.keeper), Signal::KILL);
        let _ = self.keeper.wait();
    }
}

/// Makes a program write its own files into the folder.
fn at_home<'c>(command: &'c mut Command, folder: &Folder) -> &'c mut Command {
    for name in ["HOME", "TMPDIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
        command.env(name, folder.as_ref());
    }
    command
}
