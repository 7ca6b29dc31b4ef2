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
//! From the bottom up; a module uses only those above it in this list's order of levels.
//!
//! | level | module | what lives there |
//! | --- | --- | --- |
//! | 0 | `access` | whose requests are carried out |
//! | 0 | `address` | where a server can be reached |
//! | 0 | `frame` | the event-stream format: events to bytes |
//! | 0 | `histogram` | how often which values came up |
//! | 0 | `network` | connections by where they come from, and whose word on that is taken |
//! | 0 | `lock` | what other processes are kept from |
//! | 0 | `group` | a number of tasks, and the wait until none is left |
//! | 0 | `quota` | a number of bytes that may be under way |
//! | 0 | `input` | the unread bytes of one connection |
//! | 0 | `scratch` | the buffer that all reads of a shard land in |
//! | 0 | `json` | values as JSON |
//! | 0 | `process` | what the system knows of this process |
//! | 0 | `query` | the parameters of a request |
//! | 0 | `topic` | which messages are for whom |
//! | 1 | `census` | how many streams ask for which topics |
//! | 1 | `config` | every number, with its unit, its default and its reason |
//! | 1 | `tally` | what one shard counts of its own |
//! | 1 | `journal` | the file of events that outlives the server |
//! | 1 | `latest` | the newest event of each topic |
//! | 1 | `settings` | what can be changed while the server runs |
//! | 1 | `window` | recent bytes by position |
//! | 2 | `metrics` | what happened, counted |
//! | 2 | `history` | the recent events, for those who come back |
//! | 2 | `remainder` | what streams that leave still need of them |
//! | 2 | `http` | requests from bytes, answers to bytes |
//! | 2 | `router` | which of the five tasks a request asks for |
//! | 3 | `ask` | what a request asks for beyond its route |
//! | 3 | `audience` | the streams that get the same bytes, and those bytes: the hot path |
//! | 4 | `clock` | ticks, deadlines, the date |
//! | 4 | `health` | whether a server serves |
//! | 4 | `listener` | bind, accept, and who gets in |
//! | 4 | `archive` | the history, shared by all shards |
//! | 5 | `recorder` | publishing into a file, on a thread of its own |
//! | 6 | `hub` | where messages are accepted, in one order |
//! | 7 | `hall` | the audiences of one shard, and who gets which message |
//! | 8 | `dispatch` | from the channel to the streams: drain, batch, give, write |
//! | 9 | `context` | what the tasks of one shard share |
//! | 10 | `socket` | a client's socket, used in time |
//! | 11 | `subscriber` | one open stream |
//! | 12 | `exchange` | requests and their answers |
//! | 13 | `connection` | one client, from accept to its end |
//! | 14 | `internals` | what benches and fuzz targets reach of the rest |
//! | 14 | `shard` | one worker thread |
//! | 15 | `shards` | all worker threads |
//! | 16 | `admin` | metrics, health and a live page, at an address of their own |
//! | 17 | `server` | the whole, and its public face |

mod access;
mod address;
mod admin;
mod archive;
mod ask;
mod audience;
mod census;
mod clock;
mod config;
mod connection;
mod context;
mod dispatch;
mod exchange;
mod frame;
mod group;
mod hall;
mod health;
mod histogram;
mod history;
mod http;
mod hub;
mod input;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod journal;
mod json;
mod latest;
mod listener;
mod lock;
mod metrics;
mod network;
mod process;
mod query;
mod quota;
mod recorder;
mod remainder;
mod router;
mod scratch;
mod server;
mod settings;
mod shard;
mod shards;
mod socket;
mod subscriber;
mod tally;
mod topic;
mod window;

pub use access::{Access, HostPattern, InvalidPattern, InvalidToken, OriginPattern, Token};
pub use address::{Address, InvalidAddress};
pub use config::{Config, ConfigError, HistoryFile, HistorySync, Limits, Retention};
pub use frame::{Event, InvalidField};
pub use health::{Health, NotReady};
pub use listener::Inherited;
pub use metrics::{Metrics, StreamEnd};
pub use network::{InvalidProxy, TrustedProxy};
pub use server::{BindError, PublishError, Publisher, Server, Sockets};
pub use settings::Settings;

/// The README's code is compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
