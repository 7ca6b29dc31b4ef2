//! Bytes in failures: expected above received, escaped, around the first difference.

/// What of a long value is shown before and after the first difference.
const SHOWN: usize = 400;

/// Bytes as a Rust byte string, shortened in the middle when they are many.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    if bytes.len() <= 2 * SHOWN {
        return format!("b\"{}\" ({} bytes)", bytes.escape_ascii(), bytes.len());
    }
    let (head, tail) = (&bytes[..SHOWN], &bytes[bytes.len() - SHOWN..]);
    format!("b\"{}\" ... b\"{}\" ({} bytes)", head.escape_ascii(), tail.escape_ascii(), bytes.len())
}

/// Holds `received` to be `expected`, and shows both otherwise.
#[track_caller]
pub(crate) fn assert_bytes(what: &str, expected: &[u8], received: &[u8]) {
    if expected == received {
        return;
    }
    let same = expected.iter().zip(received).take_while(|(a, b)| a == b).count();
    panic!(
        "{what}: bytes differ from byte {same} on\n expected: {}\n received: {}",
        around(expected, same),
        around(received, same)
    );
}

/// The part of `bytes` in which a difference at `at` can be seen.
fn around(bytes: &[u8], at: usize) -> String {
    if bytes.len() <= 2 * SHOWN {
        return escaped(bytes);
    }
    let from = at.saturating_sub(SHOWN).min(bytes.len());
    let to = (at + SHOWN).min(bytes.len());
    format!("[{from}..{to}] of {}: b\"{}\"", bytes.len(), bytes[from..to].escape_ascii())
}
