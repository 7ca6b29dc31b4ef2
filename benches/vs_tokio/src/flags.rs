//! The words of the command line as options.

use std::process::ExitCode;
use std::thread;

use argh::FromArgs;

/// The options in `words`; or an exit code, after a help text or an error was printed.
pub(crate) fn typed<T: FromArgs>(command: &str, words: &[String]) -> Result<T, ExitCode> {
    // argh knows no `--name=value`.
    let split = words.iter().flat_map(|word| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name, value],
        _ => vec![word.as_str()],
    });
    T::from_args(&command.split(' ').collect::<Vec<_>>(), &split.collect::<Vec<_>>()).map_err(|exit| {
        match exit.status {
            Ok(()) => print!("{}", exit.output),
            Err(()) => eprint!("error: {}", exit.output),
        }
        if exit.status.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    })
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}
