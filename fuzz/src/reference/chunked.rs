//! The chunked transfer coding (RFC 9112, 7.1), read from all octets at once.
//!
//! The limits count by the server's own rules. An extension costs the octets after its first semicolon, the whitespace
//! before that, and digits of a size beyond the sixteenth. Trailers cost their lines, ends included.

use smolcast::Limits;

use super::{Reading, Refusals, is_field_octet, is_tchar, is_token, line};

const FREE_DIGITS: usize = 16;

/// The unused part of a body's limits.
struct Budget {
    body: usize,
    extensions: usize,
    trailers: usize,
}

/// A refusal that has to come at once, with the octet that breaks the rule.
fn refused<T>(statuses: &[u16]) -> Reading<T> {
    Reading::Refused(Refusals { statuses: statuses.iter().copied().collect(), at_once: true })
}

/// Decodes the body at the start of these octets.
pub fn decode(octets: &[u8], limits: &Limits) -> Reading<Vec<u8>> {
    let mut budget =
        Budget { body: limits.body_bytes, extensions: limits.chunk_extension_bytes, trailers: limits.trailer_bytes };
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let size = match read_size(&octets[at..], &mut budget) {
            Reading::Whole(size, length) => {
                at += length;
                size
            }
            Reading::Partial => return Reading::Partial,
            Reading::Refused(refusals) => return Reading::Refused(refusals),
            Reading::Open => return Reading::Open,
        };
        if size == 0 {
            return match read_trailers(&octets[at..], &mut budget) {
                Reading::Whole((), length) => Reading::Whole(body, at + length),
                Reading::Partial => Reading::Partial,
                Reading::Refused(refusals) => Reading::Refused(refusals),
                Reading::Open => Reading::Open,
            };
        }
        let Some(data) = octets[at..].get(..size) else { return Reading::Partial };
        let behind = &octets[at + size..];
        if !behind.starts_with(b"\r\n") {
            return if b"\r\n".starts_with(behind) { Reading::Partial } else { refused(&[400]) };
        }
        body.extend_from_slice(data);
        at += size + 2;
    }
}

/// Reads a line up to its CRLF: the size of a chunk, and extensions.
fn read_size(octets: &[u8], budget: &mut Budget) -> Reading<usize> {
    let ended = line(octets);
    let line = ended.unwrap_or(octets);
    let content = line.strip_suffix(b"\r");
    // A CR as the last octet may begin the line's end.
    let has_bad_end = ended.is_some() && content.is_none();
    let is_cut = content.is_none();
    let content = content.unwrap_or(line);
    let digits = content.iter().take_while(|octet| octet.is_ascii_hexdigit()).count();
    let (digits, extension) = content.split_at(digits);
    let whitespace = extension.iter().take_while(|octet| **octet == b' ' || **octet == b'\t').count();
    let has_extension = extension.get(whitespace) == Some(&b';');
    let is_well_formed =
        !has_bad_end && (!digits.is_empty() || content.is_empty() && is_cut) && are_extensions(extension, is_cut);
    let cost = digits.len().saturating_sub(FREE_DIGITS) + extension.len() - usize::from(has_extension);
    let size = number(digits);
    let is_too_large = size.is_none_or(|size| size > budget.body);
    let refusals = Refusals {
        statuses: [(!is_well_formed || cost > budget.extensions, 400), (is_too_large, 413)]
            .into_iter()
            .filter_map(|(is_broken, status)| is_broken.then_some(status))
            .collect(),
        at_once: true,
    };
    match size {
        _ if !refusals.is_empty() => Reading::Refused(refusals),
        Some(size) if ended.is_some() => {
            budget.body -= size;
            budget.extensions -= cost;
            Reading::Whole(size, line.len() + 1)
        }
        _ => Reading::Partial,
    }
}

/// Checks extensions: a name each, and perhaps a value. Whitespace may stand before and after `;` and `=`.
///
/// If they are cut, the rest of them may still come.
fn are_extensions(mut rest: &[u8], is_cut: bool) -> bool {
    while !rest.is_empty() {
        let Some((b';', behind)) = without_blanks(rest).split_first() else {
            return without_blanks(rest).is_empty() && is_cut;
        };
        let name = without_blanks(behind);
        rest = without_token(name);
        if rest.len() == name.len() {
            return name.is_empty() && is_cut;
        }
        if let Some((b'=', value)) = without_blanks(rest).split_first() {
            match without_value(without_blanks(value), is_cut) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
    }
    true
}

/// The octets behind a value, a token or a quoted string; nothing is behind one that is cut.
fn without_value(octets: &[u8], is_cut: bool) -> Option<&[u8]> {
    let Some((b'"', mut rest)) = octets.split_first() else {
        let behind = without_token(octets);
        return (behind.len() < octets.len() || octets.is_empty() && is_cut).then_some(behind);
    };
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [] | [b'\\'] => return is_cut.then_some(b""),
            [b'\\', octet, behind @ ..] | [octet, behind @ ..] if is_field_octet(*octet) => behind,
            _ => return None,
        }
    }
}

fn without_blanks(octets: &[u8]) -> &[u8] {
    let blanks = octets.iter().take_while(|octet| **octet == b' ' || **octet == b'\t').count();
    &octets[blanks..]
}

fn without_token(octets: &[u8]) -> &[u8] {
    let length = octets.iter().take_while(|octet| is_tchar(**octet)).count();
    &octets[length..]
}

/// The value of hexadecimal digits, if a memory can have so many octets.
fn number(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?.trim_start_matches('0');
    if text.is_empty() { Some(0) } else { usize::from_str_radix(text, 16).ok() }
}

/// Reads trailer fields up to the empty line, and ignores them.
fn read_trailers(octets: &[u8], budget: &mut Budget) -> Reading<()> {
    let mut at = 0;
    while let Some(line) = line(&octets[at..]) {
        at += line.len() + 1;
        match line.strip_suffix(b"\r") {
            Some(b"") => return Reading::Whole((), at),
            Some(field) if is_trailer(field) && line.len() < budget.trailers => budget.trailers -= line.len() + 1,
            _ => return refused(&[400]),
        }
    }
    let start = &octets[at..];
    let content = start.strip_suffix(b"\r").unwrap_or(start);
    let may_go_on = content.iter().all(|octet| is_tchar(*octet)) || is_trailer(content);
    // A CR ends a field or begins the end of the empty line.
    let is_name = !content.is_empty() && content.len() < start.len() && !is_trailer(content);
    let cost = if content.is_empty() { 0 } else { start.len() };
    if may_go_on && !is_name && cost <= budget.trailers { Reading::Partial } else { refused(&[400]) }
}

fn is_trailer(line: &[u8]) -> bool {
    let mut parts = line.splitn(2, |octet| *octet == b':');
    let (name, value) = (parts.next().unwrap_or_default(), parts.next());
    is_token(name) && value.is_some_and(|value| value.iter().all(|octet| is_field_octet(*octet)))
}

#[cfg(test)]
mod tests {
    use support::with;

    use super::*;

    fn small() -> Limits {
        with!(Limits::default(), { body_bytes: 32, chunk_extension_bytes: 8, trailer_bytes: 24 })
    }

    fn statuses(octets: &str) -> Vec<u16> {
        match decode(octets.as_bytes(), &small()) {
            Reading::Refused(refusals) => refusals.statuses.into_iter().collect(),
            other => panic!("{octets:?} is {other:?}"),
        }
    }

    #[test]
    fn a_body_is_its_chunks_and_partial_until_its_last_octet() {
        for (octets, body) in [
            ("0\r\n\r\n", ""),
            ("5\r\nhello\r\n000\r\n\r\n", "hello"),
            ("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", "abc"),
            ("1F\r\n0123456789012345678901234567890\r\n0\r\n\r\n", "0123456789012345678901234567890"),
            ("000000000000000000000002\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
            ("1\t;a=\"b\"\r\nx\r\n0;c\r\n\r\n", "x"),
            ("1; a = b\r\nx\r\n0\r\n\r\n", "x"),
            ("1;a;b=c ;d\r\nx\r\n0\r\n\r\n", "x"),
            ("1;a=\"\u{e9}\"\r\nx\r\n0\r\nA:\r\n\r\n", "x"),
            ("1;a=\"\\\"\"\r\nx\r\n0\r\nA:\r\nB: \tc:d\r\n\r\n", "x"),
            ("0\r\na:3456789012345678901\r\n\r\n", ""),
        ] {
            let behind = format!("{octets}0\r\n\r\n");
            assert_eq!(decode(behind.as_bytes(), &small()), Reading::Whole(body.into(), octets.len()), "{octets:?}");
            for end in 0..octets.len() {
                assert_eq!(decode(&octets.as_bytes()[..end], &small()), Reading::Partial, "{octets:?}, {end} octets");
            }
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for octets in [
            "\r\n",
            "\r\r",
            "\n",
            ";",
            "-",
            " 1",
            "1\n",
            "1 \r\n",
            "1\r\r",
            "1;a\0",
            "1;;",
            "1;\r\n",
            "1;=",
            "1;a \r\n",
            "1;a=\r\n",
            "1;a=;",
            "1;a b",
            "1;a=b c",
            "1;a==",
            "1;a=b\"",
            "1;a=\"\"b",
            "1;a=\"\r\n",
            "1;a=\"\\\r\n",
            "1;a=\"\0",
            "1;a=\"\\\0",
            "1;\u{e9}",
            "1;\n",
            "1;\r1",
            "1;123456789",
            "1         ;",
            "1;1234\r\na\r\n1;12345",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\rb",
            "0\r\n\n",
            "0\r\n\rx",
            "0\r\n a",
            "0\r\n:",
            "0\r\na ",
            "0\r\na\r",
            "0\r\na:\0",
            "0\r\na:\n",
            "0\r\na:\rb",
            "0\r\na:345678901234567890123\r\n",
            "0\r\na:34567890123456789012345",
            "000000000000000000000000000",
        ] {
            assert!(statuses(octets).contains(&400), "{octets:?}");
        }
        for octets in ["21", "fffffffffffffffff", "20\r\n01234567890123456789012345678901\r\n1"] {
            assert_eq!(statuses(octets), [413], "{octets:?}");
        }
        assert_eq!(statuses("21\n"), [400, 413], "either is good");
    }
}
