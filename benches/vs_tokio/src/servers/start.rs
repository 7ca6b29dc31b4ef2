//! The common start of the measured servers: flags, a listener, and the line with its address.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result};
use argh::FromArgs;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

/// As many connects as may wait to be accepted, for every server.
const BACKLOG: i32 = 4096;

/// Serves as one of the measured servers, on 127.0.0.1, until it is killed.
#[derive(Clone, Copy, FromArgs)]
pub(crate) struct Settings {
    /// port on 127.0.0.1, 0 for a free one
    #[argh(option, default = "0")]
    pub(crate) port: u16,

    /// threads that serve
    #[argh(option, default = "2")]
    pub(crate) workers: usize,

    /// seconds of silence after which a stream gets a comment
    #[argh(option, default = "Duration::from_secs(15)", from_str_fn(seconds))]
    pub(crate) heartbeat: Duration,
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|error| format!("{error}"))
}

/// The listener that every server but smolcast, which opens its own alike, accepts from: non-blocking, with the same
/// backlog, and TCP_NODELAY, which accepted sockets inherit.
pub(super) fn listen(settings: Settings) -> Result<TcpListener> {
    let open = || -> rustix::io::Result<_> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let listener = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        sockopt::set_tcp_nodelay(&listener, true)?;
        net::bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, settings.port))?;
        net::listen(&listener, BACKLOG)?;
        Ok(listener)
    };
    Ok(open().context("opening the listener")?.into())
}

/// Prints the line with the address, for the comparison.
pub(super) fn announce(listener: &TcpListener) -> Result<()> {
    let address = listener.local_addr().context("asking for the listener's port")?;
    println!("Listening on http://{address}/");
    Ok(())
}
