//! Values written as JSON (RFC 8259): strings, objects and arrays. It writes JSON and never reads it.

use std::fmt::{Display, Write};

/// Object under construction.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

impl Object {
    /// Adds a member with a value that displays as JSON: a number, a truth value, another object.
    pub(crate) fn with(mut self, name: &'static str, value: impl Display) -> Self {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // Writing to a string does not fail.
        let _ = write!(self.0, "\"{name}\":{value}");
        self
    }

    /// Adds a member with a string value.
    pub(crate) fn with_text(self, name: &'static str, text: &str) -> Self {
        self.with(name, string(text))
    }

    /// Adds a member with a JSON value or null.
    pub(crate) fn with_optional(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self.with(name, "null"),
        }
    }

    /// Closes the object and returns its text.
    pub(crate) fn end(mut self) -> String {
        self.0.push_str(if self.0.is_empty() { "{}" } else { "}" });
        self.0
    }
}

/// Formats an array of items that display as JSON.
pub(crate) fn array(items: impl IntoIterator<Item = impl Display>) -> String {
    let mut out = String::from("[");
    for (number, item) in items.into_iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(out, "{comma}{item}");
    }
    out.push(']');
    out
}

/// Quotes and escapes a string. The result holds no line break.
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
    fn objects_and_arrays_are_written() {
        let inner = Object::default().with("a", 1).with("b", true).with_text("c", "\"").end();
        assert_eq!(inner, r#"{"a":1,"b":true,"c":"\""}"#);
        let outer = Object::default().with("list", array([0.5, 2.0])).with_optional("none", None::<u8>);
        assert_eq!(
            outer.with_optional("some", Some(inner)).end(),
            r#"{"list":[0.5,2],"none":null,"some":{"a":1,"b":true,"c":"\""}}"#
        );
        assert_eq!((Object::default().end(), array([""; 0])), ("{}".to_owned(), "[]".to_owned()));
    }

    #[test]
    fn strings_are_escaped() {
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
