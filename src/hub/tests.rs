//! The hub's promises to publishers, and its end, on a disk that the test controls.

use std::fs::File;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use smol::channel::{self, Receiver};
use smol::future::{block_on, or};

use super::log::Disk;
use super::log::tests::Temporary;
use super::*;
use crate::config::HistorySync;

/// A disk that takes each write only after a word from the test.
#[derive(Debug)]
struct Hanging(Receiver<()>);

impl Disk for Hanging {
    fn append(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        // It takes everything once the test has dropped its end.
        let _ = self.0.recv_blocking();
        file.write_all(bytes)
    }
}

fn is_pending(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[track_caller]
fn in_time<T>(future: impl Future<Output = T>) -> T {
    let some = async { Some(future.await) };
    let none = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        None
    };
    block_on(or(some, none)).expect("it is still pending")
}

fn publish(hub: &Hub) -> impl Future<Output = Result<Option<String>, PublishError>> {
    static DRAFT: (Fields, Topics) = (Fields { kind: None, id: None, retry: None }, Topics::none());
    hub.publish(Draft::new(&DRAFT.0, "x", &DRAFT.1))
}

#[test]
fn a_cancelled_publish_is_not_published() {
    let limits = Limits { publish_queue: 1, ..Limits::default() };
    let (hub, mut receivers) = Hub::new(&limits, Some(Retention::default()), 1, Metrics::default());
    let first = in_time(publish(&hub)).expect("there is room");
    assert!(is_pending(std::pin::pin!(publish(&hub))), "the queue is full");
    assert!(receivers[0].take_waiting().is_some() && receivers[0].take_waiting().is_none());
    let second = in_time(publish(&hub)).expect("there is room again");
    let number = |id: &Option<String>| id.as_ref().and_then(|id| id.rsplit('-').next().map(str::to_owned));
    assert_eq!((number(&first).as_deref(), number(&second).as_deref()), (Some("1"), Some("2")));
    assert_eq!(hub.position(), 2);
}

#[test]
fn a_closed_hub_rejects_waiting_publishers() {
    let limits = Limits { publish_queue: 1, ..Limits::default() };
    let (hub, mut receivers) = Hub::new(&limits, None, 1, Metrics::default());
    assert_eq!(in_time(publish(&hub)), Ok(None));
    let mut waiting = Box::pin(publish(&hub));
    assert!(is_pending(waiting.as_mut()));
    hub.close();
    assert_eq!(in_time(waiting), Err(PublishError::Stopped));
    assert!(receivers[0].take_waiting().is_some(), "the one before is still delivered");
}

#[test]
fn a_hub_without_shards_rejects_messages() {
    let limits = Limits { publish_queue: 1, ..Limits::default() };
    let (hub, receivers) = Hub::new(&limits, None, 2, Metrics::default());
    assert_eq!(in_time(publish(&hub)), Ok(None));
    let mut waiting = Box::pin(publish(&hub));
    assert!(is_pending(waiting.as_mut()));
    drop(receivers);
    assert_eq!(in_time(waiting), Err(PublishError::Stopped));
    assert_eq!(in_time(publish(&hub)), Err(PublishError::Stopped));
}

/// Streams end in their time while a disk hangs, and the log has in the end what was accepted.
#[test]
fn a_hanging_disk_delays_only_its_own_thread() {
    let folder = Temporary::new();
    let open = || Log::open(&folder.log(), HistorySync::Interval, Retention::default()).expect("a folder of its own");
    let mut log = open();
    let (release, gate) = channel::bounded(2);
    log.journal.put_on(Arc::new(Hanging(gate)));
    let opened = Hub::with_log(&Limits::default(), log, 1, Metrics::default());
    let (hub, mut receivers) = opened.expect("a thread can be started");
    release.try_send(()).expect("there is room");
    let id = in_time(publish(&hub)).expect("it is written");
    let mut held_up = Box::pin(publish(&hub));
    assert!(is_pending(held_up.as_mut()));
    let mut log_closed = Box::pin(hub.close_log());
    assert!(is_pending(log_closed.as_mut()), "the second message is not queued");
    assert!(in_time(publish(&hub)).is_err(), "a closed log takes nothing");
    hub.close();
    let mut next = || in_time(std::future::poll_fn(|cx| receivers[0].poll_batch(cx, 1, &mut Vec::new())));
    assert!(next().is_some() && next().is_none(), "the written one, and the end");
    assert!(is_pending(Box::pin(hub.log_synced()).as_mut()));
    drop(release);
    assert_eq!(in_time(held_up), Err(PublishError::Stopped));
    in_time(async { (log_closed.await, hub.log_synced().await) });
    assert_eq!((id.is_some(), open().history.stats(0).0), (true, 1), "the second was refused");
}

/// A publisher that hands over many messages gets each outcome in its place, from one write.
#[test]
fn pipelined_messages_are_written_together() {
    let folder = Temporary::new();
    let mut log = Log::open(&folder.log(), HistorySync::Interval, Retention::default()).expect("a folder of its own");
    let (release, gate) = channel::bounded(8);
    log.journal.put_on(Arc::new(Hanging(gate)));
    let (hub, _receivers) = Hub::with_log(&Limits::default(), log, 1, Metrics::default()).expect("threads");
    let mut pipeline = Pipeline::new(&hub);
    let topics = Topics::none();
    for number in 0..100 {
        let fields = Fields { id: Some(number.to_string()), ..Fields::default() };
        let submitted = in_time(pipeline.submit(Draft::new(&fields, "x", &topics)));
        assert_eq!(submitted, Ok(None), "{number} is under way");
    }
    // One write for all, or two if the thread looked in between.
    (0..2).for_each(|_| release.try_send(()).expect("there is room"));
    for number in 0..100 {
        assert_eq!(in_time(pipeline.next()), Ok(Some(number.to_string())));
    }
    assert_eq!(in_time(pipeline.next()), Err(PublishError::Stopped), "none is under way");
    drop(release);
}

/// The bytes of a publisher's own messages come back although it waits for more of them.
#[test]
fn a_pipeline_never_waits_for_itself() {
    let folder = Temporary::new();
    let log = Log::open(&folder.log(), HistorySync::Interval, Retention::default()).expect("a folder of its own");
    let limits = Limits { publish_queue: 2, ..Limits::default() };
    let (hub, mut receivers) = Hub::with_log(&limits, log, 1, Metrics::default()).expect("threads");
    let taker = std::thread::spawn(move || {
        let next = || in_time(std::future::poll_fn(|cx| receivers[0].poll_batch(cx, 1, &mut Vec::new())));
        std::iter::from_fn(next).count()
    });
    let mut pipeline = Pipeline::new(&hub);
    let (fields, topics) = (Fields::default(), Topics::none());
    for _ in 0..10 {
        assert_eq!(in_time(pipeline.submit(Draft::new(&fields, "x", &topics))), Ok(None));
    }
    for _ in 0..10 {
        assert!(in_time(pipeline.next()).is_ok());
    }
    hub.join();
    assert_eq!(taker.join().expect("it ends"), 10);
}

#[test]
fn messages_that_the_log_does_not_take_any_more_are_rejected() {
    let folder = Temporary::new();
    let log = Log::open(&folder.log(), HistorySync::Interval, Retention::default()).expect("a folder of its own");
    let (hub, receivers) = Hub::with_log(&Limits::default(), log, 1, Metrics::default()).expect("threads");
    let mut pipeline = Pipeline::new(&hub);
    let (fields, topics) = (Fields::default(), Topics::none());
    assert_eq!(in_time(pipeline.submit(Draft::new(&fields, "x", &topics))), Ok(None));
    drop(receivers);
    assert_eq!(in_time(pipeline.next()), Err(PublishError::Stopped), "no shard is left");
    hub.join();
    assert_eq!(in_time(pipeline.submit(Draft::new(&fields, "x", &topics))), Err(PublishError::Stopped));
}
