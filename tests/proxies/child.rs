//! A client as a process: its output in pieces with their times. It ends with its owner.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

/// The output of one write, with the time of its read.
pub(crate) type Piece = (Instant, Vec<u8>);

pub(crate) struct Spoken {
    child: Child,
    /// Ends with the process's output.
    pub(crate) pieces: Receiver<Piece>,
}

impl Spoken {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let mut output = child.stdout.take().expect("it is piped");
        let (said, pieces) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                // Without a receiver the test is over.
                let _ = said.send((Instant::now(), buffer[..count].to_vec()));
            }
        });
        Self { child, pieces }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
