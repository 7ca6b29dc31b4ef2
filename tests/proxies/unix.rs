//! The server on a unix socket.

use smolcast::Address;
use support::{Folder, Served};

use crate::Program;
use crate::curl::{Stream, Version, publish, request};
use crate::proxy::{Proxy, for_each};

/// The proxy runs as another user and shares no group with this test.
const FLAGS: [&str; 6] = ["--unix-mode", "666", "--max-connections-per-ip", "2", "--trusted-proxy", "unix"];

/// Another address of this machine, so that the test's own requests do not count with it.
const CLIENT: &str = "127.0.0.2";

/// The limit per address is for each client of the proxy.
#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn a_unix_socket_serves_proxies_too() {
    for_each("unix", |kind| {
        let folder = Folder::new();
        let path = folder.path("socket");
        let program = Program::start(&[&["--unix", path.to_str().expect("the path is UTF-8")], &FLAGS[..]].concat());
        let proxy = Proxy::start(kind, Address::Unix { path, mode: 0o666 }, &[]);
        let mut streams = Version::BOTH.map(|version| Stream::open_from(&proxy, version, CLIENT));
        assert_eq!(program.count(), 2, "{}", kind.name());
        let told = request(&proxy, Version::Http2, "/sse", &["--interface", CLIENT]);
        assert!(told.status == 200 && told.body.starts_with("retry: "), "{}: {told:?}", kind.name());
        for version in Version::BOTH {
            let message = format!("by {version}");
            assert_eq!(publish(&proxy, version, &message), 202, "{}", kind.name());
            for stream in &mut streams {
                stream.expect(&message);
            }
        }
        drop(streams);
        program.wait_for_count(0);
    });
}
