//! smolcast as a program embeds it: the library's own defaults, its warnings on standard error, an orderly end at
//! SIGTERM.

use std::future;
use std::net::Ipv4Addr;

use async_signal::{Signal, Signals};
use log::{LevelFilter, Log, Metadata, Record};
use smol::stream::StreamExt;
use smolcast::{Config, Server};

use super::Settings;
use anyhow::{Context, Result};

pub(super) fn serve(settings: Settings) -> Result<()> {
    let mut config = Config::on((Ipv4Addr::LOCALHOST, settings.port));
    config.workers = settings.workers.try_into().ok();
    config.heartbeat = Some(settings.heartbeat);
    log::set_logger(&Warnings).context("setting the logger")?;
    log::set_max_level(LevelFilter::Warn);
    let server = Server::bind(config).context("starting smolcast")?;
    let mut signals = Signals::new([Signal::Term]).context("waiting for SIGTERM")?;
    server.addresses().for_each(|address| println!("Listening on {address}"));
    let end = async move {
        if signals.next().await.is_none() {
            future::pending::<()>().await;
        }
    };
    smol::block_on(server.run(end)).context("serving")
}

/// A server that is well has none.
struct Warnings;

impl Log for Warnings {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("smolcast: {}: {}", record.level().as_str().to_ascii_lowercase(), record.args());
    }

    fn flush(&self) {}
}
