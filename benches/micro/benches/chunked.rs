//! A chunked body, decoded as it arrives: in pieces as large as one read of the server's.

use std::hint::black_box;

use criterion::Throughput;
use smolcast::Limits;
use smolcast::http::chunked::Decoder;

const KIB: usize = 1024;
const BODIES: [usize; 4] = [64, 4 * KIB, 64 * KIB, 1024 * KIB];
const CHUNKS: [usize; 3] = [16, 4 * KIB, 64 * KIB];
const READ: usize = 64 * KIB;

fn main() {
    let mut criterion = micro::criterion();
    let limits = Limits::default();
    for size in BODIES {
        let body = micro::text(size);
        let mut group = criterion.benchmark_group(format!("chunked/{}", micro::size(size)));
        group.throughput(Throughput::Bytes(size as u64));
        for chunk in CHUNKS.into_iter().filter(|chunk| *chunk <= size) {
            let input = encode(body.as_bytes(), chunk);
            let mut decoded = Vec::with_capacity(size);
            group.bench_function(format!("chunks of {}", micro::size(chunk)), |bencher| {
                bencher.iter(|| {
                    decoded.clear();
                    let mut decoder = Decoder::new(&limits);
                    for piece in black_box(&input).chunks(READ) {
                        decoder.decode(piece, &mut decoded).expect("a good body");
                    }
                    assert!(decoder.is_done(), "the body is whole");
                });
            });
            assert!(decoded.is_empty() || decoded == body.as_bytes(), "what was encoded is decoded");
        }
        group.finish();
    }
    criterion.final_summary();
}

fn encode(body: &[u8], chunk: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    for data in body.chunks(chunk) {
        encoded.extend_from_slice(format!("{:X}\r\n", data.len()).as_bytes());
        encoded.extend_from_slice(data);
        encoded.extend_from_slice(b"\r\n");
    }
    encoded.extend_from_slice(b"0\r\n\r\n");
    encoded
}
