//! What stands on the command line, by option: texts as they were typed, not yet understood.

use std::ffi::OsString;

use lexopt::{Arg, Parser};

use super::UsageError;
use super::options::{Given, OPTIONS, Opt};

/// What the command line asks for.
pub(super) enum Request {
    Help,
    Man,
    Version,
    Serve(Typed),
}

/// The values on the command line, in its order.
#[derive(Default)]
pub(super) struct Typed(Vec<(&'static str, String)>);

impl Typed {
    /// The text of an option; where it was given several times, as its variable would have it.
    pub(super) fn value_of(&self, option: &Opt) -> Option<String> {
        let values: Vec<&str> = self.0.iter().filter(|row| row.0 == option.name).map(|row| row.1.as_str()).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    fn push(&mut self, option: &'static Opt, value: String) -> Result<(), UsageError> {
        let is_again = self.0.iter().any(|row| row.0 == option.name);
        if is_again && matches!(option.given, Given::Once) {
            return Err(UsageError(format!("{} can be given once", option.flag())));
        }
        self.0.push((option.name, value));
        Ok(())
    }
}

/// Reads the arguments behind the program's name, up to one that asks to print something.
pub(super) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Request, UsageError> {
    let arguments: Vec<String> = arguments.map(utf8).collect::<Result<_, _>>()?;
    let mut parser = Parser::from_args(arguments);
    let mut typed = Typed::default();
    while let Some(argument) = parser.next().map_err(|error| UsageError(error.to_string()))? {
        let option = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Request::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Request::Version),
            Arg::Long("man") => return Ok(Request::Man),
            Arg::Long(name) => OPTIONS.iter().find(|option| option.name == name).ok_or_else(|| unknown(&argument))?,
            _ => return Err(unknown(&argument)),
        };
        let value = parser.value().map_err(|_| {
            let (flag, takes) = (option.flag(), option.takes);
            UsageError(format!("{flag} takes {takes}, and nothing stands behind it"))
        })?;
        typed.push(option, utf8(value)?)?;
    }
    Ok(Request::Serve(typed))
}

fn unknown(argument: &Arg<'_>) -> UsageError {
    UsageError(match argument {
        Arg::Short(letter) => format!("there is no option -{letter}"),
        Arg::Long(name) => format!("there is no option --{name}"),
        Arg::Value(text) => format!("{text:?} is no option"),
    })
}

fn utf8(text: OsString) -> Result<String, UsageError> {
    text.into_string().map_err(|odd| UsageError(format!("{odd:?} is not UTF-8")))
}
