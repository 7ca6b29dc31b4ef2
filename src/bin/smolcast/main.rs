//! The `smolcast` program: flags in, a server until a signal comes, an exit code out.
//!
//! This is the one place that prints errors and picks the exit code. It is 2 for a usage error, 1 for a failure, and 0
//! after a graceful shutdown.

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
use smolcast::{BindError, Server};

use crate::args::{Command, Setup};
use crate::reload::Reader;
use crate::systemd::Manager;

fn main() -> ExitCode {
    log::init();
    match args::parse() {
        Ok(Command::Print(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(setup)) => match serve(*setup) {
            Ok(()) => {
                log::finish();
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error.to_string(), 1),
        },
        Err(error) => fail(&error, 2),
    }
}

fn serve(setup: Setup) -> Result<(), Box<dyn Error>> {
    let Setup { config, files, log_format, warnings } = setup;
    log::set_format(log_format);
    // First, because it changes the environment, which is safe only while no other thread runs.
    let sockets = systemd::sockets()?;
    let writer = startup::prepare(&warnings)?;
    startup::warn_of_unused_addresses(&config, &sockets);
    // Before the history is read, which may take a while: until then a SIGHUP would end the process.
    let reloads = signals::reloads()?;
    let _ignored = signals::ignore_harmless()?;
    let server = Server::bind_with(config, sockets)?;
    // Before the start line, because its reader may send a signal at once.
    let manager = Manager::from_env(startup::status(&server)).map_err(BindError::Thread)?;
    let reload = reload::reload_on_request(reloads, Reader::start(files)?, server.access_control(), &manager);
    let stop = signals::stop()?.or(reload);
    let health = server.health();
    writer.write(startup::start_line(&server));
    // The server polls this future once its shards run.
    let until = async {
        manager.ready();
        stop.await;
        manager.stopping();
    };
    smol::block_on(server.run(until).or(manager.feed_watchdog(|| health.ready())))?;
    manager.finish();
    Ok(())
}

/// Prints a text to standard output. A failed write is no error: the reader may have left.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn fail(error: &str, code: u8) -> ExitCode {
    log::finish_with(error);
    ExitCode::from(code)
}
