//! The server behind a socket that is a file.

use smolcast::{Address, Limits};

use crate::curl::{Stream, Version, publish};
use crate::proxy::{Proxy, for_each};
use crate::support::{Folder, Served, TestServer, config};

#[test]
#[ignore = "it needs nginx, Caddy and HAProxy"]
fn all_goes_by_a_unix_socket_as_well() {
    for_each("unix", |kind| {
        let folder = Folder::new();
        // A proxy has a user of its own, and this test has no group in common with it.
        let unix = Address::Unix { path: folder.path("socket"), mode: 0o666 };
        let mut config = config(Limits::default());
        config.listen.push(unix.clone());
        let server = TestServer::start(config);
        let proxy = Proxy::start(kind, unix, &[]);
        let mut streams = Version::BOTH.map(|version| Stream::open(&proxy, version));
        assert_eq!(server.count(), 2, "{}", kind.name());
        for version in Version::BOTH {
            let message = format!("by {version}");
            assert_eq!(publish(&proxy, version, &message), 202, "{}", kind.name());
            for stream in &mut streams {
                stream.expect(&message);
            }
        }
        drop(streams);
        server.wait_for_count(0);
    });
}
