//! Flags and variables of the program: accepted, or refused in one line.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;

use support::{Finished, FreePort, Served, get, post, post_chunked};

use crate::{Program, finished};

const FLAGS: [&str; 7] =
    ["--host", "--port", "--workers", "--max-body", "--max-connections", "--heartbeat", "--version"];

/// Holds that the program has ended with `code` and one line on its standard error alone, which contains `names`.
#[track_caller]
fn expect_refusal(finished: &Finished, code: i32, names: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    let line = finished.stderr.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {finished:?}"));
    assert!(!line.is_empty() && !line.contains('\n'), "one line: {finished:?}");
    for name in names {
        assert!(line.contains(name), "it names {name}: {finished:?}");
    }
}

#[test]
fn help_names_every_flag_and_succeeds() {
    let help = finished(&["--help"], &[]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""), "{help:?}");
    for flag in FLAGS {
        assert!(help.stdout.contains(flag), "{flag} is not in:\n{}", help.stdout);
    }
}

#[test]
fn help_version_and_man_page_are_printed() {
    for (flag, start) in [("-h", "smolcast "), ("-V", "smolcast "), ("--man", ".TH SMOLCAST 1 ")] {
        let said = finished(&[flag], &[]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
        assert!(said.stdout.starts_with(start), "{said:?}");
    }
}

#[test]
fn completions_are_printed_for_a_known_shell() {
    for shell in ["bash", "zsh", "fish", "nushell"] {
        let script = finished(&["--completions", shell], &[("SMOLCAST_PORT", "x")]);
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{script:?}");
        for flag in FLAGS {
            assert!(script.stdout.contains(flag.trim_start_matches('-')), "{flag} is not in:\n{}", script.stdout);
        }
    }
    expect_refusal(&finished(&["--completions", "tcsh"], &[]), 2, &["--completions", "bash, zsh, fish or nushell"]);
    expect_refusal(&finished(&["--completions"], &[]), 2, &["--completions", "bash, zsh, fish or nushell"]);
}

#[test]
fn bash_accepts_its_completions() {
    let script = finished(&["--completions", "bash"], &[]).stdout;
    match Command::new("bash").args(["-n", "-c", &script]).output() {
        Err(_) => eprintln!("SKIPPED: there is no bash"),
        Ok(said) => assert!(said.status.success() && said.stderr.is_empty(), "{said:?}"),
    }
}

#[test]
fn version_is_one_line_and_succeeds() {
    let version = finished(&["--version"], &[]);
    let line = concat!("smolcast ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!((version.code, version.stdout.as_str(), version.stderr.as_str()), (Some(0), line, ""));
}

#[test]
fn a_bad_flag_is_refused_in_one_line_with_code_2() {
    let rows: [(&[&str], &str); 32] = [
        (&["--prot", "1942"], "(did you mean --port?)"),
        (&["--port", "1", "--port=1"], "--port can be given once"),
        (&["--port=1\n2"], "--port"),
        (&["-x"], "-x"),
        (&["stray"], "stray"),
        (&["--port", "0", "stray"], "stray"),
        (&["--port"], "--port"),
        (&["--port", "70000"], "--port"),
        (&["--port", "65536"], "--port"),
        (&["--port", "-1"], "--port"),
        (&["--port", "x"], "--port"),
        (&["--port", ""], "--port"),
        (&["--port", "19 42"], "--port"),
        (&["--host", "x y"], "--host"),
        (&["--host", "127.0.0.256"], "--host"),
        (&["--host", "127.0.0.1:80"], "--host"),
        (&["--host", ""], "--host"),
        (&["--workers", "0"], "--workers"),
        (&["--workers", "-1"], "--workers"),
        (&["--workers", "two"], "--workers"),
        (&["--workers", "1.5"], "--workers"),
        (&["--max-body", "1x"], "--max-body"),
        (&["--max-body", "k"], "--max-body"),
        (&["--max-body", ""], "--max-body"),
        (&["--max-body", "-1"], "--max-body"),
        (&["--max-body", "99999999999999999999"], "--max-body"),
        (&["--max-body", "18446744073709551615k"], "--max-body"),
        (&["--max-connections", "0"], "--max-connections"),
        (&["--max-connections", "x"], "--max-connections"),
        (&["--heartbeat", "-1"], "--heartbeat"),
        (&["--heartbeat", "x"], "--heartbeat"),
        (&["--heartbeat"], "--heartbeat"),
    ];
    for (flags, name) in rows {
        expect_refusal(&finished(flags, &[]), 2, &[name]);
    }
}

#[test]
fn a_bad_variable_is_refused_in_one_line_with_code_2() {
    for (name, value) in [
        ("SMOLCAST_PORT", "70000"),
        ("SMOLCAST_PORT", "x"),
        ("SMOLCAST_HOST", "nowhere at all"),
        ("SMOLCAST_WORKERS", "0"),
        ("SMOLCAST_MAX_BODY", "1x"),
        ("SMOLCAST_MAX_CONNECTIONS", "-5"),
        ("SMOLCAST_HEARTBEAT", "soon"),
    ] {
        expect_refusal(&finished(&[], &[(name, value)]), 2, &[name]);
    }
}

#[test]
fn a_taken_port_is_refused_in_one_line_with_code_1() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    expect_refusal(&finished(&["--port", &port], &[]), 1, &[&port]);
    expect_refusal(&finished(&[], &[("SMOLCAST_PORT", &port)]), 1, &[&port]);
}

#[test]
fn a_flag_wins_over_its_variable() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    // The variable alone would serve, so the flag is refused.
    expect_refusal(&finished(&["--port", &port], &[("SMOLCAST_PORT", "0")]), 1, &[&port]);
    // The flag alone would be refused too; the variable must not count.
    let program = Program::start_with(&["--workers", "3"], &[("SMOLCAST_WORKERS", "5"), ("SMOLCAST_PORT", &port)]);
    assert!(program.start_line.contains("3 workers"), "{}", program.start_line);
}

#[test]
fn a_foreign_address_is_refused_in_one_line_with_code_1() {
    // An address of a documentation network, which no machine has.
    expect_refusal(&finished(&["--host", "192.0.2.1", "--port", "0"], &[]), 1, &["192.0.2.1"]);
}

#[test]
fn a_port_is_taken_from_its_variable() {
    let port = FreePort::new();
    let program = Program::start_without_flags(&[("SMOLCAST_PORT", &port.number().to_string())]);
    let expected = format!("Listening on http://{}/", port.addr());
    assert!(program.start_line.starts_with(&expected), "expected {expected:?}: {:?}", program.start_line);
    program.publish("x");
}

#[test]
fn every_flag_has_a_variable() {
    let program = Program::start_without_flags(&[
        ("SMOLCAST_HOST", "::1"),
        ("SMOLCAST_PORT", "0"),
        ("SMOLCAST_WORKERS", "3"),
        ("SMOLCAST_MAX_BODY", "10"),
        ("SMOLCAST_MAX_CONNECTIONS", "57"),
        ("SMOLCAST_HEARTBEAT", "1"),
    ]);
    assert!(program.start_line.starts_with("Listening on http://[::1]:"), "{:?}", program.start_line);
    expect_numbers(&program, &["3", "57"]);
    program.request(post("eleven byte")).expect_status(413);
    program.stream().expect(b":\n\n");
}

/// Holds that the start line names these numbers behind its address.
#[track_caller]
fn expect_numbers(program: &Program, numbers: &[&str]) {
    let line = &program.start_line;
    let (_, rest) = line.split_once("://").and_then(|(_, rest)| rest.split_once('/')).unwrap_or_default();
    let found: Vec<_> = rest.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    assert_eq!(found, numbers, "{line:?}");
}

#[test]
fn the_start_line_names_shards_and_connection_limit() {
    expect_numbers(&Program::start(&["--workers", "3", "--max-connections", "57"]), &["3", "57"]);
    expect_numbers(&Program::start(&["--workers", "1", "--max-connections", "1000"]), &["1", "1000"]);
}

#[test]
fn the_start_line_says_if_the_network_may_publish() {
    let open = Program::start(&["--host", "0.0.0.0"]);
    assert!(open.start_line.starts_with("Listening on http://0.0.0.0:"), "{:?}", open.start_line);
    let line = open.start_line.clone();
    let said = open.kill();
    assert!(line.contains("/broadcast") || said.stderr.contains("/broadcast"), "{line:?} {said:?}");
    for own in ["127.0.0.1", "127.0.0.2", "::1"] {
        let program = Program::start(&["--host", own]);
        let line = program.start_line.clone();
        let said = program.kill();
        assert!(!line.contains("/broadcast") && said.stderr.is_empty(), "{own} is this machine's: {line:?} {said:?}");
    }
}

#[test]
fn the_body_limit_takes_a_suffix() {
    for (flag, limit) in [("10", 10), ("1k", 1024), ("2K", 2048), ("2m", 2 * 1024 * 1024), ("1M", 1024 * 1024)] {
        let program = Program::start(&["--max-body", flag]);
        let body = vec![b'x'; limit];
        program.request(post(&body)).expect_status(202);
        program.request(post([&body, b"x".as_slice()].concat())).expect_status(413);
        let coded = [format!("{:x}\r\n", limit + 1).as_bytes(), &body, b"x\r\n0\r\n\r\n"].concat();
        program.request(post_chunked(coded)).expect_status(413);
    }
}

#[test]
fn the_heartbeat_is_in_seconds() {
    let program = Program::start(&["--heartbeat", "1"]);
    let mut stream = program.stream();
    stream.expect(b":\n\n:\n\n");
    program.request(get("/connections")).expect_status(200);
}
