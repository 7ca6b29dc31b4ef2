//! Addresses to listen on: a TCP address, or the path of a unix socket.
//!
//! Values alone: nothing is bound or resolved here.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Default permissions of a unix socket: its owner and its group may connect.
pub(crate) const DEFAULT_MODE: u32 = 0o660;

/// Address to listen on.
///
/// It parses from `127.0.0.1:1942`, `[::1]:1942` or `unix:/run/smolcast.sock`. `localhost:1942`, `:1942` and `1942` are
/// `127.0.0.1:1942`: an address for the network has to be written out. It displays as a client would use it:
/// `http://127.0.0.1:1942/` or `unix:/run/smolcast.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Address {
    /// TCP address; with port 0 the kernel picks a free port. `[::]` accepts IPv4 as well, unless the server listens on
    /// an IPv4 address with the same port.
    Tcp(SocketAddr),
    /// Unix socket.
    Unix {
        /// Path of the socket. A stale socket is replaced, and the server removes its own at the end.
        path: PathBuf,
        /// Permissions, as for chmod(1): a user who may write to the socket may connect. Default: `0o660`.
        mode: u32,
    },
}

impl Address {
    /// Creates the address of a unix socket with default permissions.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix { path: path.into(), mode: DEFAULT_MODE }
    }

    /// Returns true if clients on other machines can reach the address.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => false,
        }
    }

    /// Returns the TCP address, if it is one.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }
}

impl<A: Into<SocketAddr>> From<A> for Address {
    fn from(address: A) -> Self {
        Self::Tcp(address.into())
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text.strip_prefix("unix:") {
            Some("") => Err(InvalidAddress),
            Some(path) => Ok(Self::unix(path)),
            None => text.parse().ok().or_else(|| own_port(text)).map(Self::Tcp).ok_or(InvalidAddress),
        }
    }
}

/// A port of this machine's own address: `1942`, `:1942` or `localhost:1942`.
fn own_port(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    let is_number = port.bytes().all(|octet| octet.is_ascii_digit());
    is_number.then(|| port.parse().ok()).flatten().map(|port: u16| (Ipv4Addr::LOCALHOST, port).into())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}/"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Text that is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is such as 127.0.0.1:1942, [::1]:1942 or unix:/run/smolcast.sock")]
pub struct InvalidAddress;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_parse_and_display() {
        for (text, shown, is_exposed) in [
            ("127.0.0.1:0", "http://127.0.0.1:0/", false),
            ("[::1]:1942", "http://[::1]:1942/", false),
            ("[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1/", false),
            ("0.0.0.0:80", "http://0.0.0.0:80/", true),
            ("[::]:80", "http://[::]:80/", true),
            ("localhost:80", "http://127.0.0.1:80/", false),
            (":1942", "http://127.0.0.1:1942/", false),
            ("1942", "http://127.0.0.1:1942/", false),
            ("unix:/run/s", "unix:/run/s", false),
            ("unix:s", "unix:s", false),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.to_string().as_str(), address.is_exposed()), (shown, is_exposed));
        }
        for text in [
            "",
            ":",
            "127.0.0.1",
            "localhost",
            "localhost:",
            "::1:80:",
            "unix:",
            "/run/s",
            "127.0.0.1:65536",
            "65536",
            "+1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text:?}");
        }
    }
}
