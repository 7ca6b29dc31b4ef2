//! A thousand subscribers that never read: their cost, and their effect on others.

use std::thread;
use std::time::Duration;

use smolcast::Limits;
use support::measure::{Samples, report, time_until, timed};
use support::procfs::{Observed, kernel_tcp_memory};
use support::{DEADLINE, EventStream, Served, get, post};

use crate::Program;
use crate::crowd::{Crowd, connect_tight, make_room};

const STALLED: usize = 1000;
const HEALTHY: usize = 10;
const MESSAGES: usize = 200;
const MESSAGE: usize = 32 * 1024;
const WORKERS: usize = 2;

/// So many messages are less than the largest lag.
const WITHIN_THE_WINDOW: usize = 24;

/// Memory of tasks, sockets and the allocator for all of these streams, in KiB.
const SLACK: usize = 6 * 1024;

/// Shorter than any wait for a subscriber would be.
const PATIENCE: Duration = Duration::from_secs(3);

fn line(number: usize) -> String {
    format!("{number:04} {}", "x".repeat(MESSAGE - 5))
}

/// Memory that the server may add, in KiB: each shard a window and a batch, and the messages under way.
///
/// All streams share it, however many are stalled.
fn bound() -> usize {
    let limits = Limits::default();
    (WORKERS * (limits.window_bytes + limits.batch_bytes) + limits.publish_queue_bytes) / 1024 + SLACK
}

#[track_caller]
fn publish(publisher: &mut support::Client, numbers: std::ops::Range<usize>, times: &mut Samples) {
    for number in numbers {
        let ((), took) = timed(|| drop(publisher.request(post(line(number))).expect_status(202)));
        times.push(took);
    }
}

/// They delay no other stream.
#[test]
#[ignore = "heavy: a thousand streams, and hundreds of megabytes that the system keeps for them"]
fn a_thousand_stalled_streams_cost_one_window() {
    make_room();
    let program = Program::start(&["--workers", &WORKERS.to_string()]);
    let observed = Observed::new(program.id());
    let stalled = Crowd::of((0..STALLED).map(|_| connect_tight(program.addr, 2048)), &get("/sse"));
    program.wait_for_count(STALLED);
    let mut healthy: Vec<_> = (0..HEALTHY).map(|_| program.stream()).collect();
    let mut witness = program.stream();
    let mut publisher = program.connect();
    let (base, kernel) = (observed.resident(), kernel_tcp_memory());
    let mut times = Samples::default();
    thread::scope(|scope| {
        let readers: Vec<_> = healthy.iter_mut().map(|stream| scope.spawn(|| read_all(stream))).collect();
        publish(&mut publisher, 0..WITHIN_THE_WINDOW, &mut times);
        (0..WITHIN_THE_WINDOW).for_each(|number| witness.expect_data(&line(number)));
        assert_eq!(program.count(), STALLED + HEALTHY + 1, "no stream is too far behind yet");
        let kept = kernel_tcp_memory().saturating_sub(kernel);
        report("a stalled stream", format_args!("the system keeps {} KiB for it", kept / STALLED));
        drop(witness);
        publish(&mut publisher, WITHIN_THE_WINDOW..MESSAGES, &mut times);
        let failed = readers.into_iter().filter_map(|reader| reader.join().err()).count();
        assert_eq!(failed, 0, "streams that read have missed something");
    });
    let cut = time_until("stalled streams are cut", DEADLINE, || program.count() == HEALTHY);
    let grown = program.peak_memory() - base;
    report("1000 stalled streams", format_args!("{grown} KiB more than {base} KiB; bound {} KiB", bound()));
    report("a publish meanwhile", format_args!("{times}; the last are cut {cut:.1?} after the last event"));
    assert!(grown < bound(), "{grown} KiB more than {base} KiB, which is above {} KiB", bound());
    assert!(times.max() < PATIENCE, "a publisher has waited: {times}");
    drop(stalled);
}

/// Reads every message as it comes.
#[track_caller]
fn read_all(stream: &mut EventStream) {
    for number in 0..MESSAGES {
        stream.expect_data(&line(number));
    }
}
