//! The `httpx-sse` package of Python.
//!
//! It parses streams and leaves reconnecting to the program: the script reconnects with the id and the delay of the
//! last event. It has no origin, so CORS is not tested here.
//!
//! Once it has an id, version 0.4 hands out an event without data for each block without data: an id alone, or a
//! heartbeat. The script takes the id from it and passes it over.

use std::process::Command;

use support::Served;
use support::measure::{report, skipped};

use crate::cases;
use crate::ear::{Ear, read_lines};
use crate::packages::{installed, run};

/// The package and `httpx`, which it needs and does not install.
const PACKAGES: [&str; 2] = ["httpx-sse==0.4.*", "httpx==0.28.*"];
const NAME: &str = "httpx-sse-0.4-on-httpx-0.28";

/// Prints each event, and reconnects when its stream ends.
const SCRIPT: &str = r#"
import sys, time
import httpx
from httpx_sse import connect_sse

last, delay = "", 3.0
with httpx.Client(timeout=httpx.Timeout(10, read=None), trust_env=False) as client:
    while True:
        headers = {"Last-Event-ID": last} if last else {}
        try:
            with connect_sse(client, "GET", sys.argv[1], headers=headers) as stream:
                print("open", flush=True)
                for event in stream.iter_sse():
                    last = event.id
                    if event.retry is not None:
                        delay = event.retry / 1000
                    if event.data or not event.id:
                        print(event.event, event.id.encode().hex(), event.data.encode().hex(), flush=True)
        except httpx.TransportError:
            pass
        time.sleep(delay)
"#;

/// A function that starts it; `None`, after a line about it, without Python or the package.
fn find(test: &str) -> Option<impl Fn(&str) -> Ear> {
    let found = run(Command::new("python3").arg("--version")).and_then(|version| {
        let folder = installed(NAME, |folder| {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
            pip.arg("--target").arg(folder).args(PACKAGES);
            pip
        })?;
        Ok((version, folder))
    });
    let (version, folder) = found.map_err(|why| skipped(test, why)).ok()?;
    report(test, format_args!("{NAME} on {version}"));
    Some(move |url: &str| {
        Ear::start(Command::new("python3").env("PYTHONPATH", &folder).args(["-c", SCRIPT, url]), read_lines)
    })
}

#[test]
#[ignore = "it needs Python and pip"]
fn a_broadcast_arrives() {
    let Some(listen) = find("broadcast to Python") else { return };
    cases::a_broadcast_arrives(listen, |program, body| program.publish(body));
}

#[test]
#[ignore = "it needs Python and pip"]
fn every_body_arrives_intact() {
    let Some(listen) = find("bodies to Python") else { return };
    cases::every_body_arrives_intact(listen, |program, body| program.publish(body));
}

#[test]
#[ignore = "it needs Python and pip"]
fn messages_missed_on_broken_connections_arrive_once() {
    let Some(listen) = find("resume by Python") else { return };
    cases::what_was_missed_arrives(|url| {
        let ear = listen(url);
        move || ear.message_of_any_stream()
    });
}
