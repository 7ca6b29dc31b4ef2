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
mod start;
mod tokio_raw;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::flags::typed;
use crate::process::raise_descriptor_limit;
use start::Settings;

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
    let settings = match typed(&format!("serve {name}"), words) {
        Ok(settings) => settings,
        Err(code) => return Ok(code),
    };
    raise_descriptor_limit()?;
    (server.serve)(settings).map(|()| ExitCode::SUCCESS)
}
