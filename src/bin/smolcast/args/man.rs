//! `--man`: the table of options as a manual page, in roff with the macros of man(7).
//!
//! `docs/smolcast.1` is what this prints, and a test holds it to that. No date is in it, so that the same sources
//! make the same page.

use super::about::{DESCRIPTION, EXAMPLE, EXIT_CODES, PRECEDENCE, PRINTED, SUMMARY, UNITS};
use super::help::{help_of, wrapped};
use super::options::{OPTIONS, SECRETS, groups};

/// How long the lines of the source are at most.
const COLUMNS: usize = 78;

const BROWSERS: &str = "A browser's EventSource reconnects by itself. With --history it gets what it missed \
     meanwhile, or is told of a gap.";
const START: &str = "The first line on standard output tells the addresses, the workers and the connection limit. What \
     goes wrong later is a line on standard error.";
const SIGNALS: [(&str, &str); 3] = [
    (
        "SIGTERM, SIGINT",
        "End the program in order: what was accepted is delivered, and every stream that takes it ends between two \
         events with the advice to come back in 3 to 9 seconds. What is left after --drain is closed as it is. A \
         second one, a tenth of a second later or more, ends the program at once.",
    ),
    (
        "SIGHUP",
        "Read the files of hosts, origins and tokens anew, where there are any. What they say holds from the next \
         request on, and no stream notices; where one of them is wrong, everything stays as it was, and a line on \
         standard error says so. A terminal that closes does not end the server.",
    ),
    ("SIGPIPE", "Is passed over: an output that nobody reads is no reason to end."),
];

const MANAGER: [(&str, &str); 3] = [
    (
        "LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES",
        "Tell of sockets that a service manager hands over. They take the place of the addresses to listen on; one \
         that is named admin takes that of the admin address.",
    ),
    (
        "NOTIFY_SOCKET",
        "Names the socket of a service manager that is told when the server serves, reads its files anew, and ends.",
    ),
    (
        "WATCHDOG_USEC, WATCHDOG_PID",
        "Tell how long it waits for a sign of life; it gets one in half of that time while the server is well.",
    ),
];

pub(super) fn page() -> String {
    let mut page = Page(String::new());
    page.line(&format!(".TH SMOLCAST 1 \"\" \"smolcast {}\" \"User Commands\"", env!("CARGO_PKG_VERSION")));
    page.section("Name");
    page.line(&format!("smolcast \\- {SUMMARY}"));
    page.section("Synopsis");
    page.line(".B smolcast");
    page.line(".RI [ OPTION ]...");
    page.section("Description");
    page.text(DESCRIPTION);
    page.text(BROWSERS);
    page.line(".PP");
    page.text(START);
    options(&mut page);
    environment(&mut page);
    page.section("Signals");
    page.items(&SIGNALS);
    page.section("Exit status");
    page.items(&EXIT_CODES);
    page.section("Examples");
    page.line("A server, a stream and a message:");
    page.line(".PP\n.RS 4\n.EX");
    for line in EXAMPLE {
        page.line(&code(line));
    }
    page.line(".EE\n.RE");
    page.section("See also");
    page.line(".BR curl (1),\n.BR systemd.service (5),\n.BR systemd.socket (5),\n.BR signal (7)");
    page.0
}

fn options(page: &mut Page) {
    page.section("Options");
    page.text(UNITS);
    for (group, options) in groups() {
        page.line(&format!(".SS {group}"));
        for option in options {
            page.line(&format!(".TP\n.BI {} \" {}\"", code(&option.flag()), code(option.value)));
            page.text(&help_of(option));
            page.text(&format!("Default: {}.", option.default));
        }
    }
    page.line(".SS Instead of serving");
    for (short, long, help) in PRINTED {
        let short = short.map_or_else(String::new, |short| format!("{} \", \" ", code(short)));
        page.line(&format!(".TP\n.BR {short}{}", code(long)));
        page.text(help);
    }
}

fn environment(page: &mut Page) {
    page.section("Environment");
    page.text(PRECEDENCE);
    for option in &OPTIONS {
        page.item(&option.variable(), &format!("Is read for {}.", option.flag()));
    }
    for secret in &SECRETS {
        page.item(secret.variable, secret.help);
    }
    page.items(&MANAGER);
}

/// A page in the making, a line of its source after the other.
struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {}", title.to_ascii_uppercase()));
    }

    fn items(&mut self, items: &[(&str, &str)]) {
        for (label, text) in items {
            self.item(label, text);
        }
    }

    /// A text under its label.
    fn item(&mut self, label: &str, text: &str) {
        self.line(&format!(".TP\n.B {}", code(label)));
        self.text(text);
    }

    /// Sentences, each on lines of its own: where one ends, the formatter wants to see a line end.
    fn text(&mut self, text: &str) {
        for sentence in text.split_inclusive(". ") {
            let words: Vec<_> = sentence.split_whitespace().map(word).collect();
            for line in wrapped(&words.join(" "), COLUMNS) {
                self.line(&line);
            }
        }
    }
}

/// A word of a text: bold where it is typed as it stands, which a flag and a variable are.
fn word(word: &str) -> String {
    let end = word.trim_end_matches(['.', ',', ';', ':']).len();
    let (typed, rest) = word.split_at(end);
    if typed.starts_with("--") || typed.starts_with("SMOLCAST_") {
        return format!("\\fB{}\\fP{rest}", code(typed));
    }
    // The first character of a line could make it a request; here it is one of any word.
    let guard = if word.starts_with(['.', '\'']) { "\\&" } else { "" };
    format!("{guard}{}", escaped(word))
}

/// A text that is typed as it stands: its dashes are no hyphens.
fn code(text: &str) -> String {
    escaped(text).replace('-', "\\-")
}

/// A text without what roff would take for an escape, for the end of an argument, or for typographic marks.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_committed_page_is_what_the_program_prints() {
        let committed = fs::read_to_string("docs/smolcast.1").expect("it is there");
        assert!(committed == page(), "it is old: cargo run -- --man > docs/smolcast.1");
    }

    #[test]
    fn it_has_every_option_with_its_variable() {
        let page = page();
        for option in &OPTIONS {
            let flag = format!("\n.TP\n.BI {} \" {}\"\n", code(&option.flag()), option.value);
            assert_eq!(page.matches(&flag).count(), 1, "{flag}");
            assert_eq!(page.matches(&format!("\n.TP\n.B {}\n", option.variable())).count(), 1, "{}", option.name);
        }
    }

    #[test]
    fn what_roff_would_take_for_its_own_is_escaped() {
        let mut page = Page(String::new());
        page.text(".a 'b' c\\d \"e\" f-g --h-i, SMOLCAST_J. `k` ^~");
        let expected = "\\&.a \\&\\(aqb\\(aq c\\ed \\(dqe\\(dq f-g \\fB\\-\\-h\\-i\\fP, \\fBSMOLCAST_J\\fP.\n\
                        \\(gak\\(ga \\(ha\\(ti\n";
        assert_eq!(page.0, expected);
    }
}
