//! Waits bounded in wall-clock time, each with a timer of its own.
//!
//! They are for rare waits. Those of a connection use [`Deadline`](super::Deadline), which costs a row of a table.

use std::time::Duration;

use async_io::Timer;
use smol::future::FutureExt;

/// Waits for the future at most this long; `None` if it takes longer. The future is polled before the timer.
///
/// Cancel safe if the future is.
pub(crate) async fn within<T>(time: Duration, future: impl Future<Output = T>) -> Option<T> {
    let some = async { Some(future.await) };
    let none = async {
        Timer::after(time).await;
        None
    };
    some.or(none).await
}
