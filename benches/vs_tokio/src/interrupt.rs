//! The end of the comparison by a signal: no server outlives it.
//!
//! The kernel kills what was started here when this process goes; what those processes started themselves, it does
//! not. So a signal first kills the whole family of each.

use std::process;
use std::sync::Mutex;
use std::thread;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use crate::failure::{Context, Result};
use crate::process::kill_family;

/// The servers that run, by process.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// From here on, SIGINT, SIGTERM and SIGHUP end everything.
pub(crate) fn arm() -> Result<()> {
    let mut signals = Signals::new([Signal::Int, Signal::Term, Signal::Hup]).context("waiting for signals")?;
    thread::spawn(move || {
        if let Some(Ok(signal)) = smol::block_on(signals.next()) {
            if let Ok(running) = RUNNING.lock() {
                running.iter().for_each(|server| kill_family(*server));
            }
            eprintln!("\ninterrupted; nothing was written");
            process::exit(128 + signal as i32);
        }
    });
    Ok(())
}

/// A server runs, until [`forget`] is called.
pub(crate) fn remember(server: u32) {
    if let Ok(mut running) = RUNNING.lock() {
        running.push(server);
    }
}

pub(crate) fn forget(server: u32) {
    if let Ok(mut running) = RUNNING.lock() {
        running.retain(|known| *known != server);
    }
}
