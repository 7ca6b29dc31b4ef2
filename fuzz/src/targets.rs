//! The property of each target. `hold` panics on an input that breaks it, and its message has the expected result.

pub mod chunked;
pub mod connection;
pub mod frame;
pub mod framing;
pub mod head;

use smolcast::http::RequestError;

/// The status code of an error.
fn status(error: RequestError) -> u16 {
    let text = error.status();
    let code = text.split(' ').next().and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("a status begins with its code: {text}"))
}

/// Octets escaped for a message.
fn shown(octets: &[u8]) -> String {
    octets.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    type Hold = fn(&[u8]);

    /// Runs every committed input without a fuzzer.
    #[test]
    fn the_corpora_hold() {
        let targets: [(&str, Hold); 5] = [
            ("head", head::hold),
            ("framing", framing::hold),
            ("chunked", chunked::hold),
            ("frame", frame::hold),
            ("connection", connection::hold),
        ];
        for (name, hold) in targets {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
            let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
            let mut count = 0;
            for entry in entries {
                let path = entry.expect("an entry can be read").path();
                hold(&fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())));
                count += 1;
            }
            assert!(count > 0, "no seeds for {name}");
        }
    }
}
