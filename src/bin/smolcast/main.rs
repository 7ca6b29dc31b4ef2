//! The `smolcast` program: flags in, a server until a signal comes, an exit code out.
//!
//! This is the one place that prints errors and picks the exit code: 2 for what was typed wrong, 1 for what went
//! wrong, 0 after an orderly end.

mod access_files;
mod args;
mod log;
mod reload;
mod signals;
mod startup;
mod systemd;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use smol::future::FutureExt;
use smolcast::{Config, Server};

use crate::access_files::AccessFiles;
use crate::args::Command;
use crate::log::LineWriter;
use crate::systemd::Manager;

fn main() -> ExitCode {
    log::init();
    match args::parse() {
        Ok(Command::Print(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(config, files)) => match serve(*config, files) {
            Ok(()) => {
                log::finish_with(None);
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string(), 1),
        },
        Err(error) => fail(&error.to_string(), 2),
    }
}

fn serve(config: Config, files: AccessFiles) -> Result<(), Box<dyn Error>> {
    // Before there is another thread.
    let sockets = systemd::sockets()?;
    startup::warn_of_unused_addresses(&config, &sockets);
    startup::raise_descriptor_limit();
    // Before the history is read, which may take a while: a SIGHUP that came meanwhile would end the process. It is
    // heard once the server runs.
    let reloads = signals::reloads()?;
    let server = Server::bind_with(config, sockets)?;
    // Before the start line: whoever has read it may send a signal.
    let manager = Manager::from_env(startup::status(&server));
    let stop = signals::stop()?.or(reload::reload_on_request(reloads, files, server.access_control(), &manager));
    let health = server.health();
    let writer = LineWriter::new(io::stdout());
    writer.write(startup::start_line(&server));
    // Begins once there are workers, which then serve.
    let until = async {
        manager.ready();
        stop.await;
        manager.stopping();
    };
    smol::block_on(server.run(until).or(manager.keep_posted(|| health.ready())))?;
    manager.finish();
    Ok(())
}

/// Prints what was asked for to standard output. Nobody may be reading it, which is no reason to fail.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn fail(error: &str, code: u8) -> ExitCode {
    log::finish_with(Some(format!("smolcast: {error}\n")));
    ExitCode::from(code)
}
