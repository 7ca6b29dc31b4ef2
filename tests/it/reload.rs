//! The program's files of tokens, hosts and origins: read at its start, and again on SIGHUP.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use support::{Folder, Response, Served, get, post, showing, wait_until};

use crate::{Process, Program, finished};

/// Tokens that are easy to find in any output.
const OLD: &str = "secret-old-c2VjcmV0==";
const NEW: &str = "secret-new-bmV3";

fn file(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let path = folder.path(name);
    fs::write(&path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// A flag with a file that has this text.
fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// Publishes with a token, and with other lines in the head.
#[track_caller]
fn publish(program: &Program, token: &str, fields: &str) -> Response {
    let head = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n{fields}");
    program.request(format!("{head}Content-Length: {}\r\n\r\n{token}", token.len()))
}

#[test]
fn a_token_is_replaced_while_a_stream_stays_open() {
    let folder = Folder::new();
    let tokens = file(&folder, "tokens", &format!("# who may publish\n\n{OLD}\r\n"));
    let program = Program::start(&[&flag("publish-token-file", &tokens)]);
    let mut stream = program.stream();
    program.request(post("x")).expect_status(401);
    publish(&program, NEW, "").expect_status(401);
    publish(&program, OLD, "").expect_status(202);
    stream.expect_data(OLD);

    fs::write(&tokens, NEW).expect("the file can be written");
    program.signal(Signal::HUP);
    wait_until("the old token is refused", || publish(&program, OLD, "").status == 401);
    publish(&program, NEW, "").expect_status(202);
    // Messages under the old token come first.
    while stream.message().data != NEW {}
    assert_eq!(program.count(), 1);
    program.signal(Signal::TERM);
    stream.expect_end(b"");
    let said = program.finish();
    assert_eq!((said.code, said.stdout.as_str(), said.stderr.as_str()), (Some(0), "", ""), "all went well");
}

#[test]
fn a_bad_file_changes_nothing() {
    let folder = Folder::new();
    let tokens = file(&folder, "tokens", OLD);
    let hosts = file(&folder, "hosts", "h");
    let program = Program::start(&[&flag("publish-token-file", &tokens), &flag("allow-host-file", &hosts)]);
    let mut stream = program.stream();
    // In the second row the tokens are valid: one bad list keeps all of them out.
    let rows = [
        (format!("{NEW}\nsecret with spaces"), "h", "tokens, line 2: "),
        (NEW.to_owned(), "# nobody\n", "there is no host in "),
        ("\n# secret\n".to_owned(), "h", "there is no token in "),
        ("x\n".repeat(1024 * 1024), "h", "tokens is longer than 1 MiB"),
    ];
    for (number, (new_tokens, new_hosts, error)) in rows.iter().enumerate() {
        let _row = showing(*error, b"");
        fs::write(&tokens, new_tokens).expect("the file can be written");
        fs::write(&hosts, new_hosts).expect("the file can be written");
        program.signal(Signal::HUP);
        wait_until("it says so", || program.complaints().lines().count() == number + 1);
        let complaints = program.complaints();
        let last = complaints.lines().last().unwrap_or_default();
        assert!(last.contains(error) && last.ends_with("; the old lists stay in force"), "{last}");
        publish(&program, NEW, "").expect_status(401);
        publish(&program, OLD, "").expect_status(202);
        stream.expect_data(OLD);
    }
    fs::remove_file(&tokens).expect("the file is there");
    program.signal(Signal::HUP);
    wait_until("it says so", || program.complaints().lines().count() == rows.len() + 1);
    publish(&program, OLD, "").expect_status(202);
    stream.expect_data(OLD);

    fs::write(&tokens, NEW).expect("the file can be written");
    program.signal(Signal::HUP);
    wait_until("the new token is taken", || publish(&program, NEW, "").status == 202);
    let said = program.kill();
    assert_eq!(said.stderr.lines().count(), rows.len() + 1, "{said:?}");
    assert!(!said.stderr.contains("secret"), "{said:?}");
}

#[test]
fn a_bad_file_is_refused_at_the_start() {
    let folder = Folder::new();
    let long = "#\n".repeat(1024 * 1024);
    for name in ["publish-token-file", "allow-host-file", "allow-origin-file"] {
        for (text, error) in [
            ("\u{0}secret", "list, line 1: "),
            ("# a comment\n\nnull secret\n", "list, line 3: "),
            ("", "there is no "),
            ("\n   \n#secret\n", "there is no "),
            (&long, "list is longer than 1 MiB"),
        ] {
            let _row = showing(name, &text.as_bytes()[..text.len().min(40)]);
            let said = finished(&["--port", "0", &flag(name, &file(&folder, "list", text))], &[]);
            assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""), "{said:?}");
            assert!(said.stderr.contains(error) && !said.stderr.contains("secret"), "{said:?}");
            assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
        }
        let missing = folder.path("no-such-list");
        let said = finished(&["--port", "0", &flag(name, &missing)], &[]);
        assert!(said.code == Some(2) && said.stderr.contains("cannot read ") && said.stderr.contains("no-such-list"));
    }
}

#[test]
fn no_output_and_no_list_of_processes_has_a_token() {
    let folder = Folder::new();
    let tokens = file(&folder, "tokens", OLD);
    let by_file = Program::start(&["--host", "0.0.0.0", &flag("publish-token-file", &tokens)]);
    let tokens_of_both = format!("{OLD},\n{NEW}");
    let by_variable = Program::start_with(&["--host", "0.0.0.0"], &[("SMOLCAST_PUBLISH_TOKEN", &tokens_of_both)]);
    for program in [by_file, by_variable] {
        let mut stream = program.stream();
        publish(&program, OLD, "").expect_status(202);
        stream.expect_data(OLD);
        publish(&program, "secret-wrong", "").expect_status(401);
        program.request(format!("POST /broadcast HTTP/1.1\r\nAuthorization: Bearer {OLD}\r\n\r\n")).expect_status(400);
        let cmdline = fs::read(format!("/proc/{}/cmdline", program.id())).expect("the process is there");
        let cmdline = String::from_utf8_lossy(&cmdline).into_owned();
        assert!(cmdline.contains("smolcast") && !cmdline.contains("secret"), "{cmdline:?}");
        let line = program.start_line.clone();
        assert!(!line.contains("may publish"), "not everybody may: {line}");
        let said = program.kill();
        assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", ""));
    }
    for (flags, value) in [(&[] as &[&str], "secret secret"), (&[&flag("publish-token-file", &tokens)], "secret")] {
        let said = finished(&[&["--port", "0"], flags].concat(), &[("SMOLCAST_PUBLISH_TOKEN", value)]);
        assert!(said.code == Some(2) && said.stderr.contains("SMOLCAST_PUBLISH_TOKEN"), "{said:?}");
        assert!(!said.stderr.contains("secret"), "{said:?}");
    }
}

#[test]
fn hosts_and_origins_of_files_add_to_those_of_flags() {
    let folder = Folder::new();
    let (hosts, origins) = (file(&folder, "hosts", "filed.example"), file(&folder, "origins", "https://filed.example"));
    let (hosts_file, origins_file) = (flag("allow-host-file", &hosts), flag("allow-origin-file", &origins));
    let program =
        Program::start(&["--allow-host=h", &hosts_file, "--allow-origin=https://typed.example", &origins_file]);
    let counted = |host: &str| program.request(format!("GET /connections HTTP/1.1\r\nHost: {host}\r\n\r\n")).status;
    let posted = |origin: &str| {
        let head = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\nOrigin: https://{origin}\r\n");
        program.request(head + "Content-Length: 1\r\n\r\nx").status
    };
    assert_eq!(["h", "filed.example", "new.example"].map(counted), [200, 200, 421]);
    assert_eq!(["typed.example", "filed.example", "new.example"].map(posted), [202, 202, 403]);
    fs::write(&hosts, "# moved\nnew.example\n").expect("the file can be written");
    fs::write(&origins, "https://new.example").expect("the file can be written");
    program.signal(Signal::HUP);
    wait_until("the new host is let in", || counted("new.example") == 200);
    assert_eq!(["h", "filed.example"].map(counted), [200, 421]);
    assert_eq!(["typed.example", "filed.example", "new.example"].map(posted), [202, 403, 202]);
}

/// A pipe without a writer once blocked the reload, and every later SIGHUP with it.
#[test]
fn a_pipe_in_place_of_a_file_is_refused_at_once() {
    let folder = Folder::new();
    let (path, pipe) = (folder.path("tokens"), folder.path("pipe"));
    fs::write(&path, OLD).expect("a file can be written");
    let next = file(&folder, "next", NEW);
    let made = Command::new("mkfifo").arg(&pipe).status().expect("the system has mkfifo");
    assert!(made.success());
    let refused = finished(&[&flag("publish-token-file", &pipe)], &[]);
    assert_eq!((refused.code, refused.stderr.lines().count()), (Some(2), 1), "{refused:?}");
    assert!(refused.stderr.contains("regular file"), "{refused:?}");

    let program = Program::start(&[&flag("publish-token-file", &path)]);
    fs::rename(&pipe, &path).expect("it can be moved");
    program.signal(Signal::HUP);
    for _ in 0..3 {
        publish(&program, OLD, "").expect_status(202);
    }
    fs::rename(&next, &path).expect("it can be moved");
    wait_until("the new token is known", || {
        program.signal(Signal::HUP);
        publish(&program, NEW, "").status == 202
    });
    publish(&program, OLD, "").expect_status(401);
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
}

/// Bytes of a segment that takes longer to read than a signal takes to arrive.
const LONG_TO_READ: usize = if cfg!(debug_assertions) { 1 << 22 } else { 1 << 26 };

/// It once ended the process while the history was read.
#[test]
fn a_sighup_during_the_start_reloads_once_it_serves() {
    let folder = Folder::new();
    let (hosts, history) = (file(&folder, "hosts", "old.example"), folder.file("history"));
    // Each of the markers might begin an item, and none does.
    fs::create_dir(&history).expect("its parent is there");
    let segment = b"\xffsm\xfe".repeat(LONG_TO_READ / 4);
    fs::write(folder.path("history").join("000000000001.log"), segment).expect("there is room");
    let socket = folder.path("s");
    let listen = format!("--listen=127.0.0.1:0,unix:{}", socket.display());
    let starting =
        Process::start(&[&listen, &flag("allow-host-file", &hosts), &flag("history-dir", Path::new(&history))]);
    wait_until("it listens", || UnixStream::connect(&socket).is_ok());
    fs::write(&hosts, "h").expect("the file can be written");
    starting.signal(Signal::HUP);
    let program = Program::once_it_serves(starting);
    wait_until("the new host is let in", || program.request(get("/connections")).status == 200);
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
}
