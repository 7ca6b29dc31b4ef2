//! The end of the comparison by a signal: no server outlives it.
//!
//! The kernel kills what was started here when this process goes; what those processes started themselves, it does
//! not. So a signal first kills the whole family of each.

use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use async_signal::{Signal, Signals};
use smol::stream::StreamExt;

use crate::process::kill_descendants;
use anyhow::{Context, Result};

/// From here on, SIGINT, SIGTERM and SIGHUP end everything.
pub(crate) fn arm() -> Result<()> {
    let mut signals = signals()?;
    thread::spawn(move || smol::block_on(end_at_next(&mut signals)));
    Ok(())
}

/// From here on, the first of these signals asks for an end, which is told by what this returns; the second ends
/// everything.
pub(crate) fn arm_gently() -> Result<Arc<AtomicBool>> {
    let mut signals = signals()?;
    let asked = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&asked);
    thread::spawn(move || {
        smol::block_on(signals.next());
        told.store(true, Ordering::Relaxed);
        smol::block_on(end_at_next(&mut signals));
    });
    Ok(asked)
}

fn signals() -> Result<Signals> {
    Signals::new([Signal::Int, Signal::Term, Signal::Hup]).context("waiting for signals")
}

async fn end_at_next(signals: &mut Signals) {
    if let Some(Ok(signal)) = signals.next().await {
        kill_descendants();
        eprintln!("\ninterrupted; nothing was written");
        process::exit(128 + signal as i32);
    }
}
