//! A request's head: its end found as it arrives, then read.

use std::fmt::Write;
use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Throughput};
use smolcast::Limits;
use smolcast::http::head::{RequestHead, Scanner};

/// Chrome's request for `new EventSource("http://localhost:1942/sse")`.
const BROWSER: &str = "GET /sse HTTP/1.1\r\n\
    Host: localhost:1942\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
    Chrome/138.0.0.0 Safari/537.36\r\n\
    Accept: text/event-stream\r\n\
    sec-ch-ua: \"Not)A;Brand\";v=\"8\", \"Chromium\";v=\"138\", \"Google Chrome\";v=\"138\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    Origin: http://localhost:8000\r\n\
    Sec-Fetch-Site: same-site\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: http://localhost:8000/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9\r\n\
    \r\n";

/// The request of `curl -d hello http://localhost:1942/broadcast`.
const CURL: &str = "POST /broadcast HTTP/1.1\r\n\
    Host: localhost:1942\r\n\
    User-Agent: curl/8.5.0\r\n\
    Accept: */*\r\n\
    Content-Length: 5\r\n\
    Content-Type: application/x-www-form-urlencoded\r\n\
    \r\n";

/// The bytes that a slow client sends at once.
const DRIP: usize = 16;

fn main() {
    let mut criterion = micro::criterion();
    let fields = fields(60);
    let heads = [("browser", BROWSER), ("curl", CURL), ("60 fields", &fields)];

    let mut whole = criterion.benchmark_group("parse/whole");
    for (name, head) in heads {
        bench(&mut whole, name, head, |head| read(head, [head]));
    }
    whole.finish();

    let mut drips = criterion.benchmark_group(format!("parse/drips of {}", micro::size(DRIP)));
    for (name, head) in heads {
        bench(&mut drips, name, head, |head| {
            let ends = (0..head.len()).step_by(DRIP).map(|start| head.len().min(start + DRIP));
            read(head, ends.map(|end| &head[..end]))
        });
    }
    drips.finish();
    criterion.final_summary();
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, head: &str, read: impl Fn(&[u8]) -> RequestHead<'_>) {
    group.throughput(Throughput::Bytes(head.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            black_box(read(black_box(head.as_bytes())));
        });
    });
}

/// Finds a head in what has arrived of it, and reads it, as a connection does.
fn read<'b>(head: &'b [u8], arrived: impl IntoIterator<Item = &'b [u8]>) -> RequestHead<'b> {
    let (mut scanner, limits) = (Scanner::default(), Limits::default());
    let length = arrived.into_iter().find_map(|bytes| scanner.scan(bytes, &limits).expect("a good head"));
    RequestHead::parse(&head[..length.expect("a whole head")]).expect("a good head")
}

/// A head with so many fields.
fn fields(count: usize) -> String {
    let mut head = "GET /sse HTTP/1.1\r\nHost: localhost:1942\r\n".to_owned();
    for number in 1..count {
        write!(head, "X-Field-{number}: a value as long as most\r\n").expect("a string takes everything");
    }
    head + "\r\n"
}
