//! The end of a body (RFC 9112, 6), for a server that refuses every ambiguous head.

use std::collections::BTreeSet;

use smolcast::http::framing::Framing;

use super::{elements, trim};

/// A field line: its name in lower case, and its value without the whitespace around it.
pub type Field = (String, Vec<u8>);

/// The values of all fields of a name.
pub fn values<'f>(fields: &'f [Field], name: &str) -> Vec<&'f [u8]> {
    fields.iter().filter(|(field, _)| field == name).map(|(_, value)| &value[..]).collect()
}

/// The body of a request with these fields, or the statuses of the broken rules.
pub fn body(fields: &[Field], is_http_1_0: bool) -> Result<Framing, BTreeSet<u16>> {
    let lengths = elements(&values(fields, "content-length"));
    let codings = values(fields, "transfer-encoding");
    let (lines, mut broken) = (codings.len(), BTreeSet::new());
    let distinct: BTreeSet<_> = lengths.iter().map(|length| decimal(length)).collect();
    if distinct.len() > 1 || distinct.contains(&None) {
        broken.insert(400);
    }
    if !codings.is_empty() && (!lengths.is_empty() || is_http_1_0) {
        broken.insert(400);
    }
    let is_chunked = codings.len() == 1 && trim(codings[0]).eq_ignore_ascii_case(b"chunked");
    let codings = elements(&codings);
    let ends_in_chunked = codings.last().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    if !codings.is_empty() && !ends_in_chunked {
        broken.insert(400);
    } else if !codings.is_empty() && !is_chunked {
        broken.extend(if lines > 1 { [400, 501] } else { [501, 501] });
    }
    if !broken.is_empty() {
        return Err(broken);
    }
    let length = distinct.into_iter().flatten().next().map(|digits| digits.parse());
    match length {
        Some(Ok(length)) => Ok(Framing::Length(length)),
        Some(Err(_)) => Err(BTreeSet::from([400])),
        None if is_chunked => Ok(Framing::Chunked),
        None => Ok(Framing::None),
    }
}

/// The digits of `1*DIGIT` that fits into 64 bits, without zeros before them: equal texts are equal numbers.
fn decimal(octets: &[u8]) -> Option<String> {
    const MOST: &str = "18446744073709551615";
    let text = std::str::from_utf8(octets).ok()?;
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let digits = text.trim_start_matches('0');
    let fits = digits.len() < MOST.len() || (digits.len() == MOST.len() && digits <= MOST);
    (is_number && fits).then(|| format!("0{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(fields: &[(&str, &str)]) -> Result<Framing, Vec<u16>> {
        let fields: Vec<Field> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        body(&fields, false).map_err(|broken| broken.into_iter().collect())
    }

    #[test]
    fn content_lengths_give_the_body() {
        for (value, expected) in [
            ("0", Some(0)),
            ("16", Some(16)),
            ("0016 ,16", Some(16)),
            ("000000000000000000000000000001", Some(1)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999999999999999", None),
            ("16, 17", None),
            ("16,", None),
            (",16", None),
            ("", None),
            ("+16", None),
            ("-0", None),
            ("0x10", None),
            ("1 6", None),
            ("١٦", None),
        ] {
            let expected = expected.map(Framing::Length).ok_or(vec![400]);
            assert_eq!(decide(&[("content-length", value)]), expected, "{value}");
        }
        assert_eq!(decide(&[("content-length", "5"), ("content-length", "05")]), Ok(Framing::Length(5)));
        assert_eq!(decide(&[("content-length", "5"), ("content-length", "6")]), Err(vec![400]));
    }

    #[test]
    fn transfer_codings_give_the_body() {
        assert_eq!(decide(&[("transfer-encoding", "CHUNKED")]), Ok(Framing::Chunked));
        for value in ["chunked, chunked", "gzip, CHUNKED", "identity,chunked"] {
            assert_eq!(decide(&[("transfer-encoding", value)]), Err(vec![501]), "{value}");
        }
        for value in ["identity", "xchunked", "\"chunked\"", "chunked;a=b", "chunked, gzip", "chunked,", ""] {
            assert_eq!(decide(&[("transfer-encoding", value)]), Err(vec![400]), "{value}");
        }
        let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
        assert_eq!(decide(&twice), Err(vec![400, 501]));
        assert_eq!(decide(&[("content-length", "5"), ("transfer-encoding", "chunked")]), Err(vec![400]));
        assert_eq!(decide(&[("x", "5")]), Ok(Framing::None));
        let coding = [("transfer-encoding".to_owned(), b"chunked".to_vec())];
        assert_eq!(body(&coding, true), Err(BTreeSet::from([400])), "there is none in HTTP/1.0");
    }
}
