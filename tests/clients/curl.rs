//! curl: publishes, shows a stream byte by byte, and shows the head of responses to pages of other origins.
//!
//! It does not parse events and does not reconnect. The tests parse its output as a browser does, and start it again
//! with the id of the last whole event.

use std::io::{BufReader, Read, Write};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use rustix::process::Signal;
use support::measure::{report, skipped};
use support::sse::Parser;
use support::{Response, Served, parse_responses};

use crate::Program;
use crate::cases::{self, BREAKS, url_of};
use crate::ear::{Ear, Heard};
use crate::packages::run;

/// True if curl runs; prints its version or the reason.
fn is_here(test: &str) -> bool {
    let version = run(Command::new("curl").arg("--version"));
    version.map(|version| report(test, version)).map_err(|why| skipped(test, why)).is_ok()
}

/// curl without the user's settings and without a proxy.
fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--disable", "--silent", "--noproxy", "*", "--max-time", "60"]);
    curl
}

/// Opens a stream, resumed after `last` unless that is empty.
fn listen_from(url: &str, last: &str) -> Ear {
    let mut curl = curl();
    curl.args(["--no-buffer", url]);
    if !last.is_empty() {
        curl.arg("--header").arg(format!("Last-Event-ID: {last}"));
    }
    Ear::start(&mut curl, read_stream)
}

fn listen(url: &str) -> Ear {
    listen_from(url, "")
}

/// Reads a stream from its `:ok` on.
fn read_stream(mut output: BufReader<ChildStdout>, heard: &Sender<Heard>) {
    let (mut opening, mut buffer, mut parser) = ([0; 5], [0; 4096], Parser::default());
    // A stream that ends before, or without a receiver, has no events.
    if output.read_exact(&mut opening).is_err() || heard.send(Heard::Open).is_err() {
        return;
    }
    assert_eq!(&opening, b":ok\n\n");
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        if parser
            .feed(&buffer[..count])
            .into_iter()
            .try_for_each(|message| heard.send(Heard::Message(message)))
            .is_err()
        {
            return;
        }
    }
}

/// Publishes `body` through curl's standard input, by the options in `how`.
#[track_caller]
fn publish(program: &Program, body: &str, how: &[&str]) {
    let mut curl = curl();
    curl.args(["--output", "/dev/null", "--write-out", "%{http_code}"]).args(how);
    curl.arg(format!("http://{}/broadcast", program.addr)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = curl.spawn().expect("curl runs");
    let written = process.stdin.take().expect("it is piped").write_all(body.as_bytes());
    let output = process.wait_with_output().expect("it is a child of this process");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "202", "by {how:?}, of {body:?}");
    written.expect("it reads what it publishes");
}

#[test]
#[ignore = "it needs curl"]
fn a_broadcast_arrives() {
    if !is_here("broadcast by curl") {
        return;
    }
    // The README's command.
    cases::a_broadcast_arrives(listen, |program, body| publish(program, "", &["-d", body]));
}

#[test]
#[ignore = "it needs curl"]
fn every_body_arrives_intact() {
    if !is_here("bodies by curl") {
        return;
    }
    let ways: [&[&str]; 3] = [
        &["--data-binary", "@-"],
        // Chunked, since the length is unknown.
        &["--request", "POST", "--upload-file", "-"],
        // curl waits for a `100` before it sends the body.
        &["--data-binary", "@-", "--header", "Expect: 100-continue"],
    ];
    for how in ways {
        cases::every_body_arrives_intact(listen, |program, body| publish(program, body, how));
    }
}

#[test]
#[ignore = "it needs curl"]
fn messages_missed_on_broken_connections_arrive_once() {
    if !is_here("resume by curl") {
        return;
    }
    cases::what_was_missed_arrives(|url| {
        let (url, mut last, mut streams) = (url.to_owned(), String::new(), 1);
        let mut ear = listen(&url);
        move || loop {
            match ear.next() {
                Some(Heard::Open) => {}
                Some(Heard::Message(message)) => {
                    last.clone_from(&message.last_event_id);
                    return message;
                }
                None => {
                    assert!(streams <= BREAKS, "the stream behind all that break ended as well");
                    streams += 1;
                    ear = listen_from(&url, &last);
                }
            }
        }
    });
}

/// The response to a page of this origin, as curl shows it.
#[track_caller]
fn answer(url: &str, origin: &str, method: &str, rest: &[&str]) -> Response {
    let mut curl = curl();
    curl.args(["--include", "--header", &format!("Origin: {origin}"), "--request", method]).args(rest).arg(url);
    let output = curl.stdin(Stdio::null()).output().expect("curl runs");
    assert!(output.status.success(), "{curl:?}: {output:?}");
    parse_responses(&output.stdout, &[method]).pop().expect("an answer")
}

/// The response to a stream request; the stream ends with its server.
#[track_caller]
fn answer_of_stream(program: Program, origin: &str) -> Response {
    let (url, origin) = (url_of(program.addr), origin.to_owned());
    let curl = thread::spawn(move || answer(&url, &origin, "GET", &[]));
    program.wait_for_count(1);
    program.signal(Signal::TERM);
    assert_eq!(program.finish().code, Some(0));
    curl.join().expect("curl ends with its stream")
}

const LISTED: &str = "https://app.example";
const OTHER: &str = "https://other.example";

/// Flags, an origin, and its `Access-Control-Allow-Origin`.
type Row = (&'static [&'static str], &'static str, Option<&'static str>);

#[rustfmt::skip]
const READERS: [Row; 3] = [
    (&[], OTHER, Some("*")),
    (&["--allow-origin", LISTED], LISTED, Some(LISTED)),
    (&["--allow-origin", LISTED], OTHER, None),
];

#[test]
#[ignore = "it needs curl"]
fn every_response_names_the_pages_that_may_read_it() {
    if !is_here("origins by curl") {
        return;
    }
    for (flags, origin, allowed) in READERS {
        let program = Program::start(flags);
        let url = |path: &str| format!("http://{}{path}", program.addr);
        let mut answers = vec![
            answer(&url("/connections"), origin, "GET", &[]).expect_status(200),
            answer(&url("/connections"), origin, "OPTIONS", &[]).expect_status(204),
            answer(&url("/sse"), origin, "OPTIONS", &[]).expect_status(204),
            answer(&url("/broadcast"), origin, "POST", &["--data", "x"]).expect_status(if allowed.is_some() {
                202
            } else {
                403
            }),
        ];
        answers.push(answer_of_stream(program, origin).expect_status(200));
        for answer in answers {
            assert_eq!(answer.field("access-control-allow-origin"), allowed, "for {origin} with {flags:?}: {answer:?}");
        }
    }
}
