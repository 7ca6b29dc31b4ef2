//! One message to every open browser tab, now.
//!
//! smolcast is a broadcast server: messages come in by `POST /broadcast`, or from the program that embeds it, and go
//! out as Server-Sent Events to every open `GET /sse`. It is written for one hot path: a message is encoded once and
//! its bytes are written to N sockets.
//!
//! ```
//! use smolcast::{Config, Event, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
//! server.addresses().for_each(|address| println!("open {address}sse"));
//! let publisher = server.publisher();
//! let publish_once = async move {
//!     publisher.publish(Event::new("hello")).await.expect("the server is running");
//! };
//! smol::block_on(server.run(publish_once))?; // serves until the future ends
//! # Ok(())
//! # }
//! ```
//!
//! # Layout
//!
//! Twelve rooms in three layers. A room names only itself and rooms that stand before it.
//!
//! values: `sys` `event` `auth` `metrics` `config` `http`
//! engine: `hub` `net` `fanout`
//! edge: `connection` `admin` `server`

mod admin;
mod auth;
mod config;
mod connection;
mod event;
mod fanout;
mod http;
mod hub;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod metrics;
mod net;
mod server;
mod sys;

pub use auth::{Access, HostPattern, InvalidPattern, InvalidToken, OriginPattern, Settings, Token};
pub use config::{
    Address, Config, ConfigError, HistoryFile, HistorySync, InvalidAddress, InvalidProxy, Limits, Retention,
    TrustedProxy,
};
pub use event::{Event, Filter, InvalidField, InvalidFilter};
pub use metrics::{Health, Metrics, NotReady, StreamEnd};
pub use net::Inherited;
pub use server::{BindError, PublishError, Publisher, Server, Sockets};

/// The README's code is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
