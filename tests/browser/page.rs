//! A page in the browser: runs its script and reports to the test.

use std::collections::VecDeque;

use crate::PATIENCE;
use crate::chromium::{Browser, Chromium};
use crate::site::{Report, Serving, Site};

/// The `readyState` of a stream: reconnecting, open, given up.
pub(crate) const CONNECTING: u8 = 0;
pub(crate) const OPEN: u8 = 1;
pub(crate) const CLOSED: u8 = 2;

/// Functions for every script. Reports are sent one after the other, so that they arrive in order.
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

/// An open page. Its drop ends its browser.
pub(crate) struct Page {
    // Dropped in this order: the browser before its site.
    browser: Browser,
    site: Serving,
    /// Reports that the test has not asked for yet.
    kept: VecDeque<Report>,
}

impl Page {
    /// Opens a page of this site that runs `script`.
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

    /// The next report of its kind from each of the streams.
    #[track_caller]
    pub(crate) fn expect_each(&mut self, what: &str, streams: usize) -> Vec<Report> {
        let is_from = |report: &Report, stream| report.what == what && report.stream == stream;
        (0..streams).map(|stream| self.expect_that(what, |report| is_from(report, stream))).collect()
    }

    /// Number of reports of a kind that the test has skipped until now.
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
