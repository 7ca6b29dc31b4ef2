//! Messages from the hub to every subscriber, with sinks instead of sockets: the cost of a delivery without its `send`.
//!
//! An element is a delivery: one message to one subscriber.

use criterion::Throughput;

const SUBSCRIBERS: [usize; 4] = [1, 100, 10_000, 1_000_000];
/// Messages that wait for the dispatcher: when messages are rare, and under load.
const WAITING: [usize; 2] = [1, 64];

fn main() {
    let mut criterion = micro::criterion();
    for waiting in WAITING {
        let mut group = criterion.benchmark_group(format!("fanout/{waiting} waiting"));
        for subscribers in SUBSCRIBERS {
            let fan_out = micro::FanOut::default();
            let members: Vec<_> = (0..subscribers).map(|_| fan_out.join(&[])).collect();
            group.throughput(Throughput::Elements((subscribers * waiting) as u64));
            let mut messages = 0;
            group.bench_function(format!("{subscribers} subscribers"), |bencher| {
                bencher.iter(|| {
                    fan_out.deliver(&[], waiting);
                    messages += waiting;
                });
            });
            micro::check(&members, messages);
        }
        group.finish();
    }
    criterion.final_summary();
}
