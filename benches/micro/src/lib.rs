//! Single parts of smolcast, measured by `cargo bench -p micro`.
//!
//! Each bench is a file in `benches` and uses the tools here. Compare figures of one machine on one day: before and
//! after a change, few subscribers and many. They say nothing about real sockets.
//!
//! - `parse`: a request's head, found and read
//! - `chunked`: a chunked body, decoded
//! - `frame`: a message, encoded
//! - `fanout`: messages from the hub to sinks in place of sockets
//! - `scale`: the time and memory of a subscriber there, as their number grows
//! - `topics`: a message to one of many streams with topics of their own

use std::cell::Cell;
use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use criterion::Criterion;
use smol::LocalExecutor;
use smolcast::Limits;
use smolcast::event::frame::{Fields, Frame};
use smolcast::event::topic::{FilterSet, Topics};
use smolcast::fanout::{Dispatcher, Membership, Progress, SubscriberCounts};
use smolcast::hub::{Draft, Hub};
use smolcast::net::Sink;

/// A message as people send them.
const MESSAGE: &str =
    "One message of 100 bytes: the tram at the main station leaves in four minutes, from platform two, A.";
const _: () = assert!(MESSAGE.len() == 100);

/// Short runs: all benches together take little more than a minute. Flags on the command line may ask for longer ones.
pub fn criterion() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .configure_from_args()
}

/// So many bytes of text in one line.
pub fn text(bytes: usize) -> String {
    "One message to every open browser tab. ".chars().cycle().take(bytes).collect()
}

/// A size as the benches' names have it.
pub fn size(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    match bytes {
        MIB.. => format!("{} MiB", bytes / MIB),
        KIB.. => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} B"),
    }
}

/// A sink in a socket's place, as large as its handle. It looks at no byte: the cost of a `send` is not measured here.
#[derive(Debug, Default)]
pub struct Counter {
    bytes: Cell<usize>,
    writes: Cell<usize>,
}

impl Sink for Counter {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.set(self.bytes.get() + black_box(bytes).len());
        self.writes.set(self.writes.get() + 1);
        Ok(bytes.len())
    }

    fn reset_on_close(&self, _: bool) {}
}

/// One shard from the hub to the sinks: the queue, the dispatcher on its executor, the audiences.
#[derive(Debug)]
pub struct FanOut {
    hub: Hub,
    dispatcher: Rc<Dispatcher<Counter>>,
    executor: LocalExecutor<'static>,
}

impl Default for FanOut {
    /// A shard without subscribers, with the server's default limits.
    fn default() -> Self {
        let limits = Limits::default();
        let (hub, mut receivers) = Hub::new(&limits, None, 1, Default::default());
        let receiver = receivers.pop().expect("one for each shard");
        let dispatcher = Rc::new(Dispatcher::new(receiver, &limits, Default::default(), SubscriberCounts::default()));
        let running = Rc::clone(&dispatcher);
        let executor = LocalExecutor::new();
        executor.spawn(async move { running.run().await }).detach();
        Self { hub, dispatcher, executor }
    }
}

impl FanOut {
    /// Joins a subscriber that gets broadcasts, and the messages of these topics.
    pub fn join(&self, filters: &[&str]) -> Membership<Counter> {
        let filters = FilterSet::parse(filters.iter().copied()).expect("filters");
        let mut membership = smol::block_on(self.dispatcher.reserve_after(0, &filters)).join(Counter::default());
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp, "rounds write to it from here on");
        membership
    }

    /// Publishes a message of 100 bytes so many times at once, and waits until every subscriber has them all.
    pub fn deliver(&self, topics: &[&str], messages: usize) {
        let (fields, topics) = (Fields::default(), Topics::parse(topics.iter().copied()).expect("topics"));
        for _ in 0..messages {
            let published = pin!(self.hub.publish(Draft::new(&fields, MESSAGE, &topics)));
            let published = published.poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(published, Poll::Ready(Ok(None)), "the queue has room");
        }
        while self.executor.try_tick() {}
    }
}

/// Asserts that every subscriber got so many of them, to the byte.
pub fn check(subscribers: &[Membership<Counter>], messages: usize) {
    let bytes = messages * Frame::message(MESSAGE).as_bytes().len();
    let all_got = subscribers.iter().all(|subscriber| subscriber.sink(|sink| sink.bytes.get()) == bytes);
    assert!(all_got, "not all have {bytes} bytes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subscriber_gets_a_dispatched_message_once() {
        let fan_out = FanOut::default();
        let subscribers: Vec<_> = (0..1000).map(|_| fan_out.join(&[])).collect();
        fan_out.deliver(&[], 2);
        check(&subscribers, 2);
        assert!(subscribers.iter().all(|subscriber| subscriber.sink(|sink| sink.writes.get()) == 1), "in one write");
        let late = fan_out.join(&["a"]);
        fan_out.deliver(&["a"], 1);
        check(&subscribers, 2);
        check(&[late], 1);
    }
}
