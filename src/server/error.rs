//! The reasons that a server is not bound, each with advice for the operator.

use std::io;
use std::path::PathBuf;

use crate::config::{Address, ConfigError};
use crate::net::RESERVED_DESCRIPTORS;

/// The reason that a server could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// A value of the configuration is out of range.
    #[error("{0}")]
    Config(#[source] ConfigError),
    /// The process may not open enough files for a single connection.
    #[error("{}", descriptors_advice(*.limit, *.admin))]
    #[non_exhaustive]
    Descriptors {
        /// The limit of this process.
        limit: usize,
        /// The share of the admin address, 0 if there is none.
        admin: usize,
    },
    /// The history's folder cannot be opened.
    #[error("cannot use {} as the history's folder: {}", .0.display(), .1)]
    History(PathBuf, #[source] io::Error),
    /// The system allows this process no further thread.
    #[error(
        "cannot start a thread: {0}; allow this user or container more threads (ulimit -u, TasksMax=, --pids-limit), \
         or choose fewer workers"
    )]
    Thread(#[source] io::Error),
    /// The server cannot listen on an address.
    #[error("{}", listen_advice(.0, .1))]
    Listen(Address, #[source] io::Error),
    /// A socket that was handed over cannot be used.
    #[error("cannot use a socket that was handed over: {0}")]
    Inherited(#[source] io::Error),
}

fn descriptors_advice(limit: usize, admin: usize) -> String {
    let (own, sum) = (RESERVED_DESCRIPTORS, RESERVED_DESCRIPTORS + admin + 1);
    let share = if admin == 0 { String::new() } else { format!(", {admin} for the admin address") };
    format!(
        "this process may open {limit} files, and the server needs {sum} or more: {own} for itself{share}, and one for \
         each connection; raise the limit (ulimit -n, LimitNOFILE=)"
    )
}

fn listen_advice(address: &Address, error: &io::Error) -> String {
    match address {
        Address::Tcp(address) => format!("cannot listen on {address}: {}", tcp_advice(error)),
        Address::Unix { path, .. } => {
            format!("cannot listen on the unix socket {}: {}", path.display(), unix_advice(error))
        }
    }
}

fn tcp_advice(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken, by another program or another address of this server; choose \
                                     one that is free (0 picks one)"
            .to_owned(),
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one that it has, or 0.0.0.0 for all of them".to_owned()
        }
        io::ErrorKind::PermissionDenied => "this user may not listen there; choose a port above 1023".to_owned(),
        _ => error.to_string(),
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

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let of = |kind: io::ErrorKind| io::Error::from(kind);
        let tcp = |kind| BindError::Listen(([127, 0, 0, 1], 80).into(), of(kind));
        let unix = |error| BindError::Listen(Address::unix("/run/s"), error);
        let other = || io::Error::other("odd");
        for (error, text) in [
            (
                BindError::Descriptors { limit: 70, admin: 33 },
                "this process may open 70 files, and the server needs 98 or more: 64 for itself, 33 for the admin \
                 address, and one for each connection; raise the limit (ulimit -n, LimitNOFILE=)",
            ),
            (
                BindError::Descriptors { limit: 64, admin: 0 },
                "this process may open 64 files, and the server needs 65 or more: 64 for itself, and one for each \
                 connection; raise the limit (ulimit -n, LimitNOFILE=)",
            ),
            (BindError::History("/h".into(), other()), "cannot use /h as the history's folder: odd"),
            (
                BindError::Thread(other()),
                "cannot start a thread: odd; allow this user or container more threads (ulimit -u, TasksMax=, \
                 --pids-limit), or choose fewer workers",
            ),
            (BindError::Inherited(other()), "cannot use a socket that was handed over: odd"),
            (
                tcp(io::ErrorKind::AddrInUse),
                "cannot listen on 127.0.0.1:80: the port is taken, by another program or another address of this \
                 server; choose one that is free (0 picks one)",
            ),
            (
                tcp(io::ErrorKind::AddrNotAvailable),
                "cannot listen on 127.0.0.1:80: this machine has no such address; choose one that it has, or 0.0.0.0 \
                 for all of them",
            ),
            (
                tcp(io::ErrorKind::PermissionDenied),
                "cannot listen on 127.0.0.1:80: this user may not listen there; choose a port above 1023",
            ),
            (
                unix(of(io::ErrorKind::AddrInUse)),
                "cannot listen on the unix socket /run/s: another program listens on it; end that, or choose another \
                 path",
            ),
            (unix(other()), "cannot listen on the unix socket /run/s: odd"),
        ] {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.source().is_some(), !matches!(error, BindError::Descriptors { .. }), "{text}");
        }
    }
}
