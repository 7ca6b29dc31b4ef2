//! Packages of other ecosystems, installed below the build folder, once for all runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// The folder in which `install` has installed `name`, or the error.
///
/// A folder gets its name once it is complete, so an interrupted install leaves none.
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

/// The first line of a command's output, or the error.
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
