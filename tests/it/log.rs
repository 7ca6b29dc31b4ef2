//! The form of the program's log lines: text with a time, JSON, and text for a journal that has the time.

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt;

use serde_json::Value;
use support::Folder;

use crate::{Process, Program, finished};

const TYPO: (&str, &str) = ("SMOLCAST_PROT", "1");
const WARNING: &str = "there is no variable SMOLCAST_PROT (did you mean SMOLCAST_PORT?), so it is ignored";

#[test]
fn a_log_line_begins_with_its_time() {
    let said = Program::start_with(&[], &[TYPO]).kill();
    assert_eq!(said.untimed(), format!("smolcast: warn: {WARNING}\n"));
}

#[test]
fn a_log_in_json_has_an_object_a_line() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let said = finished(&["--port", &port, "--log-format=json"], &[TYPO]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    let lines: Vec<Value> = said.stderr.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let field = |number: usize, name: &str| lines[number][name].as_str().unwrap_or_default();
    assert_eq!(lines.len(), 2, "{said:?}");
    assert_eq!((field(0, "level"), field(0, "message")), ("warn", WARNING));
    assert_eq!(field(1, "level"), "error");
    assert!(field(1, "message").contains(&port), "{said:?}");
    assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))), "{said:?}");
}

#[test]
fn a_journal_gets_lines_without_a_time() {
    let folder = Folder::new();
    let path = folder.path("journal");
    let journal = File::create(&path).expect("the folder is there");
    let facts = journal.metadata().expect("it is open");
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let mut command = Process::command(&[]);
    command.args(["--port", &port]).env("JOURNAL_STREAM", format!("{}:{}", facts.dev(), facts.ino())).stderr(journal);
    assert_eq!(Process::spawn(&mut command).wait().code(), Some(1));
    let said = fs::read_to_string(path).expect("it is text");
    assert!(said.starts_with("smolcast: error: cannot listen on ") && said.lines().count() == 1, "{said:?}");
}
