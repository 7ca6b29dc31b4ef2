//! The event-stream format: what a message looks like on the wire (WHATWG HTML, 9.2.5 and 9.2.6).
//!
//! An [`Event`] is what a program says, a [`Frame`] is its bytes: encoded once, immutable from then on, and shared by
//! every stream that gets it. This module only writes the format. A frame is always whole: it ends with the blank
//! line that dispatches it, and holds no blank line before that.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use memchr::{memchr2, memchr2_iter, memmem};

/// A message for every open stream.
///
/// ```
/// use smolcast::Event;
///
/// let event = Event::new("21.5 °C").with_type("temperature").with_id("42");
/// # let _ = event;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    data: String,
    fields: Fields,
    topics: Vec<String>,
}

/// The most digits of a time in milliseconds.
const MOST_DIGITS: usize = 39;

/// What an event has besides its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<Duration>,
}

impl Fields {
    /// Refuses what the format cannot carry.
    pub(crate) fn check(&self) -> Result<(), InvalidField> {
        let has = |field: &Option<String>, illegal: &[char]| field.as_ref().is_some_and(|text| text.contains(illegal));
        if has(&self.kind, &['\r', '\n']) {
            return Err(InvalidField::Type);
        }
        if has(&self.id, &['\r', '\n', '\0']) { Err(InvalidField::Id) } else { Ok(()) }
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

    /// How many bytes they add to a frame at most.
    fn size(&self) -> usize {
        let texts: usize =
            [&self.kind, &self.id].into_iter().flatten().map(|text| "event: \n".len() + text.len()).sum();
        texts + "id: \n".len() + self.retry.map_or(0, |_| "retry: \n".len() + MOST_DIGITS)
    }
}

impl Event {
    /// An event that hands `data` to the page, with its line breaks (CR, LF or CRLF) normalised to LF.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Gives the event a type: the page gets it by `addEventListener(kind, ...)` instead of `onmessage`.
    ///
    /// A type with a CR or an LF is refused when the event is published.
    #[must_use]
    pub fn with_type(mut self, kind: impl Into<String>) -> Self {
        self.fields.kind = Some(kind.into());
        self
    }

    /// Gives the event an id, which a browser sends back as `Last-Event-ID` when it reconnects.
    ///
    /// An id with a CR, an LF or a NUL is refused when the event is published.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.fields.id = Some(id.into());
        self
    }

    /// The data, and the other fields if the format can carry them.
    pub(crate) fn parts(&self) -> Result<(&Fields, &str), InvalidField> {
        self.fields.check()?;
        Ok((&self.fields, &self.data))
    }

    /// Names a topic that the event is of: it goes to those streams alone that ask for one of its topics, and to all of
    /// them where it has none.
    ///
    /// A topic that is none (empty, longer than 256 bytes, of more than 32 levels, with a `+`, a `#`, a CR, an LF or a
    /// NUL), or one more than 16 of them, is refused when the event is published.
    #[must_use]
    pub fn with_topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// The topics that were named, whatever they are.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(String::as_str)
    }

    /// Tells the browser how long to wait before it reconnects, in whole milliseconds.
    #[must_use]
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.fields.retry = Some(retry);
        self
    }
}

/// A field of an [`Event`] that the event-stream format cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidField {
    /// The event's type holds a CR or an LF.
    Type,
    /// The event's id holds a CR, an LF or a NUL.
    Id,
    /// A topic is none, or there are too many; see [`Event::with_topic`].
    Topic,
}

impl fmt::Display for InvalidField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "an event's type may not hold CR or LF",
            Self::Id => "an event's id may not hold CR, LF or NUL",
            Self::Topic => "an event has at most 16 topics, of 1 to 256 bytes each, without +, #, CR, LF or NUL",
        })
    }
}

impl std::error::Error for InvalidField {}

/// The encoded bytes of one event, shared by all who write them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame(Arc<[u8]>);

impl Frame {
    /// Encodes an event with all of its fields, `data` last: the order in which people read a stream.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn encode(event: &Event) -> Result<Self, InvalidField> {
        event.fields.check()?;
        Ok(Self::with_fields(&event.fields, None, &event.data))
    }

    /// Encodes a message with fields that were checked, and an id of the server's where they have none.
    pub(crate) fn with_fields(fields: &Fields, server_id: Option<&str>, data: &str) -> Self {
        let mut bytes = Vec::with_capacity(Self::size(fields, data) + server_id.map_or(0, str::len));
        fields.push(server_id, &mut bytes);
        push_data(&mut bytes, data);
        Self(bytes.into())
    }

    /// Encodes a message that is nothing but data.
    #[cfg(any(test, feature = "internals"))]
    pub(crate) fn message(data: &str) -> Self {
        Self::with_fields(&Fields::default(), None, data)
    }

    /// A frame that was encoded before.
    pub(crate) fn encoded(bytes: Arc<[u8]>) -> Self {
        Self(bytes)
    }

    /// How long the frame of a message is at most: a line of it costs seven bytes more than it has.
    pub(crate) fn size(fields: &Fields, data: &str) -> usize {
        let breaks = memchr2_iter(b'\n', b'\r', data.as_bytes()).count();
        fields.size() + data.len() + breaks * "data: ".len() + "data: \n\n".len()
    }

    /// The comment that shows a silent stream is alive.
    pub(crate) fn heartbeat() -> Self {
        Self(Arc::from(&b":\n\n"[..]))
    }

    /// The frame's bytes, shared.
    pub(crate) fn into_bytes(self) -> Arc<[u8]> {
        self.0
    }

    /// The frame's bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a stream is told when the server ends it, or has no room for it: come back, but not all at once.
///
/// A block with no data dispatches no event; the browser only takes the new reconnection time from it.
pub(crate) fn retry_advice(delay: Duration) -> String {
    format!("retry: {}\n\n", delay.as_millis())
}

/// Where in `bytes`, which are whole frames, a stream that stopped at `position` may end without tearing an event:
/// there, if that is between two of them, and else at the end of the one it is in the middle of.
///
/// Whole frames end with a blank line and hold none inside, so the next blank line is the next boundary.
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
    fn a_message_becomes_a_data_line_for_each_of_its_lines() {
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
    fn the_other_fields_come_before_the_data() {
        let event = Event::new("a\nb").with_type("tick").with_id("7").with_retry(Duration::from_secs(3));
        let frame = Frame::encode(&event).expect("all fields are legal");
        assert_eq!(frame.as_bytes(), b"event: tick\nid: 7\nretry: 3000\ndata: a\ndata: b\n\n");
    }

    #[test]
    fn a_field_that_could_forge_another_is_refused() {
        for value in ["a\nb", "a\rb", "\r\n"] {
            assert_eq!(Frame::encode(&Event::new("").with_type(value)), Err(InvalidField::Type), "{value:?}");
            assert_eq!(Frame::encode(&Event::new("").with_id(value)), Err(InvalidField::Id), "{value:?}");
        }
        assert_eq!(Frame::encode(&Event::new("").with_id("a\0")), Err(InvalidField::Id));
        assert!(Frame::encode(&Event::new("").with_type("a\0")).is_ok(), "NUL is legal in a type");
    }

    #[test]
    fn a_boundary_is_found_from_every_position() {
        let bytes = b"data: a\n\n:\n\n";
        let expected = [0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 12, 12, 12];
        for (position, boundary) in expected.into_iter().enumerate() {
            assert_eq!(next_boundary(bytes, position), boundary, "from {position}");
        }
    }

    /// What a page would be handed: the `data` values of one frame, joined by LF.
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
