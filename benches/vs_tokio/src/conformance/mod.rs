//! Conformance: a table of the contract's rows, run against the server at any address. A server that breaks one is
//! reported and not measured.
//!
//! A server is held to its contract as a browser and a publisher notice it. Two spellings that no client can tell apart
//! (chunked coding or not, `data:` with a space or without, the case of a name) are both right. No rule relies on the
//! outcome of another one. The tools are those of the tests: they panic, and a panic here is an objection.

mod candidate;
mod rules;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::cell::Cell;
use std::net::SocketAddrV4;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use candidate::Candidate;

pub(crate) use rules::Standard;

/// The limit of each step of a rule. A good server needs a thousandth of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// After so many steps that took all their time, the other rules are not tried: the server is dead.
const MOST_SILENCES: u32 = 10;

/// The outcome of one rule.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    /// The departure from the contract, in one line.
    pub(crate) objection: Option<String>,
}

/// Holds the server at this address to every rule of a standard.
pub(crate) fn check(server: SocketAddrV4, standard: Standard) -> Vec<Row> {
    check_within(server, standard, PATIENCE)
}

/// The number of open streams, by the server's own account.
pub(crate) fn count(server: SocketAddrV4) -> Result<u64> {
    held(|| Candidate::new(server, PATIENCE).count())
}

fn check_within(address: SocketAddrV4, standard: Standard, patience: Duration) -> Vec<Row> {
    let mut server = Candidate::new(address, patience);
    let deadline = Instant::now() + patience * MOST_SILENCES;
    if standard == Standard::Whole {
        // Where this fails, so do the rules on the count.
        server.at_rest = held(|| server.count()).unwrap_or_default();
    }
    let rules = rules::ALL.iter().filter(|rule| standard.includes(rule));
    let rows = rules.map(|rule| {
        let outcome = match Instant::now() < deadline {
            true => held(|| (rule.check)(&server)),
            false => Err(anyhow!("not tried, the rules before it took too long")),
        };
        Row { what: rule.what, objection: outcome.err().map(|failure| failure.to_string()) }
    });
    rows.collect()
}

thread_local! {
    /// True while a panic of this thread becomes an objection and is not to be printed.
    static IS_HELD: Cell<bool> = const { Cell::new(false) };
}

/// Runs a check; its panic becomes a failure of one line.
fn held<T>(check: impl FnOnce() -> T) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_HELD.get() {
                usual(info);
            }
        }));
    });
    IS_HELD.set(true);
    let outcome = panic::catch_unwind(AssertUnwindSafe(check));
    IS_HELD.set(false);
    outcome.map_err(|panic| anyhow!("{}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let literal = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = panic.downcast_ref::<String>().cloned().or(literal).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
