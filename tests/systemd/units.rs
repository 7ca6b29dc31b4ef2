//! The files in `deploy`: systemd parses every line, and finds few privileges left.

use std::fs;
use std::process::{Command, Output};

use support::measure::report;
use support::{Binary, Folder};

use crate::{Smolcast, has};

const SERVICE: &str = "smolcast.service";
const UNITS: [&str; 3] = [SERVICE, "smolcast.socket", "smolcast-admin.socket"];

/// The program's path in the units.
const INSTALLED: &str = "/usr/local/bin/smolcast";

/// The largest exposure of a service, in tenths. The figures differ by version of systemd.
const MOST_EXPOSED: u32 = 20;

/// A tool in a folder with copies of the units, which start the built program.
#[track_caller]
fn analyze(arguments: &[&str], change: impl Fn(&str) -> String) -> Output {
    let folder = Folder::new();
    for unit in UNITS {
        let text = fs::read_to_string(format!("deploy/{unit}")).expect("it is there");
        let text = change(&text).replace(INSTALLED, Smolcast::PATH);
        fs::write(folder.path(unit), text).expect("it can be written");
    }
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).current_dir(&folder).env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
    command.output().expect("it has run already")
}

fn verify(change: impl Fn(&str) -> String) -> Output {
    analyze(&[&["verify"][..], &UNITS.map(|unit| unit)].concat(), change)
}

#[test]
#[ignore = "it needs systemd's tools"]
fn systemd_understands_every_line_of_the_units() {
    if !has("systemd-analyze", "units") {
        return;
    }
    let output = verify(str::to_owned);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "it says:\n{}", String::from_utf8_lossy(&said));

    // The control: the tool reports an unknown setting.
    let output = verify(|text| text.replace("NoNewPrivileges=", "NoNewPrivilege="));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("NoNewPrivilege"), "of an unknown setting it says: {said:?}");
}

#[test]
#[ignore = "it needs systemd's tools"]
fn the_service_has_few_privileges() {
    if !has("systemd-analyze", "exposure") {
        return;
    }
    let threshold = format!("--threshold={MOST_EXPOSED}");
    let output = analyze(&["security", "--offline=true", &threshold, SERVICE], str::to_owned);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let overall = said.lines().find(|line| line.contains("Overall exposure")).unwrap_or_default();
    report("exposure", overall.trim());
    assert!(output.status.success() && !overall.is_empty(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
