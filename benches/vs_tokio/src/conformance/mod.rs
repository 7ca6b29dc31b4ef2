//! Whether a server does the five tasks, as rows to read: what does not is reported and not measured.
//!
//! A server is held to what a browser and a publisher would notice. Where a client cannot tell two spellings apart
//! (chunked coding or not, `data:` with a space or without, the case of a name) both are as they should be. Every rule
//! stands by itself: none relies on what another one found out.

mod client;
#[cfg(test)]
mod fake;
mod rules;
mod stream;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::net::SocketAddrV4;
use std::process::ExitCode;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;

use crate::contender::{Contender, Server};
use crate::interrupt;
use crate::options::{contenders, typed};
use anyhow::{Result, anyhow};
use client::Candidate;
use rules::Rule;

/// For each step of a rule. A good server needs a thousandth of it.
const PATIENCE: Duration = Duration::from_secs(2);

/// After this many steps that took all their time, the rest of the rules is not tried: the server is dead.
const MOST_SILENCES: u32 = 10;

/// What a server is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standard {
    /// The five tasks.
    Whole,
    /// What the floor does: streams, and messages of one line with a Content-Length, pipelined.
    StreamAndPublish,
}

impl Standard {
    /// The one for a server of this name.
    pub(crate) fn of(name: &str) -> Self {
        match name {
            "floor" => Self::StreamAndPublish,
            _ => Self::Whole,
        }
    }

    fn includes(self, rule: &Rule) -> bool {
        self == Self::Whole || rule.of == self
    }
}

/// What became of one rule.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// What was otherwise than it should be; `None` where nothing was.
    pub(crate) objection: Option<String>,
}

/// Holds the server at this address to every rule of a standard.
pub(crate) fn check(server: SocketAddrV4, standard: Standard) -> Vec<Row> {
    check_within(server, standard, PATIENCE)
}

/// How many streams the server at this address says are open.
pub(crate) fn count(address: SocketAddrV4) -> Result<u64> {
    Candidate { address, patience: PATIENCE, at_rest: 0, marks: Cell::default() }.count()
}

fn check_within(address: SocketAddrV4, standard: Standard, patience: Duration) -> Vec<Row> {
    let mut server = Candidate { address, patience, at_rest: 0, marks: Cell::default() };
    let deadline = Instant::now() + patience * MOST_SILENCES;
    if standard == Standard::Whole {
        // Where this fails, so do the rules on the count.
        server.at_rest = server.count().unwrap_or_default();
    }
    let rules = rules::ALL.iter().filter(|rule| standard.includes(rule));
    let rows = rules.map(|rule| {
        let outcome = match Instant::now() < deadline {
            true => (rule.check)(&server),
            false => Err(anyhow!("not tried, the rules before it took too long")),
        };
        Row { what: rule.what, objection: outcome.err().map(|failure| format!("{failure:#}")) }
    });
    rows.collect()
}

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
    #[argh(option)]
    url: Vec<Url>,
}

/// Where a server listens.
struct Url(SocketAddrV4);

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let authority = text.strip_prefix("http://").and_then(|rest| rest.split('/').next());
        let address = authority.and_then(|authority| authority.parse().ok());
        address.map(Self).ok_or_else(|| "expected an address such as http://127.0.0.1:1942".to_owned())
    }
}

/// `check [NAME...] [--server NAME=COMMAND] [--url URL]`: fails if any of the servers is objected to.
pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = match typed("cargo run --release -p vs_tokio -- check", words) {
        Ok(options) => options,
        Err(code) => return Ok(code),
    };
    interrupt::arm()?;
    let mut all_conform = true;
    // Whoever asks about a running server alone does not want all of the others.
    let only_running = options.names.is_empty() && options.server.is_empty() && !options.url.is_empty();
    if !only_running {
        let workers = thread::available_parallelism().map_or(2, usize::from);
        for contender in contenders(&options.names, &options.server, workers)? {
            all_conform &= check_started(&contender);
        }
    }
    for Url(address) in &options.url {
        all_conform &= report(&address.to_string(), &check(*address, Standard::Whole));
    }
    Ok(if all_conform { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// True where there is nothing to object to.
fn check_started(contender: &Contender) -> bool {
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

/// Prints what was found; true where there is nothing to object to.
fn report(name: &str, rows: &[Row]) -> bool {
    let objections: Vec<_> = rows.iter().filter_map(|row| Some((row.what, row.objection.as_ref()?))).collect();
    println!("{name:<13} {} of {} as they should be", rows.len() - objections.len(), rows.len());
    for (what, objection) in &objections {
        println!("    {what}: {objection}");
    }
    objections.is_empty()
}
