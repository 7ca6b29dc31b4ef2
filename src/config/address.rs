//! Where a server can be reached: a TCP address, or the path of a unix socket.
//!
//! Values alone: nothing is bound or looked up here.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Who may connect to a unix socket by default: its owner and its group.
pub(crate) const DEFAULT_MODE: u32 = 0o660;

/// An address to listen on. As text it is `127.0.0.1:1942`, `[::1]:1942` or `unix:/run/smolcast.sock`; it shows itself
/// as what a client would be told, `http://127.0.0.1:1942/` or `unix:/run/smolcast.sock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A TCP address; port 0 lets the system pick a free one. `[::]` takes IPv4 as well, unless an IPv4 address
    /// of the same port is listened on beside it.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix {
        /// Where it is made. One that nobody listens on any more is replaced, and it is removed at the end.
        path: PathBuf,
        /// Its permissions, as for chmod(1): who may write to it may connect. `0o660` unless it is said.
        mode: u32,
    },
}

impl Address {
    /// A unix socket at this path, with the default permissions.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::Unix { path: path.into(), mode: DEFAULT_MODE }
    }

    /// Whether clients of other machines may reach it.
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp(address) => !address.ip().to_canonical().is_loopback(),
            Self::Unix { .. } => false,
        }
    }

    /// The TCP address, if it is one.
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
            None => text.parse().map(Self::Tcp).map_err(|_| InvalidAddress),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}/"),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that is no address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAddress;

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address is such as 127.0.0.1:1942, [::1]:1942 or unix:/run/smolcast.sock")
    }
}

impl std::error::Error for InvalidAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown() {
        for (text, shown, is_exposed) in [
            ("127.0.0.1:0", "http://127.0.0.1:0/", false),
            ("[::1]:1942", "http://[::1]:1942/", false),
            ("[::ffff:127.0.0.1]:1", "http://[::ffff:127.0.0.1]:1/", false),
            ("0.0.0.0:80", "http://0.0.0.0:80/", true),
            ("[::]:80", "http://[::]:80/", true),
            ("unix:/run/s", "unix:/run/s", false),
            ("unix:s", "unix:s", false),
        ] {
            let address: Address = text.parse().expect(text);
            assert_eq!((address.to_string().as_str(), address.is_exposed()), (shown, is_exposed));
        }
        for text in ["", "127.0.0.1", "localhost:1", "::1:80:", "unix:", "/run/s", "127.0.0.1:65536"] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text:?}");
        }
    }
}
