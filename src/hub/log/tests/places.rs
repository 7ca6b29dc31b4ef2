//! Files that grow old, and files that others remove, move, replace or change under a running server.

use super::*;

const FEW: Retention = Retention { events: 5, bytes: usize::MAX, age: std::time::Duration::MAX };

fn length(folder: &Path) -> usize {
    files(folder).iter().map(|(_, content)| content.len()).sum()
}

#[test]
fn the_folder_stays_small() {
    let temporary = Temporary::new();
    let mut server = Server::start(&temporary.log(), HistorySync::Interval, FEW);
    let large = "x".repeat(60_000);
    for round in 0..100 {
        server.publish(&large);
        server.writer.look_after();
        // Five events, and what was dropped of two segments.
        assert!(length(&temporary.log()) < 5 * 60_000 + (5 << 19), "round {round}");
    }
    let accepted = server.end().0;
    let held: Vec<_> = Server::start(&temporary.log(), HistorySync::Interval, FEW).resumed("earliest");
    let expected = accepted[95..].iter().map(|(id, data)| Read::Event(id.clone(), data.clone()));
    assert_eq!(held, expected.collect::<Vec<_>>());
}

#[test]
fn segments_grow_with_the_history() {
    let temporary = Temporary::new();
    let mut server = Server::start(&temporary.log(), HistorySync::Interval, everything());
    let large = "x".repeat(250_000);
    let batch = [large.as_str(); 8];
    for _ in 0..20 {
        server.publish_all(&batch).expect("it is written");
    }
    let segments = files(&temporary.log()).len() - 1;
    assert!((8..=20).contains(&segments), "40 MB in {segments} segments");
}

/// Writing everything anew keeps the bounds of segments, and of the folder.
#[test]
fn a_history_that_is_written_anew_is_in_segments() {
    let temporary = Temporary::new();
    let bounds = Retention { events: 100, ..FEW };
    let mut server = Server::start(&temporary.log(), HistorySync::Always, bounds);
    let large = "x".repeat(60_000);
    (0..100).for_each(|_| server.publish(&large));
    fs::remove_file(temporary.log().join("lock")).expect("it is there");
    server.writer.look_after();
    let lengths: Vec<_> = files(&temporary.log()).iter().map(|(_, content)| content.len()).collect();
    assert!(lengths.len() >= 5 && lengths.iter().all(|length| *length < 3 << 19), "{lengths:?}");
    let copy = folder_of(&files(&temporary.log()));
    assert_eq!(expect_truth(&copy.log(), &server.accepted, &[], "killed"), 0);
    for round in 0..100 {
        server.publish(&large);
        assert!(length(&temporary.log()) < 100 * 60_000 + (5 << 19), "round {round}");
    }
}

/// The last server lost its end. This one has published nothing yet when its files are written anew.
#[test]
fn a_gap_at_the_end_outlives_a_new_beginning() {
    let temporary = Temporary::new();
    let mut first = Server::start(&temporary.log(), HistorySync::Interval, everything());
    first.publish("its last");
    let last = first.accepted[0].0.clone();
    drop(first);
    for round in 0..3 {
        let mut server = Server::start(&temporary.log(), HistorySync::Always, everything());
        assert_eq!(server.resumed(&last), [Read::Gap], "round {round}");
        fs::remove_file(temporary.log().join("lock")).expect("it is there");
        server.writer.look_after();
        assert_eq!(server.resumed(&last), [Read::Gap], "round {round}, written anew");
        drop(server.end());
    }
}

/// A copy of a segment at its place is void, and stays so when the segment that says so is gone.
#[test]
fn a_void_segment_never_comes_back() {
    let temporary = Temporary::new();
    let mut server = Server::start(&temporary.log(), HistorySync::Always, FEW);
    server.publish("old");
    let path = temporary.log().join(FIRST);
    let content = fs::read(&path).expect("it is there");
    fs::remove_file(&path).expect("it is there");
    fs::write(&path, content).expect("it is made");
    server.writer.look_after();
    let large = "x".repeat(60_000);
    (0..100).for_each(|_| server.publish(&large));
    assert!(path.exists(), "it is not this server's");
    let (accepted, _) = server.end();
    let next = Server::start(&temporary.log(), HistorySync::Always, FEW);
    let expected = accepted[accepted.len() - 5..].iter().map(|(id, data)| Read::Event(id.clone(), data.clone()));
    assert_eq!(next.resumed("earliest"), expected.collect::<Vec<_>>());
    assert!(!path.exists(), "the next server removes it");
}

/// A write that fails right behind another's truncation does not hide that.
#[test]
fn a_truncation_is_noticed_although_a_write_fails() {
    let temporary = Temporary::new();
    let mut server = Server::start(&temporary.log(), HistorySync::Interval, everything());
    server.publish("before");
    fs::write(temporary.log().join(FIRST), "").expect("it is there");
    server.writer.journal.put_on(Arc::new(Full));
    assert_eq!(server.publish_all(&["x"]), Err(PublishError::NoSpace));
    server.writer.journal.put_on(Arc::new(SystemDisk));
    server.publish("behind it");
    let copy = folder_of(&files(&temporary.log()));
    assert_eq!(expect_truth(&copy.log(), &server.accepted, &server.refused, "killed"), 0);
}

/// A disk without room.
#[derive(Debug)]
struct Full;

impl Disk for Full {
    fn append(&self, _: &fs::File, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

/// Does something to the folder of a running server, and holds that the next server has everything.
#[track_caller]
fn expect_noticed(about: &str, change: impl Fn(&Path)) {
    for sync in [HistorySync::Always, HistorySync::Interval] {
        let temporary = Temporary::new();
        let mut first = Server::start(&temporary.log(), sync, everything());
        first.publish("of the first");
        let (mut accepted, _) = first.end();
        let mut server = Server::start(&temporary.log(), sync, everything());
        server.publish("before");
        change(&temporary.log());
        // Nobody has noticed yet.
        server.publish("just then");
        server.writer.look_after();
        server.publish("behind it");
        accepted.extend(server.accepted.iter().cloned());
        let copy = folder_of(&files(&temporary.log()));
        assert_eq!(expect_truth(&copy.log(), &accepted, &[], about), 0, "{about}: killed");
        drop(server.end());
        assert_eq!(expect_truth(&temporary.log(), &accepted, &[], about), 0, "{about}: shut down");
    }
}

const FIRST: &str = "000000000001.log";
const SECOND: &str = "000000000002.log";

#[test]
fn removed_files_are_written_anew() {
    expect_noticed("the folder is removed", |folder| fs::remove_dir_all(folder).expect("it is there"));
    expect_noticed("the folder is emptied", |folder| {
        files(folder).iter().for_each(|(name, _)| fs::remove_file(folder.join(name)).expect("it is there"));
    });
    for name in [FIRST, SECOND, "lock"] {
        expect_noticed(name, |folder| fs::remove_file(folder.join(name)).expect("it is there"));
    }
}

#[test]
fn moved_and_replaced_files_are_written_anew() {
    expect_noticed("the folder is moved", |folder| {
        fs::rename(folder, folder.with_extension("moved")).expect("it is there");
    });
    for name in [FIRST, SECOND] {
        expect_noticed("a segment is moved", |folder| {
            fs::rename(folder.join(name), folder.join("moved")).expect("it is there");
        });
        expect_noticed("a segment is replaced by its copy", |folder| {
            let content = fs::read(folder.join(name)).expect("it is there");
            fs::write(folder.join("copy"), content).expect("there is room");
            fs::rename(folder.join("copy"), folder.join(name)).expect("it is there");
        });
    }
}

/// As `logrotate` does with `copytruncate`.
#[test]
fn files_that_are_cut_off_or_added_to_are_written_anew() {
    for name in [FIRST, SECOND] {
        expect_noticed("a segment is emptied", |folder| fs::write(folder.join(name), "").expect("it is there"));
    }
    expect_noticed("the last segment is added to", |folder| {
        let content = [fs::read(folder.join(SECOND)).expect("it is there"), b"something".to_vec()].concat();
        fs::write(folder.join(SECOND), content).expect("it is there");
    });
}

#[test]
fn another_servers_files_are_never_touched() {
    let temporary = Temporary::new();
    let mut server = Server::start(&temporary.log(), HistorySync::Always, everything());
    server.publish("in the old place");
    fs::rename(temporary.log(), temporary.path().join("moved")).expect("it is there");
    let mut other = Server::start(&temporary.log(), HistorySync::Always, everything());
    other.publish("another's");
    let before = files(&temporary.log());
    server.writer.look_after();
    assert_eq!(server.publish_all(&["x"]), Err(PublishError::NotWritten), "the place is taken");
    assert_eq!(files(&temporary.log()), before);
    let (accepted, _) = other.end();
    let before = files(&temporary.log());
    assert_eq!(server.publish_all(&["y"]), Err(PublishError::NotWritten), "it has another history");
    assert_eq!(files(&temporary.log()), before);
    drop(server);
    assert_eq!(expect_truth(&temporary.log(), &accepted, &["x".to_owned(), "y".to_owned()], "the other's"), 0);
}

#[test]
fn planted_links_are_not_followed() {
    let temporary = Temporary::new();
    let target = temporary.path().join("target");
    fs::write(&target, "a letter").expect("a file");
    drop(Server::start(&temporary.log(), HistorySync::Always, everything()).end());
    for name in ["000000000002.log", "000000000003.new", "000000000004.log"] {
        std::os::unix::fs::symlink(&target, temporary.log().join(name)).expect("a link");
    }
    let mut server = Server::start(&temporary.log(), HistorySync::Always, everything());
    server.publish("x");
    let (accepted, _) = server.end();
    assert_eq!(fs::read_to_string(&target).expect("it is there"), "a letter");
    assert_eq!(expect_truth(&temporary.log(), &accepted, &[], "behind links"), 0);
}
