//! One shard's way from the hub's queue to its subscribers' sockets: drain, batch, route, write.
//!
//! Everything here but the inspector belongs to one thread, and the room knows no HTTP.
//!
//! Invariant: nothing waits for a subscriber, but for a slow one's share of the window's time.

mod audience;
mod audiences;
mod dispatcher;
mod inspector;
mod latest;
mod partial_event;
mod slow;
mod subscriber;
mod subscriber_counts;
mod window;

pub use self::dispatcher::Dispatcher;
pub(crate) use self::inspector::{Command, ShardHandle, SlowReport};
pub use self::subscriber::{Membership, Progress, Reservation};
pub use self::subscriber_counts::SubscriberCounts;
