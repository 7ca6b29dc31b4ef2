//! `soak.md`: a soak as a page. The checks first, then the work, and the machine.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::course::Sample;
use super::run::Soaked;
use crate::report::{Machine, Panel, command, on_what, over_time, pairs, plain, row, write_files};

const PAGE: &str = "soak.md";
const PLOT: &str = "soak.svg";

const ABOUT_MEMORY: &str = "\
Memory may gain as much as a server holds for slow streams, a window and a batch for each worker: that comes and goes,
and a trend may begin when it is empty and end when it is full. The bound is on what is gained and not on the rate, so
a longer run finds a smaller leak.
";

/// Longer runs are told in minutes.
const MOST_SECONDS: f64 = 240.0;

/// Writes the page and its plot into the folder, and returns their paths.
pub(super) fn write(soaked: &Soaked, machine: &Machine, folder: &Path) -> Result<Vec<PathBuf>> {
    let files = [(PAGE.to_owned(), text(soaked, machine)), (PLOT.to_owned(), plot(soaked)?)];
    write_files(folder, &files)
}

/// Memory and descriptors over time, with the trend of the memory.
fn plot(soaked: &Soaked) -> Result<String> {
    let last = soaked.samples.last().map_or(1.0, |sample| sample.seconds);
    let (unit, word) = if last > MOST_SECONDS { (60.0, "minutes") } else { (1.0, "seconds") };
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let panel = |label, value: fn(&Sample) -> f64| Panel {
        label,
        points: soaked.samples.iter().map(|sample| (sample.seconds / unit, value(sample))).collect(),
        trend: None,
    };
    let trend = soaked
        .trend
        .map(|trend| [(trend.seconds.0 / unit, mib(trend.bytes.0)), (trend.seconds.1 / unit, mib(trend.bytes.1))]);
    let memory = panel("memory, MiB", |sample| sample.resident_bytes as f64 / f64::from(1 << 20));
    let panels = [Panel { trend, ..memory }, panel("descriptors", |sample| sample.descriptors as f64)];
    let title = format!("Memory and descriptors of {} over time", soaked.server);
    let lines = [
        "Healthy streams read everything; others come and go, read slowly, stall or send hostile requests.",
        if soaked.trend.is_some() { "Dashed: the trend of the second half." } else { "" },
    ];
    over_time(&title, &lines, word, &panels)
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
    page.push_str(&pairs(["", ""], soaked.figures.iter().map(|(name, figure)| (*name, figure.clone()))));
    let _ = write!(page, "\n{}", on_what(machine));
    let seeded = [&soaked.arguments[..], &["--seed".to_owned(), soaked.seed.to_string()]].concat();
    let arguments =
        if soaked.arguments.iter().any(|word| word.starts_with("--seed")) { &soaked.arguments } else { &seeded };
    let _ = write!(page, "## Once more\n\n```sh\n{}\n```\n", command(arguments));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::check::Check;
    use crate::soak::course::Trend;

    #[test]
    fn a_soak_is_a_page_with_its_plot() {
        let sample = |second: u32| {
            let (seconds, resident_bytes) = (f64::from(second), (8 << 20) + 1024 * u64::from(second));
            Sample { seconds, resident_bytes, descriptors: 250, cores: 0.2 }
        };
        let check = |holds: bool, faults: &[&str]| {
            let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
            Check { what: "nothing lost", holds, figure: "1 | 2".to_owned(), faults }
        };
        let mut soaked = Soaked {
            server: "smolcast".to_owned(),
            arguments: ["soak", "--time", "10m"].map(str::to_owned).to_vec(),
            seed: 42,
            cut_short: None,
            samples: (0..600).map(sample).collect(),
            trend: Some(Trend { seconds: (300.0, 599.0), bytes: (9e6, 9.3e6) }),
            figures: vec![("messages", "12".to_owned())],
            checks: vec![check(true, &[]), check(false, &["at 3.0 s: stream 7 got `<a>`"])],
        };
        let page = text(&soaked, &Machine::of_this());
        assert!(
            page.contains("**1 of 2 checks failed.**") && page.contains("- at 3.0 s: stream 7 got `&lt;a>`"),
            "{page}"
        );
        assert!(page.contains(r"| 1 \| 2 |") && page.contains("-- soak --time 10m --seed 42\n"), "{page}");
        let svg = plot(&soaked).expect("a plot");
        roxmltree::Document::parse(&svg).expect("a document");
        assert!(svg.contains("minutes") && !svg.contains("NaN"), "{svg}");
        soaked.samples.truncate(1);
        (soaked.trend, soaked.cut_short) = (None, Some("ended early, by a signal"));
        assert!(text(&soaked, &Machine::of_this()).contains("The run was ended early, by a signal."));
        roxmltree::Document::parse(&plot(&soaked).expect("a plot")).expect("a document");
    }
}
