//! A journal in a folder of its own: what was written comes back, whatever happened to the file.

mod compaction;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use proptest::prelude::*;

use super::appender::Storage;
use super::record::HEAD_LENGTH;
use super::*;

/// A folder for one test, removed with what is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("smolcast-journal-{}-{count}", std::process::id()));
        // A process of the same number may have left one behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder for the test");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("events")
    }

    /// The names of what is in it, in order.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("the folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a journal and collects its records.
fn open(path: &Path) -> io::Result<(Journal, Vec<Record>, Recovered)> {
    let mut records = Vec::new();
    let (journal, recovered) = Journal::open(path, |record| records.push(record))?;
    assert_eq!(recovered.records, records.len());
    Ok((journal, records, recovered))
}

fn reopened(path: &Path) -> (Journal, Vec<Record>, Recovered) {
    open(path).expect("the file opens")
}

/// Records of the file, which is opened and closed.
fn records_in(path: &Path) -> Vec<Record> {
    reopened(path).1
}

/// A record with a number and a frame of so many bytes.
fn record(number: u64, length: usize) -> Record {
    let frame = vec![number as u8; length].into();
    Record { at: 1000 + number, boot: 7, number, own_id: None, topics: Vec::new(), frame }
}

/// Small records of every shape.
fn samples() -> Vec<Record> {
    vec![
        record(1, 10),
        Record { own_id: Some("an-id".to_owned()), ..record(2, 0) },
        Record { topics: vec!["a".to_owned(), "é".to_owned()], ..record(3, 5) },
        Record { own_id: Some(String::new()), topics: vec![String::new()], ..record(4, 20) },
    ]
}

fn encoded(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes).expect("it is short");
    bytes
}

/// The file of these records, and where each of them ends.
fn image(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
    let mut bytes = HEADER.to_vec();
    let ends = records.iter().map(|record| {
        bytes.extend(encoded(record));
        bytes.len()
    });
    let ends = ends.collect();
    (bytes, ends)
}

fn any_record() -> impl Strategy<Value = Record> {
    let frame = prop::collection::vec(any::<u8>(), 0..24);
    let topics = prop::collection::vec(".{0,4}", 0..3);
    (any::<[u64; 3]>(), prop::option::of(".{0,6}"), topics, frame).prop_map(
        |([at, boot, number], own_id, topics, f)| Record { at, boot, number, own_id, topics, frame: f.into() },
    )
}

#[test]
fn what_is_appended_comes_back() {
    let folder = Folder::new();
    let (mut journal, records, recovered) = reopened(&folder.file());
    assert_eq!((records, recovered), (vec![], Recovered { records: 0, cut: 0, damaged: None }));
    let all = samples();
    journal.append(&all[0]).expect("there is room");
    journal.append_all(&all[1..]).expect("there is room");
    journal.append_all(&[]).expect("nothing needs no room");
    journal.sync().expect("it syncs");
    drop(journal);

    assert_eq!(fs::read(folder.file()).expect("it is there"), image(&all).0, "the format is what is documented");
    let (mut journal, records, recovered) = reopened(&folder.file());
    assert_eq!((records, recovered), (all.clone(), Recovered { records: 4, cut: 0, damaged: None }));
    journal.append(&record(5, 5)).expect("there is room");
    drop(journal);
    assert_eq!(records_in(&folder.file()), [all, vec![record(5, 5)]].concat());
}

#[test]
fn a_file_is_made_for_its_owner_alone() {
    let folder = Folder::new();
    drop(reopened(&folder.file()));
    let mode = fs::metadata(folder.file()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn two_servers_do_not_share_a_file() {
    let folder = Folder::new();
    let (journal, ..) = reopened(&folder.file());
    let error = open(&folder.file()).err().expect("it is locked");
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert!(error.to_string().contains("another server"), "{error}");
    drop(journal);
    drop(reopened(&folder.file()));
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let folder = Folder::new();
    let version_2 = b"smolcast-log\x02\0\0\0whatever follows";
    for (bytes, said) in [
        (&b"x"[..], "not a history file"),
        (b"smolcast-lox", "not a history file"),
        (b"smolcast-log\x02", "not a history file"),
        (b"a diary, and not a short one: today it rained", "not a history file"),
        (&[0; 64], "not a history file"),
        (version_2, "version 2"),
    ] {
        fs::write(folder.file(), bytes).expect("it is written");
        fs::write(folder.path().join("events.new"), "x").expect("it is written");
        let error = open(&folder.file()).err().expect("it is refused");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(said), "{error}");
        assert_eq!(fs::read(folder.file()).expect("it is there"), bytes);
        assert_eq!(folder.names(), ["events", "events.new"]);
    }
}

#[test]
fn a_leftover_copy_is_removed() {
    let folder = Folder::new();
    fs::write(folder.path().join("events.new"), "half a copy").expect("it is written");
    drop(reopened(&folder.file()));
    assert_eq!(folder.names(), ["events"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn a_file_cut_anywhere_has_the_records_before(records in prop::collection::vec(any_record(), 1..5)) {
        let folder = Folder::new();
        let (bytes, ends) = image(&records);
        for length in 0..=bytes.len() {
            fs::write(folder.file(), &bytes[..length]).expect("it is written");
            let whole = ends.iter().filter(|end| **end <= length).count();
            let (mut journal, found, recovered) = reopened(&folder.file());
            prop_assert_eq!(&found[..], &records[..whole]);
            let end = if whole > 0 { ends[whole - 1] } else { HEADER.len() };
            let cut = if length < HEADER.len() { length } else { length - end };
            prop_assert_eq!(recovered, Recovered { records: whole, cut: cut as u64, damaged: None });

            journal.append(&record(99, 3)).expect("there is room");
            drop(journal);
            prop_assert_eq!(records_in(&folder.file()), [&records[..whole], &[record(99, 3)]].concat());
        }
        prop_assert_eq!(folder.names(), ["events"], "nothing was kept aside");
    }

    #[test]
    fn junk_is_no_record(
        sound in 0_usize..4,
        reserved in prop::option::of(0_u32..100),
        junk in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let folder = Folder::new();
        let (mut bytes, _) = image(&samples()[..sound]);
        let end = bytes.len();
        if let Some(length) = reserved {
            bytes.extend(length.to_le_bytes());
            bytes.extend(crc32fast::hash(&length.to_le_bytes()).to_le_bytes());
        }
        bytes.extend(junk);
        fs::write(folder.file(), &bytes).expect("it is written");
        let (mut journal, found, recovered) = reopened(&folder.file());
        prop_assert_eq!(&found[..], &samples()[..sound]);
        prop_assert_eq!(recovered.cut, (bytes.len() - end) as u64);
        if let Some(aside) = recovered.damaged {
            prop_assert_eq!(&fs::read(aside).expect("it is kept"), &bytes[end..]);
        }
        journal.append(&record(99, 3)).expect("there is room");
        drop(journal);
        prop_assert_eq!(records_in(&folder.file()), [&samples()[..sound], &[record(99, 3)]].concat());
    }

    #[test]
    fn a_file_of_junk_is_refused_or_begun(junk in prop::collection::vec(any::<u8>(), 0..64)) {
        let folder = Folder::new();
        fs::write(folder.file(), &junk).expect("it is written");
        match open(&folder.file()) {
            Ok((_, found, _)) => prop_assert!(found.is_empty() && HEADER.starts_with(&junk)),
            Err(_) => prop_assert_eq!(fs::read(folder.file()).expect("it is there"), junk),
        }
    }
}

#[test]
fn a_wrong_byte_ends_the_records_and_what_follows_is_kept() {
    let (bytes, ends) = image(&samples());
    for position in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let folder = Folder::new();
            let mut wrong = bytes.clone();
            wrong[position] ^= change;
            fs::write(folder.file(), &wrong).expect("it is written");
            if position < HEADER.len() {
                assert_eq!(open(&folder.file()).err().map(|error| error.kind()), Some(io::ErrorKind::InvalidData));
                assert_eq!(fs::read(folder.file()).expect("it is there"), wrong);
                continue;
            }
            let whole = ends.iter().filter(|end| **end <= position).count();
            let end = if whole > 0 { ends[whole - 1] } else { HEADER.len() };
            let (_, found, recovered) = reopened(&folder.file());
            assert_eq!(found, samples()[..whole], "byte {position}");
            assert_eq!(recovered.cut, (wrong.len() - end) as u64);
            // The last record, with a head that is sound, might have been torn.
            let is_torn = ends.len() == whole + 1 && !(end..end + 8).contains(&position);
            let kept = recovered.damaged.map(|aside| fs::read(aside).expect("it is kept"));
            assert_eq!(kept.as_deref(), (!is_torn).then_some(&wrong[end..]), "byte {position}");
        }
    }
}

#[test]
fn what_is_damaged_is_added_to_what_was() {
    let folder = Folder::new();
    let aside = folder.path().join("events.damaged");
    for junk in ["first: this is no record", "second: nor is this"] {
        let bytes = [&image(&samples()).0[..], junk.as_bytes()].concat();
        fs::write(folder.file(), bytes).expect("it is written");
        let (_, found, recovered) = reopened(&folder.file());
        assert_eq!((found, recovered.cut), (samples(), junk.len() as u64));
        let kept = recovered.damaged.expect("it is damaged");
        assert_eq!(kept, fs::canonicalize(&aside).expect("it is there"));
    }
    assert_eq!(fs::read_to_string(aside).expect("it is there"), "first: this is no recordsecond: nor is this");
}

#[test]
fn damage_that_cannot_be_kept_is_not_cut_off() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("events.damaged")).expect("a folder in the way");
    let bytes = [&image(&samples()).0[..], b"this is no record"].concat();
    fs::write(folder.file(), &bytes).expect("it is written");
    assert!(open(&folder.file()).is_err());
    assert_eq!(fs::read(folder.file()).expect("it is there"), bytes);
}

#[test]
fn zeros_at_the_end_are_a_torn_record() {
    let folder = Folder::new();
    let bytes = [&image(&samples()).0[..], &[0; 5000]].concat();
    fs::write(folder.file(), bytes).expect("it is written");
    let (_, found, recovered) = reopened(&folder.file());
    assert_eq!((found, recovered), (samples(), Recovered { records: 4, cut: 5000, damaged: None }));
}

#[test]
fn a_length_beyond_the_file_takes_no_memory() {
    let folder = Folder::new();
    let length = (1_u32 << 28).to_le_bytes();
    let bytes = [&HEADER[..], &length, &crc32fast::hash(&length).to_le_bytes(), &[1; 100]].concat();
    fs::write(folder.file(), bytes).expect("it is written");
    let (_, found, recovered) = reopened(&folder.file());
    assert_eq!((found, recovered), (vec![], Recovered { records: 0, cut: 108, damaged: None }));
}

/// A file on a disk that is at times full.
struct FileOn {
    file: File,
    disk: Arc<Disk>,
}

struct Disk {
    /// Number of bytes that it still takes.
    room: AtomicU64,
    /// Set if its files cannot be made shorter.
    is_stuck: AtomicBool,
}

impl Disk {
    /// Puts the file of a journal on it.
    fn under(journal: &mut Journal) -> Arc<Self> {
        let disk = Arc::new(Self { room: AtomicU64::new(u64::MAX), is_stuck: AtomicBool::new(false) });
        journal.put_on(|file| FileOn { file, disk: Arc::clone(&disk) });
        disk
    }

    fn set_room(&self, bytes: u64) {
        self.room.store(bytes, Ordering::Relaxed);
    }

    fn set_stuck(&self, is_stuck: bool) {
        self.is_stuck.store(is_stuck, Ordering::Relaxed);
    }
}

impl Storage for FileOn {
    fn file(&self) -> &File {
        &self.file
    }

    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let fitting = self.disk.room.load(Ordering::Relaxed).min(bytes.len() as u64) as usize;
        self.file.write_all_at(&bytes[..fitting], offset)?;
        self.disk.room.fetch_sub(fitting as u64, Ordering::Relaxed);
        if fitting < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        if self.disk.is_stuck.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        self.file.set_len(length)
    }
}

#[test]
fn a_full_disk_takes_all_or_nothing() {
    let all = samples();
    let length: usize = all[1..].iter().map(|record| encoded(record).len()).sum();
    for room in 0..length {
        let folder = Folder::new();
        let (mut journal, ..) = reopened(&folder.file());
        let disk = Disk::under(&mut journal);
        journal.append(&all[0]).expect("there is room");
        disk.set_room(room as u64);
        let error = journal.append_all(&all[1..]).expect_err("there is none");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull, "the kind says what to do");
        assert_eq!(fs::read(folder.file()).expect("it is there"), image(&all[..1]).0, "{room} bytes of room");

        disk.set_room(u64::MAX);
        journal.append(&all[3]).expect("there is room again");
        drop(journal);
        assert_eq!(records_in(&folder.file()), [all[0].clone(), all[3].clone()]);
    }
}

/// The second record of a group that failed would follow a first one of the same length.
#[test]
fn what_could_not_be_cut_off_does_not_come_back() {
    let folder = Folder::new();
    let (mut journal, ..) = reopened(&folder.file());
    let disk = Disk::under(&mut journal);
    let group = [record(1, 10), record(2, 10), record(3, 10)];
    disk.set_stuck(true);
    disk.set_room(encoded(&group[0]).len() as u64 * 2 + 1);
    let error = journal.append_all(&group).expect_err("there is no room");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "the first error is the one that counts");
    disk.set_room(u64::MAX);
    journal.append(&record(4, 10)).expect_err("the rest of the group is still there");
    disk.set_stuck(false);
    journal.append(&record(5, 10)).expect("all is well again");
    drop(journal);
    assert_eq!(records_in(&folder.file()), [record(5, 10)]);
}

#[test]
fn a_record_that_is_too_long_takes_its_group_with_it() {
    let folder = Folder::new();
    let (mut journal, ..) = reopened(&folder.file());
    let error = journal.append_all(&[record(1, 10), record(2, 1 << 28)]).expect_err("it is too long");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    journal.append(&record(3, 10)).expect("the journal goes on");
    assert_eq!((journal.held.len(), journal.buffer.len()), (1, 0));
    assert!(journal.buffer.capacity() <= MOST_KEPT);
    drop(journal);
    assert_eq!(records_in(&folder.file()), [record(3, 10)]);
}
