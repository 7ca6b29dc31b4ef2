//! The measured servers that this program brings along, each a file that is read by itself.
//!
//! All of them are this one executable, started with another word: the same compiler flags, the same allocator, the
//! same listener. What they share is in this file and is no part of what is compared.

mod actix_web;
mod axum;
mod floor;
mod hyper;
mod shared;
mod smol_naive;
mod smolcast;
mod tokio_raw;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use argh::FromArgs;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::flags::typed;
use crate::process::raise_descriptor_limit;

/// A server of this program.
pub(crate) struct Own {
    pub(crate) name: &'static str,
    /// Its parts, for a reader of the report.
    pub(crate) about: &'static str,
    serve: fn(Settings) -> Result<()>,
}

/// In the order in which they are measured and reported: the yardstick first.
pub(crate) const ALL: [Own; 7] = [
    Own { name: "floor", about: "a bare write loop, the yardstick", serve: floor::serve },
    Own { name: "smolcast", about: "this project's server", serve: smolcast::serve },
    Own { name: "tokio-raw", about: "tokio, a broadcast channel and httparse", serve: tokio_raw::serve },
    Own { name: "hyper", about: "hyper 1 on tokio, a body over a broadcast channel", serve: hyper::serve },
    Own { name: "axum", about: "axum 0.8 on tokio, its `Sse` and `KeepAlive`", serve: axum::serve },
    Own { name: "actix-web", about: "actix-web 4, a streaming response", serve: actix_web::serve },
    Own { name: "smol-naive", about: "one smol executor, a receiver for each stream", serve: smol_naive::serve },
];

/// `serve NAME [--port N] ...`: serves as the server of that name until the process is killed.
pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let (name, words) = words.split_first().map_or(("", words), |(name, rest)| (name.as_str(), rest));
    let Some(server) = ALL.iter().find(|server| server.name == name) else {
        let names = ALL.map(|server| server.name).join(", ");
        bail!("no server is named {name:?}; there are {names}");
    };
    let settings = typed(&format!("serve {name}"), words);
    raise_descriptor_limit()?;
    (server.serve)(settings).map(|()| ExitCode::SUCCESS)
}

/// As many connects as may wait to be accepted, for every server.
const BACKLOG: i32 = 4096;

/// Serves as one of the measured servers, on 127.0.0.1, until it is killed.
#[derive(Clone, Copy, FromArgs)]
struct Settings {
    /// port on 127.0.0.1, 0 for a free one
    #[argh(option, default = "0")]
    port: u16,

    /// threads that serve
    #[argh(option, default = "2")]
    workers: usize,

    /// seconds of silence after which a stream gets a comment
    #[argh(option, default = "Duration::from_secs(15)", from_str_fn(seconds))]
    heartbeat: Duration,
}

fn seconds(text: &str) -> std::result::Result<Duration, String> {
    text.parse().map(Duration::from_secs).map_err(|error| format!("{error}"))
}

/// The listener that every server but smolcast, which opens its own alike, accepts from: non-blocking, with the same
/// backlog, and TCP_NODELAY, which accepted sockets inherit.
fn listen(settings: Settings) -> Result<TcpListener> {
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
fn announce(listener: &TcpListener) -> Result<()> {
    let address = listener.local_addr().context("asking for the listener's port")?;
    println!("Listening on http://{address}/");
    Ok(())
}
