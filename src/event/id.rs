//! The ids of events: what a client may be given, so that it can come back with it.
//!
//! A browser keeps the id of its last event and sends it in a field of a request (WHATWG HTML, 9.2.6). An id that is
//! changed on that way, or cannot go it, makes the client lose events or never reconnect. Pure.

/// Longest id, in bytes.
pub(crate) const MOST_BYTES: usize = 512;

/// Resume point that asks for everything that is held, so no id of an event.
pub(crate) const EARLIEST: &str = "earliest";

/// Says if an id comes back from a client as it was given.
///
/// A field's value has no control characters and no blank at its ends (RFC 9110, 5.5). A client with an empty id sends
/// none. Text other than ASCII comes back, as UTF-8 or as Latin-1.
pub(crate) fn comes_back(id: &str) -> bool {
    let has_room = (1..=MOST_BYTES).contains(&id.len());
    has_room && id != EARLIEST && !id.starts_with(' ') && !id.ends_with(' ') && !id.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_or_are_refused() {
        for id in ["7", "a b", "miaybk00k3x9qf-7", "\"\\/,;:", "caf\u{e9}", "\u{1f980}", "Earliest"] {
            assert!(comes_back(id), "{id:?}");
        }
        for id in ["", " ", " a", "a ", "\ta", "a\t", "a\tb", "earliest"] {
            assert!(!comes_back(id), "{id:?}");
        }
        for character in ('\0'..' ').chain(['\u{7f}', '\u{80}', '\u{85}', '\u{9f}']) {
            assert!(!comes_back(&format!("a{character}b")), "{character:?}");
        }
    }

    #[test]
    fn the_bound_is_in_bytes() {
        for (id, is_good) in [("x".repeat(512), true), ("x".repeat(513), false), ("\u{e9}".repeat(257), false)] {
            assert_eq!(comes_back(&id), is_good, "{} bytes", id.len());
        }
    }
}
