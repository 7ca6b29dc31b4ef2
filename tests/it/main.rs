//! The wire contract, checked from outside: raw bytes on real sockets against a server on a free port.
//!
//! Every test starts its own server, so that all of them run at once. Every read has a deadline, and a failure shows
//! expected and received bytes side by side.
//!
//! # Layout
//!
//! The tools are the crate `support`; `tools` tests them; `witness` is a server that shows forbidden publishes.
//!
//! - `contract`: the five tasks; `event`: a browser's view of a message
//! - `fields`: the fields of a message; `topics`: its subscribers; `filters`: the memory of their filters
//! - `ids`: the ids of events; `resume`: streams that reconnect; `restart`: streams that reconnect to another server
//! - `access`: the lists of hosts and origins; `token`: publish tokens
//! - `head`, `host`, `body`, `chunked`, `expect`: requests, good and bad
//! - `connection`, `deadline`, `limit`: the life of a connection; `endings`: the reasons for which streams end
//! - `load`, `churn`: many clients at once, and slow ones; `pipelined`: many requests at once
//! - `forwarded`: clients behind proxies
//! - `listen`: several addresses, unix sockets among them
//! - `admin`: the admin address
//! - `api`: the traits of the library's types
//! - `lifecycle`: the server as a library, its start and its end
//! - `front`: the page of `/`
//! - `binary`, `flags`: the program; `addresses`: its addresses; `reload`: its reload on SIGHUP
//! - `log`: the form of its log lines; `systemd`: the program under a service manager
//! - `docs`: the tables of `docs/`, held against the server

mod access;
#[cfg(feature = "cli")]
mod addresses;
mod admin;
mod api;
#[cfg(feature = "cli")]
mod binary;
mod body;
mod chunked;
mod churn;
mod connection;
mod contract;
mod deadline;
mod docs;
mod endings;
mod event;
mod expect;
mod fields;
mod filters;
#[cfg(feature = "cli")]
mod flags;
mod forwarded;
mod front;
mod head;
mod host;
mod ids;
mod lifecycle;
mod limit;
mod listen;
mod load;
#[cfg(all(target_os = "linux", feature = "cli"))]
mod log;
mod pipelined;
#[cfg(all(target_os = "linux", feature = "cli"))]
mod reload;
#[cfg(feature = "cli")]
mod restart;
mod resume;
#[cfg(feature = "cli")]
mod systemd;
mod token;
mod tools;
mod topics;
mod witness;

#[cfg(feature = "cli")]
support::program_under_test!();
