//! Messages that a client may get wrong, the same for every client.

/// Published messages, each with the data that a client must hand out.
#[rustfmt::skip]
pub const BODIES: [(&str, &str); 14] = [
    ("hello", "hello"),
    ("", ""),
    ("two\nlines", "two\nlines"),
    // Each line break counts once and arrives as LF.
    ("a\r\nb\rc\nd", "a\nb\nc\nd"),
    ("\r\n", "\n"),
    ("a\n\nb", "a\n\nb"),
    ("  a\r\n\r\n b\r\n", "  a\n\n b\n"),
    ("\n\nin the middle\n\nof nothing\n\n", "\n\nin the middle\n\nof nothing\n\n"),
    ("  spaces stay  \n\ttabs too\t", "  spaces stay  \n\ttabs too\t"),
    // Lines that look like fields are data.
    ("data: x\nevent: y\nid: 1\nretry: 1\n\n: z", "data: x\nevent: y\nid: 1\nretry: 1\n\n: z"),
    ("grüße, 你好, שלום, 🦀", "grüße, 你好, שלום, 🦀"),
    ("\u{feff}a mark at the beginning", "\u{feff}a mark at the beginning"),
    ("one \0 byte", "one \0 byte"),
    ("\u{2028}no line break for a stream\u{85}", "\u{2028}no line break for a stream\u{85}"),
];
