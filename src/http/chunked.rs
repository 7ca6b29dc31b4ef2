//! The chunked transfer coding (RFC 9112, section 7.1), decoded as it arrives.
//!
//! The result is the same however the bytes are split. The decoder follows the exact grammar: a proxy in front could
//! read anything more lenient in another way. Extensions and trailers are bounded, checked and thrown away.

use super::{RequestError, is_control, is_token};
use crate::config::Limits;

/// Digits that the largest size needs. More are legal padding, and bounded as extensions are.
const SIZE_DIGITS: u32 = 16;

/// The part of the grammar that the next octet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The chunk's size, so many of its digits seen.
    Size(u32),
    /// Whitespace between the size and an extension's semicolon.
    SizeEnd,
    /// The start of an extension, after its semicolon and perhaps whitespace.
    ExtensionStart,
    /// An extension's name.
    ExtensionName,
    /// Whitespace after an extension's name.
    ExtensionNameEnd,
    /// The start of an extension's value, after its equals sign and perhaps whitespace.
    ValueStart,
    /// A value that is a token.
    Value,
    /// A value in quotes, or the octet after its backslash.
    Quoted,
    QuotedPair,
    /// The end of a value in quotes.
    QuotedEnd,
    /// Whitespace between a value and the next extension's semicolon.
    ValueEnd,
    /// The LF that ends the size line.
    SizeLineFeed,
    /// The chunk's data.
    Data,
    /// The CR after the data.
    DataReturn,
    /// The LF after the data.
    DataLineFeed,
    /// A trailer field's first octet, or the CR of the empty line.
    TrailerStart,
    /// A trailer field's name.
    TrailerName,
    /// A trailer field's value.
    TrailerValue,
    /// The LF that ends a trailer field.
    TrailerLineFeed,
    /// The LF that ends the body.
    LastLineFeed,
    /// Nothing: the body is complete.
    Done,
}

impl State {
    fn is_in_extension(self) -> bool {
        matches!(
            self,
            Self::ExtensionStart
                | Self::ExtensionName
                | Self::ExtensionNameEnd
                | Self::ValueStart
                | Self::Value
                | Self::Quoted
                | Self::QuotedPair
                | Self::QuotedEnd
                | Self::ValueEnd
        )
    }

    /// The state after one more octet of an extension: a name, and perhaps a value that is a token or in quotes.
    ///
    /// Whitespace is allowed around `=` and `;` (RFC 9112, 7.1.1), and not at the end of the line.
    fn extended_by(self, octet: u8) -> Result<Self, RequestError> {
        let next = match (self, octet) {
            (Self::Quoted, b'"') => Self::QuotedEnd,
            (Self::Quoted, b'\\') => Self::QuotedPair,
            (Self::Quoted | Self::QuotedPair, _) if !is_control(octet) => Self::Quoted,
            (Self::ExtensionStart | Self::ValueStart, b' ' | b'\t') => self,
            (Self::ExtensionName | Self::ExtensionNameEnd, b' ' | b'\t') => Self::ExtensionNameEnd,
            (Self::Value | Self::QuotedEnd | Self::ValueEnd, b' ' | b'\t') => Self::ValueEnd,
            (Self::ExtensionStart | Self::ExtensionName, _) if is_token(octet) => Self::ExtensionName,
            (Self::ExtensionName | Self::ExtensionNameEnd, b'=') => Self::ValueStart,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::ValueStart | Self::Value, _) if is_token(octet) => Self::Value,
            (Self::ExtensionName | Self::ExtensionNameEnd | Self::Value | Self::QuotedEnd | Self::ValueEnd, b';') => {
                Self::ExtensionStart
            }
            _ => return Err(RequestError::Chunk),
        };
        Ok(next)
    }
}

/// The state of one chunked body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// Rest of the chunk; while its size is read, the size so far.
    remaining: usize,
    /// Octets that the body may still grow by.
    body_budget: usize,
    /// Octets that extensions may still have, over the whole body.
    extension_budget: usize,
    /// Octets that trailers may still have.
    trailer_budget: usize,
}

impl Decoder {
    /// A decoder at the first octet of a body.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size(0),
            remaining: 0,
            body_budget: limits.body_bytes,
            extension_budget: limits.chunk_extension_bytes,
            trailer_budget: limits.trailer_bytes,
        }
    }

    /// Returns true if the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Appends the decoded data to `body`; returns the number of octets of `input` that belonged to the body.
    ///
    /// Fewer than all belong to it only if it is done: the rest is the next request.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, RequestError> {
        let mut taken = 0;
        while taken < input.len() && !self.is_done() {
            if self.state == State::Data {
                taken += self.take_data(&input[taken..], body);
            } else {
                self.state = self.step(input[taken])?;
                taken += 1;
            }
        }
        Ok(taken)
    }

    fn take_data(&mut self, input: &[u8], body: &mut Vec<u8>) -> usize {
        let count = self.remaining.min(input.len());
        body.extend_from_slice(&input[..count]);
        self.remaining -= count;
        if self.remaining == 0 {
            self.state = State::DataReturn;
        }
        count
    }

    /// The state after one octet of anything but data.
    fn step(&mut self, octet: u8) -> Result<State, RequestError> {
        let next = match (self.state, octet) {
            (State::Size(digits), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.size_digit(digits, octet)?,
            (State::Size(1..) | State::SizeEnd, b';') => State::ExtensionStart,
            (State::Size(1..) | State::SizeEnd, b' ' | b'\t') => self.extension_octet(State::SizeEnd)?,
            (State::Size(1..) | State::ExtensionName | State::Value | State::QuotedEnd, b'\r') => State::SizeLineFeed,
            (state, _) if state.is_in_extension() => self.extension_octet(state.extended_by(octet)?)?,
            (State::SizeLineFeed, b'\n') => self.begin_data(),
            (State::DataReturn, b'\r') => State::DataLineFeed,
            (State::DataLineFeed, b'\n') => State::Size(0),
            (State::TrailerStart, b'\r') => State::LastLineFeed,
            (State::TrailerStart | State::TrailerName, _) if is_token(octet) => {
                self.trailer_octet(State::TrailerName)?
            }
            (State::TrailerName, b':') => self.trailer_octet(State::TrailerValue)?,
            (State::TrailerValue, b'\r') => self.trailer_octet(State::TrailerLineFeed)?,
            (State::TrailerValue, _) if !is_control(octet) => self.trailer_octet(State::TrailerValue)?,
            (State::TrailerLineFeed, b'\n') => self.trailer_octet(State::TrailerStart)?,
            (State::LastLineFeed, b'\n') => State::Done,
            _ => return Err(RequestError::Chunk),
        };
        Ok(next)
    }

    /// Takes a digit of the size, which cannot overflow: it never exceeds the body's budget.
    fn size_digit(&mut self, digits: u32, octet: u8) -> Result<State, RequestError> {
        let digit = char::from(octet).to_digit(16).ok_or(RequestError::Chunk)? as usize;
        if self.remaining > self.body_budget / 16 || self.remaining * 16 + digit > self.body_budget {
            return Err(RequestError::BodyTooLarge);
        }
        self.remaining = self.remaining * 16 + digit;
        if digits < SIZE_DIGITS { Ok(State::Size(digits + 1)) } else { self.extension_octet(State::Size(digits)) }
    }

    /// Ends a size line: data follows, or after the last chunk the trailers.
    fn begin_data(&mut self) -> State {
        self.body_budget -= self.remaining;
        if self.remaining == 0 { State::TrailerStart } else { State::Data }
    }

    fn extension_octet(&mut self, next: State) -> Result<State, RequestError> {
        self.extension_budget = self.extension_budget.checked_sub(1).ok_or(RequestError::Chunk)?;
        Ok(next)
    }

    fn trailer_octet(&mut self, next: State) -> Result<State, RequestError> {
        self.trailer_budget = self.trailer_budget.checked_sub(1).ok_or(RequestError::Chunk)?;
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits { body_bytes: 32, chunk_extension_bytes: 8, trailer_bytes: 24, ..Limits::default() }
    }

    /// The body and the octets it took, or the error; `None` while the body is not complete.
    fn decode_in_portions<'i>(
        portions: impl IntoIterator<Item = &'i [u8]>,
    ) -> Result<Option<(Vec<u8>, usize)>, RequestError> {
        let mut decoder = Decoder::new(&limits());
        let (mut body, mut taken) = (Vec::new(), 0);
        for portion in portions {
            taken += decoder.decode(portion, &mut body)?;
        }
        Ok(decoder.is_done().then_some((body, taken)))
    }

    fn decode(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, RequestError> {
        decode_in_portions([input])
    }

    #[test]
    fn well_formed_bodies_are_decoded() {
        for (input, body) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("a\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
            ("0005\r\nhello\r\n0\r\n\r\n", "hello"),
            ("000000000000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
            ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
            ("1;x=y\r\na\r\n0;z\r\n\r\n", "a"),
            ("1 ;x\r\na\r\n0\r\n\r\n", "a"),
            ("1; x = y\r\na\r\n0\r\n\r\n", "a"),
            ("1;x=y ;z\r\na\r\n0\r\n\r\n", "a"),
            ("1;x=\"\"\r\na\r\n0\r\n\r\n", "a"),
            ("1;x=\";=\"\r\na\r\n0\r\n\r\n", "a"),
            ("1;x=\"\\\"\"\r\na\r\n0\r\n\r\n", "a"),
            ("1;x=\"\u{e9}\"\r\na\r\n0\r\n\r\n", "a"),
            ("1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\n", "a"),
            ("1\r\na\r\n0\r\nContent-Length: 9\r\n\r\n", "a"),
        ] {
            let taken = input.len();
            assert_eq!(decode(input.as_bytes()), Ok(Some((body.into(), taken))), "for {input:?}");
            let behind = format!("{input}GET / HTTP/1.1");
            assert_eq!(decode(behind.as_bytes()), Ok(Some((body.into(), taken))), "with a request behind {input:?}");
        }
    }

    #[test]
    fn malformed_bodies_are_rejected() {
        for (input, error) in [
            ("\r\n", RequestError::Chunk),
            (";x\r\n", RequestError::Chunk),
            (" 1\r\n", RequestError::Chunk),
            ("+1\r\n", RequestError::Chunk),
            ("-1\r\n", RequestError::Chunk),
            ("0x1\r\n", RequestError::Chunk),
            ("1_0\r\n", RequestError::Chunk),
            ("1 \r\n", RequestError::Chunk),
            ("1\n", RequestError::Chunk),
            ("1\r\r\n", RequestError::Chunk),
            ("g\r\n", RequestError::Chunk),
            ("0000000000000000000000001\r\n", RequestError::Chunk),
            ("1;\r\n", RequestError::Chunk),
            ("1;;a\r\n", RequestError::Chunk),
            ("1;a;\r\n", RequestError::Chunk),
            ("1;=b\r\n", RequestError::Chunk),
            ("1;a=\r\n", RequestError::Chunk),
            ("1;a=;b\r\n", RequestError::Chunk),
            ("1;a \r\n", RequestError::Chunk),
            ("1;a=b \r\n", RequestError::Chunk),
            ("1;a b\r\n", RequestError::Chunk),
            ("1;a=b c\r\n", RequestError::Chunk),
            ("1;a=b=c\r\n", RequestError::Chunk),
            ("1;a=b\"\"\r\n", RequestError::Chunk),
            ("1;a=\"b\"c\r\n", RequestError::Chunk),
            ("1;a=\"b\r\n", RequestError::Chunk),
            ("1;a=\"\\\r\n", RequestError::Chunk),
            ("1;(a)\r\n", RequestError::Chunk),
            ("1;\u{e9}\r\n", RequestError::Chunk),
            ("1;a\0b\r\n", RequestError::Chunk),
            ("1;a\nb\r\n", RequestError::Chunk),
            ("1;a\rb\r\n", RequestError::Chunk),
            ("1;123456789\r\n", RequestError::Chunk),
            ("1;1234\r\na\r\n1;12345\r\n", RequestError::Chunk),
            ("1\r\nab\r\n", RequestError::Chunk),
            ("1\r\na\n", RequestError::Chunk),
            ("1\r\na\rb", RequestError::Chunk),
            ("0\r\n\n", RequestError::Chunk),
            ("0\r\n\rx", RequestError::Chunk),
            ("0\r\n folded: x\r\n", RequestError::Chunk),
            ("0\r\n: x\r\n", RequestError::Chunk),
            ("0\r\na b: x\r\n", RequestError::Chunk),
            ("0\r\nno colon\r\n", RequestError::Chunk),
            ("0\r\na: x\n", RequestError::Chunk),
            ("0\r\na: \0\r\n", RequestError::Chunk),
            ("0\r\na: 1234567890123456789012345\r\n", RequestError::Chunk),
            ("21\r\n", RequestError::BodyTooLarge),
            ("20\r\n01234567890123456789012345678901\r\n1\r\n", RequestError::BodyTooLarge),
            ("ffffffffffffffff\r\n", RequestError::BodyTooLarge),
            ("10000000000000000\r\n", RequestError::BodyTooLarge),
        ] {
            assert_eq!(decode(input.as_bytes()), Err(error), "for {input:?}");
        }
    }

    #[test]
    fn body_is_incomplete_until_its_last_octet() {
        let input = b"5;x\r\nhello\r\n0\r\na: b\r\n\r\n";
        for end in 0..input.len() {
            assert_eq!(decode(&input[..end]), Ok(None), "after {end} octets");
        }
    }

    #[test]
    fn split_at_any_octet_changes_nothing() {
        let input = b"5;x=y\r\nhello\r\n0a\r\n0123456789\r\n0\r\na: b\r\n\r\nPOST";
        let whole = decode(input);
        assert_eq!(whole, Ok(Some((b"hello0123456789".to_vec(), input.len() - 4))));
        for at in 0..=input.len() {
            assert_eq!(decode_in_portions([&input[..at], &input[at..]]), whole, "split at {at}");
        }
        assert_eq!(decode_in_portions(input.chunks(1)), whole, "octet by octet");
    }

    proptest! {
        #[test]
        fn input_decodes_the_same_in_any_portions(
            input in "[0-3a\r\n;:= x\"]{0,40}",
            cuts in prop::collection::vec(1_usize..6, 0..40),
        ) {
            let (mut portions, mut rest) = (Vec::new(), input.as_bytes());
            for cut in cuts {
                let (portion, behind) = rest.split_at(cut.min(rest.len()));
                portions.push(portion);
                rest = behind;
            }
            portions.push(rest);
            prop_assert_eq!(decode_in_portions(portions), decode(input.as_bytes()));
        }

        #[test]
        fn encoded_bodies_are_decoded(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..8), 0..4)) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(decode(&input), Ok(Some((chunks.concat(), input.len()))));
        }
    }
}
