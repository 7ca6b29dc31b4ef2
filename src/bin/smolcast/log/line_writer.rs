//! What the program says, without ever waiting for who reads it.
//!
//! A pipe that nobody empties blocks who writes to it, and a server must not stand still for that: a thread writes, and
//! what does not fit into a short queue before it is dropped.

use std::io::Write;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// Lines that wait to be written; more are lost.
const MOST_WAITING: usize = 64;
/// What the last lines get to be written before the program ends.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// One output and the thread that writes to it.
#[derive(Debug)]
pub(crate) struct LineWriter {
    lines: SyncSender<String>,
    /// Closed when all lines are written.
    done: Receiver<()>,
}

impl LineWriter {
    /// A writer to `out`. A write that fails is no reason to end: perhaps nobody listens.
    pub(crate) fn new(mut out: impl Write + Send + 'static) -> Self {
        let (lines, waiting) = mpsc::sync_channel::<String>(MOST_WAITING);
        let (is_done, done) = mpsc::channel();
        let write = move || {
            let _is_done = is_done;
            for line in waiting {
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
        };
        // Without a thread the lines are lost, as they are where nobody listens.
        let _ = thread::Builder::new().name("smolcast-output".to_owned()).spawn(write);
        Self { lines, done }
    }

    /// Has these lines written when it is their turn.
    pub(crate) fn write(&self, lines: impl Into<String>) {
        let _ = self.lines.try_send(lines.into());
    }

    /// Gives what was said last a moment to be written.
    pub(crate) fn finish(self) {
        let Self { lines, done } = self;
        drop(lines);
        // Nothing is ever sent.
        let _ = done.recv_timeout(LAST_WORDS);
    }
}
