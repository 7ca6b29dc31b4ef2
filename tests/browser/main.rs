//! What a real browser makes of the server: pages of another origin, their streams, and how these come back.
//!
//! The other tests bring their own idea of a browser; here a Chromium without a window opens the pages. All of it is
//! ignored by a plain `cargo test`, since it is slow and most of its time is the browser's:
//!
//! ```sh
//! cargo test --test browser -- --include-ignored --test-threads 1 --nocapture
//! ```
//!
//! A machine without Chromium or Chrome says `SKIPPED` and why; `SMOLCAST_CHROMIUM` names one that is not in the path,
//! and has to be right. Every wait has a deadline. Figures are printed; what is held of times is what the server
//! promises: that streams come back within the time that they are told, and not all at once.
//!
//! # Layout
//!
//! - `chromium`: the browser, found and run, and gone with its test
//! - `site`: the web server of a test's page; `page`: the page in the browser, which tells the test what it sees
//! - `delivery`: messages from page to page, with the `bodies` of every client; `full`: no room
//! - `restart`: the server goes and comes back
//! - `resume`: what a page missed meanwhile, from a history; also behind the `relay` of every client, with what is
//!   `missed` there
//! - `origin`: pages that are let in, and others; `token`: those that publish with one
//! - `hand`: a page that a script clicks and types in; `admin`: what it does on the live page

#![cfg(all(target_os = "linux", feature = "cli"))]

mod admin;
mod chromium;
mod delivery;
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

/// How long a test waits for what a browser does, the browser's own start on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(30);
