//! An event stream's reader, step by step as the HTML standard has it ("Interpreting an event stream", 9.2.6).

/// What a page is handed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The event's type, `message` where the stream names none.
    pub kind: String,
    /// Its data.
    pub data: String,
    /// The last event ID, which an event without one leaves as it was.
    pub last_event_id: String,
}

/// The reader. It is fed octets in any portions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventStream {
    /// Events in the order in which they were dispatched.
    pub messages: Vec<Message>,
    /// The reconnection time in milliseconds, if there was one: digits.
    pub retry: Option<String>,
    /// Lines that were comments.
    pub comments: Vec<String>,
    /// Octets of the line that is not over yet.
    line: Vec<u8>,
    /// Whether the last octet was a CR, of which a LF that comes next is a part.
    after_return: bool,
    /// Whether the first line, before which there may be a byte order mark, is over.
    is_begun: bool,
    data: String,
    kind: String,
    last_event_id: String,
}

impl EventStream {
    /// All that was dispatched of a whole stream.
    pub fn of<'b>(portions: impl IntoIterator<Item = &'b [u8]>) -> Self {
        let mut stream = Self::default();
        for portion in portions {
            stream.feed(portion);
        }
        stream
    }

    /// Whether the stream stands between two events: nothing is lost when it ends here.
    pub fn is_at_boundary(&self) -> bool {
        self.line.is_empty() && self.data.is_empty() && self.kind.is_empty()
    }

    /// Takes more octets.
    pub fn feed(&mut self, portion: &[u8]) {
        for octet in portion {
            let was_return = std::mem::replace(&mut self.after_return, *octet == b'\r');
            match octet {
                b'\n' if was_return => {}
                b'\r' | b'\n' => self.end_line(),
                _ => self.line.push(*octet),
            }
        }
    }

    fn end_line(&mut self) {
        let octets = std::mem::take(&mut self.line);
        let decoded = String::from_utf8_lossy(&octets);
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        let line = if is_first { decoded.strip_prefix('\u{feff}').unwrap_or(&decoded) } else { &decoded };
        if line.is_empty() {
            return self.dispatch();
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.is_empty() {
            self.comments.push(value.to_owned());
        } else {
            self.process(name, value.strip_prefix(' ').unwrap_or(value));
        }
    }

    fn process(&mut self, name: &str, value: &str) {
        match name {
            "event" => value.clone_into(&mut self.kind),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_event_id),
            // An empty value is nothing but digits as well, and no number.
            "retry" if !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit()) => {
                self.retry = Some(value.to_owned());
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) {
        let (mut data, kind) = (std::mem::take(&mut self.data), std::mem::take(&mut self.kind));
        if data.is_empty() {
            return;
        }
        data.pop();
        let kind = if kind.is_empty() { "message".to_owned() } else { kind };
        self.messages.push(Message { kind, data, last_event_id: self.last_event_id.clone() });
    }
}

/// A text as a page gets it: with its line breaks normalised to LF.
pub fn normalised(text: &str) -> String {
    let mut lines = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\r' {
            characters.next_if_eq(&'\n');
        }
        lines.push(if character == '\r' { '\n' } else { character });
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &str, data: &str, id: &str) -> Message {
        Message { kind: kind.into(), data: data.into(), last_event_id: id.into() }
    }

    #[test]
    fn the_examples_of_the_standard() {
        for (stream, expected) in [
            ("data: YHOO\ndata: +2\ndata: 10\n\n", vec![message("message", "YHOO\n+2\n10", "")]),
            (
                ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
                vec![
                    message("message", "first event", "1"),
                    message("message", "second event", ""),
                    message("message", " third event", ""),
                ],
            ),
            ("data\n\ndata\ndata\n\ndata:", vec![message("message", "", ""), message("message", "\n", "")]),
            ("data:test\n\ndata: test\n\n", vec![message("message", "test", ""), message("message", "test", "")]),
            (
                "event: add\ndata: 73\n\nevent: x\n\ndata: y\n\n",
                vec![message("add", "73", ""), message("message", "y", "")],
            ),
        ] {
            for (text, way) in
                [(stream.to_owned(), "LF"), (stream.replace('\n', "\r"), "CR"), (stream.replace('\n', "\r\n"), "CRLF")]
            {
                let whole = EventStream::of([text.as_bytes()]);
                assert_eq!(whole.messages, expected, "{text:?} with {way}");
                assert_eq!(EventStream::of(text.as_bytes().chunks(1)), whole, "{text:?} octet by octet");
            }
        }
    }

    #[test]
    fn the_other_fields() {
        let stream =
            EventStream::of([&b"\xef\xbb\xbfretry: 12\nretry: 1x\nretry:\nid: a\0\n:c\nfoo: bar\nDATA: x\n\n"[..]]);
        assert_eq!((stream.retry.as_deref(), &stream.comments[..]), (Some("12"), &["c".to_owned()][..]));
        assert!(stream.messages.is_empty() && stream.last_event_id.is_empty() && stream.is_at_boundary());
        assert!(!EventStream::of([&b"data: x\n"[..]]).is_at_boundary());
        assert_eq!(EventStream::of([&b"data: \xff\n\n"[..]]).messages, [message("message", "\u{fffd}", "")]);
    }

    #[test]
    fn line_breaks() {
        assert_eq!(normalised("a\rb\nc\r\nd\n\re\r\r\n"), "a\nb\nc\nd\n\ne\n\n");
    }
}
