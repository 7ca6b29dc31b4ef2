//! The Host field: required, once, and no more than a host and a port.

use smolcast::Limits;

use crate::witness::Witness;

/// A publish with these lines instead of its Host.
fn publish(version: &str, lines: &str) -> String {
    format!("POST /broadcast HTTP/{version}\r\n{lines}Content-Length: 5\r\n\r\nhello")
}

#[test]
fn http_1_1_without_one_host_is_400() {
    let mut witness = Witness::start(Limits::default());
    for (name, lines) in [
        ("none", ""),
        ("two that differ", "Host: h\r\nHost: i\r\n"),
        ("two that are the same", "Host: h\r\nHost: h\r\n"),
        ("two, in different case", "Host: h\r\nhOST: h\r\n"),
        ("two, apart", "Host: h\r\nX: y\r\nHost: h\r\n"),
        ("a good one and an empty one", "Host: h\r\nHost:\r\n"),
        ("another name that ends in it", "X-Host: h\r\n"),
    ] {
        witness.refused(name, publish("1.1", lines), &[400]);
    }
    let absolute = "POST http://h/broadcast HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";
    witness.refused("none, with an absolute target", absolute, &[400]);
}

#[test]
fn a_malformed_host_is_400() {
    let mut witness = Witness::start(Limits::default());
    for value in [
        "user@h",
        "user:secret@h",
        "h/",
        "h/path",
        "/",
        "http://h",
        "h?x",
        "h#x",
        "h\\x",
        "h i",
        "h\ti",
        "h, i",
        "h,i",
        "h:x",
        "h:80x",
        "h:-1",
        "h:+80",
        "h: 80",
        "h :80",
        "h:80:80",
        "h:65536",
        "h:99999",
        "h:184467440737095516160080",
        "[::1",
        "::1",
        "::1]",
        "[::1]x",
        "[::1]:x",
        "[]",
        "[h]",
        "[::1]]",
        "<h>",
        "\"h\"",
        "h|i",
        "{h}",
        "h^i",
        "h`i",
        "h%",
        "h%zz",
    ] {
        witness.refused(value, publish("1.1", &format!("Host: {value}\r\n")), &[400]);
    }
}

#[test]
fn a_host_with_or_without_a_port_is_fine() {
    let mut witness = Witness::start(Limits::default());
    for value in [
        "",
        "h",
        "h:80",
        "localhost:1942",
        "127.0.0.1",
        "127.0.0.1:1942",
        "[::1]",
        "[::1]:1942",
        "[2001:db8::ff00:42:8329]:443",
        "example.com",
        "EXAMPLE.com:65535",
        "a-b.c_d.e~f",
        "xn--bcher-kva.example",
        " \th\t ",
    ] {
        witness.published(value, publish("1.1", &format!("Host: {value}\r\n")), "hello");
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let mut witness = Witness::start(Limits::default());
    witness.published("none", publish("1.0", ""), "hello");
    witness.published("one", publish("1.0", "Host: h\r\n"), "hello");
}

#[test]
fn the_authority_of_an_absolute_target_wins_over_host() {
    let mut witness = Witness::start(Limits::default());
    let request = "POST http://a.example/broadcast HTTP/1.1\r\nHost: b.example\r\nContent-Length: 5\r\n\r\nhello";
    witness.published("they differ", request, "hello");
}
