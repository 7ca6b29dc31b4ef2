//! Access rules, for a server with lists of hosts, origins and tokens.

use smolcast::AccessSettings;
use support::with;

use super::authority;
use super::framing::{Field, values};

/// The lists: names, `*.` and a name for all names below it, and tokens.
#[derive(Clone, Copy, Debug)]
pub struct Lists {
    hosts: &'static [&'static str],
    origins: &'static [&'static str],
    tokens: &'static [&'static str],
}

/// The pages that may read a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Pages of any origin.
    Anyone,
    /// Pages of this origin.
    Origin(Vec<u8>),
    /// No page.
    Nobody,
    /// Not checked here.
    Unsaid,
}

/// The lists that an input can choose.
pub const LISTS: [Lists; 6] = [
    Lists { hosts: &[], origins: &[], tokens: &[] },
    Lists { hosts: &["h", "a.b:81", "[::1]"], origins: &[], tokens: &[] },
    Lists { hosts: &[], origins: &["http://h", "https://a.b:81", "null"], tokens: &[] },
    Lists { hosts: &["*.b"], origins: &["*.b"], tokens: &[] },
    Lists { hosts: &[], origins: &[], tokens: &["t", "a-B.2~+/_=="] },
    Lists { hosts: &["h"], origins: &["http://h", "*.b"], tokens: &["t"] },
];

impl Lists {
    /// The lists in the server's form.
    pub fn access(&self) -> AccessSettings {
        with!(AccessSettings::default(), {
            hosts: self.hosts.iter().map(|host| host.parse().expect("a pattern of hosts")).collect(),
            origins: self.origins.iter().map(|origin| origin.parse().expect("a pattern of origins")).collect(),
            publish_tokens: self.tokens.iter().map(|token| token.parse().expect("a token")).collect(),
        })
    }

    /// Checks a request's host, which may have a port or be missing.
    pub fn admit(&self, authority: Option<&[u8]>) -> bool {
        let authority = authority.and_then(|octets| std::str::from_utf8(octets).ok()).map(str::to_lowercase);
        let is_listed = |authority: String| {
            let host = without_port(&authority);
            self.hosts.iter().any(|listed| match listed.strip_prefix('*') {
                Some(end) => is_below(host, end),
                None => *listed == host || *listed == authority,
            })
        };
        self.hosts.is_empty() || authority.is_some_and(is_listed)
    }

    /// The pages that may read the response to a page of this origin.
    pub fn readers(&self, origin: Option<&[u8]>) -> Readers {
        if self.origins.is_empty() {
            return Readers::Anyone;
        }
        let Some(origin) = origin else { return Readers::Nobody };
        let text = String::from_utf8_lossy(origin).to_lowercase();
        let authority = authority_of_origin(&text);
        let is_listed = self.origins.iter().any(|listed| match listed.strip_prefix('*') {
            Some(end) => authority.map(without_port).is_some_and(|host| is_below(host, end) && is_domain(host)),
            None => *listed == text,
        });
        if is_listed { Readers::Origin(origin.to_vec()) } else { Readers::Nobody }
    }

    /// Checks the origin of a publish. A request without an origin comes from no page.
    pub fn may_publish(&self, origin: Option<&[u8]>) -> bool {
        origin.is_none() || self.readers(origin) != Readers::Nobody
    }

    /// Checks the fields for a listed token, if there is a list. One field has `Bearer` in any case, spaces, and the
    /// token with nothing after it (RFC 6750, 2.1; RFC 9110, 11.4).
    pub fn are_shown_a_token(&self, fields: &[Field]) -> bool {
        let credentials = values(fields, "authorization");
        let shown = match credentials[..] {
            [one] => String::from_utf8_lossy(one).into_owned(),
            _ => String::new(),
        };
        let (scheme, token) = shown.split_once(' ').unwrap_or_default();
        let is_shown = scheme.to_lowercase() == "bearer" && self.tokens.contains(&token.trim_start_matches(' '));
        self.tokens.is_empty() || is_shown
    }

    /// Says if the preflight of a page of this origin lists the fields of a publish.
    pub fn tell_of_fields(&self, origin: Option<&[u8]>) -> bool {
        matches!(self.readers(origin), Readers::Origin(_))
    }
}

fn is_below(host: &str, end: &str) -> bool {
    host.len() > end.len() && host.ends_with(end)
}

/// Labels of letters, digits and hyphens (RFC 1123, 2.1), as a browser resolves them.
fn is_domain(host: &str) -> bool {
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    host.split('.').all(is_label)
}

fn without_port(authority: &str) -> &str {
    let host_end =
        if authority.starts_with('[') { authority.find(']').map(|end| end + 1) } else { authority.find(':') };
    &authority[..host_end.unwrap_or(authority.len())]
}

/// The host and port after `scheme "://"` (RFC 6454, 7.1). The grammar allows an empty port, but no origin is
/// serialised with one (6.2).
fn authority_of_origin(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
    let is_authority = authority::is_host_and_port(authority.as_bytes()) && !authority.ends_with(':');
    (is_scheme && is_authority).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_allows_everything() {
        assert!(LISTS[0].admit(None) && LISTS[0].may_publish(Some(b"x")));
        assert_eq!(LISTS[0].readers(Some(b"x")), Readers::Anyone);
        assert_eq!(LISTS[0].access(), AccessSettings::default());
    }

    #[test]
    fn hosts_match_the_list() {
        for (lists, host, expected) in [
            (LISTS[1], "H", true),
            (LISTS[1], "h:1", true),
            (LISTS[1], "a.b:81", true),
            (LISTS[1], "a.b", false),
            (LISTS[1], "[::1]:5", true),
            (LISTS[1], "hh", false),
            (LISTS[3], "a.b:7", true),
            (LISTS[3], "b", false),
            (LISTS[3], "ab", false),
        ] {
            assert_eq!(lists.admit(Some(host.as_bytes())), expected, "{host}");
        }
        assert!(!LISTS[1].admit(None));
    }

    #[test]
    fn tokens_match_the_list() {
        let shows = |lists: Lists, fields: &[(&str, &str)]| {
            let fields: Vec<Field> = fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            lists.are_shown_a_token(&fields)
        };
        assert!(shows(LISTS[0], &[]) && shows(LISTS[0], &[("authorization", "x")]));
        for (value, expected) in [
            ("Bearer t", true),
            ("bEARER   t", true),
            ("Bearer a-B.2~+/_==", true),
            ("Bearer T", false),
            ("Bearer tt", false),
            ("Bearer t t", false),
            ("Bearer a-B.2~+/_=", false),
            ("Bearer\tt", false),
            ("Bearert", false),
            ("Bearer", false),
            ("Basic t", false),
            ("t", false),
            ("", false),
        ] {
            assert_eq!(shows(LISTS[4], &[("authorization", value)]), expected, "{value:?}");
        }
        assert!(!shows(LISTS[4], &[]));
        assert!(!shows(LISTS[4], &[("authorization", "Bearer t"), ("authorization", "Bearer t")]));
        assert!(shows(LISTS[4], &[("authorization", "Bearer t"), ("x", "Bearer t")]));
        assert!(LISTS[5].tell_of_fields(Some(b"http://h")) && !LISTS[5].tell_of_fields(Some(b"http://i")));
        assert!(!LISTS[5].tell_of_fields(None) && !LISTS[4].tell_of_fields(Some(b"http://h")));
        assert!(LISTS[2].tell_of_fields(Some(b"http://h")));
    }

    #[test]
    fn origins_match_the_list() {
        for (lists, origin, expected) in [
            (LISTS[2], "http://h", true),
            (LISTS[2], "HTTP://H", true),
            (LISTS[2], "null", true),
            (LISTS[2], "http://h:80", false),
            (LISTS[2], "", false),
            (LISTS[3], "x://a.b:80", true),
            (LISTS[3], "x://b", false),
            (LISTS[3], "x://a.b:y", false),
            (LISTS[3], "x://a.b:", false),
            (LISTS[3], "x y://a.b", false),
            (LISTS[3], "x://a..b", false),
            (LISTS[3], "x://a!.b", false),
            (LISTS[3], "a.b", false),
        ] {
            let readers = if expected { Readers::Origin(origin.into()) } else { Readers::Nobody };
            assert_eq!(lists.readers(Some(origin.as_bytes())), readers, "{origin}");
            assert_eq!(lists.may_publish(Some(origin.as_bytes())), expected, "{origin}");
        }
        assert!(LISTS[2].may_publish(None));
    }
}
