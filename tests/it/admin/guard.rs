//! Requests that are allowed: those of programs, and of pages of this address alone.

use smolcast::{AccessSettings, Limits};
use support::{Served, config, showing, wait_until, with};

use super::{admin, ask, connect, start};

/// Requests that are guarded, and requests that are for everybody.
const GUARDED: [(&str, &str); 5] =
    [("GET", "/"), ("GET", "/page.js"), ("GET", "/live"), ("POST", "/publish"), ("POST", "/disconnect?stream=0-0")];
const FOR_ALL: [(&str, &str); 4] = [("GET", "/metrics"), ("GET", "/healthz"), ("GET", "/readyz"), ("HEAD", "/readyz")];

fn request(method: &str, target: &str, fields: &str) -> String {
    let length = if method == "POST" { "Content-Length: 1\r\n" } else { "" };
    let body = if method == "POST" { "x" } else { "" };
    format!("{method} {target} HTTP/1.1\r\n{fields}{length}\r\n{body}")
}

/// Foreign name servers can point such a host here: it reads health and metrics and does no more.
#[test]
fn a_host_of_foreign_dns_changes_nothing() {
    let server = start(config(Limits::default()));
    let mut stream = server.stream();
    for host in ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example"] {
        let fields = format!("Host: {host}\r\n");
        for (method, target) in GUARDED {
            let bytes = request(method, target, &fields);
            let _row = showing("guarded", bytes.as_bytes());
            ask(admin(&server), &bytes).expect_status(421);
        }
        // A page whose own name points here may read these responses too; they hold nothing but figures.
        for (method, target) in FOR_ALL {
            let bytes = request(method, target, &fields);
            let _row = showing("for all", bytes.as_bytes());
            ask(admin(&server), &bytes).expect_status(200);
        }
    }
    // The target's authority wins over `Host`.
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
        ask(admin(&server), request("POST", "/publish", &fields)).expect_status(202);
        stream.expect_data("x");
        ask(admin(&server), request("POST", "/disconnect?stream=0-0", &fields)).expect_status(404);
    }
}

/// Some requests of a page have no origin, and a stream that it opens holds a place.
#[test]
fn a_page_of_another_site_opens_no_live_stream() {
    let server = start(config(Limits::default()));
    for fields in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "sec-fetch-site:same-site\r\n"]
    {
        for (method, target) in [("GET", "/live"), ("POST", "/publish"), ("POST", "/disconnect?stream=0-0")] {
            let bytes = request(method, target, &format!("Host: localhost:9942\r\n{fields}"));
            let _row = showing("of another", bytes.as_bytes());
            ask(admin(&server), &bytes).expect_status(403);
        }
    }
    // A person may follow a link to the page.
    let bytes = request("GET", "/", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n");
    ask(admin(&server), &bytes).expect_status(200);
    assert_eq!(server.metrics.messages(), 0);
}

#[test]
fn live_pages_leave_room_for_short_requests() {
    let server = start(config(with!(Limits::default(), { admin_connections: 8 })));
    let live = request("GET", "/live", "Host: localhost\r\n");
    let mut pages: Vec<_> = (0..6).map(|_| connect(admin(&server))).collect();
    for page in &mut pages {
        page.send(&live);
        page.read_until(b"event: hello");
    }
    ask(admin(&server), &live).expect_status(503);
    ask(admin(&server), request("GET", "/healthz", "Host: localhost\r\n")).expect_status(200);
    pages.pop();
    wait_until("there is room again", || {
        let mut page = connect(admin(&server));
        // It is closed at once while the ones before it are still closing.
        page.try_send(live.as_bytes()).is_ok()
            && page.try_read_until(b"\r\n").is_some_and(|line| line.starts_with(b"HTTP/1.1 200"))
    });
}

#[test]
fn listed_hosts_and_addresses_are_allowed() {
    let hosts = ["ops.example", "*.tenants.example"].map(|host| host.parse().expect("a host")).into();
    let access = with!(AccessSettings::default(), { hosts });
    let server = start(with!(config(Limits::default()), { access }));
    for (host, status) in [
        ("a.tenants.example", 421),
        ("ops.example", 200),
        ("ops.example:9942", 200),
        ("10.1.2.3", 200),
        ("[::1]:9942", 200),
        ("a.example", 421),
    ] {
        let bytes = request("GET", "/", &format!("Host: {host}\r\n"));
        let _row = showing(host, bytes.as_bytes());
        ask(admin(&server), &bytes).expect_status(status);
    }
    server.access_control.replace(AccessSettings::default());
    ask(admin(&server), request("GET", "/", "Host: ops.example\r\n")).expect_status(421);
}
