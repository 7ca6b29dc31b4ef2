//! A history that outlives its server: the next server has the same events and ids, however the last one ended.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use support::{EventStream, Finished, Folder, Served, post};

use crate::{Program, finished};

fn start(file: &str, flags: &[&str]) -> Program {
    Program::start(&[&["--history-dir", file], flags].concat())
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
    behind_own.expect_resume_point("own");
    assert_ne!(d.split('-').next(), a.split('-').next(), "another start");
    assert!(d.ends_with("-1"), "{d}");
    live.expect(format!("id: {b}\ndata: b\n\nid: own\ndata: c\n\nid: own\n\nid: {d}\ndata: d\n\n").as_bytes());
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

/// Path of a segment of the history in this folder.
fn segment(history: &str, number: u32) -> PathBuf {
    Path::new(history).join(format!("{number:012}.log"))
}

/// Holds that the next event is a gap; returns its id.
#[track_caller]
fn expect_gap(stream: &mut EventStream) -> String {
    let message = stream.message();
    assert_eq!(message.event, "gap", "{message:?}");
    message.last_event_id
}

#[test]
fn a_torn_end_is_a_gap_and_one_line() {
    let folder = Folder::new();
    let history = folder.file("history");
    let program = start(&history, &["--history-sync", "always"]);
    let first = program.publish_for_id("", "whole");
    program.publish_for_id("", "torn");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let file = OpenOptions::new().write(true).open(segment(&history, 1)).expect("the file is there");
    let length = file.metadata().expect("it has a length").len();
    // The note of the end has 53 bytes.
    file.set_len(length - 60).expect("it can be cut");
    let program = start(&history, &["--history-sync", "always"]);
    let next = program.publish_for_id("", "next");
    let mut stream = resume(&program, &format!("last_event_id={first}"));
    expect_gap(&mut stream);
    stream.expect(format!("id: {next}\ndata: next\n\n").as_bytes());
    let said = program.kill();
    let line = format!(
        "smolcast: warn: history in {history}: 1 events are missing; clients that resume across them get a gap\n"
    );
    assert_eq!(said.untimed(), line);
}

#[test]
fn what_is_sound_behind_damage_is_held() {
    let folder = Folder::new();
    let history = folder.file("history");
    let program = start(&history, &[]);
    let ids = ["a", "b", "c"].map(|line| program.publish_for_id("", line));
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let mut bytes = fs::read(segment(&history, 1)).expect("the file is there");
    let b = bytes.windows(9).position(|window| window == b"data: b\n\n").expect("it is there");
    bytes[b + 6] ^= 1;
    fs::write(segment(&history, 1), bytes).expect("it can be written");
    let program = start(&history, &[]);
    let mut stream = resume(&program, &format!("last_event_id={}", ids[0]));
    expect_gap(&mut stream);
    stream.expect(format!("id: {}\ndata: c\n\n", ids[2]).as_bytes());
    resume(&program, &format!("last_event_id={}", ids[2]));
}

/// Its last second may be lost with the power, and the next server cannot know.
#[test]
fn without_a_shutdown_the_end_is_a_gap() {
    let folder = Folder::new();
    let program = start(&folder.file("history"), &[]);
    let last = program.publish_for_id("", "last");
    drop(program.kill());
    let program = start(&folder.file("history"), &[]);
    let mut stream = resume(&program, &format!("last_event_id={last}"));
    let told = expect_gap(&mut stream);
    stream.expect_resume_point(&told);
    // A client that was told is not told again, and neither is one that came later.
    let mut again = resume(&program, &format!("last_event_id={told}"));
    again.expect_resume_point(&told);
    resume(&program, "").expect_resume_point(&told);
    let next = program.publish_for_id("", "next");
    [stream, again].iter_mut().for_each(|stream| stream.expect(format!("id: {next}\ndata: next\n\n").as_bytes()));
    let Finished { stderr, .. } = program.kill();
    assert!(stderr.contains("the last server did not shut down") && stderr.lines().count() == 1, "{stderr:?}");
}

#[test]
fn the_bounds_hold_over_restarts() {
    let folder = Folder::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let program = start(&folder.file("history"), &["--history", "3"]);
        ids.extend(["x", "x"].map(|line| program.publish_for_id("", line)));
        program.signal(Signal::TERM);
        assert_eq!(program.finish().code, Some(0));
    }
    let program = start(&folder.file("history"), &["--history", "3"]);
    let held: Vec<_> = ids[3..].iter().map(|id| (&**id, "x")).collect();
    expect_held(&program, "", &held);
    expect_gap(&mut resume(&program, &format!("last_event_id={}", ids[0])));
}

#[test]
fn a_file_or_a_locked_folder_is_refused_in_one_line() {
    let folder = Folder::new();
    let program = start(&folder.file("history"), &[]);
    let other = folder.path("other");
    fs::write(&other, "something else entirely").expect("it can be written");
    let other = other.to_string_lossy().into_owned();
    for (path, reason) in [
        (folder.file("history"), "another server has the history folder open; each server needs one of its own"),
        (other.clone(), "it is a file; name a folder, which is created if it is missing"),
        (folder.file("no/parent"), "its parent does not exist; create that, or choose another path"),
    ] {
        let said = finished(&["--port", "0", "--history-dir", &path], &[]);
        let line = format!("smolcast: error: cannot use {path} as the history's folder: {reason}\n");
        assert_eq!((said.code, said.untimed()), (Some(1), line));
    }
    assert_eq!(fs::read_to_string(other).expect("it is there"), "something else entirely");
    program.publish_for_id("", "it goes on");
}
