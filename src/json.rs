//! Text as a JSON string (RFC 8259, section 7).

use std::fmt::Write;

/// The text in quotes, with what may not stand in a string escaped. It holds no line break.
pub(crate) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if control.is_ascii_control() => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_where_it_should() {
        for (text, expected) in [
            ("", r#""""#),
            ("7-1", r#""7-1""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("\0\n\r\u{7f}", r#""\u0000\u000a\u000d\u007f""#),
            ("é", "\"é\""),
        ] {
            assert_eq!(string(text), expected);
        }
    }
}
