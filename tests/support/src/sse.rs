//! The event-stream parser of the HTML standard (9.2.5 and 9.2.6): the tests' idea of a browser.
//!
//! Written from the standard alone, in the simplest way that is right. It has no part of the server and no thought of
//! speed.

/// An event that an `EventSource` hands to its page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The event type; `message` if the stream names none.
    pub event: String,
    /// The data.
    pub data: String,
    /// The last event ID; an event without one leaves it unchanged.
    pub last_event_id: String,
}

/// The parser. Takes bytes in pieces of any size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parser {
    /// The reconnection time in milliseconds, once the stream has set one.
    pub retry: Option<u128>,
    /// All comments until now, without their colon.
    pub comments: Vec<String>,
    /// True after the first line, which alone may begin with a byte order mark.
    past_first_line: bool,
    /// The unfinished line.
    line: Vec<u8>,
    /// True after a CR: a LF that follows belongs to the same line end.
    after_cr: bool,
    data: String,
    event: String,
    id: String,
    last_event_id: String,
}

impl Parser {
    /// Parses more bytes; returns the events that they complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
        let mut messages = Vec::new();
        for &byte in bytes {
            let second_half = byte == b'\n' && self.after_cr;
            self.after_cr = byte == b'\r';
            if second_half {
                continue;
            }
            if matches!(byte, b'\r' | b'\n') {
                let line = std::mem::take(&mut self.line);
                messages.extend(self.line(&line));
            } else {
                self.line.push(byte);
            }
        }
        messages
    }

    /// True between two events: a stream that ends here loses nothing.
    pub fn is_at_boundary(&self) -> bool {
        self.line.is_empty() && self.data.is_empty() && self.event.is_empty()
    }

    fn line(&mut self, mut line: &[u8]) -> Option<Message> {
        if !std::mem::replace(&mut self.past_first_line, true) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", comment)) => self.comments.push(comment.to_owned()),
            Some((name, value)) => self.field(name, value.strip_prefix(' ').unwrap_or(value)),
            None => self.field(&line, ""),
        }
        None
    }

    fn field(&mut self, name: &str, value: &str) {
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.retry = value.parse().ok();
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Message> {
        self.last_event_id.clone_from(&self.id);
        let mut data = std::mem::take(&mut self.data);
        let event = std::mem::take(&mut self.event);
        // Removes the last LF; without one there is no data and no event.
        data.pop()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(Message { event, data, last_event_id: self.last_event_id.clone() })
    }
}

/// Parses a stream, given in pieces of any size; returns its events and the parser behind its last byte.
pub fn parse<'b>(pieces: impl IntoIterator<Item = &'b [u8]>) -> (Vec<Message>, Parser) {
    let mut parser = Parser::default();
    let messages = pieces.into_iter().flat_map(|piece| parser.feed(piece)).collect();
    (messages, parser)
}

/// Normalises line breaks to LF, as a page receives a published text.
pub fn normalised(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}
