//! Patterns of hosts and origins, as an operator lists them.
//!
//! Pure: texts. It knows nothing of requests. A pattern that no request can match is rejected, not kept.

use std::fmt;
use std::str::FromStr;

use super::authority::{host_of, is_comparable};

/// A host by its name or address: `example.com`, `127.0.0.1`, `[::1]`.
///
/// It matches on any port; `example.com:1942` matches on that port alone, `*.example.com` all names below that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(pub(super) Pattern);

/// An origin as a browser sends it: `https://example.com`, `http://localhost:3000`, `null`.
///
/// The scheme's default port and a slash at the end are left out. `*.example.com` matches every origin whose host is
/// below that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(Pattern);

/// The text of a pattern, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Exact(String),
    /// The end of a host, from the dot on.
    Below(String),
}

impl Pattern {
    fn parse(text: &str) -> Result<Self, InvalidPattern> {
        let is_plain = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_graphic());
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some(suffix) if is_name(suffix.strip_prefix('.').unwrap_or_default()) => Ok(Self::Below(suffix.to_owned())),
            None if is_plain(&text) && !text.contains(['*', ',']) => Ok(Self::Exact(text)),
            Some(_) | None => Err(InvalidPattern),
        }
    }

    /// Returns true if the pattern is the whole text, or the host is below its name.
    fn matches(&self, whole: &str, host: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.eq_ignore_ascii_case(whole),
            Self::Below(suffix) => {
                let end = host.len().checked_sub(suffix.len()).filter(|end| *end > 0);
                end.and_then(|end| host.get(end..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) => f.write_str(text),
            Self::Below(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl HostPattern {
    pub(super) fn matches(&self, authority: &str) -> bool {
        let host = host_of(authority);
        self.0.matches(authority, host) || self.0.matches(host, host)
    }
}

impl FromStr for HostPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        // RFC 3986 allows more characters in a host; in a list they are a slip.
        let is_plain = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._:[]*".contains(&octet));
        let pattern = Pattern::parse(text)?;
        let is_host = match &pattern {
            Pattern::Exact(host) => is_plain && is_comparable(host) && !host.starts_with('.'),
            Pattern::Below(_) => true,
        };
        is_host.then_some(Self(pattern)).ok_or(InvalidPattern)
    }
}

impl OriginPattern {
    pub(super) fn matches(&self, origin: &str) -> bool {
        // A wildcard matches hosts that are made of labels, and no other text that ends alike.
        let host = authority_of_origin(origin).map(host_of).filter(|host| is_name(host));
        self.0.matches(origin, host.unwrap_or_default())
    }
}

impl FromStr for OriginPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        // As copied from a browser's address bar.
        let text = text.strip_suffix('/').filter(|origin| !origin.ends_with('/')).unwrap_or(text);
        match Pattern::parse(text)? {
            Pattern::Exact(origin) if origin == "null" || authority_of_origin(&origin).is_some() => {
                Ok(Self(Pattern::Exact(without_default_port(origin))))
            }
            Pattern::Exact(_) => Err(InvalidPattern),
            below @ Pattern::Below(_) => Ok(Self(below)),
        }
    }
}

/// An origin in lower case as browsers send it (RFC 6454, 6.2).
fn without_default_port(origin: String) -> String {
    let is_default = origin.starts_with("https://") && origin.ends_with(":443")
        || origin.starts_with("http://") && origin.ends_with(":80");
    match origin.rsplit_once(':') {
        Some((shorter, _)) if is_default => shorter.to_owned(),
        _ => origin,
    }
}

/// The host and port of `scheme "://" host [ ":" port ]` (RFC 6454, 7.1), if the text has that form.
fn authority_of_origin(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
    (is_scheme && is_comparable(authority)).then_some(authority)
}

fn is_name(text: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    text.split('.').all(is_label)
}

/// The error of a text that is no pattern of hosts or of origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host is such as example.com, [::1]:1942 or *.example.com, an origin such as https://example.com")]
pub struct InvalidPattern;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_patterns_are_rejected() {
        for text in [
            "",
            "*",
            "*.",
            "*example.com",
            "a.*.com",
            "*.a b",
            "exa mple.com",
            "a,b",
            "é.com",
            "*.a..b",
            "http://a",
            ".a.b",
        ] {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?} as a host");
        }
        for text in [
            "",
            "*",
            "example.com",
            "https://",
            "https://a.com//",
            "https://a.com/b/",
            "https://*.a.com",
            "*.a/b",
            "://a",
            "1x://a",
        ] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text:?} as an origin");
        }
        for text in ["null", "app://localhost", "http://[::1]:3000", "chrome-extension://abc", "http://a_b"] {
            assert!(text.parse::<OriginPattern>().is_ok(), "{text:?} as an origin");
        }
    }
}
