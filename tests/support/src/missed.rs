//! Messages published while a client's connections break, one after the other.

use crate::Served;

/// Bytes that each of the first connections carries: nothing, a head and a part of an event, some events.
pub const LENGTHS: [usize; 8] = [1200, 0, 777, 1301, 0, 650, 1502, 999];

/// One more length, for clients that wait for a whole head.
///
/// Chromium without TLS takes a part of a head for the whole, finds no event stream in it and gives up. The server
/// sends a head in one piece.
pub const PART_OF_A_HEAD: usize = 100;

const MESSAGES: usize = 300;

/// An event's id and its text.
pub type Published = (String, String);

/// Publishes all messages; the first one tells clients to reconnect soon.
#[track_caller]
pub fn publish_all(server: &impl Served) -> Vec<Published> {
    let soon = publish(server, "?retry=20", "come back soon");
    let rest = (1..MESSAGES).map(|number| publish(server, "", &format!("message {number}\nof many")));
    let all: Vec<_> = std::iter::once(soon).chain(rest).collect();
    let bytes: usize = all.iter().map(|(id, text)| id.len() + text.len()).sum();
    let carried = LENGTHS.iter().sum::<usize>() + PART_OF_A_HEAD;
    assert!(bytes > carried, "{bytes} bytes, of {carried}: a connection may be left that does not break");
    all
}

/// Publishes one message.
#[track_caller]
pub fn publish(server: &impl Served, query: &str, text: &str) -> Published {
    (server.publish_for_id(query, text), text.to_owned())
}
