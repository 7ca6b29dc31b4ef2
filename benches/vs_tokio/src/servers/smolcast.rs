//! smolcast as a program embeds it: the library's own defaults.

use std::future;

use smolcast::{Config, Server};

use super::Settings;
use crate::failure::{Context, Result};

pub(super) fn serve(settings: Settings) -> Result<()> {
    let config = Config {
        port: settings.port,
        workers: settings.workers.try_into().ok(),
        heartbeat: Some(settings.heartbeat),
        ..Config::default()
    };
    let server = Server::bind(config).context("starting smolcast")?;
    println!("Listening on http://{}/", server.local_addr());
    smol::block_on(server.run(future::pending::<()>())).context("serving")
}
