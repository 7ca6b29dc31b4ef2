//! Waits with a bound in wall-clock time, for what is rare enough to be worth a timer of its own.
//!
//! A connection's waits use [`Deadline`](super::Deadline), which costs a row of a table.

use std::time::Duration;

use async_io::Timer;
use smol::future::FutureExt;

/// Waits for `future` for at most `time`; `None` where it takes longer. The future is polled first.
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
