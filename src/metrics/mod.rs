//! Counters of the whole server and of each shard, their distributions, and the health that follows from them.
//!
//! Counting decides nothing and waits for nothing. Reading is for the admin address and for embedding programs.

mod counters;
mod health;
mod histogram;
mod prometheus;
mod shard;

pub(crate) use self::counters::GaugeGuard;
pub use self::counters::{Metrics, StreamEnd};
pub(crate) use self::health::Serving;
pub use self::health::{Health, NotReady};
pub(crate) use self::histogram::{Count, Distribution};
pub(crate) use self::prometheus::Exposition;
pub use self::shard::ShardMetrics;
pub(crate) use self::shard::{PublishOutcome, StatusClass};
