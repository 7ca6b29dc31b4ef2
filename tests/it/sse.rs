//! The event-stream parser of the HTML standard (9.2.5 and 9.2.6), written from it and from nothing else: what these
//! tests take for a browser.

/// What an `EventSource` hands to its page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

/// Takes bytes as they come, in pieces of any size.
#[derive(Default)]
pub(crate) struct Parser {
    /// How much of a byte order mark the stream has begun with; `None` once that is settled.
    started: Bom,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The last byte was a CR, so that a LF belongs to the same line end.
    after_cr: bool,
    data: String,
    event: String,
    id: String,
    last_event_id: String,
    /// The reconnection time, where the stream has set one.
    pub(crate) retry: Option<u64>,
}

/// Whether the stream's first line is still to come: a byte order mark is skipped nowhere else.
#[derive(Default, PartialEq, Eq)]
enum Bom {
    #[default]
    FirstLine,
    Past,
}

impl Parser {
    /// The events that `bytes` complete.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Message> {
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

    fn line(&mut self, mut line: &[u8]) -> Option<Message> {
        if std::mem::replace(&mut self.started, Bom::Past) == Bom::FirstLine {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        let line = String::from_utf8_lossy(line);
        if line.is_empty() {
            return self.dispatch();
        }
        match line.split_once(':') {
            Some(("", _comment)) => {}
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
        // The last LF goes; without any, there is no data and no event.
        data.pop()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(Message { event, data, last_event_id: self.last_event_id.clone() })
    }
}

/// A stream, and its events as `(type, data, last event ID)`.
type Row = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

#[rustfmt::skip]
const STREAMS: &[Row] = &[
    // The standard's own examples.
    ("data: YHOO\ndata: +2\ndata: 10\n\n", &[("message", "YHOO\n+2\n10", "")]),
    (": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        &[("message", "first event", "1"), ("message", "second event", ""), ("message", " third event", "")]),
    ("data\n\ndata\ndata\n\ndata:", &[("message", "", ""), ("message", "\n", "")]),
    ("data:test\n\ndata: test\n\n", &[("message", "test", ""), ("message", "test", "")]),
    // Line ends.
    ("data: a\r\ndata: b\rdata: c\n\r\n", &[("message", "a\nb\nc", "")]),
    ("data: a\r\rdata: b\r\n\r\n", &[("message", "a", ""), ("message", "b", "")]),
    ("data: a\n\r", &[("message", "a", "")]),
    // What is incomplete is never dispatched.
    ("data: a\n", &[]),
    ("data: a", &[]),
    // A byte order mark, at the start and elsewhere.
    ("\u{feff}data: a\n\n", &[("message", "a", "")]),
    ("\u{feff}\u{feff}data: a\n\n", &[]),
    ("\n\u{feff}data: a\n\n", &[]),
    ("data: \u{feff}a\n\n", &[("message", "\u{feff}a", "")]),
    // Comments and fields that nobody knows; an event without data.
    (":ok\n\n:\n\ndatum: x\nDATA: y\n data: z\n\n", &[]),
    ("event: tick\n\ndata: a\n\n", &[("message", "a", "")]),
    ("event: tick\ndata: a\n\ndata: b\n\n", &[("tick", "a", ""), ("message", "b", "")]),
    ("data: a:b: c\n\n", &[("message", "a:b: c", "")]),
    // An id stays until another comes; one with NUL is none.
    ("id: 7\ndata: a\n\ndata: b\n\nid: 8\n\ndata: c\n\n",
        &[("message", "a", "7"), ("message", "b", "7"), ("message", "c", "8")]),
    ("id: 1\ndata: a\n\nid: x\0y\ndata: b\n\n", &[("message", "a", "1"), ("message", "b", "1")]),
];

#[test]
fn the_parser_reads_what_the_standard_says_however_the_bytes_are_split() {
    for (stream, expected) in STREAMS {
        for at in 0..=stream.len() {
            let mut parser = Parser::default();
            let (first, second) = stream.as_bytes().split_at(at);
            let mut messages = parser.feed(first);
            messages.extend(parser.feed(second));
            let read: Vec<_> =
                messages.iter().map(|m| (m.event.as_str(), m.data.as_str(), m.last_event_id.as_str())).collect();
            assert_eq!(read, *expected, "stream {stream:?} split at {at}");
        }
    }
}

#[test]
fn the_parser_takes_a_retry_of_digits_alone() {
    for (stream, expected) in [
        ("retry: 3000\n", Some(3000)),
        ("retry:3000\r\n", Some(3000)),
        ("retry: 3000", None),
        ("retry: 3s\n", None),
        ("retry: -1\n", None),
        ("retry:\n", None),
        ("retry\n", None),
        ("retry: 1\nretry: x\n", Some(1)),
    ] {
        let mut parser = Parser::default();
        assert_eq!(parser.feed(stream.as_bytes()), [], "{stream:?}");
        assert_eq!(parser.retry, expected, "{stream:?}");
    }
}
