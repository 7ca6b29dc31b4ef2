//! The browser: found on this machine, run without a window, ended with its test.
//!
//! It knows no page but by address. No process of the browser outlives its test, and all its files are in a folder that
//! is removed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use support::measure::{report, skipped, time_until};
use support::{Folder, wait_until};

use crate::PATIENCE;

/// Names a browser outside of the path.
const VARIABLE: &str = "SMOLCAST_CHROMIUM";

/// Names of the browser, in the order of trying.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// No window, no first-run pages, no traffic of its own, no proxy. No sandbox: root and many containers cannot have
/// one, and the pages are the tests' own.
const FLAGS: [&str; 11] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-component-update",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
];

/// Runs the browser in the background and kills its process group once its own input ends.
///
/// The input ends when the test drops it or dies.
const KEEPER: &str = r#""$@" & read -r _; kill -KILL 0"#;

/// Lines of the browser's output shown in a failure.
const SHOWN_LINES: usize = 20;

/// A browser of this machine.
#[derive(Clone, Copy)]
pub(crate) struct Chromium(&'static str);

impl Chromium {
    /// Finds it; `None`, after a line about it, if there is none.
    ///
    /// # Panics
    ///
    /// If the browser named by the environment does not run: the operator who names one wants the test.
    #[track_caller]
    pub(crate) fn find(test: &str) -> Option<Self> {
        static FOUND: OnceLock<Option<String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| match std::env::var(VARIABLE) {
            Ok(named) => Some(named),
            Err(_) => NAMES.into_iter().find(|name| version(name).is_some()).map(str::to_owned),
        });
        let Some(name) = found else {
            skipped(test, format_args!("none of {} runs here, and {VARIABLE} is not set", NAMES.join(", ")));
            return None;
        };
        let version = version(name).unwrap_or_else(|| panic!("{VARIABLE} names {name:?}, which does not run"));
        report(test, version);
        Some(Self(name))
    }

    /// Opens one page.
    #[track_caller]
    pub(crate) fn open(self, url: &str) -> Browser {
        Browser::start(self.0, &[], url)
    }

    /// Opens an empty page in a browser that is driven through its `endpoint`.
    #[track_caller]
    pub(crate) fn open_to_drive(self) -> Browser {
        Browser::start(self.0, &["--remote-debugging-port=0"], "about:blank")
    }
}

/// The version that the browser prints; `None` if it does not run.
fn version(name: &str) -> Option<String> {
    let output = Command::new(name).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// A running browser. Its drop ends all processes and removes the folder.
pub(crate) struct Browser {
    /// The shell that keeps the browser: the leader of its process group.
    keeper: Child,
    folder: Folder,
}

impl Browser {
    #[track_caller]
    fn start(name: &str, more: &[&str], url: &str) -> Self {
        let folder = Folder::new();
        let log = File::create(folder.path("log")).expect("the folder is new");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh", name]).args(FLAGS).args(more);
        command.arg(format!("--user-data-dir={}", folder.path("profile").display())).arg(url);
        // Everything that it may write outside of its profile.
        command.env("HOME", folder.as_ref()).env("TMPDIR", folder.as_ref());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME").env_remove("XDG_RUNTIME_DIR");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0);
        let keeper = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Self { keeper, folder }
    }

    /// The URL by which it is driven with the Chrome DevTools protocol: on loopback, at a name that cannot be guessed.
    #[track_caller]
    pub(crate) fn endpoint(&self) -> String {
        let file = self.folder.path("profile").join("DevToolsActivePort");
        let read = || fs::read_to_string(&file).unwrap_or_default();
        // Its second line is written last, and maybe later.
        time_until("the browser can be driven", PATIENCE, || {
            read().split_once('\n').is_some_and(|(_, name)| !name.is_empty())
        });
        let text = read();
        let (port, name) = text.split_once('\n').expect("it was there just now");
        format!("ws://127.0.0.1:{port}{}", name.trim_end())
    }

    /// The last lines of its output, for a failure.
    pub(crate) fn last_words(&self) -> String {
        let said = fs::read(self.folder.path("log")).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let group = self.keeper.id();
        // The keeper is reaped last: until then no other group can have its number.
        let _ = kill_process_group(Pid::from_child(&self.keeper), Signal::KILL);
        let is_gone = || !runs(group, self.folder.as_ref()) && fs::remove_dir_all(&self.folder).is_ok();
        if std::thread::panicking() {
            // The test has failed already and says why.
            (0..100).take_while(|_| !is_gone()).for_each(|_| std::thread::sleep(Duration::from_millis(10)));
        } else {
            wait_until("the browser is gone, and its folder with it", is_gone);
        }
        let _ = self.keeper.wait();
    }
}

/// True while a process of the browser runs, in its group or with its folder in the arguments.
///
/// Helper processes watch the others from a group of their own and end with them.
fn runs(group: u32, folder: &Path) -> bool {
    let group = group.to_string();
    let folder = folder.to_str().expect("the path is UTF-8");
    let processes = fs::read_dir("/proc").expect("the system tells of its processes").flatten();
    processes.map(|entry| entry.path()).any(|process| {
        // Other entries have no such files, and neither has a process that just ended.
        let read = |name| fs::read(process.join(name)).unwrap_or_default();
        let (stat, command) = (read("stat"), read("cmdline"));
        // The name may contain any character, and ends at the last parenthesis.
        let stat = String::from_utf8_lossy(&stat);
        let mut fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        let (state, of) = (fields.next(), fields.nth(1));
        // An ended process stays in the table until its parent reaps it.
        let is_over = matches!(state, Some("" | "Z" | "X"));
        !is_over && (of == Some(group.as_str()) || String::from_utf8_lossy(&command).contains(folder))
    })
}
