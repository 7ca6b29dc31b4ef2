//! The end of a request's body (RFC 9112, section 6): one pure function over the head's fields.
//!
//! It reads no body. Fields that could be read in two ways are rejected. A proxy in front may read them the other way,
//! and request smuggling lives on that difference.

use httparse::Header;

use super::{RequestError, decimal, list_members, trim_whitespace};

/// The framing of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The head announces no body.
    None,
    /// A body of so many octets.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
}

/// Decides the body's framing, or rejects the head.
pub(crate) fn framing(fields: &[Header<'_>], http_1_0: bool) -> Result<Framing, RequestError> {
    let length = content_length(fields)?;
    let mut codings = field_values(fields, "transfer-encoding");
    let (Some(coding), another) = (codings.next(), codings.next()) else {
        return Ok(length.map_or(Framing::None, Framing::Length));
    };
    if length.is_some() {
        return Err(RequestError::AmbiguousFraming);
    }
    let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    if http_1_0 || another.is_some() || !list_members(coding).last().is_some_and(is_chunked) {
        // The end of such a body cannot be found (RFC 9112, 6.3).
        Err(RequestError::TransferEncoding)
    } else if is_chunked(trim_whitespace(coding)) {
        Ok(Framing::Chunked)
    } else {
        Err(RequestError::UnknownCoding)
    }
}

/// The values of all field lines with this name.
pub(super) fn field_values<'f, 'b>(
    fields: &'f [Header<'b>],
    name: &'static str,
) -> impl Iterator<Item = &'b [u8]> + use<'f, 'b> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
}

/// The one value that all Content-Length lines and their list members agree on.
fn content_length(fields: &[Header<'_>]) -> Result<Option<u64>, RequestError> {
    let mut agreed = None;
    for value in field_values(fields, "content-length").flat_map(list_members) {
        let length = decimal(value).ok_or(RequestError::ContentLength)?;
        if agreed.is_some_and(|earlier| earlier != length) {
            return Err(RequestError::ContentLength);
        }
        agreed = Some(length);
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(fields: &[(&'static str, &'static str)], http_1_0: bool) -> Result<Framing, RequestError> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        framing(&fields, http_1_0)
    }

    #[test]
    fn content_length_is_one_decimal_number() {
        for (value, expected) in [
            ("0", Ok(0)),
            ("16", Ok(16)),
            ("016", Ok(16)),
            (" 16\t", Ok(16)),
            ("16, 16", Ok(16)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err(RequestError::ContentLength)),
            ("16, 17", Err(RequestError::ContentLength)),
            ("16,", Err(RequestError::ContentLength)),
            ("", Err(RequestError::ContentLength)),
            ("+16", Err(RequestError::ContentLength)),
            ("-0", Err(RequestError::ContentLength)),
            ("0x10", Err(RequestError::ContentLength)),
            ("1_6", Err(RequestError::ContentLength)),
            ("16.0", Err(RequestError::ContentLength)),
            ("16;", Err(RequestError::ContentLength)),
            ("1 6", Err(RequestError::ContentLength)),
            ("\u{661}\u{666}", Err(RequestError::ContentLength)),
        ] {
            let decided = decide(&[("Content-Length", value)], false);
            assert_eq!(decided, expected.map(Framing::Length), "for {value:?}");
        }
        assert_eq!(decide(&[("content-length", "5"), ("CONTENT-LENGTH", "5")], false), Ok(Framing::Length(5)));
        assert_eq!(
            decide(&[("content-length", "5"), ("content-length", "6")], false),
            Err(RequestError::ContentLength)
        );
    }

    #[test]
    fn transfer_encoding_is_chunked_once() {
        for (value, expected) in [
            ("chunked", Ok(Framing::Chunked)),
            (" ChUnKeD\t", Ok(Framing::Chunked)),
            ("chunked, chunked", Err(RequestError::UnknownCoding)),
            ("gzip, chunked", Err(RequestError::UnknownCoding)),
            ("identity, Chunked", Err(RequestError::UnknownCoding)),
            ("chunked, gzip", Err(RequestError::TransferEncoding)),
            ("identity", Err(RequestError::TransferEncoding)),
            ("xchunked", Err(RequestError::TransferEncoding)),
            ("\"chunked\"", Err(RequestError::TransferEncoding)),
            ("chunked;a=b", Err(RequestError::TransferEncoding)),
            ("chunked,", Err(RequestError::TransferEncoding)),
            ("", Err(RequestError::TransferEncoding)),
        ] {
            assert_eq!(decide(&[("Transfer-Encoding", value)], false), expected, "for {value:?}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(decide(&twice, false), Err(RequestError::TransferEncoding));
        assert_eq!(decide(&[("transfer-encoding", "chunked")], true), Err(RequestError::TransferEncoding), "HTTP/1.0");
    }

    #[test]
    fn both_framings_at_once_are_rejected() {
        let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(decide(&both, false), Err(RequestError::AmbiguousFraming));
        assert_eq!(decide(&[both[1], both[0]], false), Err(RequestError::AmbiguousFraming));
        assert_eq!(
            decide(&[("content-length", "5"), ("transfer-encoding", "")], false),
            Err(RequestError::AmbiguousFraming)
        );
    }

    #[test]
    fn other_fields_frame_nothing() {
        assert_eq!(decide(&[("content-type", "text/plain"), ("x-content-length", "5")], false), Ok(Framing::None));
    }
}
