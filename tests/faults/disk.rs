//! Disks under the history that are full, fail, hang or lose their power: publishers get an error, streams stay, and
//! each message that was accepted comes back from the next server, or a gap does.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use support::measure::{report, skipped, time_until, timed};
use support::{Client, DEADLINE, EventStream, Folder, Response, Served, post};

use crate::Program;
use crate::shim::Shim;

/// Mounts a small disk over a folder that only the program sees, and becomes the program.
const SMALL_DISK: &str = "mount -t tmpfs -o size=3m none \"$HOME\" && exec \"$0\" \"$@\"";

fn may_mount() -> bool {
    let trial = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"])
        .stdin(std::process::Stdio::null())
        .output();
    trial.is_ok_and(|output| output.status.success())
}

/// A message that was accepted: its id and its data.
type Accepted = (String, String);

/// A publisher that keeps account of its messages.
struct Publisher {
    client: Client,
    accepted: Vec<Accepted>,
    refused: Vec<String>,
}

impl Publisher {
    fn new(program: &Program) -> Self {
        Self { client: program.connect(), accepted: Vec::new(), refused: Vec::new() }
    }

    fn request(data: &str) -> Vec<u8> {
        let head = "POST /broadcast HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nContent-Length: ";
        format!("{head}{}\r\n\r\n{data}", data.len()).into_bytes()
    }

    /// Publishes messages by one write; returns the statuses.
    #[track_caller]
    fn publish_all(&mut self, messages: &[String]) -> Vec<u16> {
        self.client.send(messages.iter().flat_map(|data| Self::request(data)).collect::<Vec<_>>());
        messages.iter().map(|data| self.take_response(data)).collect()
    }

    fn publish(&mut self, data: &str) -> u16 {
        self.publish_all(&[data.to_owned()])[0]
    }

    fn take_response(&mut self, data: &str) -> u16 {
        let response = self.client.response();
        self.note(data, &response);
        response.status
    }

    fn note(&mut self, data: &str, response: &Response) {
        if response.status == 202 {
            let receipt: serde_json::Value = serde_json::from_slice(&response.body).expect("a receipt");
            self.accepted.push((receipt["id"].as_str().expect("an id").to_owned(), data.to_owned()));
        } else {
            self.refused.push(data.to_owned());
        }
    }
}

/// Holds that the stream of a client gets each of these messages that it has not, once and in order, or a gap where
/// some are missing; and none that was refused. A last message marks the end. Returns the number of the missing ones.
#[track_caller]
fn expect_truth(program: &Program, accepted: &[Accepted], refused: &[String]) -> usize {
    let end = program.publish_for_id("", "the end");
    let mut all_missing = 0;
    // The first, some in between, and the last.
    for client in (0..accepted.len()).step_by(1 + accepted.len() / 7).chain(accepted.len().checked_sub(1)) {
        let request = format!("GET /sse?last_event_id={} HTTP/1.1\r\nHost: h\r\n\r\n", accepted[client].0);
        let mut stream = EventStream::open_with(program.connect(), request.as_bytes()).0;
        let (mut next, mut is_told, mut is_first) = (client + 1, false, true);
        loop {
            let message = stream.message();
            if message.event == "gap" {
                is_told = true;
                continue;
            }
            assert!(!refused.contains(&message.data), "{} was refused", message.data);
            if message.last_event_id == end {
                break;
            }
            let found = accepted.iter().position(|(id, data)| (id, data) == (&message.last_event_id, &message.data));
            let found = found.unwrap_or_else(|| panic!("never accepted: {message:?}"));
            // A client whose event is not held any more gets a gap, and then all that is held.
            assert!(found == next || is_told && (found > next || is_first), "{client} gets {found}, not {next}");
            (all_missing, next) = (all_missing.max(found.saturating_sub(next)), found + 1);
            (is_told, is_first) = (false, false);
        }
        assert!(next == accepted.len() || is_told, "{client} misses those from {next} of {}", accepted.len());
        all_missing = all_missing.max(accepted.len() - next);
    }
    all_missing
}

fn flags<'f>(history_dir: &'f str, sync: &'f str) -> [&'f str; 6] {
    ["--history", "100000", "--history-dir", history_dir, "--history-sync", sync]
}

#[test]
fn a_full_disk_fails_publishers_alone() {
    if !may_mount() {
        return skipped("disk::a_full_disk", "this user may not mount a disk, or unshare is missing");
    }
    let folder = Folder::new();
    let (home, history_dir) = (folder.file(""), folder.file("history"));
    let flags = ["--history", "2", "--history-dir", &history_dir, "--history-sync", "always"];
    let program = Program::launch(&["unshare", "--mount", "sh", "-c", SMALL_DISK], &flags, &[("HOME", &home)]);
    let mut stream = program.stream();
    let mut publisher = Publisher::new(&program);
    let large = "x".repeat(300 * 1024);
    // The disk has room for nine messages. Whatever the history drops makes room for the next, without a copy.
    for _ in 0..20 {
        assert_eq!(publisher.publish(&large), 202);
        stream.message();
    }
    // Another program fills the disk, which only the server's namespace sees.
    let filler = format!("/proc/{}/root{home}/filler", program.id());
    let _ = fs::write(&filler, vec![0; 3 << 20]);
    assert_eq!(publisher.publish(&large), 507);
    assert_eq!(program.count(), 1, "streams live on");
    fs::remove_file(&filler).expect("it is there");
    assert_eq!(publisher.publish("there is room again"), 202);
    assert_eq!(stream.message().data, "there is room again");
    let line = "cannot write the history, so publishing fails until that works again: No space left on device";
    time_until("the log says so", DEADLINE, || program.complaints().contains(line));
}

#[test]
fn a_limit_of_file_sizes_ends_no_server() {
    let folder = Folder::new();
    let history_dir = folder.file("history");
    let limited = ["sh", "-c", "ulimit -f 2040 && ulimit -c 0 && exec \"$0\" \"$@\""];
    let program = Program::launch(&limited, &flags(&history_dir, "interval"), &[]);
    let mut publisher = Publisher::new(&program);
    let large = "x".repeat(60_000);
    let statuses: Vec<_> = (0..60).map(|_| publisher.publish(&large)).collect();
    // The first one that goes beyond the limit is told so; from then on segments stay below it.
    assert_eq!(statuses.iter().filter(|status| **status == 507).count(), 1, "{statuses:?}");
    assert_eq!(publisher.accepted.len(), 59);
    assert_eq!(publisher.publish(&"z".repeat(1000 << 10)), 202, "a segment of its own");
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let program = Program::start(&flags(&history_dir, "interval"));
    assert_eq!(expect_truth(&program, &publisher.accepted, &[]), 0);
}

/// With `always` what was not synced was not published, and is not by the next server.
#[test]
fn a_sync_that_fails_takes_messages_back() {
    for (sync, errno, status) in [("always", "5", 500), ("always", "28", 507), ("interval", "5", 500)] {
        let Some(shim) = Shim::compile("a sync that fails") else { return };
        let folder = Folder::new();
        let history_dir = folder.file("history");
        let program = shim.start(&flags(&history_dir, sync), &[("SYNC_ERRNO", errno)]);
        let mut publisher = Publisher::new(&program);
        let mut live = program.stream();
        for round in 0..3 {
            assert_eq!(publisher.publish(&format!("good {round}")), 202);
            assert_eq!(live.message().data, format!("good {round}"));
            shim.begin();
            if sync == "interval" {
                // What is not on the disk a second later is not accepted any more.
                time_until("the sync fails", DEADLINE, || {
                    let status = publisher.publish("perhaps");
                    if status == 202 {
                        live.message();
                    }
                    status != 202
                });
            }
            for bad in 0..2 {
                assert_eq!(publisher.publish(&format!("bad {round} {bad}")), status, "{sync}");
            }
            shim.end();
        }
        assert_eq!(publisher.publish("last"), 202);
        assert_eq!(live.message().data, "last");
        drop(program.kill());
        // Some of the first kind were accepted, and some were not.
        publisher.refused.retain(|data| data != "perhaps");
        let program = Program::start(&flags(&history_dir, sync));
        assert_eq!(expect_truth(&program, &publisher.accepted, &publisher.refused), 0, "{sync} {errno}");
    }
}

/// A write of several messages fails in its middle, and the truncation behind it fails too.
#[test]
fn a_torn_write_that_cannot_be_cut_off_is_void() {
    for sync in ["always", "interval"] {
        let Some(shim) = Shim::compile("a torn write") else { return };
        let folder = Folder::new();
        let history_dir = folder.file("history");
        let variables = [("WRITE_ERRNO", "5"), ("WRITE_BYTES", "250"), ("TRUNCATE_ERRNO", "5")];
        let program = shim.start(&flags(&history_dir, sync), &variables);
        let mut publisher = Publisher::new(&program);
        assert_eq!(publisher.publish("first"), 202);
        shim.begin();
        let several: Vec<_> = (0..6).map(|number| format!("refused {number}")).collect();
        // All are in one write, unless the log's thread was quicker than the client.
        assert!(publisher.publish_all(&several).contains(&500));
        shim.end();
        assert_eq!(publisher.publish("last"), 202);
        drop(program.kill());
        let program = Program::start(&flags(&history_dir, sync));
        assert_eq!(expect_truth(&program, &publisher.accepted, &publisher.refused), 0, "{sync}");
    }
}

#[test]
fn nobody_waits_for_a_slow_sync() {
    let Some(shim) = Shim::compile("a slow sync") else { return };
    let folder = Folder::new();
    let history_dir = folder.file("history");
    let program = shim.start(&flags(&history_dir, "interval"), &[("SYNC_SECONDS", "2")]);
    let (mut publisher, mut stream) = (Publisher::new(&program), program.stream());
    shim.begin();
    let mut slowest = Duration::ZERO;
    let ((), _) = timed(|| {
        // Longer than the time to the first sync and its two seconds.
        for number in 0..350 {
            let (status, took) = timed(|| publisher.publish(&number.to_string()));
            assert_eq!((status, stream.message().data), (202, number.to_string()));
            slowest = slowest.max(took);
            std::thread::park_timeout(Duration::from_millis(10));
        }
    });
    shim.end();
    report("syncs of 2 s", format_args!("the slowest of {} publishes took {slowest:.1?}", publisher.accepted.len()));
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// Publishes to one server after the other until each is killed; returns everything that was accepted.
fn publish_and_kill(history_dir: &str, sync: &str, servers: usize) -> Vec<Accepted> {
    let mut accepted = Vec::new();
    for server in 0..servers {
        let program = Program::start(&flags(history_dir, sync));
        let mut publisher = Publisher::new(&program);
        for round in 0..20 {
            let several: Vec<_> = (0..10).map(|number| format!("{server} {round} {number}")).collect();
            assert_eq!(publisher.publish_all(&several), [202; 10]);
        }
        // More are on their way, and may be accepted without a response.
        publisher.client.send([post("perhaps"), post("perhaps")].concat());
        drop(program.kill());
        accepted.append(&mut publisher.accepted);
    }
    accepted
}

#[test]
fn kills_lose_nothing() {
    for sync in ["always", "interval"] {
        let folder = Folder::new();
        let history_dir = folder.file("history");
        let accepted = publish_and_kill(&history_dir, sync, 5);
        let program = Program::start(&flags(&history_dir, sync));
        let request = b"GET /sse?last_event_id=earliest HTTP/1.1\r\nHost: h\r\n\r\n";
        let mut all = EventStream::open_with(program.connect(), request).0;
        let (mut gaps, mut next) = (0, accepted.iter());
        program.publish("the end");
        loop {
            let message = all.message();
            match message.data.as_str() {
                _ if message.event == "gap" => gaps += 1,
                "the end" => break,
                "perhaps" => {}
                _ => assert_eq!(Some(&(message.last_event_id, message.data)), next.next(), "{sync}"),
            }
        }
        assert_eq!(next.next(), None, "{sync}: all of them");
        // With interval the next server cannot know that only the process ended.
        assert_eq!(gaps, if sync == "always" { 0 } else { 5 }, "{sync}");
    }
}

/// Replaces each file by what was synced of it last.
fn fail_power(history_dir: &str, synced: &Path) {
    for entry in fs::read_dir(history_dir).expect("it is there") {
        let path = entry.expect("an entry").path();
        let inode = fs::metadata(&path).expect("it is there").ino();
        let left = fs::read(synced.join(inode.to_string())).unwrap_or_default();
        fs::write(&path, left).expect("it can be written");
    }
}

#[test]
fn power_failures_lose_nothing_that_was_synced() {
    for (sync, most_missing) in [("always", 0), ("interval", 2000)] {
        let Some(shim) = Shim::compile("a power failure") else { return };
        let folder = Folder::new();
        let (history_dir, synced) = (folder.file("history"), folder.path("synced"));
        fs::create_dir(&synced).expect("a new folder");
        let variables = [("FAULT_SYNCED", synced.to_str().expect("UTF-8"))];
        let mut accepted = Vec::new();
        for server in 0..3 {
            let program = shim.start(&flags(&history_dir, sync), &variables);
            let mut publisher = Publisher::new(&program);
            for round in 0..30 {
                let several: Vec<_> = (0..10).map(|number| format!("{server} {round} {number}")).collect();
                assert_eq!(publisher.publish_all(&several), [202; 10]);
                if round == 10 && sync == "interval" {
                    // Those before have their second.
                    std::thread::park_timeout(Duration::from_millis(1300));
                }
            }
            drop(program.kill());
            accepted.append(&mut publisher.accepted);
            fail_power(&history_dir, &synced);
        }
        let program = Program::start(&flags(&history_dir, sync));
        let missing = expect_truth(&program, &accepted, &[]);
        report("power failures", format_args!("{sync}: {missing} of {} were lost, and told", accepted.len()));
        assert!(missing <= most_missing, "{sync}: {missing}");
    }
}

#[test]
fn files_that_others_take_away_are_noticed() {
    let folder = Folder::new();
    let history_dir = folder.file("history");
    let program = Program::start(&flags(&history_dir, "always"));
    let mut publisher = Publisher::new(&program);
    assert_eq!(publisher.publish("before"), 202);
    fs::remove_dir_all(&history_dir).expect("it is there");
    let took = time_until("it is written anew", DEADLINE, || Path::new(&history_dir).join("lock").exists());
    assert_eq!(publisher.publish("behind it"), 202);
    report("a history that is removed", format_args!("is there again after {took:.1?}"));
    fs::rename(&history_dir, folder.path("moved")).expect("it is there");
    let other = Program::start(&flags(&history_dir, "always"));
    let before = other.publish_for_id("", "another's");
    time_until("the place is taken", DEADLINE, || publisher.publish("refused") == 500);
    let line = "the folder or its lock was moved or removed; writing all of it anew from memory";
    time_until("the log says so", DEADLINE, || program.complaints().contains(line));
    drop(program.kill());
    let request = b"GET /sse?last_event_id=earliest HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut all = EventStream::open_with(other.connect(), request).0;
    all.expect(format!("id: {before}\ndata: another's\n\n").as_bytes());
    all.expect_resume_point(&before);
    let next = other.publish_for_id("", "it goes on");
    all.expect(format!("id: {next}\ndata: it goes on\n\n").as_bytes());
}

/// A machine without a clock of its own starts in the past and is corrected.
#[test]
fn a_clock_that_is_wrong_at_start_loses_nothing() {
    let Some(shim) = Shim::compile("a clock that is wrong") else { return };
    let folder = Folder::new();
    let history_dir = folder.file("history");
    let flags = ["--history", "100,1m,1h", "--history-dir", &history_dir, "--history-sync", "always"];
    shim.begin();
    let program = shim.start(&flags, &[("FAULT_SECONDS", "1000000000")]);
    let mut publisher = Publisher::new(&program);
    publisher.client.send(Publisher::request("long ago"));
    // Its `Date` is wrong as well.
    let head = publisher.client.read_until(b"\r\n\r\n");
    assert!(head.starts_with(b"HTTP/1.1 202 "));
    let receipt = publisher.client.read_until(b"}\n");
    let receipt: serde_json::Value = serde_json::from_slice(&receipt).expect("a receipt");
    publisher.accepted.push((receipt["id"].as_str().expect("an id").to_owned(), "long ago".to_owned()));
    shim.end();
    // The log looks at the clock twice a second.
    std::thread::park_timeout(Duration::from_millis(1200));
    assert_eq!(publisher.publish("just now"), 202);
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    let program = Program::start(&flags);
    assert_eq!(expect_truth(&program, &publisher.accepted, &[]), 0);
}

/// Topics count, in memory and on the disk.
#[test]
#[ignore = "slow: it publishes a hundred megabytes"]
fn sixteen_long_topics_a_message_stay_within_the_bounds() {
    const SIZE: usize = 8 << 20;
    let folder = Folder::new();
    let history_dir = folder.file("history");
    let program = Program::start(&["--history", "1000000,8m", "--history-dir", &history_dir, "--workers", "2"]);
    let observed = support::procfs::Observed::new(program.id());
    program.publish("warm");
    let before = observed.resident();
    let topics: String = (0..16).map(|number| format!("topic={number}{}&", "t".repeat(254))).collect();
    let mut client = program.connect();
    for _ in 0..200 {
        let request = format!("POST /broadcast?{topics} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        client.send(request.repeat(100));
        (0..100).for_each(|_| drop(client.response().expect_status(202)));
    }
    let grown = 1024 * observed.resident().saturating_sub(before);
    let on_disk: u64 = fs::read_dir(&history_dir)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").metadata().expect("it is there").len())
        .sum();
    report("16 topics of 255 bytes a message", format_args!("SIZE {SIZE}, memory {grown}, disk {on_disk}"));
    assert!(grown < 2 * SIZE && on_disk < 2 * SIZE as u64, "{grown} bytes of memory, {on_disk} on the disk");
}
