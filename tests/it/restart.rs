//! A history that outlives its server: the next server has the same events and ids, however the last one ended.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustix::process::Signal;
use support::{EventStream, Finished, Served, post};

use crate::{Program, finished};

/// A test's own folder, with a file for the history.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("smolcast-restart-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder can be made");
        Self(path)
    }

    fn file(&self) -> String {
        self.0.join("history").to_str().expect("UTF-8").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(file: &str, flags: &[&str]) -> Program {
    Program::start(&[&["--history-file", file], flags].concat())
}

fn publish(program: &Program, query: &str, line: &str) -> String {
    let head = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n");
    let answer = program.request(format!("{head}Content-Length: {}\r\n\r\n{line}", line.len())).expect_status(202);
    let body = String::from_utf8(answer.body).expect("JSON is text");
    body.split('"').nth(3).unwrap_or_else(|| panic!("no id in {body}")).to_owned()
}

fn resume(program: &Program, query: &str) -> EventStream {
    EventStream::open_with(program.connect(), format!("GET /sse?{query} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).0
}

/// Holds that a stream from the start of the history gets these events.
#[track_caller]
fn expect_held(program: &Program, query: &str, events: &[(&str, &str)]) {
    let expected: String = events.iter().map(|(id, line)| format!("id: {id}\ndata: {line}\n\n")).collect();
    resume(program, &format!("last_event_id=earliest&{query}")).expect(expected.as_bytes());
}

/// The next server holds the events with their ids, and goes on with new ids.
#[test]
fn the_history_survives_a_restart() {
    let folder = Folder::new();
    let first = start(&folder.file(), &[]);
    let (a, b) = (publish(&first, "", "a"), publish(&first, "?topic=t", "b"));
    let own = publish(&first, "?id=own", "c");
    first.signal(Signal::TERM);
    assert_eq!(first.finish().code, Some(0));

    let second = start(&folder.file(), &[]);
    expect_held(&second, "topic=t", &[(&a, "a"), (&b, "b"), (&own, "c")]);
    expect_held(&second, "", &[(&a, "a"), (&own, "c")]);
    let mut live = resume(&second, &format!("topic=t&last_event_id={a}"));
    let mut behind_own = resume(&second, "last_event_id=own");
    let d = publish(&second, "", "d");
    assert_ne!(d.split('-').next(), a.split('-').next(), "another start");
    assert!(d.ends_with("-1"), "{d}");
    live.expect(format!("id: {b}\ndata: b\n\nid: own\ndata: c\n\nid: {d}\ndata: d\n\n").as_bytes());
    behind_own.expect(format!("id: {d}\ndata: d\n\n").as_bytes());
    drop(second.kill());

    let third = start(&folder.file(), &[]);
    expect_held(&third, "topic=%23", &[(&a, "a"), (&b, "b"), (&own, "c"), (&d, "d")]);
    resume(&third, &format!("last_event_id={d}"));
}

#[test]
fn a_kill_loses_no_accepted_event_with_sync_always() {
    let folder = Folder::new();
    let mut ids = Vec::new();
    for round in 0..3 {
        let program = start(&folder.file(), &["--history-sync", "always"]);
        let mut publisher = program.connect();
        for number in 0..20 {
            ids.push((publish(&program, "", &format!("{round} {number}")), format!("{round} {number}")));
        }
        // One more is on its way, and may be lost.
        publisher.send(post("perhaps"));
        drop(program.kill());
    }
    let program = start(&folder.file(), &[]);
    let mut stream = resume(&program, "last_event_id=earliest");
    for (id, line) in ids {
        let mut message = stream.message();
        if message.data == "perhaps" {
            message = stream.message();
        }
        assert_eq!((message.last_event_id, message.data), (id, line));
    }
}

fn cut(file: &str, bytes: u64) {
    let file = OpenOptions::new().write(true).open(file).expect("the file is there");
    let length = file.metadata().expect("it has a length").len();
    file.set_len(length - bytes).expect("it can be cut");
}

#[test]
fn a_torn_end_is_cut_off_and_logged() {
    let folder = Folder::new();
    let program = start(&folder.file(), &[]);
    let first = publish(&program, "", "whole");
    publish(&program, "", "torn");
    drop(program.kill());
    cut(&folder.file(), 3);
    let program = start(&folder.file(), &[]);
    expect_held(&program, "", &[(&first, "whole")]);
    let next = publish(&program, "", "next");
    expect_held(&program, "", &[(&first, "whole"), (&next, "next")]);
    let Finished { stderr, .. } = program.kill();
    assert!(stderr.starts_with("smolcast: warn: cut ") && stderr.lines().count() == 1, "{stderr:?}");
}

#[test]
fn the_bounds_hold_over_restarts() {
    let folder = Folder::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let program = start(&folder.file(), &["--history", "3"]);
        ids.extend(["x", "x"].map(|line| publish(&program, "", line)));
        drop(program.kill());
    }
    let program = start(&folder.file(), &["--history", "3"]);
    let held: Vec<_> = ids[3..].iter().map(|id| (&**id, "x")).collect();
    expect_held(&program, "", &held);
    let mut stream = resume(&program, &format!("last_event_id={}", ids[0]));
    let block = String::from_utf8(stream.block()).expect("text");
    assert!(block.starts_with("event: gap\n"), "{block}");
}

#[test]
fn a_foreign_or_locked_file_is_refused_in_one_line() {
    let folder = Folder::new();
    let program = start(&folder.file(), &[]);
    let other = folder.0.join("other");
    fs::write(&other, "something else entirely").expect("it can be written");
    let table = [folder.file(), other.to_string_lossy().into_owned(), folder.0.to_string_lossy().into_owned()];
    for file in table {
        let refused = finished(&["--port", "0", "--history-file", &file], &[]);
        assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
        assert!(refused.stderr.contains(&file), "{refused:?}");
    }
    assert!(Path::new(&other).exists());
    publish(&program, "", "it goes on");
}
