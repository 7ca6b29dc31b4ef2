//! What is told of a message that does not arrive, by a worker that opens its stream and does nothing else, or not even
//! that.

use std::path::Path;
use std::pin::pin;
use std::task::{self, Poll, Waker};

use smol::future;

use super::*;
use crate::admin::tests::{Worker, run, watched};
use crate::config::{HistoryFile, HistorySync, Limits};
use crate::event::frame::Fields;
use crate::event::topic::Topics;
use crate::net::Sink;

static PUBLISHING: PublishRequest =
    PublishRequest { fields: Fields { kind: None, id: None, retry: None }, topics: Topics::none(), wants_json: false };

/// What the admin thread has of its own.
fn own() -> (Clock, ReadBuffer) {
    (Clock::new(&Limits::default()), ReadBuffer::default())
}

/// The trial's stream, which this worker has opened, and the worker's end of it.
async fn opened<'t>(trial: Trial<'t>, worker: &Worker) -> (Stream<'t>, Client) {
    let open = async {
        let client = worker.clients.recv().await.expect("it is dealt a client");
        assert_eq!(client.io.try_write(OPENING).expect("it is connected"), OPENING.len());
        client
    };
    let (stream, client) = future::zip(Stream::open(trial, &PUBLISHING), open).await;
    (stream.expect("it is open"), client)
}

/// With a stuck worker it was told to be late, as if it had been published.
#[test]
fn what_no_worker_opens_a_stream_for_is_not_published() {
    let (watched, workers) = watched(Limits::default(), 1);
    let (clock, read_buffer) = own();
    let trial = Trial { patience: Duration::ZERO, ..Trial::new(&watched, &watched.handles()[0], &clock, &read_buffer) };
    let outcome = run(trial.publish(&PUBLISHING, "x"));
    assert!(matches!(outcome, Err(NotArrived::NotOpened)), "{outcome:?}");
    assert_eq!(watched.shared.metrics.messages(), 0);
    assert!(!workers[0].receiver.has_waiting());
}

#[test]
fn what_is_published_and_does_not_come_out_is_late() {
    let (watched, mut workers) = watched(Limits::default(), 1);
    let (clock, read_buffer) = own();
    let trial = Trial::new(&watched, &watched.handles()[0], &clock, &read_buffer);
    let (mut stream, _client) = run(opened(trial, &workers[0]));
    let impatient = Trial { patience: Duration::ZERO, ..trial };
    let outcome = run(impatient.publish_to(&mut stream, &PUBLISHING, "x"));
    assert!(matches!(outcome, Err(NotArrived::Late)), "{outcome:?}");
    assert_eq!(watched.shared.metrics.messages(), 1);
    assert!(workers[0].receiver.take_waiting().is_some(), "every stream gets it");
}

#[test]
fn what_there_is_no_room_for_in_time_is_not_late_since_it_is_not_published() {
    let (mut watched, mut workers) = watched(Limits { publish_queue: 1, ..Limits::default() }, 1);
    let before = Draft::new(&PUBLISHING.fields, "before", &PUBLISHING.topics);
    run(watched.shared.hub.publish(before)).expect("there is room for one");
    let path = Path::new("history").to_owned();
    for (history_file, told) in [(None, "NoRoom"), (Some(HistoryFile { path, sync: HistorySync::Always }), "Unwritten")]
    {
        watched.config.history_file = history_file;
        let (clock, read_buffer) = own();
        let trial = Trial::new(&watched, &watched.handles()[0], &clock, &read_buffer);
        let (mut stream, _client) = run(opened(trial, &workers[0]));
        let impatient = Trial { patience: Duration::ZERO, ..trial };
        let outcome = run(impatient.publish_to(&mut stream, &PUBLISHING, "x"));
        assert_eq!(format!("{:?}", outcome.expect_err("nobody writes it")), told);
    }
    assert!(workers[0].receiver.take_waiting().is_some(), "the one before");
    assert!(workers[0].receiver.take_waiting().is_none(), "and no other follows");
    assert_eq!(watched.shared.metrics.messages(), 1);
}

/// Its worker, with more to send each time that some was read, could keep the admin thread from answering others.
#[test]
fn a_stream_that_has_much_to_read_at_its_end_lets_others_go_on() {
    let (watched, workers) = watched(Limits::default(), 1);
    let (clock, read_buffer) = own();
    let trial = Trial::new(&watched, &watched.handles()[0], &clock, &read_buffer);
    let (stream, client) = run(opened(trial, &workers[0]));
    // As much as the system takes, which is more than is read at once.
    while client.io.try_write(&[b'x'; 4096]).is_ok() {}
    drop(client);
    let mut end = pin!(stream.hang_up());
    let mut poll = || end.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
    assert_eq!(poll(), Poll::Pending, "all of it was read in one turn");
    while poll().is_pending() {}
}
