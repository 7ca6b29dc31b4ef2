//! Signals: the first SIGTERM or SIGINT ends the program gracefully, a second one at once. SIGHUP reloads files, and
//! SIGUSR1, SIGUSR2 and SIGXFSZ do nothing.

use std::error::Error;
use std::process;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Timer;
use smol::future::FutureExt;
use smol::stream::{Stream, StreamExt};
use smolcast::BindError;

/// Signals within this time count as one. Some programs send two at once: `timeout` signals the process and its group.
const SAME_SIGNAL: Duration = Duration::from_millis(100);

/// A future that ends with the first SIGTERM or SIGINT. From then on a second one ends the process at once.
///
/// It also catches SIGHUP for as long as the program runs, so that a closed terminal does not end the server.
pub(crate) fn stop() -> Result<impl Future<Output = ()>, Box<dyn Error>> {
    let mut signals = catch(&[Signal::Term, Signal::Int, Signal::Hup])?;
    // A thread of its own, because the drain may block the caller's. It is there from the start: later the system might
    // have none left.
    let (first, received) = mpsc::channel();
    let second = move || {
        if let Ok(signals) = received.recv() {
            smol::future::block_on(end_at_next(signals));
        }
    };
    thread::Builder::new().name("smolcast-signal".to_owned()).spawn(second).map_err(BindError::Thread)?;
    Ok(async move {
        next_to_end(&mut signals).await;
        // The thread waits for it.
        let _ = first.send(signals);
    })
}

/// Ends the process at the next signal later than [`SAME_SIGNAL`].
async fn end_at_next(mut signals: Signals) {
    let with_it = async {
        loop {
            next_to_end(&mut signals).await;
        }
    };
    // Signals that are queued come before the timer: the process may have been stopped meanwhile.
    with_it
        .or(async {
            Timer::after(SAME_SIGNAL).await;
        })
        .await;
    let second = next_to_end(&mut signals).await;
    // The code that a shell reports for a process ended by that signal.
    process::exit(128 + second as i32);
}

/// Reload requests: one for each SIGHUP, or for several that come at once. From this call on SIGHUP ends no process.
pub(crate) fn reloads() -> Result<impl Stream<Item = ()>, String> {
    Ok(catch(&[Signal::Hup])?.filter_map(|signal| signal.ok().map(drop)))
}

/// Keeps the process alive where it writes beyond its limit of a file's size (`ulimit -f`): the write fails instead.
/// SIGUSR1 and SIGUSR2, which have no meaning here, do not end it either.
///
/// The caller keeps what this returns for as long as the program runs.
pub(crate) fn ignore_harmless() -> Result<Signals, String> {
    catch(&[Signal::Xfsz, Signal::Usr1, Signal::Usr2])
}

/// Catches signals from now on. It takes descriptors, which are all that it may lack.
fn catch(signals: &[Signal]) -> Result<Signals, String> {
    let advice = "raise the limit of open files (ulimit -n, LimitNOFILE=)";
    Signals::new(signals).map_err(|error| format!("cannot catch signals: {error}; {advice}"))
}

async fn next_to_end(signals: &mut Signals) -> Signal {
    loop {
        match signals.next().await {
            Some(Ok(signal @ (Signal::Term | Signal::Int))) => return signal,
            Some(_) => {}
            // async-signal's stream never ends.
            None => std::future::pending().await,
        }
    }
}
