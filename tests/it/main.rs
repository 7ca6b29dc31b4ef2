//! The wire contract, checked from outside: raw bytes on real sockets against a server on a free port.
//!
//! Every test starts a server of its own, so that all of them run at once. Every read has a deadline, and a failure
//! shows what was expected and what came, side by side.
//!
//! # Layout
//!
//! The tools are the crate `support`; `tools` tests them; `witness` is a server that shows forbidden publishes.
//!
//! - `contract`: the five tasks; `event`: what a browser makes of a message
//! - `fields`: what a publisher adds to its message; `topics`: whom that is for
//! - `resume`: streams that come back; `restart`: to another server
//! - `access`: the lists of hosts and origins; `token`: what a publisher shows
//! - `head`, `host`, `body`, `chunked`, `expect`: requests, good and bad
//! - `connection`, `deadline`, `limit`: what becomes of a connection; `endings`: why streams ended
//! - `load`, `churn`: many clients at once, and slow ones
//! - `forwarded`: whom requests count for that come by way of proxies
//! - `doors`: several addresses, unix sockets among them
//! - `admin`: the admin address
//! - `lifecycle`: the server as a library, its start and its end
//! - `binary`, `flags`: the program; `addresses`: where it listens; `reload`: what it reads anew
//! - `systemd`: the program under a service manager
//! - `docs`: the tables of `docs/`, held against what the server says

mod access;
#[cfg(feature = "cli")]
mod addresses;
mod admin;
#[cfg(feature = "cli")]
mod binary;
mod body;
mod chunked;
mod churn;
mod connection;
mod contract;
mod deadline;
mod docs;
mod doors;
mod endings;
mod event;
mod expect;
mod fields;
#[cfg(feature = "cli")]
mod flags;
mod forwarded;
mod head;
mod host;
mod lifecycle;
mod limit;
mod load;
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
