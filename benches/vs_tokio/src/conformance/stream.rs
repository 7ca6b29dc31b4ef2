//! An open stream as a browser sees it: bytes become messages by the rules of the standard (WHATWG HTML, 9.2.6), so
//! that two spellings of one event are the same.

use std::collections::VecDeque;
use std::mem;

use super::client::{Candidate, Client, Coding, Head, MOST_BYTES, shown};
use anyhow::{Error, Result, anyhow};

const OPENING_BYTES: usize = b":ok\n\n".len();

pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) head: Head,
    /// The first bytes of the body, where `:ok` should be.
    pub(super) opening: Vec<u8>,
    coding: Coding,
    events: EventStream,
}

impl Stream {
    /// Returns once the opening is there, whatever it is: a rule of its own judges it.
    pub(super) fn open(server: &Candidate) -> Result<Self> {
        Self::open_with(server, &server.request("GET /sse"))
    }

    pub(super) fn open_with(server: &Candidate, request: &[u8]) -> Result<Self> {
        let mut client = Client::connect(server)?;
        client.send(request)?;
        let head = client.head()?;
        head.expect_status(200)?;
        let mut coding = Coding::of(&head)?;
        let (mut opening, deadline) = (Vec::new(), client.deadline());
        while opening.len() < OPENING_BYTES {
            if !client.read_body(&mut coding, &mut opening, deadline)? {
                return Err(ended(&opening));
            }
        }
        let mut events = EventStream::default();
        events.feed(&opening.split_off(OPENING_BYTES));
        Ok(Self { client, head, opening, coding, events })
    }

    /// The next messages, as many as are asked for.
    pub(super) fn messages(&mut self, count: usize) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        self.read_while(|message| {
            messages.push(message);
            messages.len() < count
        })
        .map_err(|failure| anyhow!("message {} of {count}: {failure:#}", messages.len() + 1))?;
        Ok(messages)
    }

    /// The messages before the one with this data, which is taken too.
    pub(super) fn messages_before(&mut self, data: &[u8]) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        self.read_while(|message| {
            let goes_on = message.data != data;
            messages.extend(goes_on.then_some(message));
            goes_on
        })?;
        Ok(messages)
    }

    fn read_while(&mut self, mut goes_on: impl FnMut(Message) -> bool) -> Result<()> {
        let (mut total, deadline) = (0, self.client.deadline());
        loop {
            while let Some(message) = self.events.messages.pop_front() {
                if !goes_on(message) {
                    return Ok(());
                }
            }
            let mut bytes = Vec::new();
            if !self.client.read_body(&mut self.coding, &mut bytes, deadline)? {
                return Err(ended(&self.events.block));
            }
            total += bytes.len();
            if total > MOST_BYTES {
                return Err(anyhow!("more than {MOST_BYTES} bytes, and not what they were read for"));
            }
            self.events.feed(&bytes);
        }
    }
}

fn ended(received: &[u8]) -> Error {
    anyhow!("expected an open stream, received {} and then its end", shown(received))
}

/// What a browser hands to its page.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Empty where the server gives no type, which a page sees as `message`.
    pub(super) kind: Vec<u8>,
    pub(super) data: Vec<u8>,
    /// As it was sent, with the blank line that ends it.
    pub(super) raw: Vec<u8>,
}

impl Message {
    /// The data; for an event that `onmessage` would not get, with its type before it.
    pub(super) fn text(&self) -> Vec<u8> {
        match self.kind.as_slice() {
            b"" | b"message" => self.data.clone(),
            kind => [b"(event: ", kind, b") ", &self.data].concat(),
        }
    }
}

/// The parser of an event stream.
#[derive(Default)]
struct EventStream {
    /// Since the last blank line.
    block: Vec<u8>,
    line: Vec<u8>,
    /// The last byte was a CR, which a LF may follow as part of the same line break.
    after_cr: bool,
    /// The message under way; its data has a LF too many at the end.
    next: Message,
    /// Those that are complete and not yet taken.
    messages: VecDeque<Message>,
}

impl EventStream {
    fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let is_second_half = mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
            if is_second_half && self.block.is_empty() {
                continue;
            }
            self.block.push(byte);
            match byte {
                b'\n' if is_second_half => {}
                b'\r' | b'\n' => self.end_line(),
                _ => self.line.push(byte),
            }
        }
    }

    fn end_line(&mut self) {
        let line = mem::take(&mut self.line);
        if line.is_empty() {
            return self.dispatch();
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = match colon {
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (&line[..], &b""[..]),
        };
        match name {
            b"data" => {
                self.next.data.extend_from_slice(value);
                self.next.data.push(b'\n');
            }
            b"event" => self.next.kind = value.to_vec(),
            // A comment, an id, a reconnect delay or what no browser knows: nothing that a page sees.
            _ => {}
        }
    }

    /// A block without data is dropped: this is how a comment passes unseen.
    fn dispatch(&mut self) {
        let raw = mem::take(&mut self.block);
        let mut message = mem::take(&mut self.next);
        if message.data.pop().is_some() {
            self.messages.push_back(Message { raw, ..message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::EventStream;

    #[test]
    fn bytes_become_the_messages_that_a_browser_dispatches() {
        let table: [(&str, &[&str]); 13] = [
            ("data: a\n\n", &["a"]),
            ("data:a\n\n", &["a"]),
            ("data:  a\n\n", &[" a"]),
            ("data: a\r\ndata: b\r\n\r\n", &["a\nb"]),
            ("data: a\rdata: b\r\rdata: c\n\n", &["a\nb", "c"]),
            ("data: a\ndata\ndata: \n\n", &["a\n\n"]),
            ("data: \n\n", &[""]),
            ("data\n\n", &[""]),
            (":a\n\nid: 1\n\nretry: 2\n\n", &[]),
            (": a comment\ndata: a\nid: 1\n\n", &["a"]),
            ("event: b\ndata: a\n\ndata: c\n\n", &["(event: b) a", "c"]),
            ("event: message\ndata: a\n\n", &["a"]),
            ("data: not yet\n", &[]),
        ];
        for (bytes, expected) in table {
            for step in 1..=bytes.len() {
                let mut events = EventStream::default();
                bytes.as_bytes().chunks(step).for_each(|part| events.feed(part));
                let received: Vec<_> = events.messages.iter().map(super::Message::text).collect();
                let expected: Vec<_> = expected.iter().map(|text| text.as_bytes()).collect();
                assert_eq!(received, expected, "{bytes:?} in parts of {step}");
            }
        }
    }
}
