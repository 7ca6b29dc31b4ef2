//! What a client misses while its connections break, one after the other.

use crate::support::{Program, Served};

/// How many bytes each of the first connections carries: nothing, a head and a part of an event, some events.
pub(crate) const LENGTHS: [usize; 8] = [1200, 0, 777, 1301, 0, 650, 1502, 999];

/// One more, for clients that do not take a part of a head for the whole. Chromium does where there is no TLS, finds no
/// event stream in it, and gives the stream up; the server sends a head in one piece.
pub(crate) const PART_OF_A_HEAD: usize = 100;

const MESSAGES: usize = 300;

/// An event's id, and its text.
pub(crate) type Published = (String, String);

/// Publishes it all, the advice to come back soon first.
#[track_caller]
pub(crate) fn publish_all(program: &Program) -> Vec<Published> {
    let soon = publish(program, "?retry=20", "come back soon");
    let rest = (1..MESSAGES).map(|number| publish(program, "", &format!("message {number}\nof many")));
    let all: Vec<_> = std::iter::once(soon).chain(rest).collect();
    let bytes: usize = all.iter().map(|(id, text)| id.len() + text.len()).sum();
    let carried = LENGTHS.iter().sum::<usize>() + PART_OF_A_HEAD;
    assert!(bytes > carried, "{bytes} bytes, of {carried}: a connection may be left that does not break");
    all
}

/// Publishes one message.
#[track_caller]
pub(crate) fn publish(program: &Program, query: &str, text: &str) -> Published {
    let head = format!("POST /broadcast{query} HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n");
    let answer = program.request(format!("{head}Content-Length: {}\r\n\r\n{text}", text.len())).expect_status(202);
    let body = String::from_utf8(answer.body).expect("JSON is text");
    let id = body.split('"').nth(3).unwrap_or_else(|| panic!("no id in {body}"));
    (id.to_owned(), text.to_owned())
}
