//! Logs whose bytes are changed, cut off or lost while no server runs: what is sound behind the damage comes back.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

/// Holds the truth for files that were damaged; returns the number of messages that are missing.
#[track_caller]
fn expect_truth_of(files: &[(String, Vec<u8>)], accepted: &[(String, String)], about: &str) -> usize {
    expect_truth(&folder_of(files).log(), accepted, &[], about)
}

fn logs() -> Vec<Written> {
    static LOGS: LazyLock<Vec<Written>> = LazyLock::new(|| {
        let kinds = [(HistorySync::Always, true), (HistorySync::Always, false), (HistorySync::Interval, true)];
        kinds.into_iter().map(|(sync, is_clean)| three_servers(sync, is_clean)).collect()
    });
    LOGS.clone()
}

#[test]
fn one_byte_that_flips_costs_one_message_or_its_segments_mark() {
    for (files, accepted) in logs() {
        for (index, (name, content)) in files.iter().enumerate() {
            // Each third byte, so that every field of every item has some.
            for position in (0..content.len()).step_by(3) {
                let mut damaged = files.clone();
                damaged[index].1[position] ^= 1 << (position % 8);
                let missing = expect_truth_of(&damaged, &accepted, &format!("{name}, byte {position}"));
                assert!(missing <= 1, "{name}, byte {position}: {missing} are missing");
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_costs_no_more_than_that() {
    for (files, accepted) in logs() {
        for (index, (name, content)) in files.iter().enumerate() {
            for length in (0..content.len()).step_by(5) {
                let mut damaged = files.clone();
                damaged[index].1.truncate(length);
                let missing = expect_truth_of(&damaged, &accepted, &format!("{name}, {length} bytes"));
                assert!(missing <= 3, "{name}, {length} bytes: {missing} are missing");
            }
        }
    }
}

#[test]
fn a_file_that_is_lost_or_there_twice_costs_no_more_than_that() {
    for (files, accepted) in logs() {
        for index in 0..files.len() {
            let name = &files[index].0;
            let mut damaged = files.clone();
            damaged.remove(index);
            let missing = expect_truth_of(&damaged, &accepted, &format!("without {name}"));
            assert_eq!(missing, if name == "lock" { 0 } else { 3 }, "without {name}");

            let mut doubled = files.clone();
            doubled.push(("000000000009.log".to_owned(), files[index].1.clone()));
            let missing = expect_truth_of(&doubled, &accepted, &format!("{name} twice"));
            assert_eq!(missing, 0, "{name} twice");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Blocks that are zeroed or have other bytes, and bytes that others added.
    #[test]
    fn any_damage_is_told(
        log in 0_usize..3,
        file in 0_usize..4,
        start in any::<prop::sample::Index>(),
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 1..200),
            (1_usize..700).prop_map(|count| vec![0; count]),
        ],
        is_added in any::<bool>(),
    ) {
        let (mut files, accepted) = logs().swap_remove(log);
        let content = &mut files[file].1;
        let start = start.index(content.len());
        if is_added {
            content.splice(start..start, bytes);
        } else {
            content.iter_mut().skip(start).zip(bytes).for_each(|(byte, other)| *byte = other);
        }
        expect_truth_of(&files, &accepted, "damaged");
    }
}

#[test]
fn losses_are_one_line_with_counts() {
    let (mut files, _) = three_servers(HistorySync::Always, true);
    let second = &mut files[1].1;
    let middle = second.len() / 2;
    second[middle] ^= 1;
    let temporary = folder_of(&files);
    let folder = Folder::open(&temporary.log()).expect("a folder");
    let recovered = recovery::recover(&folder, everything()).expect("it is read");
    let line = recovered.losses.describe(Path::new("/h")).expect("something is missing");
    assert!(line.starts_with("history in /h: 1 events are missing, "), "{line}");
    assert!(line.ends_with(" bytes in 1 places are damaged; clients that resume across them get a gap"), "{line}");
    let (files, _) = three_servers(HistorySync::Always, true);
    let temporary = folder_of(&files);
    let folder = Folder::open(&temporary.log()).expect("a folder");
    let recovered = recovery::recover(&folder, everything()).expect("it is read");
    assert_eq!((recovered.losses, recovered.losses.describe(Path::new("/h"))), (recovery::Losses::default(), None));
}

#[test]
fn a_log_of_another_version_is_left_alone() {
    let (mut files, _) = three_servers(HistorySync::Always, true);
    files[2].1[12] = 3;
    let checksum = crc32fast::hash(&files[2].1[..76]).to_le_bytes();
    files[2].1[76..80].copy_from_slice(&checksum);
    let temporary = folder_of(&files);
    let Err(error) = Log::open(&temporary.log(), HistorySync::Always, everything()) else { panic!("it is newer") };
    assert_eq!(error.to_string(), "its segment 3 is of version 3, and this server reads version 2");
    assert_eq!(super::files(&temporary.log()), files);
}
