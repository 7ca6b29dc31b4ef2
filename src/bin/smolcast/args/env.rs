//! The command line and the environment in the form that argh reads, and argh's errors in one line.
//!
//! argh reads `--flag value`. This module splits `--flag=value`, and appends a variable as if its flag had been typed,
//! unless it was. It does not interpret values.

use std::ffi::OsString;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind, FromArgs};
use smolcast::Token;

use super::{Args, NAME, PRINTING, service_links, units};

/// Flags of earlier versions, and what takes their place.
const SUCCESSORS: [(&str, &str); 1] =
    [("--history-file", "use --history-dir DIR, a new folder; the events of an old file cannot be read")];

/// The variable of the tokens, which has no flag.
pub(super) const PUBLISH_TOKEN: &str = "SMOLCAST_PUBLISH_TOKEN";

/// The one flag whose variable may not be empty: a secret that is missing must not open the server.
const NEVER_EMPTY: &str = "--publish-token-file";

/// The given flags, in their order.
pub(super) struct Given(Vec<Item>);

struct Item {
    flag: &'static str,
    /// `None` for a switch.
    value: Option<String>,
    /// Name for error lines: the flag, or the variable that gave the value.
    name: String,
}

impl Given {
    /// Reads the arguments after the program's name. A flag that prints something ends them, and is then the only one.
    pub(super) fn typed(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let utf8 = |text: OsString| text.into_string().map_err(|odd| format!("{odd:?} is not UTF-8"));
        let arguments: Vec<String> = arguments.map(utf8).collect::<Result<_, _>>()?;
        let mut arguments = arguments.into_iter();
        let mut items = Vec::new();
        while let Some(argument) = arguments.next() {
            if argument == "--" {
                return arguments.next().map_or(Ok(Self(items)), |argument| Err(not_an_option(&argument)));
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let flag = flags().iter().find(|flag| flag.long == name || short(flag).is_some_and(|short| short == name));
            let flag = flag.ok_or_else(|| unknown(name))?;
            let value = match flag.kind {
                FlagInfoKind::Switch => None,
                FlagInfoKind::Option { .. } => {
                    Some(value.or_else(|| arguments.next()).ok_or_else(|| without_value(flag.long))?)
                }
            };
            let item = Item { flag: flag.long, value, name: flag.long.to_owned() };
            if PRINTING.contains(&flag.long) {
                return Ok(Self(vec![item]));
            }
            items.push(item);
        }
        Ok(Self(items))
    }

    /// Appends the variables of flags that were not typed. An empty variable is none.
    pub(super) fn add_variables(&mut self, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), String> {
        for (flag, successor) in SUCCESSORS {
            let name = variable_of(flag);
            if variable(&name).is_some_and(|value| !value.is_empty()) {
                return Err(format!("{name} is gone: {successor}"));
            }
        }
        for flag in settings() {
            let name = variable_of(flag.long);
            let is_given = |value: &OsString| !value.is_empty() || flag.long == NEVER_EMPTY;
            let value = variable(&name).filter(|_| self.name_of(flag.long).is_none()).filter(is_given);
            let Some(value) = value else { continue };
            if flag.long == "--port" && service_links::is_link(&value) {
                if self.has_address(&variable) {
                    continue;
                }
                return Err(service_links::not_a_port(&name, &value));
            }
            let value = value.into_string().map_err(|odd| format!("{name} takes UTF-8 text, not {odd:?}"))?;
            self.0.push(Item { flag: flag.long, value: Some(value), name });
        }
        Ok(())
    }

    /// Says if there is an address that needs no port.
    fn has_address(&self, variable: impl Fn(&str) -> Option<OsString>) -> bool {
        ["--listen", "--unix"].into_iter().any(|flag| {
            self.name_of(flag).is_some() || variable(&variable_of(flag)).is_some_and(|value| !value.is_empty())
        })
    }

    /// The flag itself if it was typed, and its variable if the value came from there.
    pub(super) fn name_of(&self, flag: &str) -> Option<&str> {
        self.0.iter().find(|item| item.flag == flag).map(|item| item.name.as_str())
    }

    pub(super) fn parse(&self) -> Result<Args, String> {
        let words = self.0.iter().flat_map(|item| [Some(item.flag), item.value.as_deref()]);
        let words: Vec<&str> = words.flatten().collect();
        Args::from_args(&[NAME], &words).map_err(|exit| self.explain(&exit.output))
    }

    /// argh's error, with the name that the operator gave.
    fn explain(&self, output: &str) -> String {
        for Item { flag, value, name } in &self.0 {
            let value = value.as_deref().unwrap_or_default();
            match reason(output, flag, value) {
                Some("duplicate values provided") => return format!("{name} can be given once"),
                Some(takes) => return format!("{name} takes {takes}, not {value:?}"),
                None => {}
            }
        }
        output.trim_end().replace('\n', " ")
    }
}

/// The reason in argh's error about this value.
fn reason<'o>(output: &'o str, flag: &str, value: &str) -> Option<&'o str> {
    let prefix = format!("Error parsing option '{flag}' with value '{value}': ");
    output.strip_prefix(&prefix).map(str::trim_end)
}

/// The error for a last flag without its value. No flag takes an empty value, so argh's error about one has the reason.
fn without_value(flag: &str) -> String {
    let error = Args::from_args(&[NAME], &[flag, ""]).map_or_else(|exit| exit.output, |_| String::new());
    let takes = reason(&error, flag, "").unwrap_or("a value");
    format!("{flag} takes {takes}, and no value follows it")
}

/// The error for an unknown flag, with the nearest known one as a hint.
fn unknown(name: &str) -> String {
    if !name.starts_with('-') || name == "-" {
        return not_an_option(name);
    }
    if let Some((flag, successor)) = SUCCESSORS.iter().find(|(flag, _)| *flag == name) {
        return format!("{flag} is gone: {successor}");
    }
    let nearest = flags().iter().map(|flag| (distance(name, flag.long), flag.long)).min();
    // If more than half of a short name differs, it is another name.
    let nearest = nearest.filter(|(distance, _)| *distance <= usize::min(2, name.len().saturating_sub(2) / 2));
    let hint = nearest.map_or_else(String::new, |(_, flag)| format!(" (did you mean {flag}?)"));
    format!("there is no option {}{hint}", name.escape_debug())
}

/// Edit distance: the number of bytes to insert, remove or change between two texts.
pub(super) fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, other) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

fn not_an_option(argument: &str) -> String {
    format!("{argument:?} is not an option")
}

pub(super) fn flags() -> &'static [FlagInfo<'static>] {
    Args::get_args_info().flags
}

/// Flags with a variable: all but those that print.
pub(super) fn settings() -> impl Iterator<Item = &'static FlagInfo<'static>> {
    flags().iter().filter(|flag| !PRINTING.contains(&flag.long))
}

/// The short form of a flag. argh's description of `--help` lacks its own.
pub(super) fn short(flag: &FlagInfo<'_>) -> Option<String> {
    let letter = flag.short.or_else(|| (flag.long == "--help").then_some('h'));
    letter.map(|letter| format!("-{letter}"))
}

/// The variable of a flag: `SMOLCAST_MAX_BODY` for `--max-body`.
pub(super) fn variable_of(flag: &str) -> String {
    format!("SMOLCAST_{}", flag[2..].replace("-", "_").to_ascii_uppercase())
}

/// The tokens from the environment. They have no flag, because every user of a machine sees its command lines, and no
/// error shows them. An empty variable is an error: a secret that is missing must not open the server.
pub(super) fn publish_tokens(variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Token>, String> {
    let Some(value) = variable(PUBLISH_TOKEN) else { return Ok(Vec::new()) };
    let takes = "one token or more (letters, digits and -._~+/, with = at the end alone), by commas or line breaks";
    value.to_str().and_then(units::tokens).ok_or_else(|| format!("{PUBLISH_TOKEN} takes {takes}"))
}
