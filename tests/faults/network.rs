//! A test's own network: the program at one end of some cables, the test at the other.
//!
//! It is invisible outside, and vanishes with the two processes.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use support::alone;
use support::measure::skipped;

use crate::Program;

/// Commands that show if this user may build a network.
const TRIAL: [&str; 3] =
    ["sh", "-c", "ip link add near type veth peer name far && nsenter --version && unshare --version"];

/// The ways to get a network namespace: as root, or in a user namespace.
const UNSHARED: [&[&str]; 2] = [&["unshare", "--net"], &["unshare", "--map-root-user", "--net"]];

fn works(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    let command = command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[track_caller]
fn run(line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    assert!(works(&words), "failed: {line}");
}

/// A cable between this network and the program's.
pub(crate) struct Cable(usize);

impl Cable {
    #[track_caller]
    pub(crate) fn lay(number: usize, program: &Program) -> Self {
        let id = program.id();
        run(&format!("ip link add near{number} type veth peer name far{number}"));
        run(&format!("ip link set far{number} netns {id}"));
        run(&format!("ip addr add 198.18.{number}.1/30 dev near{number}"));
        run(&format!("ip link set near{number} up"));
        let there = format!("nsenter --net=/proc/{id}/ns/net ip");
        run(&format!("{there} addr add 198.18.{number}.2/30 dev far{number}"));
        run(&format!("{there} link set far{number} up"));
        Self(number)
    }

    /// The program's address on this cable.
    pub(crate) fn address(&self, program: &Program) -> SocketAddr {
        let Self(number) = self;
        SocketAddr::from(([198, 18, *number as u8, 2], program.addr.port()))
    }

    /// Cuts the cable in both directions.
    #[track_caller]
    pub(crate) fn cut(&self) {
        run(&format!("ip link set near{} down", self.0));
    }

    /// Drops everything from here, acknowledgements too; packets from the program still arrive.
    #[track_caller]
    pub(crate) fn silence(&self) {
        run(&format!("ip route add blackhole 198.18.{}.2/32", self.0));
    }
}

/// True in a process with a network of its own, in which the test runs alone. Anywhere else, runs such a process, or
/// skips the test.
#[track_caller]
pub(crate) fn own(test: &str) -> bool {
    let launchers = UNSHARED.into_iter().filter(|launcher| works(&[launcher, &["true"][..]].concat()));
    match launchers.into_iter().find(|launcher| works(&[launcher, &TRIAL[..]].concat())) {
        Some(launcher) => alone(launcher, test),
        None => {
            skipped(test, "this user may have no network of his own, or ip, nsenter or veth is missing");
            false
        }
    }
}

/// A program in its own network, where it waits for cables.
#[track_caller]
pub(crate) fn program(flags: &str) -> Program {
    let flags: Vec<_> = ["--host", "0.0.0.0"].into_iter().chain(flags.split(' ')).collect();
    Program::launch(&["unshare", "--net"], &flags, &[])
}
