//! Output that never blocks the server.
//!
//! A write to a full pipe blocks until its reader reads. A thread takes that wait, and lines that do not fit into its
//! short queue are dropped.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// Most lines in the queue; more are dropped.
const MOST_WAITING: usize = 64;
/// Longest wait for the last lines before the program ends.
const LONGEST_FINISH: Duration = Duration::from_millis(200);

/// One output and the thread that writes to it.
#[derive(Debug)]
pub(crate) struct LineWriter {
    lines: SyncSender<String>,
    /// Closed when all lines are written.
    done: Receiver<()>,
}

impl LineWriter {
    /// Starts a writer to `out`, which ignores failed writes: the reader may have left.
    ///
    /// # Errors
    ///
    /// The system allows no further thread.
    pub(crate) fn new(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = mpsc::sync_channel::<String>(MOST_WAITING);
        let (is_done, done) = mpsc::channel();
        let write = move || {
            let _is_done = is_done;
            for line in waiting {
                let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
            }
        };
        thread::Builder::new().name("smolcast-output".to_owned()).spawn(write)?;
        Ok(Self { lines, done })
    }

    /// Queues lines; drops them if the queue is full.
    pub(crate) fn write(&self, lines: impl Into<String>) {
        let _ = self.lines.try_send(lines.into());
    }

    /// Waits a moment until the queued lines are written.
    pub(crate) fn finish(self) {
        let Self { lines, done } = self;
        drop(lines);
        // Ends when the thread drops its sender; nothing is ever sent.
        let _ = done.recv_timeout(LONGEST_FINISH);
    }
}
