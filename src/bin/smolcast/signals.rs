//! The signals that end the program, the first in order, the second at once, and the one that has it read its lists.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use async_signal::{Signal, Signals};
use smol::Timer;
use smol::future::FutureExt;
use smol::stream::{Stream, StreamExt};

/// Signals within this time are one: nobody has lost patience yet, and some programs send two at once, such as
/// `timeout`, one to the process and one to its group.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A future that ends with the first SIGTERM or SIGINT. From then on a second one ends the process at once.
///
/// SIGHUP is taken for as long as the program runs: a terminal that closes does not end the server.
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    Ok(async move {
        next_to_end(&mut signals).await;
        // A thread of its own, because the drain may block this one. Without a thread a second signal does nothing, and
        // the drain ends at its deadline.
        let second = move || smol::future::block_on(end_at_next(signals));
        let _ = thread::Builder::new().name("smolcast-signal".to_owned()).spawn(second);
    })
}

/// Ends the process at the next signal that does not belong to the first.
async fn end_at_next(mut signals: Signals) {
    let with_it = async {
        loop {
            next_to_end(&mut signals).await;
        }
    };
    // First the signals that are there already: the process may have been stopped meanwhile.
    with_it
        .or(async {
            Timer::after(AT_ONCE).await;
        })
        .await;
    let second = next_to_end(&mut signals).await;
    // The code that a shell reports for a process that a signal ended.
    process::exit(128 + second as i32);
}

/// A request to read everything anew for each SIGHUP, or for several that come at once. From here on none ends the
/// process, whether it is heard yet or not.
pub(crate) fn reloads() -> io::Result<impl Stream<Item = ()>> {
    Ok(Signals::new([Signal::Hup])?.filter_map(|signal| signal.ok().map(drop)))
}

async fn next_to_end(signals: &mut Signals) -> Signal {
    loop {
        match signals.next().await {
            Some(Ok(signal @ (Signal::Term | Signal::Int))) => return signal,
            Some(_) => {}
            // The stream of signals has no end.
            None => std::future::pending().await,
        }
    }
}
