//! Events as values: their fields and topics, and their bytes on the wire.
//!
//! Pure: bytes and values in, bytes and values out. Delivery, order and ids of the server's own are for other rooms.

pub mod frame;
pub(crate) mod id;
pub(crate) mod json;
pub mod topic;

pub use self::frame::{Event, InvalidField};
pub use self::topic::{Filter, InvalidFilter};
