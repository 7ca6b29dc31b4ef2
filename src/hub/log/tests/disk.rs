//! Disks that fail: full ones, torn writes, syncs that fail and lose what they had, and power failures.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::sys::lock;

/// A disk whose faults a test decides.
#[derive(Debug, Default)]
struct Faulty(Mutex<Faults>);

#[derive(Debug, Default)]
struct Faults {
    /// Number of bytes that there is room for, if that is bounded.
    room: Option<u64>,
    fails_to_truncate: bool,
    fails_to_sync: bool,
    /// The content that a power failure leaves of each file, by its inode.
    synced: HashMap<u64, Vec<u8>>,
}

impl Disk for Faulty {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        let room = &mut lock(&self.0).room;
        let fitting = room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        io::Write::write_all(&mut file, &bytes[..fitting])?;
        *room = room.map(|room| room - fitting as u64);
        if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, file: &File, length: u64) -> io::Result<()> {
        if lock(&self.0).fails_to_truncate { Err(io::Error::other("stuck")) } else { file.set_len(length) }
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let faults = &mut lock(&self.0);
        if faults.fails_to_sync {
            return Err(io::Error::other("an injected fault"));
        }
        faults.synced.insert(file.metadata()?.ino(), content(file)?);
        Ok(())
    }
}

fn content(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.len() as usize];
    std::os::unix::fs::FileExt::read_exact_at(file, &mut bytes, 0)?;
    Ok(bytes)
}

impl Faulty {
    fn change(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut lock(&self.0));
    }

    fn is_dead(&self) -> bool {
        let faults = lock(&self.0);
        faults.room.is_some() && faults.fails_to_truncate && faults.fails_to_sync
    }

    /// The files that a power failure leaves: of each what was synced last.
    fn after_power_failure(&self, folder: &Path) -> Vec<(String, Vec<u8>)> {
        let mut files = files(folder);
        for (name, content) in files.iter_mut().filter(|(name, _)| name != "lock") {
            let inode = fs::metadata(folder.join(name)).expect("it is there").ino();
            *content = lock(&self.0).synced.get(&inode).cloned().unwrap_or_default();
        }
        files
    }
}

/// A server on a disk that the test controls.
fn server_on_disk(temporary: &Temporary, sync: HistorySync) -> (Server, Arc<Faulty>) {
    let disk = Arc::new(Faulty::default());
    let mut server = Server::start(&temporary.log(), sync, everything());
    // What was synced at the start.
    for (name, _) in files(&temporary.log()).iter().filter(|(name, _)| name != "lock") {
        disk.sync(&File::open(temporary.log().join(name)).expect("it is there")).expect("no fault yet");
    }
    server.writer.journal.put_on(Arc::clone(&disk) as Arc<dyn Disk>);
    (server, disk)
}

#[test]
fn a_full_disk_refuses_all_or_nothing_until_there_is_room() {
    for room in 0..300 {
        let temporary = Temporary::new();
        let (mut server, disk) = server_on_disk(&temporary, HistorySync::Always);
        server.publish("first");
        let before = files(&temporary.log());
        disk.change(|faults| faults.room = Some(room));
        let refused = server.publish_all(&["x", "y", "z"]);
        if refused.is_ok() {
            continue;
        }
        assert_eq!(refused, Err(PublishError::NoSpace));
        assert_eq!(files(&temporary.log()), before, "{room} bytes of room");
        disk.change(|faults| faults.room = None);
        server.publish("last");
        assert_eq!(server.accepted.len(), 2);
        let missing =
            expect_truth(&folder_of(&files(&temporary.log())).log(), &server.accepted, &server.refused, "killed");
        assert_eq!(missing, 0);
    }
}

#[test]
fn what_could_not_be_cut_off_does_not_come_back() {
    let temporary = Temporary::new();
    let (mut server, disk) = server_on_disk(&temporary, HistorySync::Interval);
    server.publish("first");
    disk.change(|faults| (faults.room, faults.fails_to_truncate) = (Some(250), true));
    server.publish_all(&["x", "y", "z"]).expect_err("no room for all of them");
    server.publish_all(&["too early"]).expect_err("two of the three are still there");
    disk.change(|faults| faults.room = None);
    server.publish("behind it");
    let copy = folder_of(&files(&temporary.log()));
    assert_eq!(expect_truth(&copy.log(), &server.accepted, &server.refused, "killed"), 0);
    let (accepted, refused) = server.end();
    assert_eq!(expect_truth(&temporary.log(), &accepted, &refused, "shut down"), 0);
}

/// Its publisher would take the message for published.
#[test]
fn a_duplicate_of_a_message_that_is_not_written_is_none() {
    let temporary = Temporary::new();
    let (mut server, disk) = server_on_disk(&temporary, HistorySync::Always);
    let written = |id: &str| Ok(Some(id.to_owned()));
    let (duplicate, no_space) = (Err(PublishError::Duplicate), Err(PublishError::NoSpace));
    let held = server.outcomes_of(&[(Some("a"), "1"), (Some("a"), "2"), (Some("b"), "3")]);
    assert_eq!(held, [written("a"), duplicate.clone(), written("b")]);
    assert_eq!(server.outcomes_of(&[(Some("b"), "4")])[0], duplicate, "nothing to write");
    disk.change(|faults| faults.room = Some(0));
    let batch = [(Some("a"), "5"), (Some("c"), "6"), (None, "7"), (Some("c"), "8")];
    assert_eq!(server.outcomes_of(&batch), [duplicate.clone(), no_space.clone(), no_space.clone(), no_space]);
    disk.change(|faults| faults.room = None);
    let again = server.outcomes_of(&batch);
    assert_eq!((&again[0], &again[1], &again[3]), (&duplicate, &written("c"), &duplicate));
    assert_eq!(again[2].as_ref().map(|id| id.as_ref().map(|id| id.ends_with("-4"))), Ok(Some(true)), "{again:?}");
    server.close();
    let late = [(Some("d"), "9"), (Some("c"), "10"), (Some("d"), "11")];
    let stopped = Err(PublishError::Stopped);
    assert_eq!(server.outcomes_of(&late), [stopped.clone(), duplicate, stopped]);
    server.end();
    let server = Server::start(&temporary.log(), HistorySync::Always, everything());
    let read = server.resumed("earliest").into_iter().map(|read| match read {
        Read::Event(_, data) => data,
        Read::Gap => "gap".to_owned(),
    });
    assert_eq!(read.collect::<Vec<_>>(), ["1", "3", "6", "7"]);
}

#[test]
fn a_sync_that_fails_takes_its_messages_back() {
    let temporary = Temporary::new();
    let (mut server, disk) = server_on_disk(&temporary, HistorySync::Always);
    server.publish("first");
    disk.change(|faults| faults.fails_to_sync = true);
    assert_eq!(server.publish_all(&["x", "y"]), Err(PublishError::NotWritten));
    assert_eq!(server.publish_all(&["z"]), Err(PublishError::NotWritten), "no sync on top of one that failed");
    disk.change(|faults| faults.fails_to_sync = false);
    server.publish("last");
    let after = disk.after_power_failure(&temporary.log());
    assert_eq!(expect_truth(&folder_of(&after).log(), &server.accepted, &server.refused, "power failure"), 0);
    let (accepted, refused) = server.end();
    assert_eq!(expect_truth(&temporary.log(), &accepted, &refused, "shut down"), 0);
}

/// The system drops the pages of a sync that failed, and later syncs succeed.
#[test]
fn pages_that_a_failed_sync_lost_are_written_again() {
    let temporary = Temporary::new();
    let (mut server, disk) = server_on_disk(&temporary, HistorySync::Interval);
    server.publish("synced");
    server.sync();
    server.publish("dropped");
    disk.change(|faults| faults.fails_to_sync = true);
    server.sync();
    server.publish_all(&["refused"]).expect_err("a new segment cannot be synced");
    disk.change(|faults| faults.fails_to_sync = false);
    server.publish("behind it");
    server.sync();
    let after = disk.after_power_failure(&temporary.log());
    assert_eq!(expect_truth(&folder_of(&after).log(), &server.accepted, &server.refused, "power failure"), 0);
}

#[test]
fn a_server_starts_on_a_full_disk() {
    let temporary = Temporary::new();
    let (mut server, _) = server_on_disk(&temporary, HistorySync::Interval);
    server.publish("first");
    let (mut accepted, _) = server.end();
    let folder = Folder::open(&temporary.log()).expect("a folder");
    let Recovered { mut history, segments, .. } = recovery::recover(&folder, everything()).expect("it is read");
    history.start(Boot::starting_at(0), 0, false);
    let disk = Arc::new(Faulty::default());
    disk.change(|faults| faults.room = Some(10));
    let mut journal = Journal::behind(segments, folder, Arc::clone(&disk) as Arc<dyn Disk>, false);
    let place = history.next_place(0);
    let full = journal.renew(&place, |position, most| history.held_behind(position, most));
    let full = full.expect_err("no room for a header");
    assert!(is_full(&full));
    let mut server = Server::with(Log { journal, history, sync: HistorySync::Interval });
    assert_eq!(server.publish_all(&["x"]), Err(PublishError::NoSpace));
    disk.change(|faults| faults.room = None);
    server.publish("second");
    accepted.extend(server.end().0);
    assert_eq!(expect_truth(&temporary.log(), &accepted, &["x".to_owned()], "shut down"), 0);
}

/// The write stops in its middle, nothing can be repaired, and the server ends: its messages were refused.
#[test]
fn a_torn_write_is_void_without_a_repair() {
    for sync in [HistorySync::Always, HistorySync::Interval] {
        for room in 0..280 {
            let temporary = Temporary::new();
            let (mut server, disk) = server_on_disk(&temporary, sync);
            server.publish("first");
            disk.change(|faults| (faults.room, faults.fails_to_truncate) = (Some(room), true));
            if server.publish_all(&["x", "y", "z"]).is_ok() {
                continue;
            }
            let copy = folder_of(&files(&temporary.log()));
            let about = format!("{room} bytes");
            assert_eq!(expect_truth(&copy.log(), &server.accepted, &server.refused, &about), 0, "{about}");
            let (accepted, refused) = server.end();
            assert_eq!(expect_truth(&temporary.log(), &accepted, &refused, &about), 0, "{about}, ended");
        }
    }
}

/// The server stops while a write is under way, and its publishers get an error.
#[test]
fn what_a_stopping_server_refuses_is_not_published_later() {
    for sync in [HistorySync::Always, HistorySync::Interval] {
        let temporary = Temporary::new();
        let mut server = Server::start(&temporary.log(), sync, everything());
        server.publish("first");
        server.close();
        assert_eq!(server.publish_all(&["x", "y"]), Err(PublishError::Stopped));
        let copy = folder_of(&files(&temporary.log()));
        assert_eq!(expect_truth(&copy.log(), &server.accepted, &server.refused, "killed"), 0);
        let (accepted, refused) = server.end();
        assert_eq!(expect_truth(&temporary.log(), &accepted, &refused, "shut down"), 0);
    }
}

/// Without room for the note of the end, the events still reach the disk.
#[test]
fn a_full_disk_at_the_end_loses_nothing() {
    let temporary = Temporary::new();
    let (mut server, disk) = server_on_disk(&temporary, HistorySync::Interval);
    server.publish("last");
    disk.change(|faults| faults.room = Some(0));
    let (accepted, _) = server.end();
    let after = disk.after_power_failure(&temporary.log());
    assert_eq!(expect_truth(&folder_of(&after).log(), &accepted, &[], "power failure"), 0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(usize),
    Room(Option<u64>),
    Truncate(bool),
    Sync(bool),
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..5).prop_map(Step::Publish),
        1 => prop::option::of(0_u64..400).prop_map(Step::Room),
        1 => any::<bool>().prop_map(Step::Truncate),
        1 => any::<bool>().prop_map(Step::Sync),
        2 => Just(Step::Tick),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Any faults in any order, then a kill or a power failure.
    #[test]
    fn any_faults_keep_the_promises(
        steps in prop::collection::vec(step(), 1..24),
        syncs_always in any::<bool>(),
        power_fails in any::<bool>(),
        is_repaired in any::<bool>(),
    ) {
        let sync = if syncs_always { HistorySync::Always } else { HistorySync::Interval };
        let temporary = Temporary::new();
        let (mut server, disk) = server_on_disk(&temporary, sync);
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Publish(count) => {
                    // Where nothing works at all, not even a note that the write is void, a kill may bring it back.
                    prop_assume!(!disk.is_dead());
                    let messages: Vec<_> = (0..count).map(|index| format!("{number} {index}")).collect();
                    let messages: Vec<_> = messages.iter().map(String::as_str).collect();
                    // It may fail: who gets an error and who does not is the point.
                    let _ = server.publish_all(&messages);
                }
                Step::Room(room) => disk.change(|faults| faults.room = room),
                Step::Truncate(works) => disk.change(|faults| faults.fails_to_truncate = !works),
                Step::Sync(works) => disk.change(|faults| faults.fails_to_sync = !works),
                Step::Tick => {
                    server.sync();
                    server.writer.look_after();
                }
            }
        }
        if is_repaired {
            disk.change(|faults| (faults.room, faults.fails_to_truncate, faults.fails_to_sync) = (None, false, false));
            server.publish("end");
        }
        let left = if power_fails { disk.after_power_failure(&temporary.log()) } else { files(&temporary.log()) };
        let missing = expect_truth(&folder_of(&left).log(), &server.accepted, &server.refused, "at the end");
        prop_assert!(missing == 0 || power_fails && !syncs_always, "{missing} are missing");
    }
}
