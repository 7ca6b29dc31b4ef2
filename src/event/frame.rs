//! The event-stream format: a message as bytes on the wire (WHATWG HTML, 9.2.5 and 9.2.6).
//!
//! A program publishes an [`Event`]. A [`Frame`] is its bytes: encoded once, immutable, and shared by every stream that
//! gets it. This module writes the format and never reads it. Invariant: a frame is whole. It ends with the blank line
//! that dispatches it, and holds no other blank line.

use std::sync::Arc;
use std::time::Duration;

use memchr::{memchr2, memchr2_iter, memmem};

use super::id;
use super::json::{self, Object};

/// Message for every open stream, or for the streams that subscribed to one of its topics.
///
/// ```
/// use smolcast::Event;
///
/// let event = Event::new("21.5 °C").with_type("temperature").with_id("42");
/// assert_eq!(Event::from("plain"), Event::new("plain"));
/// # let _ = event;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    data: String,
    fields: Fields,
    topics: Vec<String>,
}

/// Type of the event that tells of missing ones, which only the server sends.
const GAP: &str = "gap";

/// Most digits of a time in milliseconds.
const MOST_DIGITS: usize = 39;

/// Fields of an event besides its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<Duration>,
}

impl Fields {
    /// Checks that the format can carry the fields, and that a client can come back with the id.
    pub(crate) fn check(&self) -> Result<(), InvalidField> {
        match (self.kind.as_deref(), self.id.as_deref()) {
            (Some(GAP), _) => Err(InvalidField::ReservedType),
            (Some(kind), _) if kind.contains(['\r', '\n']) => Err(InvalidField::Type),
            (_, Some(id)) if !id::comes_back(id) => Err(InvalidField::Id),
            _ => Ok(()),
        }
    }

    fn push(&self, server_id: Option<&str>, out: &mut Vec<u8>) {
        let id = self.id.as_deref().or(server_id);
        let retry = self.retry.map(|retry| retry.as_millis().to_string());
        for (name, value) in [("event: ", self.kind.as_deref()), ("id: ", id), ("retry: ", retry.as_deref())] {
            if let Some(value) = value {
                [name, value, "\n"].iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
            }
        }
    }

    /// Upper bound of the bytes that the fields add to a frame.
    fn size(&self) -> usize {
        let texts: usize =
            [&self.kind, &self.id].into_iter().flatten().map(|text| "event: \n".len() + text.len()).sum();
        texts + "id: \n".len() + self.retry.map_or(0, |_| "retry: \n".len() + MOST_DIGITS)
    }
}

impl Event {
    /// Creates an event that hands `data` to the page, with CR, LF and CRLF normalised to LF.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Sets the event's type: the page listens by `addEventListener(kind, ...)` instead of `onmessage`.
    ///
    /// Publishing fails if the type holds CR or LF, or is `gap`, the type of an event of the server's own.
    #[must_use]
    pub fn with_type(mut self, kind: impl Into<String>) -> Self {
        self.fields.kind = Some(kind.into());
        self
    }

    /// Sets the event's id, which a browser sends back as `Last-Event-ID` when it reconnects.
    ///
    /// An id has 1 to 512 bytes, no control character and no blank at either end, and is not `earliest`. Publishing
    /// fails if it breaks these rules. With a history it also fails while that holds another event with the id.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.fields.id = Some(id.into());
        self
    }

    /// Returns the checked fields and the data.
    pub(crate) fn parts(&self) -> Result<(&Fields, &str), InvalidField> {
        self.fields.check()?;
        Ok((&self.fields, &self.data))
    }

    /// Adds a topic: the event reaches only streams that subscribed to one of its topics. Without one it reaches all.
    ///
    /// A topic has 1 to 256 bytes, at most 32 levels, and no `+`, `#`, CR, LF or NUL. Publishing fails if a topic
    /// breaks these rules, or if there are more than 16.
    /// It may end in `/`, which only HTTP requests reject: in a URL that is a filter cut at its `#`.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The topics as they were added, unchecked.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str)
    }

    /// Sets the time that the browser waits before it reconnects, in whole milliseconds.
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.fields.retry = Some(retry);
        self
    }
}

impl From<String> for Event {
    /// Creates an event of this data, as [`Event::new`] does.
    fn from(data: String) -> Self {
        Self::new(data)
    }
}

impl From<&str> for Event {
    /// Creates an event of this data, as [`Event::new`] does.
    fn from(data: &str) -> Self {
        Self::new(data)
    }
}

/// Field of an [`Event`] that the event-stream format cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidField {
    /// The event's type holds a CR or an LF.
    #[error("an event's type may not hold CR or LF")]
    Type,
    /// The event's type is `gap`, which tells a client that events are missing.
    #[error("an event's type may not be gap, which only the server sends")]
    ReservedType,
    /// A client could not send the event's id back as it is; see [`Event::with_id`].
    #[error("an event's id has 1 to 512 bytes, no control character, no blank at either end, and is not earliest")]
    Id,
    /// A topic is invalid, or there are too many; see [`Event::with_topic`].
    #[error("an event has at most 16 topics, of 1 to 256 bytes each, without +, #, CR, LF or NUL")]
    Topic,
}

/// Encoded bytes of one event, shared by everything that writes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(Arc<[u8]>);

impl Frame {
    /// Encodes an event, `data` last: the order in which people read a stream.
    #[cfg(any(test, feature = "internals"))]
    pub fn encode(event: &Event) -> Result<Self, InvalidField> {
        event.fields.check()?;
        Ok(Self::with_fields(&event.fields, None, &event.data))
    }

    /// Encodes a message with checked fields; `server_id` is used if the publisher gave no id.
    pub(crate) fn with_fields(fields: &Fields, server_id: Option<&str>, data: &str) -> Self {
        let mut bytes = Vec::with_capacity(Self::size(fields, data) + server_id.map_or(0, str::len));
        fields.push(server_id, &mut bytes);
        push_data(&mut bytes, data);
        Self(bytes.into())
    }

    /// Encodes a message that has only data.
    #[cfg(any(test, feature = "internals"))]
    pub fn message(data: &str) -> Self {
        Self::with_fields(&Fields::default(), None, data)
    }

    /// Wraps bytes that were encoded before.
    pub(crate) fn encoded(bytes: Arc<[u8]>) -> Self {
        Self(bytes)
    }

    /// Upper bound of a message's frame, in bytes: each line costs seven bytes more than it holds.
    pub(crate) fn size(fields: &Fields, data: &str) -> usize {
        let breaks = memchr2_iter(b'\n', b'\r', data.as_bytes()).count();
        fields.size() + data.len() + breaks * "data: ".len() + "data: \n\n".len()
    }

    /// Comment that keeps an idle stream open.
    pub(crate) fn heartbeat() -> Self {
        Self(Arc::from(&b":\n\n"[..]))
    }

    /// Returns the bytes without copying them.
    pub(crate) fn into_bytes(self) -> Arc<[u8]> {
        self.0
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Event that tells a client that events are missing.
///
/// Its data names the id that the client `requested`, the id that the stream is `resumed_from`, and the `oldest` one.
/// A client that comes back with `id` is not told again.
pub(crate) fn gap(
    id: Option<&str>,
    requested: Option<&str>,
    resumed_from: Option<&str>,
    oldest: Option<&str>,
) -> String {
    let ids = [("requested", requested), ("resumed_from", resumed_from), ("oldest", oldest)];
    let data =
        ids.into_iter().fold(Object::default(), |data, (name, id)| data.with_optional(name, id.map(json::string)));
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {GAP}\n{id}data: {}\n\n", data.end())
}

/// Block that gives a client the id to resume from before its first event.
///
/// A block without data dispatches no event; the browser takes only the id from it.
pub(crate) fn resume_point(id: &str) -> String {
    format!("id: {id}\n\n")
}

/// Block that asks a client to reconnect after `delay`, for a stream that the server ends or rejects.
///
/// A block without data dispatches no event; the browser takes only the reconnection time from it.
pub(crate) fn retry_advice(delay: Duration) -> String {
    format!("retry: {}\n\n", delay.as_millis())
}

/// Finds the first boundary between two events at or after `position` in `bytes`, which are whole frames.
///
/// A frame ends with its only blank line, so the next blank line is the next boundary.
pub(crate) fn next_boundary(bytes: &[u8], position: usize) -> usize {
    let at_boundary = position == 0 || bytes[..position].ends_with(b"\n\n");
    if at_boundary {
        return position;
    }
    // The blank line may have begun just before the position.
    let from = position - 1;
    memmem::find(&bytes[from..], b"\n\n").map_or(bytes.len(), |found| from + found + 2)
}

/// Appends a `data` line for each line of the message, and the blank line that dispatches the event.
fn push_data(out: &mut Vec<u8>, data: &str) {
    let mut rest = data.as_bytes();
    loop {
        out.extend_from_slice(b"data: ");
        let Some(end) = memchr2(b'\n', b'\r', rest) else {
            out.extend_from_slice(rest);
            out.extend_from_slice(b"\n\n");
            return;
        };
        out.extend_from_slice(&rest[..end]);
        out.push(b'\n');
        let line_break = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + line_break..];
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn assert_encodes(data: &str, expected: &str) {
        let frame = Frame::message(data);
        assert_eq!(String::from_utf8_lossy(frame.as_bytes()), expected, "for the message {data:?}");
    }

    #[test]
    fn every_line_of_a_message_becomes_a_data_line() {
        assert_encodes("", "data: \n\n");
        assert_encodes("hello", "data: hello\n\n");
        assert_encodes("a\nb", "data: a\ndata: b\n\n");
        assert_encodes("a\rb", "data: a\ndata: b\n\n");
        assert_encodes("a\r\nb", "data: a\ndata: b\n\n");
        assert_encodes("a\n\nb", "data: a\ndata: \ndata: b\n\n");
        assert_encodes("a\n\rb", "data: a\ndata: \ndata: b\n\n");
        assert_encodes("a\r\r\nb", "data: a\ndata: \ndata: b\n\n");
        assert_encodes("a\n", "data: a\ndata: \n\n");
        assert_encodes("\r\n", "data: \ndata: \n\n");
        assert_encodes(" a", "data:  a\n\n");
        assert_encodes("event: x", "data: event: x\n\n");
        assert_encodes("\u{feff}a\0b", "data: \u{feff}a\0b\n\n");
    }

    #[test]
    fn other_fields_come_before_the_data() {
        let event = Event::new("a\nb").with_type("tick").with_id("7").with_retry(Duration::from_secs(3));
        let frame = Frame::encode(&event).expect("all fields are legal");
        assert_eq!(frame.as_bytes(), b"event: tick\nid: 7\nretry: 3000\ndata: a\ndata: b\n\n");
    }

    #[test]
    fn a_field_that_could_forge_another_is_rejected() {
        for value in ["a\nb", "a\rb", "\r\n"] {
            assert_eq!(Frame::encode(&Event::new("").with_type(value)), Err(InvalidField::Type), "{value:?}");
            assert_eq!(Frame::encode(&Event::new("").with_id(value)), Err(InvalidField::Id), "{value:?}");
        }
        assert_eq!(Frame::encode(&Event::new("").with_id("a\0")), Err(InvalidField::Id));
        assert!(Frame::encode(&Event::new("").with_type("a\0")).is_ok(), "NUL is legal in a type");
    }

    #[test]
    fn boundaries_are_found_from_every_position() {
        let bytes = b"data: a\n\n:\n\n";
        let expected = [0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 12, 12, 12];
        for (position, boundary) in expected.into_iter().enumerate() {
            assert_eq!(next_boundary(bytes, position), boundary, "from {position}");
        }
    }

    /// The data that a page gets: the `data` values of one frame, joined by LF.
    fn page_data(frame: &[u8]) -> String {
        let text = std::str::from_utf8(frame).expect("a frame is UTF-8");
        let body = text.strip_suffix("\n\n").expect("a frame ends with a blank line");
        let lines: Vec<_> = body.split('\n').map(|line| line.strip_prefix("data: ").expect("a data line")).collect();
        lines.join("\n")
    }

    proptest! {
        #[test]
        fn any_text_comes_back_with_its_line_breaks_normalised(data in "(\\PC|[\r\n\0 :\u{feff}]){0,40}") {
            let normalised = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert_eq!(page_data(Frame::message(&data).as_bytes()), normalised);
        }

        #[test]
        fn a_frame_holds_no_blank_line_but_its_last(data in "[ab\r\n]{0,20}") {
            let frame = Frame::message(&data);
            let first = frame.as_bytes().windows(2).position(|pair| pair == b"\n\n");
            prop_assert_eq!(first, Some(frame.as_bytes().len() - 2));
            prop_assert!(frame.as_bytes().len() <= Frame::size(&Fields::default(), &data));
        }
    }
}
