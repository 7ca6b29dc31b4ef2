//! Property: the server finds the end of a body by the rules, for any fields in any order.

use arbitrary::{Arbitrary, Unstructured};
use smolcast::http::head::RequestHead;

use super::{shown, status};
use crate::reference::framing::{self, Field};

/// A head with valid syntax, whose fields may contradict each other.
#[derive(Debug, Arbitrary)]
struct Fields {
    is_http_1_0: bool,
    is_delete: bool,
    fields: Vec<(Name, Vec<Part>)>,
}

#[derive(Debug, Arbitrary)]
enum Name {
    ContentLength,
    ContentLengthShouted,
    TransferEncoding,
    TransferEncodingShouted,
    /// A name close to one of those.
    Near(u8),
    Other,
}

/// A part of a value.
#[derive(Debug, Arbitrary)]
enum Part {
    Comma,
    Space,
    Tab,
    Chunked,
    ChunkedShouted,
    Gzip,
    Number(u64),
    /// A number beyond 64 bits.
    Huge(u8),
    Digit(u8),
    Zeros(u8),
    Octet(u8),
}

impl Name {
    fn text(&self) -> &'static str {
        const NEAR: [&str; 8] = [
            "Content-Lengt",
            "Content-Lengths",
            "Content_Length",
            "X-Content-Length",
            "Transfer-Encodin",
            "TE",
            "Transfer_Encoding",
            "Transfer-Encodings",
        ];
        match self {
            Self::ContentLength => "Content-Length",
            Self::ContentLengthShouted => "CONTENT-LENGTH",
            Self::TransferEncoding => "transfer-encoding",
            Self::TransferEncodingShouted => "TRANSFER-ENCODING",
            Self::Near(index) => NEAR[usize::from(*index) % NEAR.len()],
            Self::Other => "X",
        }
    }
}

impl Part {
    fn push_to(&self, value: &mut Vec<u8>) {
        match self {
            Self::Comma => value.push(b','),
            Self::Space => value.push(b' '),
            Self::Tab => value.push(b'\t'),
            Self::Chunked => value.extend_from_slice(b"chunked"),
            Self::ChunkedShouted => value.extend_from_slice(b"CHUNKED"),
            Self::Gzip => value.extend_from_slice(b"gzip"),
            Self::Number(number) => value.extend_from_slice(number.to_string().as_bytes()),
            Self::Huge(more) => {
                let number = u128::from(u64::MAX) + u128::from(*more);
                value.extend_from_slice(number.to_string().as_bytes());
            }
            Self::Digit(digit) => value.push(b'0' + digit % 10),
            Self::Zeros(count) => value.resize(value.len() + usize::from(count % 32), b'0'),
            // A control octet would be the only reason for a refusal.
            Self::Octet(octet) => value.push(if octet.is_ascii_control() { b'+' } else { *octet }),
        }
    }
}

fn value(parts: &[Part]) -> Vec<u8> {
    let mut value = Vec::new();
    for part in parts {
        part.push_to(&mut value);
    }
    value
}

/// Checks one input: the fields.
pub fn hold(input: &[u8]) {
    let Ok(Fields { is_http_1_0, is_delete, mut fields }) = Fields::arbitrary_take_rest(Unstructured::new(input))
    else {
        return;
    };
    // With `Host` that makes a hundred, the server's limit.
    fields.truncate(99);
    let method = if is_delete { "DELETE" } else { "POST" };
    let mut head = format!("{method} /broadcast HTTP/1.{}\r\nHost: h\r\n", u8::from(!is_http_1_0)).into_bytes();
    let fields: Vec<Field> = fields.iter().map(|(name, parts)| (name.text().to_owned(), value(parts))).collect();
    for (name, value) in &fields {
        for part in [name.as_bytes(), b":", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    let read: Vec<Field> = fields.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    let expected = framing::body(&read, is_http_1_0);
    let decided = RequestHead::parse(&head).map(|head| head.framing).map_err(status);
    let is_good = match (&expected, &decided) {
        (Ok(expected), Ok(body)) => expected == body,
        (Err(statuses), Err(status)) => statuses.contains(status),
        _ => false,
    };
    assert!(is_good, "expected {expected:?}, decided {decided:?}, {}", shown(&head));
}
