//! A file that gets smaller while it is written to, with all that is held.

use std::os::unix::fs::{MetadataExt, symlink};

use super::*;

/// Two to the dead mebibyte, and then some.
const LARGE: usize = 512 * 1024;

/// A journal of `count` large records, numbered from 1.
fn large(folder: &Folder, count: u64) -> Journal {
    let (mut journal, ..) = reopened(&folder.file());
    for number in 1..=count {
        journal.append(&record(number, LARGE)).expect("there is room");
    }
    journal
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.number).collect()
}

fn length(folder: &Folder) -> u64 {
    fs::metadata(folder.file()).expect("it is there").len()
}

#[test]
fn it_is_due_when_more_is_dead_than_alive() {
    let folder = Folder::new();
    let mut journal = large(&folder, 6);
    journal.release(1);
    assert!(journal.compaction.is_none(), "one in six is no cause");
    journal.release(2);
    assert!(journal.compaction.is_none(), "as much is dead as alive");
    journal.release(1);
    assert!(journal.compaction.is_some());

    let folder = Folder::new();
    let (mut journal, ..) = reopened(&folder.file());
    journal.append_all(&samples()).expect("there is room");
    journal.release(3);
    assert!(journal.compaction.is_none(), "so little is not worth it");
}

#[test]
fn it_keeps_what_is_held_while_appends_go_on() {
    let folder = Folder::new();
    let mut journal = large(&folder, 6);
    let inode = |folder: &Folder| fs::metadata(folder.file()).expect("it is there").ino();
    let before = inode(&folder);
    journal.release(4);
    // Each of these may find the copy done, and the first that does goes on with it.
    for number in 7..10 {
        journal.append(&record(number, 100)).expect("there is room");
    }
    journal.release(1);
    journal.end_compaction();
    assert_ne!(inode(&folder), before, "the copy took the name");
    assert_eq!(open(&folder.file()).err().map(|error| error.kind()), Some(io::ErrorKind::ResourceBusy));
    journal.append(&record(10, 100)).expect("there is room");
    journal.sync().expect("it syncs");
    drop(journal);

    let (_, records, recovered) = reopened(&folder.file());
    assert_eq!(recovered.cut, 0);
    assert_eq!(numbers(&records), [5, 6, 7, 8, 9, 10], "from where the copy began");
    assert!(records[1] == record(6, LARGE));
    assert_eq!(records[5], record(10, 100));
    assert_eq!(folder.names(), ["events"]);
}

#[test]
fn a_copy_has_what_was_appended_since_it_began() {
    let folder = Folder::new();
    let mut journal = large(&folder, 6);
    journal.release(5);
    // Past the call that would look for the end of the copy.
    journal.encode(&[record(7, 10), record(8, LARGE)]).expect("they are short");
    journal.appender.append(&journal.buffer).expect("there is room");
    journal.end_compaction();
    drop(journal);
    let records = records_in(&folder.file());
    assert_eq!(numbers(&records), [6, 7, 8]);
    assert!(records == [record(6, LARGE), record(7, 10), record(8, LARGE)]);
}

#[test]
fn one_after_the_other_keeps_the_file_small() {
    let folder = Folder::new();
    let mut journal = large(&folder, 2);
    for number in 3..60 {
        journal.append(&record(number, LARGE)).expect("there is room");
        journal.release(1);
        journal.end_compaction();
        let records = length(&folder) / LARGE as u64;
        assert!(records <= 5, "{records} for two that are held");
    }
    drop(journal);
    let records = records_in(&folder.file());
    assert!(numbers(&records).ends_with(&[58, 59]));
}

#[test]
fn nothing_held_is_nothing_to_copy() {
    let folder = Folder::new();
    let mut journal = large(&folder, 3);
    journal.release(100);
    assert!(journal.compaction.is_none());
    assert_eq!(length(&folder), HEADER_LENGTH);
    journal.append(&record(4, 10)).expect("there is room");
    drop(journal);
    assert_eq!(records_in(&folder.file()), [record(4, 10)]);
}

#[test]
fn one_that_fails_loses_nothing_and_is_tried_again() {
    let folder = Folder::new();
    let obstacle = folder.path().join("events.new");
    let mut journal = large(&folder, 7);
    fs::create_dir(&obstacle).expect("a folder in the way");
    journal.release(4);
    journal.end_compaction();
    assert!(journal.compaction.is_none());
    journal.append(&record(8, 10)).expect("there is room");
    assert!(journal.compaction.is_none(), "not at once");

    fs::remove_dir(&obstacle).expect("it is empty");
    journal.release(2);
    assert!(journal.compaction.is_some(), "another mebibyte later");
    journal.end_compaction();
    drop(journal);
    assert!(records_in(&folder.file()) == [record(7, LARGE), record(8, 10)]);
}

#[test]
fn a_full_disk_is_no_obstacle_when_nothing_is_held() {
    let folder = Folder::new();
    let mut journal = large(&folder, 4);
    fs::create_dir(folder.path().join("events.new")).expect("a folder in the way");
    journal.release(3);
    journal.end_compaction();
    assert_eq!(numbers(&records_of(&journal)), [1, 2, 3, 4]);
    journal.release(1);
    assert_eq!(length(&folder), HEADER_LENGTH);
}

/// Records in the file of an open journal.
fn records_of(journal: &Journal) -> Vec<Record> {
    let mut records = Vec::new();
    recovery::recover(journal.appender.file(), &journal.path, |record| records.push(record)).expect("it is read");
    records
}

#[test]
fn one_at_the_end_is_used_or_given_up() {
    let folder = Folder::new();
    let mut journal = large(&folder, 8);
    journal.release(6);
    drop(journal);
    assert!(numbers(&records_in(&folder.file())).ends_with(&[7, 8]));
    assert_eq!(folder.names(), ["events"]);
}

#[test]
fn a_failed_write_is_not_copied() {
    let folder = Folder::new();
    let mut journal = large(&folder, 5);
    let disk = Disk::under(&mut journal);
    disk.set_stuck(true);
    disk.set_room(HEAD_LENGTH as u64 + 60);
    journal.append_all(&[record(6, 10), record(7, 10)]).expect_err("there is no room");
    journal.release(4);
    journal.end_compaction();
    journal.append(&record(8, 10)).expect("the copy is whole, and on a disk with room");
    drop(journal);
    assert!(records_in(&folder.file()) == [record(5, LARGE), record(8, 10)]);
}

#[test]
fn a_link_to_the_file_stays_one_and_so_does_its_mode() {
    let folder = Folder::new();
    let link = folder.path().join("link");
    symlink(folder.file(), &link).expect("a link");
    drop(large(&folder, 5));
    fs::set_permissions(folder.file(), fs::Permissions::from_mode(0o640)).expect("its mode");
    let (mut journal, ..) = reopened(&link);
    journal.release(4);
    journal.end_compaction();
    drop(journal);
    assert!(records_in(&folder.file()) == [record(5, LARGE)]);
    assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink());
    assert_eq!(fs::metadata(folder.file()).expect("it is there").permissions().mode() & 0o777, 0o640);
    assert_eq!(folder.names(), ["events", "link"]);
}
