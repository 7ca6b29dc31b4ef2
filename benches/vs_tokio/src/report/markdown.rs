//! `report.md`: the comparison as a page. First what most came for, then each scenario with its plots and figures,
//! and at the end what one needs to believe it or to do it again.

use std::fmt::Write;

use indicatif::BinaryBytes;

use super::cells::{pairs, plain};
use super::machine::Machine;
use super::notes::notes;
use super::plots::Plot;
use super::{glance, table};
use crate::figure::{Comparison, Measured};

/// The question of a scenario, by the start of its key.
const ABOUT: [(&str, &str); 6] = [
    ("fanout", "The cost of a delivery, and the wait of the unluckiest client, at a pace that every server holds."),
    ("idle", "The cost of an open stream while nothing happens."),
    ("saturation", "The highest rate of messages before some do not arrive."),
    ("connect", "A crowd that comes at once, as after an outage, and those who were there before it."),
    ("slow", "Clients that stop reading: latency of the others, and memory held for those that read nothing."),
    ("burst", "Many messages at one moment, until every client has all of them."),
];

pub(super) fn text(comparison: &Comparison, machine: &Machine, plots: &[Plot]) -> String {
    let mut page = String::from("# smolcast beside servers on tokio\n\n");
    if comparison.quick {
        page.push_str("> **A quick run**: it shows that everything works, and compares nothing.\n\n");
    }
    page.push_str(&introduction(comparison));
    if let Some(glance) = glance::text(comparison) {
        let _ = write!(page, "## At a glance\n\n{glance}\n");
    }
    for measured in &comparison.measured {
        let plots = plots.iter().filter(|plot| plot.scenario == measured.key);
        page.push_str(&section(measured, plots));
    }
    page.push_str(&participants(comparison));
    page.push_str("## How it was measured\n\nBENCHMARKING.md has the method, and what these figures do not show.\n\n");
    page.push_str(&on_what(machine));
    let _ = write!(page, "## Once more\n\n```sh\n{}\n```\n\n", command(&comparison.arguments));
    page.push_str("Every raw figure, round by round, is in [report.json](report.json).\n");
    page
}

fn introduction(comparison: &Comparison) -> String {
    if comparison.measured.is_empty() {
        return "Nothing was measured.\n\n".to_owned();
    }
    "One task: what is posted reaches everybody who listens, as Server-Sent Events, now. How well does each server do \
     it, on the same machine, for the same clients, in turns? Figures are medians of the rounds, and what is small \
     below them is the lowest and the highest round.\n\n"
        .to_owned()
}

fn section<'a>(measured: &Measured, plots: impl Iterator<Item = &'a Plot>) -> String {
    let (head, rest) = measured.title.split_once(", ").unwrap_or((&measured.title, ""));
    let mut text = format!("## {}\n\n", capitalised(&plain(head)));
    if let Some((_, about)) = ABOUT.iter().find(|(key, _)| measured.key.starts_with(key)) {
        let _ = write!(text, "{about}\n\n");
    }
    if !rest.is_empty() {
        let _ = write!(text, "*{}.*\n\n", capitalised(&plain(rest)));
    }
    for plot in plots {
        let _ = write!(text, "![{}]({})\n\n", plot.alt, plot.file);
    }
    text.push_str(&table::markdown(measured));
    let notes = notes(measured);
    for note in &notes {
        let _ = writeln!(text, "- {}", plain(note));
    }
    if !notes.is_empty() {
        text.push('\n');
    }
    text
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or(String::new(), |first| first.to_uppercase().chain(characters).collect())
}

fn participants(comparison: &Comparison) -> String {
    let mut text = String::new();
    let (refused, measured): (Vec<_>, Vec<_>) = comparison.contestants.iter().partition(|it| !it.objections.is_empty());
    if !measured.is_empty() {
        let rows = measured.iter().map(|contestant| (contestant.name.as_str(), contestant.about.clone()));
        let _ = write!(text, "## Who took part\n\n{}", pairs(["server", "made of"], rows));
    }
    for contestant in refused {
        let _ = write!(
            text,
            "\n{} ({}) was not measured, since it did not do the task as it is agreed:\n\n",
            plain(&contestant.name),
            plain(&contestant.about)
        );
        for objection in &contestant.objections {
            let _ = writeln!(text, "- {}", plain(objection));
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

pub(crate) fn on_what(machine: &Machine) -> String {
    let crates = machine.crates.iter().map(|(name, version)| format!("{name} {version}"));
    let mut rows = vec![
        ("CPU", machine.cpu.clone()),
        ("cores", format!("{}{}", machine.cores, if machine.virtual_machine { ", of a virtual machine" } else { "" })),
        ("memory", BinaryBytes(machine.memory_bytes).to_string()),
        ("kernel", machine.kernel.clone()),
        ("compiler", machine.rustc.clone()),
        ("build", machine.build.clone()),
        ("crates", crates.collect::<Vec<_>>().join(", ")),
        ("open files", machine.descriptor_limit.map_or("any number".to_owned(), |limit| format!("at most {limit}"))),
    ];
    rows.extend(machine.settings.iter().map(|(name, value)| (name.as_str(), value.clone())));
    rows.push(("written", machine.date.clone()));
    format!("## The machine\n\n{}\n", pairs(["", ""], rows))
}

/// As it is typed in a shell.
pub(crate) fn command(arguments: &[String]) -> String {
    let quoted = arguments.iter().map(|word| {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./=:,".contains(c);
        if !word.is_empty() && word.chars().all(harmless) {
            return format!(" {word}");
        }
        format!(" '{}'", word.replace('\'', r"'\''"))
    });
    let words: String = quoted.collect();
    let separator = if words.is_empty() { "" } else { " --" };
    format!("cargo run --release -p vs_tokio{separator}{words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let words = ["--rounds", "5", "--server", "a=it's here"].map(str::to_owned);
        assert_eq!(command(&words), r"cargo run --release -p vs_tokio -- --rounds 5 --server 'a=it'\''s here'");
        assert_eq!(command(&[]), "cargo run --release -p vs_tokio");
    }
}
