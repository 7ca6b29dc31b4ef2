//! A server with a history: a page that reconnects gets missed messages, or a gap.

use std::net::SocketAddr;

use support::measure::report;
use support::missed::{self, LENGTHS, Published, publish};
use support::{Folder, Relay, Served};

use crate::Program;
use crate::chromium::Chromium;
use crate::page::{CONNECTING, Page};
use crate::site::Site;

/// Targets of messages, each with the answer whether a stream on topic `a` receives it.
///
/// Each round ends with messages that it does not receive, so that a page's last id is never the newest.
const TARGETS: [(&str, bool); 6] = [
    ("?topic=a", true),
    ("?topic=b", false),
    ("", true),
    ("?topic=a&topic=b", true),
    ("?topic=a/b", false),
    ("?topic=b", false),
];
const ROUNDS: usize = 10;

/// Starts the program at a port, 0 for any, with a history by these variables.
#[track_caller]
fn start(port: u16, history: &[(&str, &str)]) -> Program {
    Program::start_without_flags(&[&[("SMOLCAST_PORT", port.to_string().as_str())], history].concat())
}

/// A page with one open stream on topic `a`.
#[track_caller]
fn open_stream(chromium: Chromium, addr: SocketAddr) -> Page {
    let script = format!(
        r#"const stream = watch("http://{addr}", 0, "?topic=a");
stream.addEventListener("message", (event) => tell("id", event.lastEventId));"#
    );
    let mut page = Page::open(chromium, Site::bind(), &script);
    page.expect("open");
    page
}

/// Publishes to all targets in turn; returns the messages that the page must receive.
#[track_caller]
fn publish_to_all(program: &Program, when: &str) -> Vec<Published> {
    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        for (query, is_for_page) in TARGETS {
            let text = format!("{when}, round {round}, to {query:?}");
            let published = publish(program, query, &text);
            if is_for_page {
                expected.push(published);
            }
        }
    }
    expected
}

/// Holds that these are the next messages on the page.
#[track_caller]
fn expect_messages(page: &mut Page, expected: &[Published]) {
    for (id, text) in expected {
        assert_eq!(page.expect("message").data, *text, "with the id {id}");
        assert_eq!(page.expect("id").data, *id, "of {text:?}");
    }
}

/// Holds that the page's stream has ended and will reconnect.
#[track_caller]
fn expect_error(page: &mut Page) {
    assert_eq!(page.expect("error").ready, CONNECTING, "the stream is given up");
}

/// Every message arrives once and in order.
#[test]
#[ignore = "it needs a browser, and waits for streams that come back after seconds"]
fn crashes_cost_a_page_no_message_of_its_topic() {
    let Some(chromium) = Chromium::find("a history on disk") else { return };
    let folder = Folder::new();
    let history_dir = folder.file("history");
    // With a sync of each event the next server knows that a crash has cost none.
    let history = [
        ("SMOLCAST_HISTORY", "1000"),
        ("SMOLCAST_HISTORY_DIR", history_dir.as_str()),
        ("SMOLCAST_HISTORY_SYNC", "always"),
    ];
    let mut program = start(0, &history);
    let port = program.addr.port();
    let mut page = open_stream(chromium, program.addr);
    let mut messages = vec![publish(&program, "", "the first")];
    expect_messages(&mut page, &messages);
    // Number of errors of the stream, including attempts that find no server.
    for ends in [1, 2] {
        // The page may have any part of these when the server ends.
        let mut missed = publish_to_all(&program, &format!("before end {ends}"));
        assert_eq!(program.kill().code, None, "it was killed");
        for _ in 0..ends {
            expect_error(&mut page);
        }
        program = start(port, &history);
        missed.extend(publish_to_all(&program, &format!("after end {ends}")));
        assert_eq!(program.count(), 0, "the page came back before there was anything to miss");
        page.expect("open");
        missed.extend(publish_to_all(&program, &format!("back from end {ends}")));
        expect_messages(&mut page, &missed);
        messages.extend(missed);
    }
    expect_messages(&mut page, &[publish(&program, "", "the last")]);
    for what in ["message", "id", "gap", "open", "error"] {
        assert_eq!(page.others(what), 0, "{what:?} more than expected");
    }
    report("a history on disk", format_args!("{} messages over two crashes, each once", messages.len() + 1));
}

#[test]
#[ignore = "it needs a browser, and waits for a stream that comes back after seconds"]
fn a_page_that_missed_too_much_gets_a_gap() {
    let Some(chromium) = Chromium::find("a gap") else { return };
    let history = [("SMOLCAST_HISTORY", "2")];
    let program = start(0, &history);
    let port = program.addr.port();
    let mut page = open_stream(chromium, program.addr);
    let seen = publish(&program, "?topic=a", "seen");
    expect_messages(&mut page, std::slice::from_ref(&seen));
    assert_eq!(program.kill().code, None, "it was killed");
    expect_error(&mut page);
    let program = start(port, &history);
    for text in ["missed", "missed as well", "and this one"] {
        publish(&program, "?topic=a", text);
    }
    let oldest = publish(&program, "?topic=b", "held for others");
    let held = publish(&program, "?topic=a", "held");
    assert_eq!(program.count(), 0, "the page came back before there was anything to miss");
    page.expect("open");
    expect_messages(&mut page, std::slice::from_ref(&held));
    assert_eq!(page.others("gap"), 1, "it comes before what is held");
    let expected = format!(r#"{{"requested":"{}","resumed_from":"{}","oldest":"{}"}}"#, seen.0, held.0, oldest.0);
    assert_eq!(page.expect("gap").data, expected);
    expect_messages(&mut page, &[publish(&program, "", "live")]);
    for what in ["message", "id", "gap", "open", "error"] {
        assert_eq!(page.others(what), 0, "{what:?} more than expected");
    }
}

/// Every message arrives once and in order.
#[test]
#[ignore = "it needs a browser"]
fn broken_connections_cost_a_page_no_message() {
    let Some(chromium) = Chromium::find("broken connections") else { return };
    let program = start(0, &[("SMOLCAST_HISTORY", "1000")]);
    let relay = Relay::start(program.addr, &LENGTHS);
    let mut page = open_stream(chromium, relay.addr);
    let expected = missed::publish_all(&program);
    expect_messages(&mut page, &expected);
    assert_eq!(relay.broken(), LENGTHS.len(), "connections that broke");
    expect_messages(&mut page, &[publish(&program, "", "live")]);
    for what in ["message", "id", "gap"] {
        assert_eq!(page.others(what), 0, "{what:?} more than expected");
    }
    report("broken connections", format_args!("{} messages over {} of them, each once", expected.len(), LENGTHS.len()));
}
