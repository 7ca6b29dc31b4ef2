//! `cargo run --release -p vs_tokio`: smolcast beside the servers that one would write on tokio, and beside the floor,
//! a bare write loop.
//!
//! # Layout
//!
//! A module names only modules that are listed before it; a test holds that.
//!
//! - `clock`, `number`, `process`: time, numbers as text, the kernel's figures of a process
//! - `flags`, `progress`: the words of the command line, and the progress on standard error
//! - `figure`, `stamp`: the results of a comparison as data, and the content of a measured message
//! - `servers`: the measured servers, a file each
//! - `interrupt`, `contender`: the end by a signal, and a server as a process, one of these or another
//! - `conformance`: the contract as a table of rules; a server that breaks one is not measured
//! - `crowd`, `publisher`, `load`: the subscribers, the publisher, and one measured run with both
//! - `scenario`: the runs of a comparison, a file each, in interleaved rounds
//! - `goals`, `report`: the aims of smolcast, and tables, JSON and plots
//! - `soak`: everything at once, for long: leaks, losses, breaks
//! - `check`, `lone`, `posts`, `compare`: the commands that are not modules above

#![forbid(unsafe_code)]

mod check;
mod clock;
mod compare;
mod conformance;
mod contender;
mod crowd;
mod figure;
mod flags;
mod goals;
mod interrupt;
mod load;
mod lone;
mod number;
mod posts;
mod process;
mod progress;
mod publisher;
mod report;
mod scenario;
mod servers;
mod soak;
mod stamp;

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((first, command)) if first == contender::GUARD => Err(contender::guard(command)),
        Some((first, rest)) if first == "serve" => servers::main(rest),
        Some((first, rest)) if first == "check" => check::main(rest),
        Some((first, rest)) if first == "load" => lone::main(rest),
        Some((first, rest)) if first == "posts" => posts::main(rest),
        Some((first, rest)) if first == "soak" => soak::main(rest),
        _ => compare::main(&arguments),
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("error: {failure:#}");
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

    /// The modules in the order of the list above.
    fn listed() -> Vec<&'static str> {
        let rows = include_str!("main.rs").lines().filter_map(|line| line.strip_prefix("//! - ")?.split_once(": "));
        rows.flat_map(|(names, _)| names.split(", ")).map(|name| name.trim_matches('`')).collect()
    }

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).expect("the sources are here").flatten().map(|entry| entry.path());
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
    }

    #[test]
    fn a_module_names_only_modules_before_it() {
        let place = |name: &str| listed().iter().position(|known| *known == name);
        for path in files_below(Path::new(ROOT)) {
            let own = path.strip_prefix(ROOT).ok().and_then(|path| path.iter().next()?.to_str()).expect("a module");
            let own = own.trim_end_matches(".rs");
            let text = fs::read_to_string(&path).expect("UTF-8");
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for rest in code.split("use crate::").skip(1).filter(|_| own != "main") {
                let named = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
                assert!(named == own || place(named) < place(own), "{} names {named}", path.display());
                assert!(place(named).is_some(), "{named} is not in the list");
            }
        }
    }
}
