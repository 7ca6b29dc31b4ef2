//! The query of a request target: `name=value` pairs between `&`, percent-encoded (RFC 3986, 2.1 and 3.4).
//!
//! Pure; it knows no parameter. It is form-encoded (URL standard, 5.1), as every client library writes it: a `+` is a
//! space, and a `%` without two hexadecimal digits stands for itself.

use std::borrow::Cow;

use super::RequestError;

/// The decoded values of every parameter with this name, in order. A parameter without `=` has an empty value, and one
/// that is not UTF-8 an error.
pub(crate) fn values<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Result<Cow<'q, str>, RequestError>> {
    parameters(query).filter(move |(encoded, _)| *decode(encoded) == *name.as_bytes()).map(|(_, value)| {
        match decode(value) {
            Cow::Borrowed(_) => Ok(Cow::Borrowed(value)),
            Cow::Owned(octets) => String::from_utf8(octets).map(Cow::Owned).map_err(|_| RequestError::NotText),
        }
    })
}

/// The decoded name of every parameter, in order.
pub(super) fn names(query: &str) -> impl Iterator<Item = Cow<'_, [u8]>> {
    parameters(query).map(|(encoded, _)| decode(encoded))
}

/// The encoded name and value of every parameter. Nothing between two `&` is no parameter.
fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

/// Decodes a part of a query.
fn decode(encoded: &str) -> Cow<'_, [u8]> {
    if !encoded.contains(['%', '+']) {
        return Cow::Borrowed(encoded.as_bytes());
    }
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.first_chunk().and_then(|[high, low]| Some(16 * hex(*high)? + hex(*low)?));
        match digits {
            Some(octet) if *first == b'%' => {
                octets.push(octet);
                rest = &behind[2..];
            }
            _ => {
                octets.push(if *first == b'+' { b' ' } else { *first });
                rest = behind;
            }
        }
    }
    Cow::Owned(octets)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(query: &str, name: &str) -> Vec<Result<String, RequestError>> {
        values(query, name).map(|value| value.map(Cow::into_owned)).collect()
    }

    #[test]
    fn parameters_are_found_by_name_and_decoded() {
        for (query, expected) in [
            ("", &[][..]),
            ("x=1", &["1"]),
            ("x", &[""]),
            ("x=", &[""]),
            ("x=1&y=2&x=3", &["1", "3"]),
            ("xx=1&X=2&x=a=b", &["a=b"]),
            ("%78=%41%c3%a9", &["Aé"]),
            ("x=a+b%20c%2B", &["a b c+"]),
            ("x=+&%78=%2b+", &[" ", "+ "]),
            ("x=%&x=%4&x=%zz&x=%%41&x=%+1", &["%", "%4", "%zz", "%A", "% 1"]),
            ("x=%00%0d%0A", &["\0\r\n"]),
            ("&&x=1&", &["1"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|value| Ok((*value).to_owned())).collect();
            assert_eq!(all(query, "x"), expected, "for {query:?}");
        }
        assert_eq!(all("x=%ff&x=1", "x"), [Err(RequestError::NotText), Ok("1".to_owned())]);
    }

    proptest! {
        #[test]
        fn percent_encoded_text_comes_back(text in ".*") {
            let encoded: String = text.bytes().map(|octet| format!("%{octet:02x}")).collect();
            prop_assert_eq!(all(&format!("a=1&x={encoded}&b"), "x"), [Ok(text)]);
        }

        #[test]
        fn no_query_panics(query in "[x&=%+0-9a-fé]{0,32}") {
            all(&query, "x");
            names(&query).count();
        }
    }
}
