//! HTTP/1.1 from bytes and to bytes (RFC 9110, RFC 9112), in its strict reading.
//!
//! Pure functions of bytes, without a socket: [`head`] reads a request's head, [`fields`] its optional fields,
//! [`forwarded`] the client that a proxy names. [`framing`] finds the body's end, [`chunked`] decodes a body,
//! [`request`] reads route and parameters, [`parameters`] finds typos in their names, [`response`] writes responses.
//! "Not enough bytes yet" is a value. A [`RequestError`] knows its own response and holds nothing that the client sent.

pub mod chunked;
pub(crate) mod date;
mod error;
pub(crate) mod fields;
pub(crate) mod forwarded;
pub mod framing;
mod front;
pub mod head;
mod parameters;
pub(crate) mod query;
pub(crate) mod request;
pub(crate) mod response;

pub use error::RequestError;

/// The fate of a connection after a response (RFC 9112, 9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open for the next request, which is the default of HTTP/1.1.
    KeepAlive,
    /// It stays open for an HTTP/1.0 client that asked for it, and the response says so.
    KeepAliveTold,
    /// It closes, and the response says so.
    Close,
}

/// Returns true if the octet may be in a method or in a field name (RFC 9110, 5.6.2).
fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet)
}

/// Returns true if the octet is a control, forbidden in field values and chunk extensions (RFC 9110, 5.5).
fn is_control(octet: u8) -> bool {
    octet.is_ascii_control() && octet != b'\t'
}

/// The value without the optional whitespace around it (RFC 9110, 5.6.3).
fn trim_whitespace(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The number in `1*DIGIT` and nothing else: no sign, no prefix, no separator, no overflow.
fn decimal(value: &[u8]) -> Option<u64> {
    let is_digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(value).ok().filter(|_| is_digits)?.parse().ok()
}

/// The members of a comma-separated list (RFC 9110, 5.6.1), the empty ones included.
fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|octet| *octet == b',').map(trim_whitespace)
}

/// The values of all fields of this name, the last one first. The head was parsed before, so its lines are its fields.
pub(crate) fn values<'b>(head: &'b [u8], name: &'static [u8]) -> impl Iterator<Item = &'b [u8]> {
    head.rsplit(|octet| *octet == b'\n').filter_map(move |line| {
        let (found, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name))?;
        Some(trim_whitespace(value.strip_suffix(b"\r").unwrap_or(value)))
    })
}
