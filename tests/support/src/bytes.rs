//! Bytes in failures: expected above received, escaped, around the first difference.

use std::thread;

/// Bytes shown of a long value before and after the first difference.
const SHOWN: usize = 400;

/// Formats bytes as a Rust byte string; the middle of a long one is left out.
pub fn escaped(bytes: &[u8]) -> String {
    if bytes.len() <= 2 * SHOWN {
        return format!("b\"{}\" ({} bytes)", bytes.escape_ascii(), bytes.len());
    }
    let (head, tail) = (&bytes[..SHOWN], &bytes[bytes.len() - SHOWN..]);
    format!("b\"{}\" ... b\"{}\" ({} bytes)", head.escape_ascii(), tail.escape_ascii(), bytes.len())
}

/// Holds that `received` is `expected`, and shows both if not.
#[track_caller]
pub fn assert_bytes(what: &str, expected: &[u8], received: &[u8]) {
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

/// Formats the part of `bytes` around a difference at `at`.
fn around(bytes: &[u8], at: usize) -> String {
    if bytes.len() <= 2 * SHOWN {
        return escaped(bytes);
    }
    let from = at.saturating_sub(SHOWN).min(bytes.len());
    let to = (at + SHOWN).min(bytes.len());
    format!("[{from}..{to}] of {}: b\"{}\"", bytes.len(), bytes[from..to].escape_ascii())
}

/// Shows a table's row if the test fails within the returned value's scope.
pub fn showing(name: impl AsRef<str>, bytes: &[u8]) -> Showing {
    Showing { name: name.as_ref().to_owned(), bytes: bytes.to_vec() }
}

/// A table's row, printed if its scope ends by a panic.
#[must_use = "the row is shown for failures within its scope"]
pub struct Showing {
    name: String,
    bytes: Vec<u8>,
}

impl Drop for Showing {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("row: {}\n sent: {}", self.name, escaped(&self.bytes));
        }
    }
}
