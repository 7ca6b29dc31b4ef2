//! A comparison for its reader: tables in the terminal, and a folder with a report to read (`report.md`), its plots,
//! and every raw figure (`report.json`).
//!
//! Nothing here knows a scenario: the name of a figure, and whether there is a plot of it, follow from the data. A key
//! that is known here only gets a better place or a sentence beside it.

mod glance;
mod machine;
pub(crate) mod markdown;
pub(crate) mod plots;
#[cfg(test)]
mod sample;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figure::{Comparison, Contestant, Measured, Rounds};

pub(crate) use machine::Machine;
pub(crate) use table::table;

/// The bare write loop that the others are measured by, where it takes part.
const FLOOR: &str = "floor";
/// The server that all of this is about.
const OURS: &str = "smolcast";

/// `report.json`.
#[derive(Serialize)]
struct Document<'a> {
    arguments: &'a [String],
    quick: bool,
    machine: &'a Machine,
    contestants: &'a [Contestant],
    measured: &'a [Measured],
}

/// Writes the report into the folder, and returns the paths of its files: the one to read first is the first.
pub(crate) fn write(comparison: &Comparison, machine: &Machine, folder: &Path) -> Result<Vec<PathBuf>> {
    let Comparison { arguments, quick, contestants, measured } = comparison;
    let document = Document { arguments, quick: *quick, machine, contestants, measured };
    let json = serde_json::to_string_pretty(&document).context("writing the figures as JSON")? + "\n";
    let plots = plots::of(comparison)?;
    let page = markdown::text(comparison, machine, &plots);
    let mut files = vec![("report.md".to_owned(), page), ("report.json".to_owned(), json)];
    files.extend(plots.into_iter().map(|plot| (plot.file, plot.svg)));
    write_files(folder, &files)
}

/// Writes files into the folder, which is created.
pub(crate) fn write_files(folder: &Path, files: &[(String, String)]) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let write = |(name, text): &(String, String)| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    files.iter().map(write).collect()
}

/// The reasons to doubt the figures of a scenario: failures first, then warnings with their rounds.
fn notes(measured: &Measured) -> Vec<String> {
    let failures = measured.servers.iter().filter_map(|rounds| {
        let failure = rounds.failure.as_ref()?;
        let after = match rounds.samples.len() {
            0 => "no result".to_owned(),
            1 => "only 1 round".to_owned(),
            count => format!("only {count} rounds"),
        };
        Some(format!("{}: {after}: {failure}", rounds.server))
    });
    failures.chain(measured.servers.iter().flat_map(warnings)).collect()
}

/// Each warning once, with its rounds where it was not in all of them.
fn warnings(rounds: &Rounds) -> Vec<String> {
    let mut warnings: Vec<(&str, Vec<String>)> = Vec::new();
    for (index, sample) in rounds.samples.iter().enumerate() {
        for warning in &sample.warnings {
            let round = (index + 1).to_string();
            match warnings.iter_mut().find(|(known, _)| known == warning) {
                Some((_, rounds)) => rounds.push(round),
                None => warnings.push((warning, vec![round])),
            }
        }
    }
    let tell = |(warning, warned): (&str, Vec<String>)| {
        let which = match warned.len() {
            count if count == rounds.samples.len() => String::new(),
            1 => format!(", round {}", warned[0]),
            _ => format!(", rounds {}", warned.join(", ")),
        };
        format!("{}{which}: {warning}", rounds.server)
    };
    warnings.into_iter().map(tell).collect()
}
