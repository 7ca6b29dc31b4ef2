//! A page in the browser, which does what its script says and tells the test what it sees.

use std::collections::VecDeque;

use crate::PATIENCE;
use crate::chromium::{Browser, Chromium};
use crate::site::{Report, Serving, Site};

/// The `readyState` of a stream that will come back by itself, of one that is open, and of one that is given up.
pub(crate) const CONNECTING: u8 = 0;
pub(crate) const OPEN: u8 = 1;
pub(crate) const CLOSED: u8 = 2;

/// What every script can use. Reports are sent one after the other, so that they arrive in the order of what happened.
const PRELUDE: &str = r#"
let told = Promise.resolve();
const tell = (what, data = "", stream = 0, ready = 0) => {
  const path = `/report/${what}/${stream}/${ready}/${performance.now()}`;
  told = told.then(() => fetch(path, { method: "POST", body: String(data) })).catch(() => {});
};
addEventListener("error", (event) => tell("failure", event.message));
addEventListener("unhandledrejection", (event) => tell("failure", event.reason));

const watch = (server, stream = 0, query = "") => {
  const source = new EventSource(`${server}/sse${query}`);
  source.onopen = () => tell("open", "", stream, source.readyState);
  source.onerror = () => tell("error", "", stream, source.readyState);
  source.onmessage = (event) => tell("message", event.data, stream, source.readyState);
  source.addEventListener("gap", (event) => tell("gap", event.data, stream, source.readyState));
  return source;
};
const publish = (server, body, options = {}) => fetch(`${server}/broadcast`, { method: "POST", body, ...options });
const count = (server) => fetch(`${server}/connections`).then((answer) => answer.text());
"#;

/// A page that is open. Dropping it ends its browser.
pub(crate) struct Page {
    // In this order: the browser goes before the site that it asks.
    browser: Browser,
    site: Serving,
    /// What the page has told and the test has not asked for yet.
    kept: VecDeque<Report>,
}

impl Page {
    /// Opens a page of this site, which runs this script.
    #[track_caller]
    pub(crate) fn open(chromium: Chromium, site: Site, script: &str) -> Self {
        let site = site.serve(format!("<!doctype html><title>page</title><script>{PRELUDE}\n{script}</script>\n"));
        let browser = chromium.open(&site.url());
        Self { browser, site, kept: VecDeque::new() }
    }

    /// The next report of its kind.
    #[track_caller]
    pub(crate) fn expect(&mut self, what: &str) -> Report {
        self.expect_that(what, |report| report.what == what)
    }

    /// The next report of its kind from each of the first so many streams.
    #[track_caller]
    pub(crate) fn expect_each(&mut self, what: &str, streams: usize) -> Vec<Report> {
        let is_from = |report: &Report, stream| report.what == what && report.stream == stream;
        (0..streams).map(|stream| self.expect_that(what, |report| is_from(report, stream))).collect()
    }

    /// How many reports of a kind came before the last one that was asked for, and were not asked for themselves.
    pub(crate) fn others(&self, what: &str) -> usize {
        self.kept.iter().filter(|report| report.what == what).count()
    }

    #[track_caller]
    fn expect_that(&mut self, what: &str, is_it: impl Fn(&Report) -> bool) -> Report {
        let found = self.kept.iter().position(&is_it);
        if let Some(report) = found.and_then(|at| self.kept.remove(at)) {
            return report;
        }
        loop {
            let report = self.next(what);
            if is_it(&report) {
                return report;
            }
            self.kept.push_back(report);
        }
    }

    #[track_caller]
    fn next(&self, awaited: &str) -> Report {
        let Ok(report) = self.site.reports.recv_timeout(PATIENCE) else {
            let (kept, words) = (&self.kept, self.browser.last_words());
            panic!("no {awaited:?} within {PATIENCE:?}\n reports: {kept:?}\n the browser says:\n{words}");
        };
        assert_ne!(report.what, "failure", "the script failed: {}", report.data);
        report
    }
}
