//! The `eventsource` package of npm, which brings browsers' EventSource to Node: it comes back and misses nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::process::Signal;

use crate::measure::skipped;
use crate::support::{DEADLINE, Program, Served};

const NAME: &str = "node::an_event_source_of_node_comes_back_over_a_restart_and_misses_nothing";
const PACKAGE: &str = "eventsource@4";

/// Says what it sees, a line each.
const SCRIPT: &str = r#"
import { EventSource } from "eventsource";
const stream = new EventSource(process.argv[2]);
stream.addEventListener("open", () => console.log("open"));
stream.addEventListener("gap", (event) => console.log("gap " + event.data));
stream.addEventListener("message", (event) => console.log("message " + event.data));
"#;

/// Node with a script, in a folder of its own with the package. Gone with its test.
struct Node {
    folder: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// A folder with the package; `None` where there is no Node, or the package cannot be had.
    fn install() -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("smolcast-node-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let node = Self { folder, child: None };
        let words = ["install", "--no-audit", "--no-fund", "--silent", PACKAGE, "--prefix"];
        let mut npm = Command::new("npm");
        npm.args(words).arg(&node.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        npm.status().is_ok_and(|status| status.success()).then_some(node)
    }

    /// Runs the script; what it says comes line by line.
    fn run(&mut self, url: &str) -> Receiver<String> {
        let script = self.folder.join("stream.mjs");
        fs::write(&script, SCRIPT).expect("it can be written");
        let mut command = Command::new("node");
        let mut child = command.arg(script).arg(url).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("Node");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        self.child = Some(child);
        let (said, lines): (Sender<String>, _) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        lines
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[track_caller]
fn expect(lines: &Receiver<String>, line: &str) {
    assert_eq!(lines.recv_timeout(DEADLINE).as_deref(), Ok(line));
}

#[test]
#[ignore = "slow: it waits for a client to come back; it needs Node and npm"]
fn an_event_source_of_node_comes_back_over_a_restart_and_misses_nothing() {
    let Some(mut node) = Node::install() else {
        return skipped(NAME, format_args!("there is no npm, or {PACKAGE} cannot be installed"));
    };
    let file = node.folder.join("history").to_str().expect("UTF-8").to_owned();
    let start = |port: u16| {
        let port = port.to_string();
        Program::start_without_flags(&[("SMOLCAST_PORT", &port), ("SMOLCAST_HISTORY_FILE", &file)])
    };
    let program = start(0);
    let port = program.addr.port();
    let lines = node.run(&format!("http://127.0.0.1:{port}/sse"));
    expect(&lines, "open");
    program.publish("one");
    expect(&lines, "message one");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let program = start(port);
    program.publish("while it was away");
    program.publish("two\nlines");
    expect(&lines, "open");
    expect(&lines, "message while it was away");
    expect(&lines, "message two");
    expect(&lines, "lines");
    program.publish("live");
    expect(&lines, "message live");
}
