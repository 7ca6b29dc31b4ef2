//! The `smolcast` program: flags in, a server until a signal comes, an exit code out.
//!
//! This is the one place that prints errors and picks the exit code: 2 for what was typed wrong, 1 for what went
//! wrong, 0 after an orderly end.

mod cli;
mod lists;
mod logger;
mod reload;
mod signals;
mod voice;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use smol::future::FutureExt;
use smolcast::{Address, Config, Server};

use crate::cli::Command;
use crate::lists::Lists;
use crate::voice::Voice;

fn main() -> ExitCode {
    logger::init();
    match cli::parse() {
        Ok(Command::Print(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(config, lists)) => match serve(*config, lists) {
            Ok(()) => {
                logger::finish_with(None);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string(), 1),
        },
        Err(error) => fail(&error.to_string(), 2),
    }
}

fn serve(config: Config, lists: Lists) -> Result<(), Box<dyn Error>> {
    raise_descriptor_limit();
    let server = Server::bind(config)?;
    // Before the start line: whoever has read it may send a signal.
    let stop = signals::stop()?.or(reload::whenever_asked(signals::reloads()?, lists, server.settings()));
    let voice = Voice::over(io::stdout());
    voice.say(start_line(&server));
    smol::block_on(server.run(stop))?;
    Ok(())
}

fn start_line(server: &Server) -> String {
    let workers = server.workers();
    let is_open = server.settings().access().publish_tokens.is_empty();
    let exposed = is_open && server.addresses().any(Address::is_exposed);
    let warning = if exposed { "; anyone who reaches this address may publish to /broadcast" } else { "" };
    let addresses: Vec<_> = server.addresses().map(Address::to_string).collect();
    let admin = server.admin_address().map_or_else(String::new, |address| {
        let warning =
            if address.is_exposed() { ", where anyone who reaches it may publish and disconnect" } else { "" };
        format!("; admin on {address}{warning}")
    });
    format!(
        "Listening on {} with {workers} worker{}, up to {} connections{warning}{admin}\n",
        addresses.join(", "),
        if workers == 1 { "" } else { "s" },
        server.connection_limit(),
    )
}

/// Lets the process have as many descriptors as it may: each connection is one.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Where this fails, the limit stays as it is, and so does the number of connections in the start line.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Prints what was asked for to standard output. Nobody may be reading it, which is no reason to fail.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn fail(error: &str, code: u8) -> ExitCode {
    logger::finish_with(Some(format!("smolcast: {error}\n")));
    ExitCode::from(code)
}
