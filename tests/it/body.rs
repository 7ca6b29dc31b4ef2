//! The end of a body: Content-Length, Transfer-Encoding, both, neither, and unexpected bodies.

use smolcast::Limits;
use support::{Response, Served, TestServer, get, parse_responses, post, post_chunked, showing};

use crate::witness::Witness;

const COMPLETE_CHUNKS: &str = "5\r\nhello\r\n0\r\n\r\n";

/// A publish with these framing fields.
fn publish(fields: &str, body: &str) -> String {
    format!("POST /broadcast HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{body}")
}

#[test]
fn a_content_length_that_is_no_number_is_400() {
    let mut witness = Witness::start(Limits::default());
    for value in [
        "+16",
        "-0",
        "-16",
        "0x10",
        "0X10",
        "10h",
        "1_6",
        "16.0",
        "1e1",
        "16;",
        "16 ;a=b",
        "1 6",
        "16 16",
        "",
        " ",
        "sixteen",
        "\"16\"",
        "\u{ff11}\u{ff16}",
        "\u{661}\u{666}",
        "16, 17",
        "16,17",
        "16, +16",
        "16, x",
        "16,16,17",
        "18446744073709551616",
        "18446744073709551632",
        "99999999999999999999999999999999",
        "340282366920938463463374607431768211472",
    ] {
        witness.refused(value, publish(&format!("Content-Length: {value}"), "sixteen bytes ok"), &[400]);
    }
}

#[test]
fn different_content_lengths_are_400() {
    let mut witness = Witness::start(Limits::default());
    for (name, fields) in [
        ("two lines", "Content-Length: 16\r\nContent-Length: 17"),
        ("two lines, the longer first", "Content-Length: 17\r\nContent-Length: 16"),
        ("two lines, apart and in other case", "Content-Length: 16\r\nX: y\r\ncontent-LENGTH: 0"),
        ("the second is none", "Content-Length: 16\r\nContent-Length: x"),
        ("the second is empty", "Content-Length: 16\r\nContent-Length:"),
        ("a list and a line", "Content-Length: 16, 16\r\nContent-Length: 5"),
    ] {
        witness.refused(name, publish(fields, "sixteen bytes ok"), &[400]);
    }
}

#[test]
fn bad_framing_is_refused_on_every_route() {
    let mut witness = Witness::start(Limits::default());
    for line in ["GET /sse", "GET /connections", "OPTIONS /sse", "GET /", "POST /nope"] {
        for (fields, statuses) in [
            ("Content-Length: +5", [400, 400]),
            ("Content-Length: 5\r\nContent-Length: 6", [400, 400]),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", [400, 400]),
            ("Transfer-Encoding: gzip", [400, 400]),
        ] {
            let request = format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nhello");
            witness.refused(&format!("{line} with {fields}"), request, &statuses);
        }
    }
    assert_eq!(witness.server.count(), 1, "no stream but the witness");
}

#[test]
fn a_content_length_is_digits_with_blanks_around_them() {
    let mut witness = Witness::start(Limits::default());
    for value in ["5", "05", "0000000005", "\t5 ", "00000000000000000000000005"] {
        witness.published(value, publish(&format!("Content-Length: {value}"), "hello"), "hello");
    }
    witness.published("nothing", publish("Content-Length: 0", ""), "");
}

#[test]
fn the_same_content_length_twice_is_that_length_or_400() {
    for fields in [
        "Content-Length: 16, 16",
        "Content-Length: 16,16",
        "Content-Length: 16\r\nContent-Length: 16",
        "Content-Length: 16\r\nX: y\r\ncontent-length:16",
    ] {
        let mut witness = Witness::start(Limits::default());
        let request = publish(fields, "sixteen bytes ok");
        let _row = showing(fields, request.as_bytes());
        let mut client = witness.server.connect();
        let response = client.request(&request);
        if response.status == 202 {
            witness.stream().expect_data("sixteen bytes ok");
            client.request(get("/connections")).expect_status(200);
        } else {
            assert!(response.expect_status(400).closes());
            client.expect_closed();
        }
        witness.expect_nothing_published();
    }
}

#[test]
fn transfer_encoding_together_with_content_length_is_400() {
    let mut witness = Witness::start(Limits::default());
    for (name, fields, body) in [
        ("the length first", "Content-Length: 5\r\nTransfer-Encoding: chunked", COMPLETE_CHUNKS),
        ("the coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5", COMPLETE_CHUNKS),
        ("the length of the coded body", "Content-Length: 15\r\nTransfer-Encoding: chunked", COMPLETE_CHUNKS),
        ("a length of zero", "Content-Length: 0\r\nTransfer-Encoding: chunked", COMPLETE_CHUNKS),
        ("other case", "transfer-encoding: Chunked\r\nCONTENT-LENGTH: 5", COMPLETE_CHUNKS),
        ("a length that is none", "Content-Length: x\r\nTransfer-Encoding: chunked", COMPLETE_CHUNKS),
    ] {
        witness.refused(name, publish(fields, body), &[400]);
    }
}

#[test]
fn a_transfer_encoding_other_than_one_chunked_is_501_or_400() {
    let mut witness = Witness::start(Limits::default());
    for fields in ["gzip, chunked", "identity, Chunked", "chunked,chunked"] {
        witness.refused(fields, publish(&format!("Transfer-Encoding: {fields}"), COMPLETE_CHUNKS), &[501]);
    }
    for fields in ["gzip", "identity", "chunked, gzip", "chunked;a=b", "\"chunked\"", "xchunked", ""] {
        witness.refused(fields, publish(&format!("Transfer-Encoding: {fields}"), COMPLETE_CHUNKS), &[400]);
    }
    for fields in [
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked,chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: x chunked",
        "Transfer-Encoding: chunked x",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: chunked;a=b",
        "Transfer-Encoding: chunked;",
        "Transfer-Encoding:",
        "Transfer-Encoding: \t ",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        "Transfer-Encoding: \u{212a}chunked",
    ] {
        witness.refused(fields, publish(fields, COMPLETE_CHUNKS), &[501, 400]);
        let with_length = format!("{fields}\r\nContent-Length: 5");
        witness.refused(&with_length, publish(&with_length, "hello"), &[501, 400]);
    }
}

#[test]
fn transfer_encoding_in_an_http_1_0_request_is_400() {
    let mut witness = Witness::start(Limits::default());
    for fields in ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nConnection: keep-alive"] {
        let request = format!("POST /broadcast HTTP/1.0\r\n{fields}\r\n\r\n{COMPLETE_CHUNKS}");
        witness.refused(fields, request, &[400]);
    }
}

#[test]
fn a_lookalike_of_a_framing_field_frames_nothing() {
    let mut witness = Witness::start(Limits::default());
    for fields in ["Content_Length: 5", "Content-Lengths: 5", "X-Transfer-Encoding: chunked", "TE: chunked"] {
        witness.refused(fields, publish(fields, COMPLETE_CHUNKS), &[411]);
    }
}

/// Publishes that break off, each at a byte that ends no body.
fn unfinished() -> Vec<Vec<u8>> {
    let mut requests = Vec::new();
    let length = post("hello");
    requests.extend((1..=5).map(|missing| length[..length.len() - missing].to_vec()));
    let chunked = post_chunked("5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n");
    requests.extend((1..=25).map(|missing| chunked[..chunked.len() - missing].to_vec()));
    requests
}

#[test]
fn a_body_that_ends_early_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    for request in unfinished() {
        let _row = showing("FIN", &request);
        let mut client = witness.server.connect();
        client.send(&request);
        client.half_close();
        for response in parse_responses(&client.rest(), &["POST"]) {
            assert!(response.expect_status(400).closes());
        }
        witness.expect_nothing_published();
    }
}

#[test]
fn a_body_that_ends_with_a_reset_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    for request in unfinished() {
        let _row = showing("reset", &request);
        let mut client = witness.server.connect();
        client.send(&request);
        client.reset();
        witness.expect_nothing_published();
    }
}

#[test]
fn a_head_that_ends_early_publishes_nothing() {
    let mut witness = Witness::start(Limits::default());
    let whole = post("");
    for at in 0..whole.len() {
        let _row = showing("FIN", &whole[..at]);
        let mut client = witness.server.connect();
        client.send(&whole[..at]);
        client.half_close();
        for response in parse_responses(&client.rest(), &["POST"]) {
            assert!([400, 408].contains(&response.status) && response.closes(), "{response:?}");
        }
    }
    witness.expect_nothing_published();
}

/// Framings of a body that is itself a publish.
fn smuggled() -> [(&'static str, String); 3] {
    let inner = String::from_utf8(post("smuggled")).expect("ASCII");
    [
        ("with a length", format!("Content-Length: {}\r\n\r\n{inner}", inner.len())),
        ("chunked", format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len())),
        ("chunked, publishes in the trailers' place", format!("Transfer-Encoding: chunked\r\n\r\n0\r\n{inner}")),
    ]
}

#[test]
fn an_unexpected_body_is_never_parsed_as_a_request() {
    let mut witness = Witness::start(Limits::default());
    for line in [
        "GET /connections",
        "OPTIONS /sse",
        "OPTIONS /connections",
        "GET /nope",
        "POST /nope",
        "HEAD /sse",
        "PUT /broadcast",
        "GET /broadcast",
        "DELETE /",
    ] {
        for (framing, rest) in smuggled() {
            let request = format!("{line} HTTP/1.1\r\nHost: h\r\n{rest}");
            let _row = showing(format!("{line}, {framing}"), request.as_bytes());
            let mut client = witness.server.connect();
            client.send(&request);
            client.half_close();
            let method = line.split(' ').next().unwrap_or_default();
            let answers = parse_responses(&client.rest(), &[method, "POST"]);
            assert!(answers.iter().all(|answer| answer.status != 202), "executed: {answers:?}");
            witness.expect_nothing_published();
        }
    }
}

#[test]
fn a_body_of_a_stream_request_is_never_a_request() {
    let mut witness = Witness::start(Limits::default());
    for (framing, rest) in smuggled() {
        let request = format!("GET /sse HTTP/1.1\r\nHost: h\r\n{rest}");
        let _row = showing(framing, request.as_bytes());
        let mut client = witness.server.connect();
        client.send(&request);
        client.half_close();
        let answer = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(!answer.contains(" 202 ") && !answer.contains("smuggled"), "executed: {answer:?}");
        witness.expect_nothing_published();
    }
}

#[test]
fn a_discarded_body_ends_where_its_framing_says() {
    let mut witness = Witness::start(Limits::default());
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for rest in ["Content-Length: 3\r\n\r\nabc", chunked, "\r\n", "Content-Length: 0\r\n\r\n"] {
        let request = [format!("POST /nope HTTP/1.1\r\nHost: h\r\n{rest}").as_bytes(), &post("next")].concat();
        let _row = showing("404, then a publish", &request);
        let mut client = witness.server.connect();
        client.send(&request);
        client.half_close();
        let answers = parse_responses(&client.rest(), &["POST", "POST"]);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        if answers.first().is_some_and(Response::closes) {
            assert_eq!(statuses, [404]);
        } else {
            assert_eq!(statuses, [404, 202]);
            witness.stream().expect_data("next");
        }
        witness.expect_nothing_published();
    }
}

#[test]
fn publishes_of_each_framing_can_be_pipelined() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let mut client = server.connect();
    let bodies = [post("one"), post_chunked("3\r\ntwo\r\n0\r\nX: y\r\n\r\n"), post(""), post("four")];
    client.send(bodies.concat());
    for _ in bodies {
        client.response().expect_status(202);
    }
    stream.expect(b"data: one\n\ndata: two\n\ndata: \n\ndata: four\n\n");
}
