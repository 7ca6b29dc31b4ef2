//! A process of its own for one test, whose subject is process-wide: threads, descriptors, the network.

use std::process::{Command, Stdio};

/// Set in the process that runs a test alone.
const ALONE: &str = "SMOLCAST_TEST_ALONE";

/// Returns true in a process that runs only `test`; anywhere else, runs such a process and holds that it succeeds.
///
/// A `launcher` that is not empty starts that process and must become it by `exec`.
#[track_caller]
pub fn alone(launcher: &[&str], test: &str) -> bool {
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
    // Its figures, for a person who reads along.
    eprint!("{stderr}");
    false
}
