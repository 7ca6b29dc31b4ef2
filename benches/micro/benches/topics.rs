//! A message to one of many streams with topics of their own: its cost does not grow with the other streams.

use criterion::Throughput;

const STREAMS: [usize; 4] = [10, 100, 1000, 10_000];

fn main() {
    let mut criterion = micro::criterion();
    let mut group = criterion.benchmark_group("topics/a message to one of");
    for streams in STREAMS {
        let fan_out = micro::FanOut::default();
        let topic = |number| format!("room/{number}/messages");
        let members: Vec<_> = (0..streams).map(|number| fan_out.join(&[&topic(number)])).collect();
        let (wanted, mut messages) = (topic(streams / 2), 0);
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("{streams} streams"), |bencher| {
            bencher.iter(|| {
                fan_out.deliver(&[&wanted], 1);
                messages += 1;
            });
        });
        micro::check(&members[streams / 2..=streams / 2], messages);
        micro::check(&members[..streams / 2], 0);
    }
    group.finish();
    criterion.final_summary();
}
