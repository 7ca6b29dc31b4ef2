//! The grammar of the chunked coding, good and bad, split anywhere.

use std::thread;
use std::time::Duration;

use smolcast::Limits;
use support::{Served, TestServer, post, post_chunked, showing, with};

use crate::witness::Witness;

#[rustfmt::skip]
const REFUSED: &[(&str, &str)] = &[
    ("an empty size", "\r\nhello\r\n0\r\n\r\n"),
    ("an empty size as the last", "5\r\nhello\r\n\r\n\r\n"),
    ("nothing but empty lines", "\r\n\r\n"),
    ("an extension without a size", ";a=b\r\nhello\r\n0\r\n\r\n"),
    ("plus", "+5\r\nhello\r\n0\r\n\r\n"),
    ("minus", "-5\r\nhello\r\n0\r\n\r\n"),
    ("minus zero as the last", "5\r\nhello\r\n-0\r\n\r\n"),
    ("0x", "0x5\r\nhello\r\n0\r\n\r\n"),
    ("0X", "0X5\r\nhello\r\n0\r\n\r\n"),
    ("0x as the last", "5\r\nhello\r\n0x\r\n\r\n"),
    ("a blank before", " 5\r\nhello\r\n0\r\n\r\n"),
    ("a tab before", "\t5\r\nhello\r\n0\r\n\r\n"),
    ("a blank behind", "5 \r\nhello\r\n0\r\n\r\n"),
    ("a blank within", "0 5\r\nhello\r\n0\r\n\r\n"),
    ("a letter behind F", "g\r\nhello\r\n0\r\n\r\n"),
    ("a letter behind a digit", "5g\r\nhello\r\n0\r\n\r\n"),
    ("an underscore", "0_5\r\nhello\r\n0\r\n\r\n"),
    ("a point", "5.0\r\nhello\r\n0\r\n\r\n"),
    ("a comma", "5,\r\nhello\r\n0\r\n\r\n"),
    ("quotes", "\"5\"\r\nhello\r\n0\r\n\r\n"),
    ("full-width digits", "\u{ff15}\r\nhello\r\n0\r\n\r\n"),
    ("NUL behind the size", "5\0\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"),
    ("a bare CR behind the size", "5\rhello\r\n0\r\n\r\n"),
    ("CR CR LF behind the size", "5\r\r\nhello\r\n0\r\n\r\n"),
    ("LF CR behind the size", "5\n\rhello\r\n0\r\n\r\n"),
    ("no line end behind the data", "5\r\nhello0\r\n\r\n"),
    ("a bare LF behind the data", "5\r\nhello\n0\r\n\r\n"),
    ("a bare CR behind the data", "5\r\nhello\r0\r\n\r\n"),
    ("data longer than the size", "4\r\nhello\r\n0\r\n\r\n"),
    ("data shorter than the size", "6\r\nhello\r\n0\r\n\r\n"),
    ("two line ends behind the data", "5\r\nhello\r\n\r\n0\r\n\r\n"),
    ("a bare LF behind the last size", "5\r\nhello\r\n0\n\r\n"),
    ("a bare LF at the very end", "5\r\nhello\r\n0\r\n\n"),
    ("bare LF alone at the end", "5\r\nhello\r\n0\n\n"),
    ("an extension without a name", "5;\r\nhello\r\n0\r\n\r\n"),
    ("two semicolons", "5;;a\r\nhello\r\n0\r\n\r\n"),
    ("a semicolon at the end", "5;a=b;\r\nhello\r\n0\r\n\r\n"),
    ("an extension without a value", "5;a=\r\nhello\r\n0\r\n\r\n"),
    ("an extension that is no token", "5;(a)\r\nhello\r\n0\r\n\r\n"),
    ("two words in an extension", "5;a b\r\nhello\r\n0\r\n\r\n"),
    ("a blank behind an extension", "5;a \r\nhello\r\n0\r\n\r\n"),
    ("an open quote in an extension", "5;a=\"b\r\nhello\r\n0\r\n\r\n"),
    ("a word behind a quoted value", "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n"),
    ("NUL in an extension", "5;a=\0\r\nhello\r\n0\r\n\r\n"),
    ("a control octet in an extension", "5;a=\u{1}b\r\nhello\r\n0\r\n\r\n"),
    ("ESC in an extension's name", "5;\u{1b}\r\nhello\r\n0\r\n\r\n"),
    ("DEL in an extension", "5;a=\u{7f}\r\nhello\r\n0\r\n\r\n"),
    ("a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a bare LF as the end of an extension", "5;a=b\nhello\r\n0\r\n\r\n"),
    ("a control octet in the last extension", "5\r\nhello\r\n0;\u{1}\r\n\r\n"),
    ("a bare LF in a trailer", "5\r\nhello\r\n0\r\nX: y\n\r\n"),
    ("a bare LF behind the trailers", "5\r\nhello\r\n0\r\nX: y\r\n\n"),
    ("NUL in a trailer", "5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
    ("a bare CR in a trailer", "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n"),
];

#[test]
fn malformed_chunks_are_400_and_publish_nothing() {
    let mut witness = Witness::start(Limits::default());
    for (name, coded) in REFUSED {
        // A whole request follows the bad body and must not be taken for one.
        let request = [post_chunked(coded), post("smuggled")].concat();
        witness.refused(name, request, &[400]);
    }
}

#[test]
fn bad_chunks_that_drip_in_are_refused() {
    let mut witness = Witness::start(Limits::default());
    for (name, coded) in REFUSED {
        let _row = showing(name, coded.as_bytes());
        let mut client = witness.server.connect();
        client.send(post_chunked(""));
        for byte in coded.bytes() {
            // The server may refuse, and stop reading, before the last one.
            if client.try_send(&[byte]).is_err() {
                break;
            }
        }
        assert!(client.response().expect_status(400).closes());
        client.expect_closed();
        witness.expect_nothing_published();
    }
}

#[test]
fn an_excessive_size_is_refused_before_its_data() {
    let mut witness = Witness::start(Limits::default());
    for size in [
        "ffffffff",
        "7fffffffffffffff",
        "8000000000000000",
        "ffffffffffffffff",
        "FFFFFFFFFFFFFFFE",
        "10000000000000000",
        "10000000000000005",
        "fffffffffffffffff",
        "100000000000000000000000000000005",
        "000000000000000010000000000000005",
    ] {
        witness.refused(size, post_chunked(format!("{size}\r\nhello\r\n0\r\n\r\n")), &[413, 400]);
        let later = format!("5\r\nhello\r\n{size}\r\nhello\r\n0\r\n\r\n");
        witness.refused(&format!("{size} behind another"), post_chunked(later), &[413, 400]);
    }
}

#[test]
fn well_formed_chunks_are_decoded() {
    let mut witness = Witness::start(Limits::default());
    for (name, coded, line) in [
        ("one", "5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("five", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", "hello"),
        ("none", "0\r\n\r\n", ""),
        ("lower case", "b\r\nhello world\r\n0\r\n\r\n", "hello world"),
        ("upper case", "B\r\nhello world\r\n0\r\n\r\n", "hello world"),
        ("both", "01a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", "abcdefghijklmnopqrstuvwxyz"),
        ("leading zeros", "0005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("more leading zeros than a number has digits", "00000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("a long last size", "5\r\nhello\r\n00000\r\n\r\n", "hello"),
        ("an extension", "5;a\r\nhello\r\n0\r\n\r\n", "hello"),
        ("an extension with a value", "5;a=b\r\nhello\r\n0;c=d\r\n\r\n", "hello"),
        ("many extensions", "5;a=b;c;d=e\r\nhello\r\n0\r\n\r\n", "hello"),
        ("blanks in extensions", "5 ;\ta = b ; c\r\nhello\r\n0\r\n\r\n", "hello"),
        ("a quoted extension", "5;a=\"b; c\\\"d\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("a trailer", "5\r\nhello\r\n0\r\nX: y\r\n\r\n", "hello"),
        ("many trailers", "5\r\nhello\r\n0\r\nX: y\r\nDigest: abc=\r\nZ:\r\n\r\n", "hello"),
        ("Content-Length as a trailer", "5\r\nhello\r\n0\r\nContent-Length: 2\r\n\r\n", "hello"),
        ("Transfer-Encoding as a trailer", "5\r\nhello\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", "hello"),
        ("Connection as a trailer", "5\r\nhello\r\n0\r\nConnection: close\r\nHost: a, b\r\n\r\n", "hello"),
        ("data that looks like the last chunk", "4\r\n0\r\nx\r\n0\r\n\r\n", "0\ndata: x"),
    ] {
        witness.published(name, post_chunked(coded), line);
    }
}

#[test]
fn the_next_request_follows_the_trailers() {
    let mut witness = Witness::start(Limits::default());
    for trailers in ["", "X: y\r\n", "Content-Length: 500\r\n", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n"] {
        let request = [post_chunked(format!("3\r\none\r\n0\r\n{trailers}\r\n")), post("two")].concat();
        let _row = showing(trailers, &request);
        let mut client = witness.server.connect();
        client.send(&request);
        client.response().expect_status(202);
        client.response().expect_status(202);
        witness.stream().expect(b"data: one\n\ndata: two\n\n");
    }
}

#[test]
fn a_chunked_body_may_be_split_at_any_byte() {
    let server = TestServer::start_default();
    let mut stream = server.stream();
    let coded =
        "3;ext=\"1\"\r\nhel\r\n009\r\nlo, world\r\n1\r\n!\r\n0;last\r\nX-Trailer: y\r\nContent-Length: 3\r\n\r\n";
    let request = post_chunked(coded);
    let mut client = server.connect();
    for at in request.len() - coded.len()..request.len() {
        let (first, second) = request.split_at(at);
        let _row = showing(format!("split at {at}"), first);
        client.send(first);
        // Lets the server see the first part alone; the test does not depend on it.
        thread::park_timeout(Duration::from_micros(500));
        client.send(second);
        client.response().expect_status(202);
        stream.expect_data("hello, world!");
    }
}

#[test]
fn the_limit_of_extensions_is_for_the_whole_body() {
    let mut witness = Witness::start(with!(Limits::default(), { chunk_extension_bytes: 256 }));
    let one = |length: usize| post_chunked(format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(length)));
    witness.published("below the limit", one(200), "hello");
    witness.refused("above the limit", one(300), &[400]);
    let many = |count: usize| post_chunked(format!("{}0\r\n\r\n", "1;0123456789\r\nx\r\n".repeat(count)));
    witness.published("many, below the limit", many(15), &"x".repeat(15));
    witness.refused("many, above the limit", many(30), &[400]);
    let endless = post_chunked(format!("5;{}", "x".repeat(100_000)));
    witness.refused("one that never ends", endless, &[400]);
}

#[test]
fn trailers_are_read_up_to_their_limit() {
    let mut witness = Witness::start(with!(Limits::default(), { trailer_bytes: 256 }));
    let one = |length: usize| post_chunked(format!("5\r\nhello\r\n0\r\nX: {}\r\n\r\n", "x".repeat(length)));
    witness.published("below the limit", one(200), "hello");
    witness.refused("above the limit", one(300), &[400]);
    let many = |count: usize| post_chunked(format!("5\r\nhello\r\n0\r\n{}\r\n", "X: 12345\r\n".repeat(count)));
    witness.published("many, below the limit", many(20), "hello");
    witness.refused("many, above the limit", many(30), &[400]);
    witness.refused("one that never ends", post_chunked(format!("0\r\nX: {}", "x".repeat(100_000))), &[400]);
}
