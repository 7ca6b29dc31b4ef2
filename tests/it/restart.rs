//! A history that outlives its server: the next server has the same events and ids, however the last one ended.

use std::fs::{self, OpenOptions};
use std::path::Path;

use rustix::process::Signal;
use support::{EventStream, Finished, Folder, Served, post};

use crate::{Program, finished};

fn start(file: &str, flags: &[&str]) -> Program {
    Program::start(&[&["--history-file", file], flags].concat())
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
    let first = start(&folder.file("history"), &[]);
    let (a, b) = (first.publish_for_id("", "a"), first.publish_for_id("?topic=t", "b"));
    let own = first.publish_for_id("?id=own", "c");
    first.signal(Signal::TERM);
    assert_eq!(first.finish().code, Some(0));

    let second = start(&folder.file("history"), &[]);
    expect_held(&second, "topic=t", &[(&a, "a"), (&b, "b"), (&own, "c")]);
    expect_held(&second, "", &[(&a, "a"), (&own, "c")]);
    let mut live = resume(&second, &format!("topic=t&last_event_id={a}"));
    let mut behind_own = resume(&second, "last_event_id=own");
    let d = second.publish_for_id("", "d");
    assert_ne!(d.split('-').next(), a.split('-').next(), "another start");
    assert!(d.ends_with("-1"), "{d}");
    live.expect(format!("id: {b}\ndata: b\n\nid: own\ndata: c\n\nid: {d}\ndata: d\n\n").as_bytes());
    behind_own.expect(format!("id: {d}\ndata: d\n\n").as_bytes());
    drop(second.kill());

    let third = start(&folder.file("history"), &[]);
    expect_held(&third, "topic=%23", &[(&a, "a"), (&b, "b"), (&own, "c"), (&d, "d")]);
    resume(&third, &format!("last_event_id={d}"));
}

#[test]
fn a_kill_loses_no_accepted_event_with_sync_always() {
    let folder = Folder::new();
    let mut ids = Vec::new();
    for round in 0..3 {
        let program = start(&folder.file("history"), &["--history-sync", "always"]);
        let mut publisher = program.connect();
        for number in 0..20 {
            ids.push((program.publish_for_id("", &format!("{round} {number}")), format!("{round} {number}")));
        }
        // One more is on its way, and may be lost.
        publisher.send(post("perhaps"));
        drop(program.kill());
    }
    let program = start(&folder.file("history"), &[]);
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
    let program = start(&folder.file("history"), &[]);
    let first = program.publish_for_id("", "whole");
    program.publish_for_id("", "torn");
    drop(program.kill());
    cut(&folder.file("history"), 3);
    let program = start(&folder.file("history"), &[]);
    expect_held(&program, "", &[(&first, "whole")]);
    let next = program.publish_for_id("", "next");
    expect_held(&program, "", &[(&first, "whole"), (&next, "next")]);
    let Finished { stderr, .. } = program.kill();
    assert!(stderr.starts_with("smolcast: warn: cut ") && stderr.lines().count() == 1, "{stderr:?}");
}

#[test]
fn the_bounds_hold_over_restarts() {
    let folder = Folder::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let program = start(&folder.file("history"), &["--history", "3"]);
        ids.extend(["x", "x"].map(|line| program.publish_for_id("", line)));
        drop(program.kill());
    }
    let program = start(&folder.file("history"), &["--history", "3"]);
    let held: Vec<_> = ids[3..].iter().map(|id| (&**id, "x")).collect();
    expect_held(&program, "", &held);
    let mut stream = resume(&program, &format!("last_event_id={}", ids[0]));
    let block = String::from_utf8(stream.block()).expect("text");
    assert!(block.starts_with("event: gap\n"), "{block}");
}

#[test]
fn a_foreign_or_locked_file_is_refused_in_one_line() {
    let folder = Folder::new();
    let program = start(&folder.file("history"), &[]);
    let other = folder.path("other");
    fs::write(&other, "something else entirely").expect("it can be written");
    let table =
        [folder.file("history"), other.to_string_lossy().into_owned(), folder.as_ref().to_string_lossy().into_owned()];
    for file in table {
        let refused = finished(&["--port", "0", "--history-file", &file], &[]);
        assert_eq!((refused.code, refused.stderr.lines().count()), (Some(1), 1), "{refused:?}");
        assert!(refused.stderr.contains(&file), "{refused:?}");
    }
    assert!(Path::new(&other).exists());
    program.publish_for_id("", "it goes on");
}
