//! The reasons that a server is not bound, each with advice for the operator.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::config::{Address, ConfigError};
use crate::net::RESERVED_DESCRIPTORS;

/// The reason that a server could not be bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// A value of the configuration is out of range.
    Config(ConfigError),
    /// The process may not open enough files for a single connection.
    Descriptors,
    /// The history's file cannot be opened.
    History(PathBuf, io::Error),
    /// A thread cannot be started: the log's or the admin side's.
    Thread(io::Error),
    /// The server cannot listen on an address.
    Listen(Address, io::Error),
    /// A socket that was handed over cannot be used.
    Inherited(io::Error),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (address, error) = match self {
            Self::Config(error) => return error.fmt(f),
            Self::Descriptors => {
                return write!(
                    f,
                    "this process may open too few files: the server needs {RESERVED_DESCRIPTORS} or more for itself \
                     and one for each connection; raise the limit (ulimit -n)"
                );
            }
            Self::History(path, error) => {
                return write!(f, "cannot use {} as the history's file: {error}", path.display());
            }
            Self::Thread(error) => return write!(f, "cannot start a thread: {error}"),
            Self::Inherited(error) => return write!(f, "cannot use a socket that was handed over: {error}"),
            Self::Listen(address, error) => (address, error),
        };
        match address {
            Address::Tcp(address) => write!(f, "cannot listen on {address}: ")?,
            Address::Unix { path, .. } => {
                return write!(f, "cannot listen on the unix socket {}: {}", path.display(), unix_advice(error));
            }
        }
        match error.kind() {
            io::ErrorKind::AddrInUse => f.write_str(
                "the port is taken, by another program or another address of this server; choose one that is \
                             free (0 picks one)",
            ),
            io::ErrorKind::AddrNotAvailable => {
                f.write_str("this machine has no such address; choose one that it has, or 0.0.0.0 for all of them")
            }
            io::ErrorKind::PermissionDenied => f.write_str("this user may not listen there; choose a port above 1023"),
            _ => error.fmt(f),
        }
    }
}

fn unix_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens on it; end that, or choose another path".to_owned(),
        io::ErrorKind::AlreadyExists => format!("{error}; remove that, or choose another path"),
        io::ErrorKind::NotFound => "its folder does not exist; make it, or choose another path".to_owned(),
        _ => error.to_string(),
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Descriptors => None,
            Self::History(_, error) | Self::Thread(error) | Self::Listen(_, error) | Self::Inherited(error) => {
                Some(error)
            }
        }
    }
}
