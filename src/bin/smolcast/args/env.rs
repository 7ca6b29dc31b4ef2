//! The command line and the environment in the form that argh reads, and argh's errors in one line.
//!
//! argh reads `--flag value`. Here `--flag=value` is split, and a variable is appended as if its flag had been typed,
//! unless it was. Values mean nothing here.

use std::ffi::OsString;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind, FromArgs};
use smolcast::Token;

use super::{Args, NAME, PRINTING, UsageError, units};

/// The flags that were given, in their order.
pub(super) struct Given(Vec<Item>);

struct Item {
    flag: &'static str,
    /// `None` for a switch.
    value: Option<String>,
    /// The flag again, or the variable that the value came from.
    name: String,
}

impl Given {
    /// Reads the arguments behind the program's name, up to a flag that prints something; that one is then alone.
    pub(super) fn typed(arguments: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let utf8 = |text: OsString| text.into_string().map_err(|odd| UsageError(format!("{odd:?} is not UTF-8")));
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

    /// Appends the variables of flags that were not typed.
    pub(super) fn add_variables(&mut self, variable: impl Fn(&str) -> Option<OsString>) -> Result<(), UsageError> {
        for flag in settings() {
            let name = variable_of(flag.long);
            let Some(value) = variable(&name).filter(|_| self.name_of(flag.long).is_none()) else { continue };
            let value = value.into_string().map_err(|odd| UsageError(format!("{odd:?} is no text for {name}")))?;
            self.0.push(Item { flag: flag.long, value: Some(value), name });
        }
        Ok(())
    }

    /// The flag itself if it was typed, and its variable if the value came from there.
    pub(super) fn name_of(&self, flag: &str) -> Option<&str> {
        self.0.iter().find(|item| item.flag == flag).map(|item| item.name.as_str())
    }

    pub(super) fn parse(&self) -> Result<Args, UsageError> {
        let words = self.0.iter().flat_map(|item| [Some(item.flag), item.value.as_deref()]);
        let words: Vec<&str> = words.flatten().collect();
        Args::from_args(&[NAME], &words).map_err(|exit| self.explain(&exit.output))
    }

    /// argh's error, with the name under which the value was given.
    fn explain(&self, output: &str) -> UsageError {
        for Item { flag, value, name } in &self.0 {
            let value = value.as_deref().unwrap_or_default();
            match reason(output, flag, value) {
                Some("duplicate values provided") => return UsageError(format!("{name} can be given once")),
                Some(takes) => return UsageError(format!("{name} takes {takes}, not {value:?}")),
                None => {}
            }
        }
        UsageError(output.trim_end().replace('\n', " "))
    }
}

/// The reason in argh's error about this value.
fn reason<'o>(output: &'o str, flag: &str, value: &str) -> Option<&'o str> {
    let prefix = format!("Error parsing option '{flag}' with value '{value}': ");
    output.strip_prefix(&prefix).map(str::trim_end)
}

/// The error for a flag at the end of the line. No flag takes the empty value, so argh's refusal of it has the reason.
fn without_value(flag: &str) -> UsageError {
    let refusal = Args::from_args(&[NAME], &[flag, ""]).map_or_else(|exit| exit.output, |_| String::new());
    let takes = reason(&refusal, flag, "").unwrap_or("a value");
    UsageError(format!("{flag} takes {takes}, and nothing stands behind it"))
}

/// The error for a flag that there is not, with the one that was probably meant.
fn unknown(name: &str) -> UsageError {
    if !name.starts_with('-') || name == "-" {
        return not_an_option(name);
    }
    let nearest = flags().iter().map(|flag| (distance(name, flag.long), flag.long)).min();
    // More than half of a short name may not differ: that is another name.
    let nearest = nearest.filter(|(distance, _)| *distance <= usize::min(2, name.len().saturating_sub(2) / 2));
    let hint = nearest.map_or_else(String::new, |(_, flag)| format!(" (did you mean {flag}?)"));
    // Quoted for its escapes alone: it may hold a line break.
    let quoted = format!("{name:?}");
    UsageError(format!("there is no option {}{hint}", quoted.trim_matches('"')))
}

/// The number of bytes to insert, remove or change that makes one text the other.
fn distance(one: &str, other: &str) -> usize {
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

fn not_an_option(argument: &str) -> UsageError {
    UsageError(format!("{argument:?} is no option"))
}

pub(super) fn flags() -> &'static [FlagInfo<'static>] {
    Args::get_args_info().flags
}

/// The flags that have a variable: all but those that print.
pub(super) fn settings() -> impl Iterator<Item = &'static FlagInfo<'static>> {
    flags().iter().filter(|flag| !PRINTING.contains(&flag.long))
}

pub(super) fn printing() -> impl Iterator<Item = &'static FlagInfo<'static>> {
    flags().iter().filter(|flag| PRINTING.contains(&flag.long))
}

/// A flag's short form, which argh's description of `--help` lacks.
pub(super) fn short(flag: &FlagInfo<'_>) -> Option<String> {
    let letter = flag.short.or_else(|| (flag.long == "--help").then_some('h'));
    letter.map(|letter| format!("-{letter}"))
}

/// The variable of a flag: `SMOLCAST_MAX_BODY` for `--max-body`.
pub(super) fn variable_of(flag: &str) -> String {
    format!("SMOLCAST_{}", flag[2..].replace("-", "_").to_ascii_uppercase())
}

/// The tokens that stand in the environment. They have no flag, because everybody on a machine sees its command lines,
/// and an error does not show them.
pub(super) fn publish_tokens(variable: impl Fn(&str) -> Option<OsString>) -> Result<Vec<Token>, UsageError> {
    const VARIABLE: &str = "SMOLCAST_PUBLISH_TOKEN";
    let Some(value) = variable(VARIABLE) else { return Ok(Vec::new()) };
    let takes = "one token or more (letters, digits and -._~+/, with = at the end alone), by commas or line breaks";
    value.to_str().and_then(units::tokens).ok_or_else(|| UsageError(format!("{VARIABLE} takes {takes}")))
}
