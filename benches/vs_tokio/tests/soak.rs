//! A soak in small: that it starts, holds a good server to everything, finds what is wrong with one that is not good,
//! and ends in time, by itself or by a signal.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::Folder;

const PROGRAM: &str = env!("CARGO_BIN_EXE_vs_tokio");
/// Far more than any of these needs, on a machine that has much else to do.
const DEADLINE: Duration = Duration::from_secs(60);

struct Soak {
    child: Child,
    folder: Folder,
}

impl Soak {
    fn start(words: &[&str]) -> Self {
        let folder = Folder::new();
        let mut command = Command::new(PROGRAM);
        command
            .args(["soak", "--streams", "20", "--rate", "40", "--seed", "7", "--out"])
            .arg(folder.file("report"))
            .args(words);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        Self { child, folder }
    }

    /// Its exit code, what it printed, and the page that it wrote.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String, String) {
        let deadline = Instant::now() + DEADLINE;
        while self.child.try_wait().expect("a child").is_none() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("it did not end in {DEADLINE:?}");
            }
            thread::sleep(Duration::from_millis(20));
        }
        let output = self.child.wait_with_output().expect("a child");
        let [page, plot] = ["soak.md", "soak.svg"]
            .map(|name| fs::read_to_string(self.folder.path("report").join(name)).unwrap_or_default());
        assert!(page.is_empty() || (plot.contains("<svg") && !plot.contains("NaN")), "{plot}");
        let printed = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&printed).into_owned(), page)
    }
}

#[test]
fn a_good_server_passes() {
    let (code, printed, page) = Soak::start(&["--time", "3s"]).end();
    assert_eq!(code, Some(0), "{printed}");
    assert!(!printed.contains("FAILED") && printed.matches("\nok ").count() == 10, "{printed}");
    assert!(page.contains("All 10 checks hold.") && page.contains("soak --streams 20"), "{page}");
}

/// It streams in chunks, and SIGTERM kills it.
#[test]
fn what_fails_is_told() {
    let other = format!("axum={PROGRAM} serve axum");
    let (code, printed, page) = Soak::start(&["--time", "1s", "--server", &other]).end();
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("FAILED  SIGTERM ends it, with exit code 0"), "{printed}");
    assert!(page.contains("checks failed.**"), "{page}");
}

#[test]
fn a_signal_ends_it_early_with_all_checks_done() {
    let mut soak = Soak::start(&["--time", "10m"]);
    let mut errors = BufReader::new(soak.child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.contains(" streams, ") {
        line.clear();
        assert_ne!(errors.read_line(&mut line).expect("text"), 0, "it ended before it began");
    }
    kill_process(Pid::from_child(&soak.child), Signal::INT).expect("it runs");
    let (code, printed, page) = soak.end();
    assert_eq!(code, Some(0), "{printed}");
    assert!(page.contains("The run was ended early, by a signal."), "{printed}{page}");
}
