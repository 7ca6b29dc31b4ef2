//! Flags and environment to a [`Config`], by way of one table of options.
//!
//! [`options`] is that table: parsing, the names in the environment, the help and the man page are all made from it. A
//! flag wins over its variable, and a variable over the default; an address that is typed wins over a host and a port
//! of the environment. What cannot be understood is one line that names the flag or the variable and says what it
//! takes.

mod about;
mod draft;
mod help;
mod man;
mod options;
mod typed;
mod units;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fmt;

use smolcast::Config;

use self::draft::{Draft, Source};
use self::options::{OPTIONS, SECRETS};
use self::typed::{Request, Typed};
use crate::access_files::AccessFiles;

/// What the program was told to do.
pub(crate) enum Command {
    /// Print this and end.
    Print(String),
    /// Serve, and read these lists anew when that is asked for.
    Serve(Box<Config>, AccessFiles),
}

/// What was typed wrong, and what is right.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; see smolcast --help", self.0)
    }
}

impl Error for UsageError {}

/// Reads this process's arguments and environment, and the lists that they name.
pub(crate) fn parse() -> Result<Command, Box<dyn Error>> {
    let mut command = parse_from(env::args_os().skip(1), |variable| env::var_os(variable))?;
    if let Command::Serve(config, files) = &mut command {
        config.access = files.read()?;
    }
    Ok(command)
}

fn parse_from(
    arguments: impl Iterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, UsageError> {
    let typed = match typed::read(arguments)? {
        Request::Help => return Ok(Command::Print(help::text())),
        Request::Man => return Ok(Command::Print(man::page())),
        Request::Version => return Ok(Command::Print(format!("smolcast {}\n", env!("CARGO_PKG_VERSION")))),
        Request::Serve(typed) => typed,
    };
    let draft = draft(&typed, variable)?;
    Ok(Command::Serve(Box::new(draft.config()?), draft.access_files()?))
}

/// What was typed, and where nothing was, what the environment says.
fn draft(typed: &Typed, variable: impl Fn(&str) -> Option<OsString>) -> Result<Draft, UsageError> {
    let mut draft = Draft::default();
    for option in &OPTIONS {
        if let Some(text) = typed.value_of(option) {
            draft.apply(option, Source::Flag(option.flag()), &text)?;
        } else if let Some(value) = variable(&option.variable()) {
            let variable = option.variable();
            let text = value.into_string();
            let text = text.map_err(|odd| UsageError(format!("{odd:?} is no text for {variable}")))?;
            draft.apply(option, Source::Variable(variable), &text)?;
        }
    }
    for secret in &SECRETS {
        if let Some(value) = variable(secret.variable) {
            draft.apply_secret(secret, value.to_str())?;
        }
    }
    Ok(draft)
}

#[cfg(test)]
mod tests;
