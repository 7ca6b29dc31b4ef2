//! Limits of threads: the start says if there are too few, and a server that serves needs no further one.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rustix::process::{Signal, geteuid};
use support::measure::skipped;
use support::{Folder, Served, showing, wait_until};

use crate::{Process, Program};

/// Becomes a user of its own, who may have this many threads. The limit does not hold for root.
fn launcher(threads: u32) -> [String; 7] {
    let user = 40_000 + std::process::id() % 10_000;
    let words = ["setpriv", "--clear-groups"].map(str::to_owned);
    let [setpriv, groups] = words;
    let (uid, gid) = (format!("--reuid={user}"), format!("--regid={user}"));
    [setpriv, groups, uid, gid, "prlimit".to_owned(), format!("--nproc={threads}"), "--".to_owned()]
}

/// The status of a publish with this token.
#[track_caller]
fn publish(program: &Program, token: &str) -> u16 {
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n");
    program.request(format!("{head}Content-Length: 1\r\n\r\nx")).status
}

/// A SIGHUP once made the server spin, and SIGTERM made it panic, where no thread could be made any more.
#[test]
fn with_too_few_threads_it_says_so_or_serves_to_the_end() {
    let test = "limits of threads";
    if !geteuid().is_root() {
        return skipped(test, "it takes root to become another user");
    }
    let owned = launcher(64);
    let words: Vec<&str> = owned.iter().map(String::as_str).collect();
    if !fs::exists("/usr/bin/setpriv").is_ok_and(|exists| exists)
        || Process::finished(&words, &["--version"], &[]).code != Some(0)
    {
        return skipped(test, "no setpriv or prlimit on this machine, or another user cannot run the program");
    }
    let folder = Folder::new();
    let tokens = folder.path("tokens");
    fs::set_permissions(folder.path("."), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let file = format!("--publish-token-file={}", tokens.display());
    let (mut refused, mut served) = (0, 0);
    for threads in 2..=20 {
        let _row = showing(format!("{threads} threads"), b"");
        fs::write(&tokens, "old").expect("the file can be written");
        let owned = launcher(threads);
        let words: Vec<&str> = owned.iter().map(String::as_str).collect();
        let flags = ["--port=0", "--workers=2", "--admin=127.0.0.1:0", &file];
        match Program::try_spawn(Process::command(&words).args(flags)) {
            Err(finished) => {
                assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished:?}");
                let line = finished.stderr.strip_suffix('\n').unwrap_or_default();
                assert!(line.contains("cannot start a thread: ") && line.contains("ulimit -u"), "{finished:?}");
                assert!(!line.contains('\n') && served == 0, "one line, and more threads are no worse: {finished:?}");
                refused += 1;
            }
            Ok(program) => {
                assert_eq!(publish(&program, "old"), 202);
                fs::write(&tokens, "new").expect("the file can be written");
                program.signal(Signal::HUP);
                wait_until("the new token is taken", || publish(&program, "new") == 202);
                program.signal(Signal::TERM);
                let finished = program.finish();
                assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished:?}");
                served += 1;
            }
        }
    }
    assert!(refused > 4 && served > 4, "{refused} limits are too low, and {served} are enough");
}
