//! A client as a process: its output in pieces with their times. It ends with its owner.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use support::Child;

/// The output of one write, with the time of its read.
pub(crate) type Piece = (Instant, Vec<u8>);

pub(crate) struct Spoken {
    _child: Child,
    /// Ends with the process's output.
    pub(crate) pieces: Receiver<Piece>,
}

impl Spoken {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = Child::spawn(command);
        let mut output = child.stdout.take().expect("it is piped");
        let (said, pieces) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                // Without a receiver the test is over.
                let _ = said.send((Instant::now(), buffer[..count].to_vec()));
            }
        });
        Self { _child: child, pieces }
    }
}
