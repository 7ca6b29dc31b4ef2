//! A comparison for its reader: tables in the terminal, and a folder with a report to read (`report.md`), its plots,
//! and every raw figure (`report.json`).
//!
//! Nothing here knows a scenario: the name of a figure, and whether there is a plot of it, follow from the data. A key
//! that is known here only gets a better place or a sentence beside it.

mod cells;
mod glance;
mod machine;
mod markdown;
mod notes;
mod plots;
#[cfg(test)]
mod sample;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::figure::{Comparison, Contestant, Measured};

pub(crate) use cells::{pairs, plain, row};
pub(crate) use machine::Machine;
pub(crate) use markdown::{command, on_what};
pub(crate) use plots::{Panel, over_time};
pub(crate) use table::table;

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

/// Creates the folder of a report: before minutes of measuring, not behind them.
pub(crate) fn create_folder(folder: &str) -> Result<&Path> {
    fs::create_dir_all(folder).with_context(|| format!("creating the report's folder {folder}"))?;
    Ok(Path::new(folder))
}

/// Writes files into the folder.
pub(crate) fn write_files(folder: &Path, files: &[(String, String)]) -> Result<Vec<PathBuf>> {
    let write = |(name, text): &(String, String)| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    files.iter().map(write).collect()
}
