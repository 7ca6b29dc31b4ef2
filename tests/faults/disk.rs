//! A full disk under the history file: publishers get an error, streams stay, and publishing resumes once there is
//! room.

use support::measure::skipped;
use support::{Folder, Served, post};

use crate::Program;

const NAME: &str = "disk::a_full_disk_fails_publishers_alone";

/// Mounts a small disk over a folder that only the program sees, and becomes the program.
const SMALL_DISK: &str = "mount -t tmpfs -o size=1m none \"$HOME\" && exec \"$0\" \"$@\"";

fn may_mount() -> bool {
    let trial = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount -t tmpfs -o size=1m none /mnt"])
        .stdin(std::process::Stdio::null())
        .output();
    trial.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_fails_publishers_alone() {
    if !may_mount() {
        return skipped(NAME, "this user may not mount a disk, or unshare is missing");
    }
    let folder = Folder::new();
    let home = folder.file("");
    let flags = ["--history", "2", "--history-file", &folder.file("history")].map(str::to_owned);
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let program = Program::launch(&["unshare", "--mount", "sh", "-c", SMALL_DISK], &flags, &[("HOME", &home)]);
    let (mut stream, mut publisher) = (program.stream(), program.connect());
    let large = "x".repeat(300 * 1024);
    let mut received = 0;
    // The file holds two messages and an outdated one: a fourth has no room, and neither has a compacted copy.
    let statuses: Vec<_> = (0..6)
        .map(|_| {
            let status = publisher.request(post(&large)).status;
            if status == 202 {
                stream.message();
                received += 1;
            }
            status
        })
        .collect();
    assert!(statuses.iter().all(|status| [202, 507].contains(status)), "{statuses:?}");
    assert!(statuses.starts_with(&[202, 202, 202]) && statuses.contains(&507), "{statuses:?}");
    assert_eq!(program.count(), 1, "streams live on");
    // A small message has room, and subscribers get it.
    publisher.request(post("small")).expect_status(202);
    assert_eq!(stream.message().data, "small", "behind {received} large ones");
    let said = program.kill().stderr;
    assert!(said.lines().any(|line| line.contains("cannot write the history file")), "{said}");
}
