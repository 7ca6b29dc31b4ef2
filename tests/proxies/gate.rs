//! The requests that a proxy passes on: their origin and their form.

use std::collections::BTreeSet;
use std::fs;

use support::measure::report;
use support::{Folder, Served};

use crate::Program;
use crate::backend::Backend;
use crate::certificate::NAME;
use crate::curl::{Stream, Version, publish, request};
use crate::proxy::{Proxy, for_each};

/// Paths near those that are passed on.
const ELSEWHERE: [&str; 9] =
    ["/", "/sse/", "/ssee", "/broadcast/", "/connections/x", "/metrics", "/healthz", "/x?/broadcast", "/favicon.ico"];

const MESSAGES: usize = 12;

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn only_allowed_publishes_and_streams_are_passed_on() {
    for_each("gate", |kind| {
        let program = Program::start(&[]);
        let proxy = Proxy::start(kind, program.addr, &[]);
        for version in Version::BOTH {
            let mut stream = Stream::open(&proxy, version);
            program.wait_for_count(1);
            let count = request(&proxy, version, "/connections", &[]);
            assert_eq!((count.status, count.body.as_str()), (200, "1"), "{}", kind.name());
            // Another address of this machine counts as a stranger's. A refusal may come before the body is sent, and
            // curl may miss it; no event shows it either way.
            let stranger = ["--interface", "127.0.0.2", "--request", "POST"];
            for target in ["/broadcast", "/broadcast?event=x"] {
                let refused = request(&proxy, version, target, &stranger);
                assert_eq!(refused.status, 403, "{}: {refused:?}", kind.name());
                let refused =
                    request(&proxy, version, target, &[&stranger[..], &["--data-binary", "not mine"]].concat());
                assert!([403, 0].contains(&refused.status), "{}: {refused:?}", kind.name());
            }
            assert_eq!(publish(&proxy, version, "two\nlines"), 202, "{}", kind.name());
            stream.expect("two\nlines");
            let long = "a line of many\n".repeat(50_000);
            let folder = Folder::new();
            let file = folder.path("long");
            fs::write(&file, &long).expect("the folder is new");
            let sent = request(&proxy, version, "/broadcast", &["--data-binary", &format!("@{}", file.display())]);
            assert_eq!(sent.status, 202, "{}: {sent:?}", kind.name());
            stream.expect(&long);
            drop(stream);
            program.wait_for_count(0);
        }
    });
}

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn the_server_learns_the_true_client_and_host() {
    for_each("forwarding", |kind| {
        let backend = Backend::start();
        let proxy = Proxy::start(kind, backend.addr, &[]);
        for version in Version::BOTH {
            for target in ELSEWHERE {
                let answer = request(&proxy, version, target, &["--request", "POST"]);
                assert_eq!(answer.status, 404, "{}: {target}: {answer:?}", kind.name());
            }
            let lies = ["X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2, ::3", "Forwarded: for=192.0.2.4"];
            let truths = ["Last-Event-ID: 5-7", "Authorization: Bearer t", "Origin: https://a.example"];
            let words: Vec<_> = lies.iter().chain(&truths).flat_map(|line| ["--header", line]).collect();
            let words = [&words[..], &["--interface", "127.0.0.3"]].concat();
            request(&proxy, version, "/sse?topic=a&topic=b%2Fc", &words);
            let passed = backend.passed();
            assert_eq!(passed.request_line, "GET /sse?topic=a&topic=b%2Fc HTTP/1.1", "{}", kind.name());
            assert_eq!(passed.values("x-forwarded-for"), ["127.0.0.3"], "{}: {passed:?}", kind.name());
            assert!(passed.values("forwarded").is_empty(), "{}: {passed:?}", kind.name());
            for (name, value) in truths.map(|line| line.split_once(": ").expect("a field")) {
                assert_eq!(passed.values(&name.to_ascii_lowercase()), [value], "{}: {passed:?}", kind.name());
            }
            let host = passed.values("host").concat();
            assert_eq!(host.split(':').next(), Some(NAME), "{}: {passed:?}", kind.name());
        }
        backend.expect_nothing_more();
    });
}

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn successive_publishers_share_connections() {
    for_each("kept connections", |kind| {
        let backend = Backend::start();
        let proxy = Proxy::start(kind, backend.addr, &[]);
        let mut connections = BTreeSet::new();
        for number in 0..MESSAGES {
            let version = Version::BOTH[number % 2];
            assert_eq!(publish(&proxy, version, &number.to_string()), 202, "{}", kind.name());
            let passed = backend.passed();
            assert_eq!(passed.body, number.to_string().as_bytes());
            connections.insert(passed.connection);
        }
        let used = connections.len();
        report("kept connections", format_args!("{}: {MESSAGES} publishers by {used}", kind.name()));
        // One for each worker process or thread of the proxy.
        assert!(used <= MESSAGES / 2, "{}: {used} connections for {MESSAGES} messages", kind.name());
    });
}

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn a_limit_per_address_is_per_client_of_the_proxy() {
    for_each("limit", |kind| {
        let flags = ["--max-connections-per-ip", "2", "--trusted-proxy", "127.0.0.1"];
        let program = Program::start(&flags);
        let proxy = Proxy::start(kind, program.addr, &[]);
        let open = |source: &str| Stream::open_from(&proxy, Version::Http2, source);
        let mut streams = vec![open("127.0.0.2"), open("127.0.0.2"), open("127.0.0.3")];
        // The first client's third stream gets a delay, whatever the client says of itself.
        let words = ["--interface", "127.0.0.2", "--header", "X-Forwarded-For: 127.0.0.9"];
        let told = request(&proxy, Version::Http2, "/sse", &words);
        assert!(told.status == 200 && told.body.starts_with("retry: "), "{}: {told:?}", kind.name());
        streams.push(open("127.0.0.3"));
        assert_eq!(publish(&proxy, Version::Http1, "to all four"), 202, "{}", kind.name());
        for stream in &mut streams {
            stream.expect("to all four");
        }
    });
}
