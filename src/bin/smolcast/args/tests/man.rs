//! The manual page in roff, with the macros of man(7).
//!
//! `smolcast.1.in` is the prose, and this module adds the facts of [`Args`]. The program has the committed result,
//! `docs/smolcast.1`, built in. The page has no date, so that the same sources make the same page.

use std::fs;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind};

use super::super::env::{flags, settings, short, variable_of};
use super::super::{Args, PRINTING, SUMMARY};

fn page() -> String {
    let info = Args::get_args_info();
    let notes = info.notes.iter().filter(|note| !note.starts_with("SMOLCAST_"));
    let variables = settings().map(|flag| item(&variable_of(flag.long), &format!("Is read for {}.", flag.long)));
    let exit = info.error_codes.iter().map(|exit| item(&exit.code.to_string(), exit.description));
    let printing = flags().iter().filter(|flag| PRINTING.contains(&flag.long));
    let parts = [
        ("@VERSION@", env!("CARGO_PKG_VERSION").to_owned()),
        ("@SUMMARY@", SUMMARY.to_owned()),
        ("@DESCRIPTION@", text(info.description)),
        ("@NOTES@", lines(notes.map(|note| text(note)))),
        ("@OPTIONS@", lines(settings().chain(printing).map(option))),
        ("@ENVIRONMENT@", lines(variables)),
        ("@EXIT@", lines(exit)),
        ("@EXAMPLES@", lines(info.examples.iter().map(|example| code(example)))),
    ];
    let page = include_str!("smolcast.1.in").to_owned();
    parts.iter().fold(page, |page, (mark, part)| page.replace(mark, part))
}

/// A flag's entry: its value, description and default.
fn option(flag: &FlagInfo<'_>) -> String {
    let label = match (&flag.kind, short(flag)) {
        (FlagInfoKind::Option { arg_name }, _) => format!(".BI {} \" {}\"", code(flag.long), code(arg_name)),
        (FlagInfoKind::Switch, Some(short)) => format!(".BR {} \", \" {}", code(&short), code(flag.long)),
        (FlagInfoKind::Switch, None) => format!(".BR {}", code(flag.long)),
    };
    let (description, default) = described(flag);
    let (first, rest) = description.split_at(1);
    let default = default.map_or_else(String::new, |default| format!(" Default: {default}."));
    format!(".TP\n{label}\n{}", text(&format!("{}{rest}.{default}", first.to_ascii_uppercase())))
}

/// A flag's description without its default, and the default.
pub(super) fn described<'f>(flag: &FlagInfo<'f>) -> (&'f str, Option<&'f str>) {
    match flag.description.split_once(" [default: ") {
        Some((description, default)) => (description, default.strip_suffix(']')),
        None => (flag.description, None),
    }
}

fn lines(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("\n")
}

/// An entry: a label and a text.
fn item(label: &str, description: &str) -> String {
    format!(".TP\n.B {}\n{}", code(label), text(description))
}

/// A text with each sentence on a line of its own, as roff needs it for the space between sentences.
fn text(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().map(word).collect();
    words.join(" ").replace(". ", ".\n")
}

/// A word of a text, bold if it is a flag or a variable.
fn word(word: &str) -> String {
    let end = word.trim_end_matches(['.', ',', ';', ':']).len();
    let (typed, rest) = word.split_at(end);
    if typed.starts_with("--") || typed.starts_with("SMOLCAST_") {
        return format!("\\fB{}\\fP{rest}", code(typed));
    }
    // roff takes a line that begins so for a request, and any word may begin a line.
    let guard = if word.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{}", escaped(word))
}

/// Literal text: its dashes stay dashes and become no hyphens.
fn code(text: &str) -> String {
    escaped(text).replace("-", "\\-")
}

/// Text with roff's escapes for its escape character, quotes and typographic marks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\e"),
            '"' => out.push_str("\\(dq"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            _ => out.push(letter),
        }
    }
    out
}

#[test]
fn the_committed_page_is_current() {
    const COMMITTED: &str = "docs/smolcast.1";
    if std::env::var_os("WRITE_MAN_PAGE").is_some() {
        fs::write(COMMITTED, page()).expect("the page can be written");
    }
    let committed = fs::read_to_string(COMMITTED).expect("it is there");
    assert!(committed == page(), "it is old: WRITE_MAN_PAGE=1 cargo test --bin smolcast committed_page");
}

#[test]
fn the_page_has_every_option_and_its_variable() {
    let page = page();
    assert!(!page.contains('@'), "a mark is left:\n{page}");
    for flag in settings() {
        let FlagInfoKind::Option { arg_name } = flag.kind else { panic!("{} takes a value", flag.long) };
        let variable = variable_of(flag.long);
        let label = format!("\n.TP\n.BI {} \" {arg_name}\"\n", code(flag.long));
        assert_eq!(page.matches(&label).count(), 1, "{label}");
        assert_eq!(page.matches(&format!("\n.TP\n.B {variable}\n")).count(), 1, "{variable}");
        let (_, default) = described(flag);
        let default = default.unwrap_or_else(|| panic!("{} says its default", flag.long));
        assert!(page.contains(&format!("\nDefault: {}.\n", escaped(default))), "{default}");
    }
    for flag in ["\\-h \", \" \\-\\-help", "\\-V \", \" \\-\\-version", "\\-\\-man"] {
        assert_eq!(page.matches(&format!("\n.TP\n.BR {flag}\n")).count(), 1, "{flag}");
    }
}

#[test]
fn special_characters_of_roff_are_escaped() {
    let expected = "\\&.a \\&\\(aqb\\(aq c\\ed \\(dqe\\(dq f-g \\fB\\-\\-h\\-i\\fP, \\fBSMOLCAST_J\\fP.\n\
                    \\(gak\\(ga \\(ha\\(ti";
    assert_eq!(text(".a 'b' c\\d \"e\" f-g --h-i, SMOLCAST_J. `k` ^~"), expected);
}
