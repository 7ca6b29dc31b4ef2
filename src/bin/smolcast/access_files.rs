//! Access lists: entries from flags and variables, and more from files.
//!
//! A file has one entry a line; blank lines and lines that begin with `#` are skipped, and so is a byte order mark. A
//! file without an entry is an error, because an empty list would admit every client. Errors name the file and the
//! line's number. They never quote the line, which may be a token.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::OFlags;
use smolcast::AccessSettings;

/// Most bytes of a file.
const MOST_BYTES: u64 = 1024 * 1024;

/// The sources of the access lists: entries from flags and variables, and paths of files with more.
#[derive(Clone, Debug, Default)]
pub(crate) struct AccessFiles {
    pub(crate) typed: AccessSettings,
    pub(crate) hosts: Option<PathBuf>,
    pub(crate) origins: Option<PathBuf>,
    pub(crate) publish_tokens: Option<PathBuf>,
}

impl AccessFiles {
    /// Returns true if there is a file, and so a reason to reload.
    pub(crate) fn have_files(&self) -> bool {
        [&self.hosts, &self.origins, &self.publish_tokens].into_iter().any(Option::is_some)
    }

    /// Reads all files. An error in one rejects all, so that new lists never mix with old ones.
    pub(crate) fn read(&self) -> Result<AccessSettings, String> {
        let mut access = self.typed.clone();
        append(&mut access.hosts, self.hosts.as_deref(), "host")?;
        append(&mut access.origins, self.origins.as_deref(), "origin")?;
        append(&mut access.publish_tokens, self.publish_tokens.as_deref(), "token")?;
        Ok(access)
    }
}

/// Appends the entries of the file, if there is one.
fn append<T>(list: &mut Vec<T>, path: Option<&Path>, kind: &str) -> Result<(), String>
where
    T: FromStr<Err: fmt::Display>,
{
    let Some(path) = path else { return Ok(()) };
    list.extend(entries(path, &read_bounded(path)?, kind)?);
    Ok(())
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    // Otherwise opening a pipe without a writer would block, and later reloads with it.
    let open = File::options().read(true).custom_flags(OFlags::NONBLOCK.bits() as i32).open(path);
    let read = open.and_then(|file| match file.metadata()?.is_file() {
        true => file.take(MOST_BYTES + 1).read_to_end(&mut octets),
        false => Err(io::Error::other("it is not a regular file")),
    });
    match read {
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
        Ok(length) if length as u64 > MOST_BYTES => {
            Err(format!("{} is longer than 1 MiB, the limit for a list", path.display()))
        }
        Ok(_) => Ok(octets),
    }
}

fn entries<T>(path: &Path, octets: &[u8], kind: &str) -> Result<Vec<T>, String>
where
    T: FromStr<Err: fmt::Display>,
{
    let mut entries = Vec::new();
    let octets = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    for (index, line) in octets.split(|octet| *octet == b'\n').enumerate() {
        let wrong = |error: &dyn fmt::Display| format!("{}, line {}: {error}", path.display(), index + 1);
        let line = std::str::from_utf8(line).map_err(|_| wrong(&"this is not UTF-8"))?.trim();
        if !line.is_empty() && !line.starts_with('#') {
            entries.push(line.parse().map_err(|error: T::Err| wrong(&error))?);
        }
    }
    if entries.is_empty() {
        return Err(format!("there is no {kind} in {}; write one on a line of its own", path.display()));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use smolcast::{HostPattern, Token};

    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token>, String> {
        entries(Path::new("f"), text.as_bytes(), "token")
    }

    #[test]
    fn each_line_but_comments_and_blanks_is_an_entry() {
        let expected: Vec<Token> = ["a", "b=="].map(|text| text.parse().expect("a token")).into();
        for text in
            ["a\nb==", "a\nb==\n", "# two\r\n\r\na\r\n  b== \t\r\n", "\n\n\t# x\n a\n#\nb==\n\n", "\u{feff}a\r\nb=="]
        {
            assert_eq!(tokens(text).as_ref(), Ok(&expected), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_the_line_and_does_not_quote_it() {
        for text in ["", "\n \n", "# secret\n"] {
            let expected = "there is no token in f; write one on a line of its own";
            assert_eq!(tokens(text).expect_err("no entry"), expected, "{text:?}");
        }
        for text in ["a\n\nsec ret", "#\n#\n!secret", "a\nb\nsecret,secret\nc", "a\nb\n=secret # x"] {
            let error = tokens(text).expect_err("no token");
            assert!(error.starts_with("f, line 3: a token is ") && !error.contains("secret"), "{error}");
        }
        let odd = entries::<Token>(Path::new("f"), b"a\n\xff", "token").expect_err("no text");
        assert_eq!(odd, "f, line 2: this is not UTF-8");
        let error = entries::<HostPattern>(Path::new("f"), b"example.com\nhttp://a", "host").expect_err("no host");
        assert!(error.starts_with("f, line 2: a host is such as "), "{error}");
    }

    #[test]
    fn a_missing_long_or_endless_file_is_an_error() {
        let lists = |path: &str| AccessFiles { publish_tokens: Some(path.into()), ..AccessFiles::default() };
        assert!(lists("f").have_files() && !AccessFiles::default().have_files());
        assert_eq!(AccessFiles::default().read().expect("there is nothing to read"), AccessSettings::default());
        let path = std::env::temp_dir().join(format!("smolcast-list-{}", std::process::id()));
        let path = path.to_str().expect("it is text");
        for (length, expected) in [
            (MOST_BYTES, format!("there is no token in {path}; write one on a line of its own")),
            (MOST_BYTES + 1, format!("{path} is longer than 1 MiB, the limit for a list")),
        ] {
            std::fs::write(path, vec![b'\n'; length as usize]).expect("a file can be written");
            assert_eq!(lists(path).read().expect_err("it is of no use"), expected);
        }
        std::fs::remove_file(path).expect("it is there");
        let endless = lists("/dev/zero").read().expect_err("a device without an end");
        assert_eq!(endless, "cannot read /dev/zero: it is not a regular file");
        let missing = lists("/nowhere/at/all").read().expect_err("no such file");
        assert!(missing.starts_with("cannot read /nowhere/at/all: "), "{missing}");
    }
}
