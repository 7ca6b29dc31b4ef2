//! Starts that fail: one line, an exit code, under a second.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use rustix::process::{Resource, geteuid, getrlimit};
use support::measure::{skipped, timed};
use support::showing;

use crate::Process;

/// Holds that the program refuses at once, in one line that contains `name`.
#[track_caller]
fn expect_refusal(launcher: &[&str], flags: &[&str], code: i32, name: &str) {
    let _row = showing(flags.join(" "), b"");
    let (finished, took) = timed(|| Process::finished(launcher, flags, &[]));
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
    assert!(finished.stderr.lines().count() == 1 && finished.stderr.contains(name), "it names {name}: {finished:?}");
    assert!(took < Duration::from_secs(1), "it took {took:?}");
}

#[test]
fn any_bad_start_is_refused_within_a_second() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    expect_refusal(&[], &["--port", &port], 1, "the port is taken");
    expect_refusal(&[], &["--port", "0", "--host", "192.0.2.1"], 1, "192.0.2.1");
    expect_refusal(&[], &["--port", "x"], 2, "--port");
}

#[test]
fn a_privileged_port_is_refused_with_a_reason() {
    let test = "a port that this user may not have";
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    if first.trim().parse().is_ok_and(|first: u16| first <= 80) {
        return skipped(test, "every user may listen on port 80 here");
    }
    // Root has to give up this one capability.
    let launcher: &[&str] = if geteuid().is_root() { &["setpriv", "--bounding-set=-net_bind_service"] } else { &[] };
    if !launcher.is_empty() && Process::finished(launcher, &["--version"], &[]).code != Some(0) {
        return skipped(test, "no setpriv on this machine, and this user may listen anywhere");
    }
    expect_refusal(launcher, &["--port", "80"], 1, "may not listen there");
}

#[test]
fn too_few_descriptors_are_refused_with_a_reason() {
    let hard = getrlimit(Resource::Nofile).maximum;
    assert!(hard.is_none_or(|hard| hard >= 64), "the limit can be lowered to 64");
    for limit in ["5", "12", "64", "96"] {
        let shell = format!("ulimit -n {limit} && exec \"$@\"");
        expect_refusal(&["sh", "-c", &shell, "sh"], &["--port", "0", "--admin", "0"], 1, "(ulimit -n, ");
    }
}
