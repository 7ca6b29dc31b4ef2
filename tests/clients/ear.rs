//! A client as a process of its own that reports its events.

use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use support::Child;
use support::sse::Message;

/// Longest wait for a client, including its start on a busy machine and its reconnects.
const PATIENCE: Duration = Duration::from_secs(20);

/// One report of a client.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The stream is open.
    Open,
    Message(Message),
}

/// A listening client. Its drop kills it.
pub(crate) struct Ear {
    _process: Child,
    heard: Receiver<Heard>,
}

impl Ear {
    /// Starts a client; `read` turns its output into reports.
    #[track_caller]
    pub(crate) fn start(
        command: &mut Command,
        read: impl FnOnce(BufReader<ChildStdout>, &Sender<Heard>) + Send + 'static,
    ) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Child::spawn(command);
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, heard) = channel();
        thread::spawn(move || read(output, &sender));
        Self { _process: process, heard }
    }

    /// The next report; `None` once the client has ended.
    #[track_caller]
    pub(crate) fn next(&self) -> Option<Heard> {
        match self.heard.recv_timeout(PATIENCE) {
            Ok(heard) => Some(heard),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("nothing was heard for {PATIENCE:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_open(&self) {
        let next = self.next();
        assert!(matches!(next, Some(Heard::Open)), "expected an open stream: {next:?}");
    }

    /// The next message of a stream that stays open.
    #[track_caller]
    pub(crate) fn message(&self) -> Message {
        match self.next() {
            Some(Heard::Message(message)) => message,
            other => panic!("expected a message: {other:?}"),
        }
    }

    /// The next message, over any number of reconnects.
    #[track_caller]
    pub(crate) fn message_of_any_stream(&self) -> Message {
        loop {
            match self.next() {
                Some(Heard::Message(message)) => return message,
                Some(Heard::Open) => {}
                None => panic!("the client has given up"),
            }
        }
    }
}

/// Reads the output of the tests' scripts, a line for each report: `open`, or an event's type, id and data.
///
/// Id and data are hexadecimal, so that no line break gets in.
pub(crate) fn read_lines(output: BufReader<ChildStdout>, heard: &Sender<Heard>) {
    // Without a receiver the test is over.
    let _ = output.lines().map_while(Result::ok).try_for_each(|line| heard.send(parse(&line)));
}

fn parse(line: &str) -> Heard {
    if line == "open" {
        return Heard::Open;
    }
    let mut words = line.split(' ');
    let mut word = || words.next().unwrap_or_else(|| panic!("not as these scripts speak: {line:?}"));
    Heard::Message(Message { event: word().to_owned(), last_event_id: unhex(word()), data: unhex(word()) })
}

fn unhex(digits: &str) -> String {
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("two hexadecimal digits");
    let bytes = (0..digits.len()).step_by(2).map(pair).collect();
    String::from_utf8(bytes).expect("clients hand out text")
}
