//! The admin address of the program: the address, the options on its page, and the secrets that stay out of it.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;

use support::{Folder, Served, wait_until};

use super::live::{Page, names};
use super::{ask, get, request};
use crate::{Program, finished};

/// Options without a row of their own, each with the row that shows its effect.
const SHOWN_ELSEWHERE: [(&str, &str); 5] = [
    ("--host", "--listen"),
    ("--port", "--listen"),
    ("--unix", "--listen"),
    // The lists in force include the files' entries.
    ("--allow-host-file", "--allow-host"),
    ("--allow-origin-file", "--allow-origin"),
];

/// The start line is printed before there are shards.
#[track_caller]
fn expect_ready(program: &Program) {
    let admin = program.admin();
    wait_until("it is ready", || get(&admin, "/readyz").body == b"ready\n");
}

#[test]
fn the_start_line_ends_with_the_admin_address() {
    let program = Program::start(&["--admin", "127.0.0.1:0"]);
    expect_ready(&program);
    let folder = Folder::new();
    let path = format!("unix:{}", folder.path("admin").display());
    let program = Program::start_with(&[], &[("SMOLCAST_ADMIN", &path)]);
    assert!(program.start_line.ends_with(&format!("; admin on {path}")), "{}", program.start_line);
    expect_ready(&program);
    assert!(!Program::start(&[]).start_line.contains("admin"), "no flag asked for it");
}

#[test]
fn a_public_admin_address_is_warned_of() {
    let program = Program::start(&["--admin", "0.0.0.0:0"]);
    let warning = ", where anyone who reaches it may publish and disconnect streams";
    assert!(program.start_line.ends_with(warning), "{}", program.start_line);
}

#[test]
fn a_taken_admin_port_is_refused_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let said = finished(&["--port", "0", "--admin", &address], &[]);
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), ""), "{said:?}");
    assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
    assert!(said.untimed().starts_with("smolcast: error: ") && said.stderr.contains(&address), "{said:?}");
}

#[test]
fn the_page_lists_every_option() {
    let program = Program::start(&["--admin", "127.0.0.1:0"]);
    let (_page, hello) = Page::open(&program.admin());
    let rows = hello["configuration"].as_array().expect("an array").iter();
    let rows: Vec<_> = rows.filter_map(|row| row["name"].as_str()).collect();
    let told: BTreeSet<_> = rows.iter().copied().collect();
    assert_eq!(told.len(), rows.len(), "each once");
    let help = finished(&["--help"], &[]).stdout;
    let (options, _) = help.split_once("\n  -V, --version").expect("the flags that print stand behind the options");
    let options = options.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    // The form of the log is the program's, and not the server's.
    let mut options: BTreeSet<_> = options.filter(|word| word.starts_with("--") && *word != "--log-format").collect();
    assert!(options.len() > 20, "the options are read from {help}");
    for (option, row) in SHOWN_ELSEWHERE {
        assert!(options.remove(option), "{option} is no option any more");
        assert!(told.contains(row), "{option} is to be seen in {row}");
    }
    assert_eq!(told, options, "the page's rows, and the options");
}

#[test]
fn the_page_shows_the_options_in_force() {
    let program = Program::start(&[
        "--admin=127.0.0.1:0",
        "--trusted-proxy=10.0.0.0/8,unix",
        "--max-connections-per-ip=7",
        "--heartbeat=0",
        "--max-lag=3m",
        "--history=10",
        "--workers=3",
    ]);
    let admin = program.admin();
    let (_page, hello) = Page::open(&admin);
    let value = |name: &str| {
        let row = hello["configuration"].as_array().into_iter().flatten().find(|row| row["name"] == name);
        row.and_then(|row| row["value"].as_str()).unwrap_or_default().to_owned()
    };
    for (name, expected) in [
        ("--listen", format!("http://{}/", program.addr)),
        ("--admin", admin.to_string()),
        ("--trusted-proxy", "10.0.0.0/8, unix".to_owned()),
        ("--max-connections-per-ip", "7".to_owned()),
        ("--heartbeat", "none".to_owned()),
        ("--max-lag", "3 MiB".to_owned()),
        ("--history", "10, 64 MiB, 24 h".to_owned()),
        ("--workers", "3".to_owned()),
        ("--unix-mode", "no unix socket".to_owned()),
        ("--admin-mode", "no unix socket".to_owned()),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    let folder = Folder::new();
    let path = folder.path("s").display().to_string();
    let admin = folder.path("admin").display().to_string();
    let flags = ["--unix", &path, "--unix-mode=666", &format!("--admin=unix:{admin}"), "--admin-mode=600"];
    let program = Program::start_on(&flags);
    let (_page, hello) = Page::open(&program.admin());
    let rows = hello["configuration"].to_string();
    for (name, path, mode) in [("--unix-mode", path, "666"), ("--admin-mode", admin, "600")] {
        assert!(rows.contains(&format!(r#""name":"{name}","value":"{mode}""#)) && rows.contains(&path), "{rows}");
        let is = fs::metadata(&path).expect("it is there").mode() & 0o777;
        assert_eq!(format!("{is:o}"), mode, "{name}");
    }
}

#[test]
fn no_admin_response_has_a_token() {
    const TOKEN: &str = "c2VjcmV0LXdvcmQ=";
    let program = Program::start_with(&["--admin", "127.0.0.1:0"], &[("SMOLCAST_PUBLISH_TOKEN", TOKEN)]);
    let admin = program.admin();
    let shows = format!("Authorization: Bearer {TOKEN}\r\n");
    let publish = format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{shows}Content-Length: 1\r\n\r\nx");
    program.request(publish).expect_status(202);
    let wrong = format!("POST /broadcast?token={TOKEN} HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    program.request(wrong).expect_status(401);
    for path in ["/", "/page.js", "/metrics", "/healthz", "/readyz", "/nowhere"] {
        let said = format!("{:?}", get(&admin, path));
        assert!(!said.contains(TOKEN), "{path}");
    }
    let said = ask(&admin, request("POST", "/publish", b"x")).expect_status(202);
    assert!(!String::from_utf8_lossy(&said.body).contains(TOKEN));
    let (mut page, hello) = Page::open(&admin);
    assert!(names(&hello).contains(&"configuration") && hello.to_string().contains("1 token"));
    assert!(!hello.to_string().contains(TOKEN) && !page.sample().to_string().contains(TOKEN));
    let said = program.kill();
    assert!(!said.stderr.contains(TOKEN) && !said.stdout.contains(TOKEN), "{said:?}");
}
