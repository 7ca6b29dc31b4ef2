//! A person's hand on a page: a Node script that clicks and types in the browser.
//!
//! `playwright-core` of npm drives the browser and brings none along. The script and its test take turns: each says a
//! line and waits for one of the other's.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use support::measure::skipped;
use support::{Child, Folder};

use crate::PATIENCE;
use crate::chromium::{Browser, Chromium};

const PACKAGE: &str = "playwright-core@1";

/// A running script and its browser. Its drop ends both.
pub(crate) struct Hand {
    // Dropped in this order: the script before the browser that it drives, the folder last.
    script: Script,
    browser: Browser,
    _folder: Folder,
}

impl Hand {
    /// Runs the script with the browser's endpoint and these arguments; `None`, after a line about it, without Node or
    /// the package.
    #[track_caller]
    pub(crate) fn start(test: &str, chromium: Chromium, script: &str, arguments: &[&str]) -> Option<Self> {
        let Some(folder) = folder_with_package() else {
            skipped(test, format_args!("there is no Node with npm, or {PACKAGE} cannot be installed"));
            return None;
        };
        let browser = chromium.open_to_drive();
        let file = folder.path("script.mjs");
        fs::write(&file, script).expect("the folder is new");
        let script = Script::start(Command::new("node").arg(file).arg(browser.endpoint()).args(arguments));
        Some(Self { script, browser, _folder: folder })
    }

    /// Holds that the next line is this one.
    #[track_caller]
    pub(crate) fn expect(&mut self, line: &str) {
        match self.script.said.recv_timeout(PATIENCE) {
            Ok(said) => assert_eq!(said, line, "what the script says next"),
            Err(RecvTimeoutError::Timeout) => panic!("{line:?} is not said within {PATIENCE:?}: {}", self.last_words()),
            Err(RecvTimeoutError::Disconnected) => panic!("the script ended before {line:?}: {}", self.last_words()),
        }
    }

    /// Says a line to the script.
    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.script.input, "{line}").unwrap_or_else(|error| panic!("{error}: {}", self.last_words()));
    }

    fn last_words(&self) -> String {
        format!("the browser says:\n{}", self.browser.last_words())
    }
}

struct Script {
    _process: Child,
    input: ChildStdin,
    said: Receiver<String>,
}

impl Script {
    /// Its errors go to the test's own standard error.
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let mut process = Child::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, said): (Sender<String>, _) = channel();
        thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { _process: process, input, said }
    }
}

/// A folder with the package; `None` if npm cannot install it.
fn folder_with_package() -> Option<Folder> {
    let folder = Folder::new();
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--silent", PACKAGE, "--prefix"]).arg(folder.as_ref());
    npm.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    npm.status().is_ok_and(|status| status.success()).then_some(folder)
}
