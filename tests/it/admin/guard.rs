//! Whose requests are carried out: those of programs, and of pages of this address alone.

use smolcast::{Access, Config, Limits};

use super::{admin, ask, start};
use crate::support::{Served, config, showing};

/// What has to be refused to whom, and what is for everybody.
const GUARDED: [(&str, &str); 5] =
    [("GET", "/"), ("GET", "/page.js"), ("GET", "/live"), ("POST", "/publish"), ("POST", "/disconnect?stream=0-0")];
const FOR_ALL: [(&str, &str); 4] = [("GET", "/metrics"), ("GET", "/healthz"), ("GET", "/readyz"), ("HEAD", "/readyz")];

fn request(method: &str, target: &str, fields: &str) -> String {
    let length = if method == "POST" { "Content-Length: 1\r\n" } else { "" };
    let body = if method == "POST" { "x" } else { "" };
    format!("{method} {target} HTTP/1.1\r\n{fields}{length}\r\n{body}")
}

#[test]
fn a_host_that_foreign_name_servers_could_point_here_gets_nothing_done() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example"] {
        let fields = format!("Host: {host}\r\n");
        for (method, target) in GUARDED {
            let bytes = request(method, target, &fields);
            let _row = showing("guarded", bytes.as_bytes());
            ask(admin(&server), &bytes).expect_status(421);
        }
        // A page whose own name points here may read the answer to these as well, which tell nothing but figures.
        for (method, target) in FOR_ALL {
            let bytes = request(method, target, &fields);
            let _row = showing("for all", bytes.as_bytes());
            ask(admin(&server), &bytes).expect_status(200);
        }
    }
    // The target's authority counts where there is one.
    let absolute = request("GET", "http://evil.example/", "Host: localhost\r\n");
    ask(admin(&server), absolute).expect_status(421);
    server.publish("sentinel");
    stream.expect_data("sentinel");
}

#[test]
fn a_page_of_another_origin_changes_nothing() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    for origin in ["https://evil.example", "null", "http://localhost", "http://localhost:1", "http://127.0.0.1:9942"] {
        for target in ["/publish", "/disconnect?stream=0-0"] {
            let fields = format!("Host: localhost:9942\r\nOrigin: {origin}\r\n");
            let bytes = request("POST", target, &fields);
            let _row = showing("of another", bytes.as_bytes());
            ask(admin(&server), &bytes).expect_status(403);
        }
    }
    server.publish("sentinel");
    stream.expect_data("sentinel");
    for (origin, host) in [("http://localhost:9942", "localhost:9942"), ("https://127.0.0.1", "127.0.0.1")] {
        let fields = format!("Host: {host}\r\nOrigin: {origin}\r\n");
        ask(admin(&server), request("POST", "/publish", &fields)).expect_status(200);
        stream.expect_data("x");
        ask(admin(&server), request("POST", "/disconnect?stream=0-0", &fields)).expect_status(404);
    }
}

#[test]
fn a_host_that_the_operator_lists_is_meant_and_so_is_an_address() {
    let hosts = vec!["ops.example".parse().expect("a host")];
    let access = Access { hosts, ..Access::default() };
    let server = start(Config { access, ..config(Limits::default()) });
    for (host, status) in
        [("ops.example", 200), ("ops.example:9942", 200), ("10.1.2.3", 200), ("[::1]:9942", 200), ("a.example", 421)]
    {
        let bytes = request("GET", "/", &format!("Host: {host}\r\n"));
        let _row = showing(host, bytes.as_bytes());
        ask(admin(&server), &bytes).expect_status(status);
    }
    server.settings.replace(Access::default());
    ask(admin(&server), request("GET", "/", "Host: ops.example\r\n")).expect_status(421);
}
