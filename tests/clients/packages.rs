//! Packages of other ecosystems, installed below the folder of builds, once for all runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// The folder into which `install` installs what goes by this name, or why it cannot.
///
/// A folder gets its name when it is complete, so that an install that was broken off is none.
pub(crate) fn installed(name: &str, install: impl FnOnce(&Path) -> Command) -> Result<PathBuf, String> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let shelf = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let folder = shelf.join(name);
    if folder.exists() {
        return Ok(folder);
    }
    let unfinished = shelf.join(format!("{name}.{}", std::process::id()));
    fs::create_dir_all(&unfinished).expect("a folder can be made where builds are");
    let outcome = run(&mut install(&unfinished));
    if outcome.is_ok() {
        fs::rename(&unfinished, &folder).expect("it has no name yet, and this process alone gives it one");
    } else {
        fs::remove_dir_all(&unfinished).expect("it was made above");
    }
    outcome.map(|_| folder)
}

/// The first line that a command says, or why it failed.
pub(crate) fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).output() {
        Ok(Output { status, stdout, .. }) if status.success() => {
            Ok(String::from_utf8_lossy(&stdout).lines().next().unwrap_or_default().to_owned())
        }
        Ok(Output { stderr, .. }) => Err(format!("{name} fails: {}", String::from_utf8_lossy(&stderr).trim())),
        Err(error) => Err(format!("{name} does not run: {error}")),
    }
}
