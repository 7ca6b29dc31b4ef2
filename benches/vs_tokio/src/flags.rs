//! The words of the command line as options.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::process;
use std::thread;

use argh::FromArgs;

/// The options in `words`. Ends the process for a help text or an error.
pub(crate) fn typed<T: FromArgs>(command: &str, words: &[String]) -> T {
    // argh knows no `--name=value`.
    let split = words.iter().flat_map(|word| match word.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name, value],
        _ => vec![word.as_str()],
    });
    let options = T::from_args(&command.split(' ').collect::<Vec<_>>(), &split.collect::<Vec<_>>());
    options.unwrap_or_else(|exit| {
        match exit.status {
            Ok(()) => print!("{}", exit.output),
            Err(()) => eprint!("error: {}", exit.output),
        }
        process::exit(i32::from(exit.status.is_err()))
    })
}

/// The address in a URL such as `http://127.0.0.1:1942/`; of a name, its first IPv4 address.
pub(crate) fn address(url: &str) -> Result<SocketAddrV4, String> {
    let authority = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let found = with_port.to_socket_addrs().map_err(|error| format!("expected http://HOST:PORT ({error})"))?;
    let mut found = found.filter_map(|address| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    });
    found.next().ok_or_else(|| format!("{authority} has no IPv4 address, and the load knows no other"))
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(2, usize::from)
}
