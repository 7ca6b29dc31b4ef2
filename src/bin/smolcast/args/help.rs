//! `--help`: the table of options as a page of at most 80 columns.

use super::about::{DESCRIPTION, EXAMPLE, EXIT_CODES, PRECEDENCE, PRINTED, SEVERAL, SUMMARY, UNITS};
use super::options::{Given, Opt, SECRETS, groups};

const COLUMNS: usize = 80;
/// Where what is said of an option begins, behind its flag.
const INDENT: usize = 30;

pub(super) fn text() -> String {
    let mut out = format!("smolcast {}: {SUMMARY}\n\n", env!("CARGO_PKG_VERSION"));
    paragraph(&mut out, DESCRIPTION);
    out.push_str("\nUsage: smolcast [OPTION]...\n");
    for (group, options) in groups() {
        heading(&mut out, group);
        for option in options {
            let flag = format!("  {} {}", option.flag(), option.value);
            row(&mut out, INDENT, &flag, &help_of(option));
            for line in note_on(option) {
                row(&mut out, INDENT, "", &line);
            }
        }
    }
    heading(&mut out, "In the environment alone");
    for secret in &SECRETS {
        row(&mut out, INDENT, &format!("  {}", secret.variable), secret.help);
    }
    heading(&mut out, "Instead of serving");
    for (short, long, help) in PRINTED {
        let short = short.map_or_else(String::new, |short| format!("{short}, "));
        row(&mut out, INDENT, &format!("  {short}{long}"), help);
    }
    out.push('\n');
    paragraph(&mut out, UNITS);
    out.push('\n');
    paragraph(&mut out, PRECEDENCE);
    heading(&mut out, "Exit codes");
    for (code, meaning) in EXIT_CODES {
        row(&mut out, 5, &format!("  {code}"), meaning);
    }
    heading(&mut out, "Example");
    for line in EXAMPLE {
        out.push_str(&format!("  {line}\n"));
    }
    out
}

/// An option's default and its variable, on one line where they fit.
fn note_on(option: &Opt) -> Vec<String> {
    let (default, variable) = (format!("[default: {},", option.default), format!("env: {}]", option.variable()));
    let both = format!("{default} {variable}");
    if both.len() <= COLUMNS - INDENT { vec![both] } else { vec![default, variable] }
}

/// What is said of an option, the same here and in the man page.
pub(super) fn help_of(option: &Opt) -> String {
    match option.given {
        Given::Once => option.help.to_owned(),
        Given::Several => format!("{} {SEVERAL}", option.help),
    }
}

fn heading(out: &mut String, title: &str) {
    out.push_str(&format!("\n{title}\n"));
}

fn paragraph(out: &mut String, text: &str) {
    for line in wrapped(text, COLUMNS) {
        out.push_str(&format!("{line}\n"));
    }
}

/// A text beside its label, on lines that all begin at `indent`.
fn row(out: &mut String, indent: usize, label: &str, text: &str) {
    let mut label = label;
    for line in wrapped(text, COLUMNS - indent) {
        out.push_str(&format!("{label:indent$}{line}\n"));
        label = "";
    }
}

/// The words of a text on lines of at most so many columns, each as full as it can be.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::options::OPTIONS;
    use super::*;

    #[test]
    fn it_is_at_most_80_columns_wide_and_has_every_option_with_its_variable() {
        let help = text();
        for line in help.lines() {
            assert!(line.chars().count() <= 80 && line.trim_end() == line, "{line:?}");
        }
        for option in &OPTIONS {
            let flag = format!("\n  --{} {} ", option.name, option.value);
            let (_, rest) = help.split_once(&flag).unwrap_or_else(|| panic!("no {flag:?} in {help}"));
            // What is said of it ends where the next line that is not indented as far begins.
            let lines = rest.lines().enumerate().take_while(|(row, line)| *row == 0 || line.starts_with("   "));
            let own: Vec<_> = lines.flat_map(|(_, line)| line.split_whitespace()).collect();
            let said = format!("{} [default: {}, env: {}]", help_of(option), option.default, option.variable());
            assert_eq!(own.join(" "), said);
        }
        for (_, long, _) in PRINTED {
            assert!(help.contains(long), "{long} in {help}");
        }
    }

    #[test]
    fn flags_leave_room_for_what_is_said_of_them() {
        for option in &OPTIONS {
            assert!(2 + option.flag().len() + 1 + option.value.len() < INDENT, "{} is too long", option.name);
        }
    }

    #[test]
    fn every_group_has_one_heading() {
        let mut titles: Vec<_> = groups().map(|(title, _)| title).collect();
        let count = titles.len();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), count, "the rows of a group stand together");
    }

    #[test]
    fn lines_are_as_full_as_they_can_be() {
        assert_eq!(wrapped("aa bb  cc\ndddddd e", 5), ["aa bb", "cc", "dddddd", "e"]);
        assert_eq!(wrapped("", 5), [""; 0]);
    }
}
