//! A log in a folder of its own: every message that was accepted comes back, once and in order, or a gap is told.

mod damage;
mod disk;
mod places;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use smol::block_on;

use super::jobs::{Inbox, Job, Replies};
use super::writer::Writer;
use super::*;
use crate::config::Limits;
use crate::event::frame::Fields;
use crate::event::topic::{FilterSet, Topics};
use crate::hub::budget::Budget;
use crate::hub::history::{Cursor, Gap};
use crate::hub::queue::{QueueReceiver, queue};
use crate::hub::{Draft, PublishError, Sequence};
use crate::metrics::Metrics;

/// A folder for one test, removed with what is in it.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("smolcast-log-{}-{count}", std::process::id()));
        // A process of the same number may have left one behind.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Path for a log in it.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The files of a folder, by name.
pub(super) fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry"));
    let read = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("a file"))
    };
    let mut files: Vec<_> = entries.map(read).collect();
    files.sort();
    files
}

/// Makes a folder with these files.
pub(super) fn folder_of(files: &[(String, Vec<u8>)]) -> Temporary {
    let temporary = Temporary::new();
    fs::create_dir(temporary.log()).expect("a folder");
    for (name, content) in files {
        fs::write(temporary.log().join(name), content).expect("a file");
    }
    temporary
}

/// A server's log, without its threads: each step is a call.
pub(super) struct Server {
    pub(super) writer: Writer,
    pub(super) sequence: Arc<Sequence>,
    budget: Arc<Budget>,
    receivers: Vec<QueueReceiver>,
    /// The messages that were accepted, with their ids.
    pub(super) accepted: Vec<(String, String)>,
    pub(super) refused: Vec<String>,
}

impl Server {
    #[track_caller]
    pub(super) fn start(path: &Path, sync: HistorySync, retention: Retention) -> Self {
        Self::with(Log::open(path, sync, retention).expect("a log"))
    }

    pub(super) fn with(Log { journal, history, .. }: Log) -> Self {
        let (limits, metrics) = (Limits::default(), Metrics::default());
        let (sender, receivers) = queue(limits.publish_queue, 1);
        let sequence = Arc::new(Sequence::new(Some(history), sender, metrics.clone()));
        let budget = Budget::new(&limits, 1, metrics);
        let writer = Writer::new(journal, Arc::clone(&sequence), None);
        Self { writer, sequence, budget, receivers, accepted: Vec::new(), refused: Vec::new() }
    }

    /// Publishes messages in one write; returns the error of the first.
    pub(super) fn publish_all(&mut self, messages: &[&str]) -> Result<(), PublishError> {
        let without_ids: Vec<_> = messages.iter().map(|data| (None, *data)).collect();
        let mut result = Ok(());
        for (message, outcome) in messages.iter().zip(self.outcomes_of(&without_ids)) {
            match outcome {
                Ok(id) => self.accepted.push((id.expect("an id"), (*message).to_owned())),
                Err(error) => {
                    self.refused.push((*message).to_owned());
                    result = result.and(Err(error));
                }
            }
        }
        result
    }

    /// Publishes messages in one write, some with ids; returns their outcomes.
    pub(super) fn outcomes_of(&mut self, messages: &[(Option<&str>, &str)]) -> Vec<Outcome> {
        let replies = Replies::new();
        let job = |(id, data): &(Option<&str>, &str)| {
            let permit = block_on(self.budget.reserve(data.len())).expect("the budget is open");
            let fields = Fields { id: id.map(str::to_owned), ..Fields::default() };
            Job::new(Draft::new(&fields, data, &Topics::none()), permit, &replies)
        };
        self.writer.publish(messages.iter().map(job).collect());
        while self.receivers[0].take_waiting().is_some() {}
        messages.iter().map(|_| replies.try_next().expect("an outcome for each")).collect()
    }

    /// Closes the queue: what is written from now on is refused.
    pub(super) fn close(&self) {
        self.sequence.close();
    }

    #[track_caller]
    pub(super) fn publish(&mut self, message: &str) {
        self.publish_all(&[message]).expect("it is written");
    }

    /// Syncs as the thread for that would.
    pub(super) fn sync(&mut self) {
        if let Some(request) = self.writer.journal.sync_request().expect("descriptors") {
            self.writer.note_synced(request.carry_out());
        }
    }

    /// Shuts down.
    pub(super) fn end(mut self) -> (Vec<(String, String)>, Vec<String>) {
        self.writer.end(&Inbox::default());
        (self.accepted, self.refused)
    }

    /// Reads as a client that resumes behind this id.
    pub(super) fn resumed(&self, id: &str) -> Vec<Read> {
        let read = |cursor: &mut Cursor| {
            let mut out = Vec::new();
            let long = self.sequence.read(cursor, u64::MAX, &FilterSet::default(), id, &mut out);
            out.extend(long.iter().flat_map(|frame| frame.as_bytes()));
            out
        };
        resumed(read, self.sequence.resume(id))
    }
}

/// An item that a client gets from the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Gap,
    Event(String, String),
}

fn resumed(mut read: impl FnMut(&mut Cursor) -> Vec<u8>, mut cursor: Cursor) -> Vec<Read> {
    let mut text = String::new();
    loop {
        let bytes = read(&mut cursor);
        if bytes.is_empty() {
            break;
        }
        text.push_str(&String::from_utf8(bytes).expect("text"));
    }
    assert_ne!(cursor.gap, Gap::Due);
    let event = |block: &str| match block.strip_prefix("id: ").and_then(|block| block.split_once("\ndata: ")) {
        Some((id, data)) => Read::Event(id.to_owned(), data.to_owned()),
        None => {
            assert!(block.starts_with("event: gap\n"), "{block}");
            Read::Gap
        }
    };
    text.split_terminator("\n\n").map(event).collect()
}

/// Holds that each client gets the truth from the log in a folder: every later message that was accepted, once and in
/// order, or a gap where one is missing; and none that was refused. Returns the number of messages that are missing.
#[track_caller]
pub(super) fn expect_truth(path: &Path, accepted: &[(String, String)], refused: &[String], about: &str) -> usize {
    let server = Server::start(path, HistorySync::Interval, everything());
    for client in 0..accepted.len() {
        let read = server.resumed(&accepted[client].0);
        let mut next = client + 1;
        let mut is_told = false;
        for item in &read {
            let Read::Event(id, data) = item else {
                is_told = true;
                continue;
            };
            assert!(!refused.contains(data), "{about}: {data} was refused, and {client} gets {read:?}");
            let index = accepted.iter().position(|known| (&known.0, &known.1) == (id, data));
            let index = index.unwrap_or_else(|| panic!("{about}: {id} {data} was never accepted"));
            // Whose own event is not held any more gets a gap and then all that is held.
            let is_all = is_told && read[0] == Read::Gap && next == client + 1;
            assert!(
                index == next || is_told && (index > next || is_all),
                "{about}: {client} gets {read:?} of {accepted:?}"
            );
            (next, is_told) = (index + 1, false);
        }
        assert!(next == accepted.len() || is_told, "{about}: {client} gets {read:?} of {accepted:?}");
    }
    let all = server.resumed("earliest").into_iter().filter_map(|item| match item {
        Read::Event(_, data) => Some(data),
        Read::Gap => None,
    });
    let all: Vec<_> = all.collect();
    assert!(!all.iter().any(|data| refused.contains(data)), "{about}: refused, but among {all:?}");
    accepted.len() - all.len()
}

/// Bounds that nothing here reaches.
pub(super) fn everything() -> Retention {
    Retention { events: usize::MAX, bytes: usize::MAX, ..Retention::default() }
}

/// The files of a log by name, and the messages in it.
pub(super) type Written = (Vec<(String, Vec<u8>)>, Vec<(String, String)>);

/// Three servers, one after the other, with three messages each. Returns the files and the messages.
pub(super) fn three_servers(sync: HistorySync, is_clean: bool) -> Written {
    let temporary = Temporary::new();
    let mut accepted = Vec::new();
    for number in 0..3 {
        let mut server = Server::start(&temporary.log(), sync, everything());
        server.publish(&format!("{number} a"));
        server.publish_all(&[&format!("{number} b"), &format!("{number} c")]).expect("it is written");
        server.writer.look_after();
        if is_clean {
            accepted.extend(server.end().0);
        } else {
            accepted.extend(server.accepted);
        }
    }
    (files(&temporary.log()), accepted)
}

#[test]
fn accepted_messages_come_back() {
    for sync in [HistorySync::Always, HistorySync::Interval] {
        for is_clean in [true, false] {
            let (files, accepted) = three_servers(sync, is_clean);
            let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["000000000001.log", "000000000002.log", "000000000003.log", "lock"]);
            let about = format!("{sync:?}, clean: {is_clean}");
            assert_eq!(expect_truth(folder_of(&files).log().as_path(), &accepted, &[], &about), 0, "{about}");

            let temporary = folder_of(&files);
            let server = Server::start(&temporary.log(), sync, everything());
            let gaps = server.resumed("earliest").iter().filter(|item| **item == Read::Gap).count();
            // Without a sync of each event, a server that did not shut down may have lost its last ones.
            assert_eq!(gaps, if is_clean || sync == HistorySync::Always { 0 } else { 3 }, "{about}");
        }
    }
}

#[test]
fn ids_are_never_given_twice() {
    let (_, accepted) = three_servers(HistorySync::Interval, false);
    let ids: std::collections::HashSet<_> = accepted.iter().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), accepted.len());
    let boot = |index: usize| accepted[index].0.split('-').next().map(str::to_owned);
    assert!(boot(0) == boot(2) && boot(2) < boot(3) && boot(3) < boot(6), "{accepted:?}");
}
