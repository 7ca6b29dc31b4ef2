//! A message, encoded as the frame that every stream gets.

use std::hint::black_box;

use criterion::Throughput;
use smolcast::event::frame::Frame;

const KIB: usize = 1024;
const ONE_LINE: [usize; 5] = [16, 100, KIB, 64 * KIB, 1024 * KIB];
const LINES: usize = 1000;

fn main() {
    let mut criterion = micro::criterion();
    let mut group = criterion.benchmark_group("frame");
    let one_line = ONE_LINE.map(|size| (format!("one line of {}", micro::size(size)), micro::text(size)));
    let lines = (format!("{LINES} lines of 10 B"), "a message\n".repeat(LINES));
    for (name, message) in one_line.into_iter().chain([lines]) {
        group.throughput(Throughput::Bytes(message.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| Frame::message(black_box(&message))));
    }
    group.finish();
    criterion.final_summary();
}
