//! A test in a process of its own, for what all tests of a process share: its threads, its descriptors, its network.

use std::process::{Command, Stdio};

/// Set for the process in which a test runs alone.
const ALONE: &str = "SMOLCAST_TEST_ALONE";

/// Whether this process runs the test alone. Where it does not, one that does is started, and must succeed; it is
/// started by another program where `launcher` is not empty, which has to become it.
#[track_caller]
pub(crate) fn alone(launcher: &[&str], test: &str) -> bool {
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("a test knows its program");
    let own = own.to_str().expect("its path is UTF-8");
    let words = [launcher, &[own, "--exact", test, "--include-ignored", "--nocapture", "--test-threads=1"]].concat();
    let output = Command::new(words[0])
        .args(&words[1..])
        .env(ALONE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("the test's program can be started");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    assert!(stdout.contains("1 passed"), "{test} has not run:\n{stdout}\n{stderr}");
    // What it has measured, for who reads along.
    eprint!("{stderr}");
    false
}
