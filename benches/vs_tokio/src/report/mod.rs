//! What a comparison came to, for who reads it: tables in the terminal, and a folder with a report to read
//! (`report.md`), its plots, and every raw figure (`report.json`).
//!
//! Nothing here knows a scenario: what a figure is called, and whether there is a plot of it, follows from the data.
//! A key that is known here only gets a better place or a sentence beside it.

mod glance;
mod json;
mod machine;
mod markdown;
mod number;
mod plots;
#[cfg(test)]
mod sample;
mod soak;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use crate::figure::{Comparison, Figure, Measured, Rounds};
use anyhow::{Context, Result};

use number::Spread;

pub(crate) use machine::Machine;
pub(crate) use soak::write_soak;
pub(crate) use table::table;

/// The bare write loop that the others are measured by, where it takes part.
const FLOOR: &str = "floor";
/// What this program is about.
const OURS: &str = "smolcast";

/// Writes the report into the folder, which is created, and returns what was written: first what is to be read first.
pub(crate) fn write(comparison: &Comparison, machine: &Machine, folder: &Path) -> Result<Vec<PathBuf>> {
    let plots = plots::of(comparison)?;
    let mut files = vec![
        ("report.md".to_owned(), markdown::text(comparison, machine, &plots)),
        ("report.json".to_owned(), json::text(comparison, machine)?),
    ];
    files.extend(plots.into_iter().map(|plot| (plot.file, plot.svg)));
    fs::create_dir_all(folder).context(format!("creating {}", folder.display()))?;
    let mut written = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).context(format!("writing {}", path.display()))?;
        written.push(path);
    }
    Ok(written)
}

/// A figure of each server as a multiple of the floor's, where that is asked for and can be said of one of them.
fn by_floor(measured: &Measured, figure: &Figure) -> Option<Vec<Option<Spread>>> {
    let ratios = |rounds: &Rounds| Spread::of(&measured.ratios(&rounds.server, FLOOR, figure.key));
    let ratios: Vec<_> = measured.servers.iter().map(ratios).collect();
    (figure.by_floor && ratios.iter().any(Option::is_some)).then_some(ratios)
}

/// What the reader has to know to trust the figures of a scenario: what failed, then what was warned of, each with
/// the rounds in which it happened.
fn notes(measured: &Measured) -> Vec<String> {
    let mut notes = Vec::new();
    for rounds in &measured.servers {
        if let Some(failure) = &rounds.failure {
            let after = match rounds.samples.len() {
                0 => "no result".to_owned(),
                1 => "only 1 round".to_owned(),
                count => format!("only {count} rounds"),
            };
            notes.push(format!("{}: {after}: {failure:#}", rounds.server));
        }
    }
    for rounds in &measured.servers {
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
        notes.extend(warnings.into_iter().map(|(warning, warned)| {
            let which = match warned.len() {
                count if count == rounds.samples.len() => String::new(),
                1 => format!(", round {}", warned[0]),
                _ => format!(", rounds {}", warned.join(", ")),
            };
            format!("{}{which}: {warning}", rounds.server)
        }));
    }
    notes
}
