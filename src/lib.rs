//! Broadcast server: one message to every open browser tab, now.
//!
//! Messages come in by `POST /broadcast`, or from the program around the server. They go out as Server-Sent Events to
//! every open `GET /sse`. There is one hot path: a message is encoded once, and its bytes are written to N sockets.
//!
//! # Quick start
//!
//! ```
//! use smolcast::{Config, Event, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
//! server.addresses().for_each(|address| println!("open {address}sse"));
//! let publisher = server.publisher(); // cheap to clone, usable from any thread and executor
//! let until = async move {
//!     publisher.publish(Event::new("hello").with_type("greeting")).await.expect("the server is running");
//! };
//! smol::block_on(server.run(until))?; // serves until the future ends, then shuts down gracefully
//! # Ok(())
//! # }
//! ```
//!
//! # Topics
//!
//! A message with topics reaches the streams that subscribed to one of them, once each. A message without topics is a
//! broadcast and reaches every stream. A stream subscribes by filters as in MQTT: `/sse?topic=room/7&topic=news/%23`.
//!
//! ```
//! # use smolcast::{Config, Event, Filter, Server};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
//! let event = Event::new("goal").with_topic("sport/football");
//! # let publish = async { server.publisher().publish(event).await };
//! # smol::block_on(publish)?;
//! let everything: Filter = "sport/#".parse()?;
//! println!("{} streams", server.streams_on(&everything));
//! # Ok(())
//! # }
//! ```
//!
//! # History
//!
//! With [`Config::history`] every event has an id. A client that reconnects gets the events that it missed, once and in
//! order. If some of them are gone, the stream says so by an event `gap`. [`Config::history_dir`] keeps the history
//! over restarts.
//!
//! # Shutdown
//!
//! [`Server::run`] ends when the future that it was given ends. It stops accepting, answers the requests in flight,
//! delivers accepted messages, and ends every stream between two events, all within [`Limits::drain_timeout`]. Dropping
//! the server, or the future of `run`, ends it at once. Either way every thread, socket and file is free afterwards.
//!
//! # In tokio, or any other runtime
//!
//! The server brings its own threads, so the future of `run` only waits, and any executor can poll it:
//!
//! ```
//! # mod tokio { pub fn spawn<F: Future<Output: Send> + Send + 'static>(_future: F) {} }
//! # use smolcast::{Config, Server};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let server = Server::bind(Config::on(([127, 0, 0, 1], 0)))?;
//! # let shutdown = async {};
//! let publisher = server.publisher();
//! tokio::spawn(server.run(shutdown));
//! # drop(publisher);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! - `cli` (default): the `smolcast` program. Programs that embed the server turn it off.
//! - `internals`: private parts for benches and fuzzing. It is no part of the API and may change in any version.
//!
//! # Layout
//!
//! Twelve rooms in three layers. A room names only itself and rooms that stand before it.
//!
//! values: `sys` `event` `auth` `metrics` `config` `http`
//! engine: `hub` `net` `fanout`
//! edge: `connection` `admin` `server`

#![cfg_attr(not(feature = "internals"), expect(unreachable_pub, reason = "reachable under the feature `internals`"))]

mod admin;
mod auth;
mod config;
mod server;
mod sys;

// Rooms that benches and fuzzing drive.
#[cfg(not(feature = "internals"))]
mod connection;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod connection;
#[cfg(not(feature = "internals"))]
mod event;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod event;
#[cfg(not(feature = "internals"))]
mod fanout;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod fanout;
#[cfg(not(feature = "internals"))]
mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod http;
#[cfg(not(feature = "internals"))]
mod hub;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod hub;
#[cfg(not(feature = "internals"))]
mod metrics;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod metrics;
#[cfg(not(feature = "internals"))]
mod net;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod net;

pub use auth::{AccessControl, AccessSettings, HostPattern, InvalidPattern, InvalidToken, OriginPattern, Token};
pub use config::{
    Address, Config, ConfigError, HistoryDir, HistorySync, InvalidAddress, InvalidProxy, Limits, Retention,
    TrustedProxy,
};
pub use event::{Event, Filter, InvalidField, InvalidFilter};
pub use hub::PublishError;
pub use metrics::{Health, Metrics, NotReady, StreamEnd};
pub use net::Inherited;
pub use server::{BindError, Publisher, Receipt, Server, Sockets};

/// The README's code is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
