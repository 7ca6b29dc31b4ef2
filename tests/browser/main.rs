//! The server seen by a real browser: pages of another origin, their streams, and their reconnects.
//!
//! The other tests have their own idea of a browser; here a Chromium without a window opens the pages. A plain
//! `cargo test` ignores all of it, since the browser is slow:
//!
//! ```sh
//! cargo test --test browser -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! A machine without Chromium or Chrome prints `SKIPPED` and the reason; `SMOLCAST_CHROMIUM` names one outside of the
//! path, which must run. Every wait has a deadline. Figures are printed. Only promised times are held: streams return
//! within their delay, and not all at once.
//!
//! # Layout
//!
//! - `chromium`: the browser, from its start to its end
//! - `site`: the web server of a test's page; `page`: the page in the browser, which reports to the test
//! - `delivery`: messages from page to page, with `support::bodies`; `full`: a server over capacity
//! - `restart`: a server that restarts
//! - `resume`: missed messages from a history, also behind a `Relay` with `support::missed`
//! - `origin`: listed origins and others; `token`: pages that publish with a token
//! - `hand`: a script that clicks and types; `admin`: the live page under that hand; `front`: the page
//!   of `/`

#![cfg(all(target_os = "linux", feature = "cli"))]

mod admin;
mod chromium;
mod delivery;
mod front;
mod full;
mod hand;
mod origin;
mod page;
mod restart;
mod resume;
mod site;
mod token;

use std::time::Duration;

support::program_under_test!();

/// Longest wait for the browser, including its own start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
