//! `soak.md`: what a soak came to, as a page. The checks first, then what was done, and on what.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use crate::soak::Soaked;
use anyhow::{Context, Result};

use super::machine::Machine;
use super::markdown::{command, on_what, plain, row};
use super::plots;

const PAGE: &str = "soak.md";
const PLOT: &str = "soak.svg";

const ABOUT_MEMORY: &str = "\
Memory may gain as much as a server holds for slow streams, a window and a batch for each worker: that comes and goes,
and a trend may begin when it is empty and end when it is full. The bound is on what is gained and not on the rate, so
a longer run finds a smaller leak.
";

/// Writes the page and its plot into the folder, and returns what was written.
pub(crate) fn write_soak(soaked: &Soaked, machine: &Machine, folder: &Path) -> Result<Vec<PathBuf>> {
    let plot = plots::course(soaked)?;
    let page = text(soaked, machine);
    let mut written = Vec::new();
    for (name, text) in [(PAGE, page), (PLOT, plot)] {
        let path = folder.join(name);
        fs::write(&path, text).context(format!("writing {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

fn text(soaked: &Soaked, machine: &Machine) -> String {
    let failed = soaked.checks.iter().filter(|check| !check.holds).count();
    let outcome = match failed {
        0 => format!("All {} checks hold.", soaked.checks.len()),
        failed => format!("**{failed} of {} checks failed.**", soaked.checks.len()),
    };
    let mut page = format!("# Soak: {}\n\n{outcome}", plain(&soaked.server));
    if let Some(why) = soaked.cut_short {
        let _ = write!(page, " The run was {why}.");
    }
    page.push_str("\n\n| check | | figure |\n| --- | --- | --- |\n");
    for check in &soaked.checks {
        let verdict = if check.holds { "ok" } else { "**FAILED**" };
        page.push_str(&row(check.what, [verdict.to_owned(), plain(&check.figure)].into_iter()));
    }
    page.push('\n');
    let faults: Vec<&String> = soaked.checks.iter().flat_map(|check| &check.faults).collect();
    for fault in &faults {
        let _ = writeln!(page, "- {}", plain(fault));
    }
    if !faults.is_empty() {
        page.push('\n');
    }
    let _ =
        write!(page, "{ABOUT_MEMORY}\n![Resident memory and descriptors over time]({PLOT})\n\n## What was done\n\n");
    page.push_str("| | |\n| --- | --- |\n");
    for (name, figure) in &soaked.figures {
        page.push_str(&row(name, [plain(figure)].into_iter()));
    }
    let _ = write!(page, "\n{}", on_what(machine));
    let seeded = [&soaked.arguments[..], &["--seed".to_owned(), soaked.seed.to_string()]].concat();
    let arguments =
        if soaked.arguments.iter().any(|word| word.starts_with("--seed")) { &soaked.arguments } else { &seeded };
    let _ = write!(page, "## Once more\n\n```sh\n{}\n```\n", command(arguments));
    page
}
