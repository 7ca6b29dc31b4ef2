//! The `eventsource` package of npm, an EventSource for Node.
//!
//! It reconnects by itself, with the id of its last event. It has no origin, so CORS is not tested here.

use std::process::Command;

use rustix::process::Signal;
use support::measure::{report, skipped};
use support::{Folder, Served};

use crate::Program;
use crate::cases::{self, url_of};
use crate::ear::{Ear, read_lines};
use crate::packages::{installed, run};

const PACKAGE: &str = "eventsource@4";

/// Prints each event.
const SCRIPT: &str = r#"
import { EventSource } from "eventsource";
const hex = (text) => Buffer.from(text).toString("hex");
const stream = new EventSource(process.argv.at(-1));
stream.addEventListener("open", () => console.log("open"));
for (const type of ["message", "gap"]) {
  stream.addEventListener(type, (event) => console.log(type, hex(event.lastEventId), hex(event.data)));
}
"#;

/// A function that starts it; `None`, after a line about it, without Node or the package.
fn find(test: &str) -> Option<impl Fn(&str) -> Ear> {
    let found = run(Command::new("node").arg("--version")).and_then(|version| {
        let folder = installed(PACKAGE, |folder| {
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-audit", "--no-fund", "--loglevel=error", PACKAGE, "--prefix"]).arg(folder);
            npm
        })?;
        Ok((version, folder))
    });
    let (version, folder) = found.map_err(|why| skipped(test, why)).ok()?;
    report(test, format_args!("{PACKAGE} on Node {version}"));
    Some(move |url: &str| {
        // Node looks for imports in the working directory.
        let mut node = Command::new("node");
        node.current_dir(&folder).args(["--input-type=module", "--eval", SCRIPT, "--", url]);
        Ear::start(&mut node, read_lines)
    })
}

#[test]
#[ignore = "it needs Node and npm"]
fn a_broadcast_arrives() {
    let Some(listen) = find("broadcast to Node") else { return };
    cases::a_broadcast_arrives(listen, |program, body| program.publish(body));
}

#[test]
#[ignore = "it needs Node and npm"]
fn every_body_arrives_intact() {
    let Some(listen) = find("bodies to Node") else { return };
    cases::every_body_arrives_intact(listen, |program, body| program.publish(body));
}

#[test]
#[ignore = "it needs Node and npm"]
fn messages_missed_on_broken_connections_arrive_once() {
    let Some(listen) = find("resume by Node") else { return };
    cases::what_was_missed_arrives(|url| {
        let ear = listen(url);
        move || ear.message_of_any_stream()
    });
}

#[test]
#[ignore = "slow: it waits for a client to come back; it needs Node and npm"]
fn a_restart_costs_an_event_source_of_node_no_message() {
    let Some(listen) = find("a restart for Node") else { return };
    let folder = Folder::new();
    let history_dir = folder.path("history").to_str().expect("UTF-8").to_owned();
    let start = |port: u16| {
        let port = port.to_string();
        Program::start_without_flags(&[("SMOLCAST_PORT", &port), ("SMOLCAST_HISTORY_DIR", &history_dir)])
    };
    let program = start(0);
    let addr = program.addr;
    let ear = listen(&url_of(addr));
    ear.expect_open();
    program.publish("one");
    assert_eq!(ear.message().data, "one");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let program = start(addr.port());
    program.publish("while it was away");
    program.publish("two\nlines");
    ear.expect_open();
    program.publish("live");
    for expected in ["while it was away", "two\nlines", "live"] {
        assert_eq!(ear.message().data, expected);
    }
}
