//! `check`: whether servers do the five tasks, without measuring them.

use std::net::SocketAddrV4;
use std::process::ExitCode;

use anyhow::Result;
use argh::FromArgs;

use crate::conformance::{Row, Standard, check};
use crate::contender::{Contender, Server, contenders};
use crate::flags::{address, cores, typed};
use crate::interrupt;

/// Holds servers to the five tasks, and the floor to the two that it does.
#[derive(FromArgs)]
struct Options {
    /// servers of this program; all where nothing is named
    #[argh(positional)]
    names: Vec<String>,

    /// another server, as NAME=COMMAND; it prints `Listening on http://ADDRESS/`, or listens on the 127.0.0.1 port
    /// that `{port}` in its command stands for. A name that is taken replaces the server of that name
    #[argh(option)]
    server: Vec<Contender>,

    /// a server that runs already and that nobody else uses, such as http://127.0.0.1:1942
    #[argh(option, from_str_fn(address))]
    url: Vec<SocketAddrV4>,
}

/// `check [NAME...] [--server NAME=COMMAND] [--url URL]`: fails if any of the servers is objected to.
pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = typed("cargo run --release -p vs_tokio -- check", words);
    interrupt::arm()?;
    let mut all_conform = true;
    // A question about a running server alone is none about all of the others.
    let only_running = options.names.is_empty() && options.server.is_empty() && !options.url.is_empty();
    if !only_running {
        for contender in contenders(&options.names, &options.server, cores())? {
            all_conform &= conforms(&contender);
        }
    }
    for address in &options.url {
        all_conform &= report(&address.to_string(), &check(*address, Standard::Whole));
    }
    Ok(if all_conform { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts a server and checks it; true without objections.
fn conforms(contender: &Contender) -> bool {
    let outcome = Server::start(contender).and_then(|mut server| {
        let rows = check(server.address, Standard::of(&contender.name));
        // The rows of a server that broke down say less than this.
        server.check_alive().map(|()| rows)
    });
    match outcome {
        Ok(rows) => report(&contender.name, &rows),
        Err(failure) => {
            println!("{:<13} not as it should be\n    {failure:#}", contender.name);
            false
        }
    }
}

/// Prints the outcome; true without objections.
fn report(name: &str, rows: &[Row]) -> bool {
    let objections: Vec<_> = rows.iter().filter_map(|row| Some((row.what, row.objection.as_ref()?))).collect();
    println!("{name:<13} {} of {} as they should be", rows.len() - objections.len(), rows.len());
    for (what, objection) in &objections {
        println!("    {what}: {objection}");
    }
    objections.is_empty()
}
