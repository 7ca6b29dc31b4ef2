//! The query of a target (RFC 3986, 3.4): parameters between `&`, each a name, perhaps `=` and a value.
//!
//! Names and values are form-encoded (URL standard, 5.1): `+` is a space, and a `%` without two hexadecimal digits
//! after it is a `%`. Nothing between two `&` is no parameter.

/// The values of the parameters that have this name, decoded, in their order.
pub fn values(query: &str, name: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for parameter in query.split('&') {
        let (encoded, value) = match parameter.find('=') {
            Some(at) => (&parameter[..at], &parameter[at + 1..]),
            None => (parameter, ""),
        };
        if decoded(encoded) == name.as_bytes() {
            found.push(decoded(value));
        }
    }
    found
}

/// The names of all parameters, decoded, in their order.
pub fn names(query: &str) -> Vec<Vec<u8>> {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.map(|parameter| decoded(parameter.split('=').next().unwrap_or_default())).collect()
}

/// The decoded octets. The two octets after each `%` decide if it begins an encoded one.
fn decoded(encoded: &str) -> Vec<u8> {
    let encoded = encoded.replace('+', " ");
    let mut parts = encoded.as_bytes().split(|octet| *octet == b'%');
    let mut octets = parts.next().unwrap_or_default().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let octet = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        octets.push(octet.unwrap_or(b'%'));
        octets.extend_from_slice(if octet.is_some() { &part[2..] } else { part });
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_decoded() {
        for (encoded, expected) in [
            ("", &b""[..]),
            ("a+b%2B", b"a b+"),
            ("%c3%A9%ff%00", b"\xc3\xa9\xff\0"),
            ("%", b"%"),
            ("%4", b"%4"),
            ("%4g%g4%+1", b"%4g%g4% 1"),
            ("%%41%", b"%A%"),
            ("%4%31", b"%41"),
            ("%é", "%é".as_bytes()),
            ("%2541", b"%41"),
        ] {
            assert_eq!(decoded(encoded), expected, "{encoded}");
        }
    }

    #[test]
    fn parameters_are_found_by_name() {
        assert_eq!(values("a=1&b&a=%61=2&A=3&%61&a+=4&&=5", "a"), [&b"1"[..], b"a=2", b""]);
        assert_eq!(values("a%3D1&a;a=1", "a"), Vec::<Vec<u8>>::new());
        assert_eq!(values("?a&a?", "?a"), [b""]);
        assert_eq!(names("a=1&&b+&=2&%63%"), [&b"a"[..], b"b ", b"", b"c%"]);
    }
}
