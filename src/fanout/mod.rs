//! One shard's way from the hub's queue to its subscribers' sockets: drain, batch, route, write.
//!
//! Everything here belongs to one thread. Nothing waits for a subscriber.

mod audience;
mod audiences;
mod dispatcher;
mod inspector;
mod latest;
mod partial_event;
mod subscriber_counts;
mod window;

pub(crate) use self::audience::{Membership, Progress, Reservation, SlowReport};
pub(crate) use self::dispatcher::Dispatcher;
pub(crate) use self::inspector::{Command, ShardHandle};
pub(crate) use self::subscriber_counts::SubscriberCounts;
