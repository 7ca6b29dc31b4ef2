//! The parts of smolcast by themselves: `cargo bench -p micro`.
//!
//! Each bench is a file in `benches`; what they share is here. Their figures compare this machine today with itself:
//! before a change and after it, few subscribers and many. How the server does on real sockets they do not say.
//!
//! - `parse`: a request's head, found and read
//! - `chunked`: a chunked body, decoded
//! - `frame`: a message, encoded
//! - `fanout`: messages from the hub to sinks in place of sockets
//! - `scale`: what a subscriber costs there, in time and in memory, as their number grows

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use smolcast::Limits;
use smolcast::internals::{FanOut, Membership, Sink, encode_message};

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
    fn try_write(&self, bytes: &[u8]) {
        self.bytes.set(self.bytes.get() + black_box(bytes).len());
        self.writes.set(self.writes.get() + 1);
    }
}

/// A shard without subscribers, with the limits that the server has by default.
pub fn fan_out() -> FanOut<Counter> {
    FanOut::new(&Limits::default())
}

/// Publishes a message of 100 bytes so many times at once, and waits until every subscriber has them all.
pub fn deliver(fan_out: &FanOut<Counter>, messages: usize) {
    for _ in 0..messages {
        assert!(fan_out.publish(MESSAGE), "the channel has room");
    }
    fan_out.dispatch();
}

/// Publishes a message of 100 bytes to a topic, and waits until its subscribers have it.
pub fn deliver_to(fan_out: &FanOut<Counter>, topic: &str) {
    assert!(fan_out.publish_to(&[topic], MESSAGE), "the channel has room");
    fan_out.dispatch();
}

/// Holds that everybody got so many of them, to the byte.
pub fn check(seats: &[Membership<Counter>], messages: usize) {
    let bytes = messages * encode_message(MESSAGE).len();
    assert!(seats.iter().all(|seat| seat.sink(|sink| sink.bytes.get()) == bytes), "not all have {bytes} bytes");
}
