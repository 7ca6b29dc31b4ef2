//! The start of the program: its descriptor limit, its reactor, the start line, and a warning about unused addresses.

use std::error::Error;
use std::io;
use std::panic;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smol::Timer;
use smol::future::{block_on, poll_once};
use smolcast::{Address, BindError, Config, Server, Sockets};

use crate::log::LineWriter;

/// Prepares the process: its log, with these first lines, its descriptor limit and its reactor. Returns the writer to
/// standard output.
///
/// Every thread of the program starts before the start line, so that a lack of threads is an error of the start alone.
///
/// # Errors
///
/// The system allows no further thread, or no descriptor.
pub(crate) fn prepare(warnings: &[String]) -> Result<LineWriter, Box<dyn Error>> {
    crate::log::start().map_err(BindError::Thread)?;
    warnings.iter().for_each(|line| log::warn!("{line}"));
    raise_descriptor_limit();
    start_reactor()?;
    Ok(LineWriter::new(io::stdout()).map_err(BindError::Thread)?)
}

/// Raises the soft limit of descriptors to the hard one: each connection is a descriptor.
fn raise_descriptor_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // A failure shows in the start line, as fewer connections.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Starts the reactor and its thread, which the first use would do too, but with a panic if it fails.
fn start_reactor() -> Result<(), Box<dyn Error>> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    // A timer that has to wait registers with the reactor. `smol::block_on` would need the thread again as it unwinds.
    let started = panic::catch_unwind(|| block_on(poll_once(Timer::after(Duration::from_secs(1)))));
    panic::set_hook(hook);
    started.map(drop).map_err(|panic| match panic.downcast_ref::<String>() {
        Some(text) if !text.contains("thread") => {
            format!("{text}; raise the limit of open files (ulimit -n, LimitNOFILE=)").into()
        }
        _ => BindError::Thread(Errno::AGAIN.into()).into(),
    })
}

/// The first line on standard output, with the addresses of the server.
pub(crate) fn start_line(server: &Server) -> String {
    let workers = server.workers();
    let is_open = server.access_control().settings().publish_tokens.is_empty();
    let exposed = joined(server.addresses().filter(|address| is_open && address.is_exposed()));
    let warning = match exposed.as_str() {
        "" => String::new(),
        exposed => format!("; anyone who reaches {exposed} may publish to /broadcast"),
    };
    let admin = server.admin_address().map_or_else(String::new, |address| {
        let exposed = address.is_exposed();
        let warning = if exposed { ", where anyone who reaches it may publish and disconnect streams" } else { "" };
        format!("; admin on {address}{warning}")
    });
    format!(
        "Listening on {} with {workers} worker{}, up to {} connections{warning}{admin}\n",
        joined(server.addresses()),
        if workers == 1 { "" } else { "s" },
        server.connection_limit(),
    )
}

/// The status for a service manager: the addresses alone.
pub(crate) fn status(server: &Server) -> String {
    format!("Serving on {}", joined(server.addresses()))
}

/// Warns of configured addresses that handed-over sockets replace.
pub(crate) fn warn_of_unused_addresses(config: &Config, sockets: &Sockets) {
    let is_asked_for = config.listen != Config::default().listen;
    let listen = config.listen.iter().filter(|_| is_asked_for && !sockets.public.is_empty());
    let vain = joined(listen.chain(config.admin.iter().filter(|_| sockets.admin.is_some())));
    if !vain.is_empty() {
        log::warn!("sockets were handed over, so nothing listens on {vain}");
    }
}

fn joined<'a>(addresses: impl Iterator<Item = &'a Address>) -> String {
    addresses.map(Address::to_string).collect::<Vec<_>>().join(", ")
}
