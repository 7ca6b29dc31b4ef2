//! Whose requests are carried out: the hosts that a request may be sent to, the origins whose pages may publish and
//! read, and the tokens of which a publisher shows one.
//!
//! Pure: patterns and bytes. A server on loopback is within reach of every page that its user's browser opens, by its
//! address or by a name that a foreign DNS server lets point to it; the first two lists are what keeps such pages out.
//! Programs say what they like in these fields; the third list is for them.

mod authority;
mod settings;
mod token;

use std::fmt;
use std::str::FromStr;

use subtle::Choice;

use self::authority::is_comparable;
pub(crate) use self::authority::{host_of, is_host_and_port};
pub use self::settings::Settings;
pub use self::token::{InvalidToken, Token};

/// Which requests are let in. The lists are empty by default, and an empty one lets in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// The hosts of which a request names one, in its target or its `Host` field; any other gets `421`.
    pub hosts: Vec<HostPattern>,
    /// The origins whose pages may publish (any other gets `403`; who sends no `Origin` is no page) and read answers
    /// (`Access-Control-Allow-Origin` names the page's own origin then, where it is `*` with an empty list).
    pub origins: Vec<OriginPattern>,
    /// Who publishes shows one of these (`Authorization: Bearer TOKEN`); who does not gets `401`. With origins listed
    /// as well, their pages may do so too: their browsers are told that they may (`OPTIONS /broadcast`).
    pub publish_tokens: Vec<Token>,
}

/// Who may read an answer (Fetch, "CORS protocol").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cors<O> {
    /// Pages of any origin.
    AnyOrigin,
    /// Those of this one.
    Origin(O),
    /// None.
    NoOrigin,
}

impl Cors<&str> {
    /// The same, for longer than the request's head lasts.
    pub(crate) fn to_owned(self) -> Cors<String> {
        match self {
            Self::AnyOrigin => Cors::AnyOrigin,
            Self::Origin(origin) => Cors::Origin(origin.to_owned()),
            Self::NoOrigin => Cors::NoOrigin,
        }
    }
}

impl Cors<String> {
    pub(crate) fn borrowed(&self) -> Cors<&str> {
        match self {
            Self::AnyOrigin => Cors::AnyOrigin,
            Self::Origin(origin) => Cors::Origin(origin),
            Self::NoOrigin => Cors::NoOrigin,
        }
    }
}

impl Access {
    /// Whether this host, with any port, is listed by its own name.
    pub(crate) fn names(&self, authority: &str) -> bool {
        self.hosts.iter().any(|pattern| matches!(pattern.0, Pattern::Exact(_)) && pattern.matches(authority))
    }

    /// Whether a request to this host is for this server.
    pub(crate) fn allows_host(&self, authority: Option<&[u8]>) -> bool {
        let matches = |authority: &str| self.hosts.iter().any(|pattern| pattern.matches(authority));
        self.hosts.is_empty() || authority.and_then(|octets| std::str::from_utf8(octets).ok()).is_some_and(matches)
    }

    /// Whether what comes from this origin may publish.
    pub(crate) fn may_publish(&self, origin: Option<&[u8]>) -> bool {
        origin.is_none() || self.cors(origin) != Cors::NoOrigin
    }

    /// Whether who shows this token, or none, may publish. All tokens are looked at, whichever it is.
    pub(crate) fn accepts_token(&self, token: Option<&[u8]>) -> bool {
        let is_known = |shown: &[u8]| {
            let tokens = self.publish_tokens.iter();
            tokens.fold(Choice::from(0), |is_known, token| is_known | token.is(shown)).into()
        };
        self.publish_tokens.is_empty() || token.is_some_and(is_known)
    }

    /// Whether browsers are told that a page of this origin may show a token: only where both lists say who may.
    pub(crate) fn answers_publish_preflight(&self, origin: Option<&[u8]>) -> bool {
        !self.publish_tokens.is_empty() && matches!(self.cors(origin), Cors::Origin(_))
    }

    /// Who may read the answer to a page of this origin.
    pub(crate) fn cors<'o>(&self, origin: Option<&'o [u8]>) -> Cors<&'o str> {
        if self.origins.is_empty() {
            return Cors::AnyOrigin;
        }
        let origin = origin.and_then(|octets| std::str::from_utf8(octets).ok());
        let listed = origin.filter(|origin| self.origins.iter().any(|pattern| pattern.matches(origin)));
        listed.map_or(Cors::NoOrigin, Cors::Origin)
    }
}

/// A host by its name or address (`example.com`, `127.0.0.1`, `[::1]`) on any port, with a port (`example.com:1942`)
/// on that one, or all names below one (`*.example.com`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(Pattern);

/// An origin as a browser sends it (`https://example.com`, `http://localhost:3000`, `null`; the port that the scheme
/// has anyhow is left out), or all whose host is below a name (`*.example.com`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(Pattern);

/// In lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    /// What a host ends with, from the dot on.
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

    /// Whether it is the whole, or its host is below the name.
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
    fn matches(&self, authority: &str) -> bool {
        let host = host_of(authority);
        self.0.matches(authority, host) || self.0.matches(host, host)
    }
}

impl FromStr for HostPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        // Some more may stand in a host; in a list it is a slip.
        let is_plain = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-._:[]*".contains(&octet));
        let pattern = Pattern::parse(text)?;
        let is_host = match &pattern {
            Pattern::Exact(host) => is_plain && is_comparable(host),
            Pattern::Below(_) => true,
        };
        is_host.then_some(Self(pattern)).ok_or(InvalidPattern)
    }
}

impl OriginPattern {
    fn matches(&self, origin: &str) -> bool {
        self.0.matches(origin, host_of_origin(origin).unwrap_or_default())
    }
}

impl FromStr for OriginPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
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

/// The host and port of `scheme "://" host [ ":" port ]` (RFC 6454, 7.1); anything else has none.
fn authority_of_origin(origin: &str) -> Option<&str> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
    (is_scheme && is_comparable(authority)).then_some(authority)
}

/// The host of an origin, if it is a name.
fn host_of_origin(origin: &str) -> Option<&str> {
    authority_of_origin(origin).map(host_of).filter(|host| is_name(host))
}

fn is_name(text: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    text.split('.').all(is_label)
}

/// A text that is no pattern of hosts, or of origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPattern;

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a host is such as example.com, [::1]:1942 or *.example.com, an origin such as https://example.com")
    }
}

impl std::error::Error for InvalidPattern {}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(hosts: &str, origins: &str) -> Access {
        fn read<T: FromStr<Err = InvalidPattern>>(list: &str) -> Vec<T> {
            list.split_whitespace().map(|text| text.parse().unwrap_or_else(|_| panic!("{text} is a pattern"))).collect()
        }
        Access { hosts: read(hosts), origins: read(origins), ..Access::default() }
    }

    #[test]
    fn an_empty_list_lets_in_all() {
        let open = Access::default();
        assert!(open.allows_host(None) && open.allows_host(Some(b"anything")));
        assert!(open.may_publish(None) && open.may_publish(Some(b"https://evil.example")));
        assert_eq!(open.cors(Some(b"https://evil.example")), Cors::AnyOrigin);
        assert!(open.accepts_token(None) && open.accepts_token(Some(b"anything")));
    }

    #[test]
    fn with_tokens_one_of_them_is_shown() {
        let publish_tokens = ["first", "the-second", "c2Vjb25k=="].map(|text| text.parse().expect("a token")).into();
        let access = Access { publish_tokens, ..Access::default() };
        for (token, expected) in [
            (Some("first"), true),
            (Some("the-second"), true),
            (Some("c2Vjb25k=="), true),
            (Some("First"), false),
            (Some("firs"), false),
            (Some("first2"), false),
            (Some("c2Vjb25k"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(access.accepts_token(token.map(str::as_bytes)), expected, "{token:?}");
        }
        assert!(!access.accepts_token(Some(b"\xff")));
        let shown = format!("{access:?}");
        assert!(shown.contains("Token(***)") && !shown.contains("first"), "{shown}");
    }

    #[test]
    fn browsers_are_told_of_tokens_where_both_lists_are_there() {
        let tokens = || vec!["t".parse().expect("a token")];
        let (neither, origins) = (access("", ""), access("", "https://example.com"));
        let both = Access { publish_tokens: tokens(), ..origins.clone() };
        let listed = Some(&b"https://example.com"[..]);
        assert!(both.answers_publish_preflight(listed));
        assert!(!both.answers_publish_preflight(None) && !both.answers_publish_preflight(Some(b"https://evil.net")));
        assert!(!origins.answers_publish_preflight(listed));
        assert!(!Access { publish_tokens: tokens(), ..neither }.answers_publish_preflight(listed));
    }

    /// No browser sends the port that the scheme has anyhow.
    #[test]
    fn an_origin_is_written_down_with_or_without_its_schemes_own_port() {
        for (written, sent) in [
            ("https://Example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("https://[::1]:443", "https://[::1]"),
            ("https://example.com:80", "https://example.com:80"),
            ("https://example.com:4443", "https://example.com:4443"),
        ] {
            let access = access("", written);
            assert!(access.may_publish(Some(sent.as_bytes())), "{written}");
            assert_eq!(access.origins[0].to_string(), sent);
        }
        for two_ports in ["http://a:1:80", "https://a:443:443"] {
            assert_eq!(two_ports.parse::<OriginPattern>(), Err(InvalidPattern), "{two_ports}");
        }
    }

    #[test]
    fn a_host_is_matched_as_it_was_meant() {
        let access = access("example.com 127.0.0.1 [::1] other.org:81 *.wild.net", "");
        for host in
            ["example.com", "EXAMPLE.com:80", "127.0.0.1:1942", "[::1]", "[::1]:1942", "other.org:81", "a.b.wild.net:5"]
        {
            assert!(access.allows_host(Some(host.as_bytes())), "{host}");
        }
        for host in [
            "",
            "example.com.evil.net",
            "evil-example.com",
            "sub.example.com",
            "other.org",
            "other.org:8181",
            "wild.net",
            ".wild.net",
            "evilwild.net",
            "[::2]",
            "::1",
        ] {
            assert!(!access.allows_host(Some(host.as_bytes())), "{host}");
        }
        assert!(!access.allows_host(None), "who names none");
        assert!(!access.allows_host(Some(b"\xff")));
    }

    #[test]
    fn an_origin_is_matched_as_it_was_meant() {
        let access = access("", "https://example.com http://localhost:3000 *.wild.net");
        for origin in ["https://example.com", "http://localhost:3000", "https://a.wild.net", "http://b.a.wild.net:8080"]
        {
            assert_eq!(access.cors(Some(origin.as_bytes())), Cors::Origin(origin));
            assert!(access.may_publish(Some(origin.as_bytes())), "{origin}");
        }
        for origin in [
            "",
            "null",
            "http://example.com",
            "https://example.com:444",
            "https://example.com.evil.net",
            "http://localhost:3001",
            "https://wild.net",
            "https://evilwild.net",
            "https://evil.net/.wild.net",
            "a.wild.net",
            "x,://a.wild.net",
            ".x://a.wild.net",
            "://a.wild.net",
            "https://a.wild.net:",
            "https://a.wild.net:!",
            "https://a.wild.net:80:80",
        ] {
            assert_eq!(access.cors(Some(origin.as_bytes())), Cors::NoOrigin, "{origin}");
            assert!(!access.may_publish(Some(origin.as_bytes())), "{origin}");
        }
        assert!(access.may_publish(None), "no page at all");
        assert_eq!(access.cors(None), Cors::NoOrigin);
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in
            ["", "*", "*.", "*example.com", "a.*.com", "*.a b", "exa mple.com", "a,b", "é.com", "*.a..b", "http://a"]
        {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?} as a host");
        }
        for text in ["", "*", "example.com", "https://", "https://a.com/", "https://*.a.com", "*.a/b", "://a", "1x://a"]
        {
            assert!(text.parse::<OriginPattern>().is_err(), "{text:?} as an origin");
        }
        for text in ["null", "app://localhost", "http://[::1]:3000", "chrome-extension://abc", "http://a_b"] {
            assert!(text.parse::<OriginPattern>().is_ok(), "{text:?} as an origin");
        }
    }

    /// Such a list once let nobody in, without a word about it.
    #[test]
    fn a_host_that_no_request_can_name_is_refused_and_so_is_its_origin() {
        let hosts =
            "::1 a:b:c example.com:99999 example.com: example.com:+1 example.com:x [::g] [] [::1 ::1] [::1]x [1]
            [::1]: : :80 [::1]:65536 [::1%eth0]";
        for text in hosts.split_whitespace() {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?} as a host");
            assert!(format!("https://{text}").parse::<OriginPattern>().is_err(), "{text:?} in an origin");
        }
        for text in "localhost EXAMPLE.com:65535 a_b.example 127.0.0.1:0 [::1] [::ffff:1.2.3.4]:80".split_whitespace() {
            let access = Access { hosts: vec![text.parse().expect("a host")], ..Access::default() };
            let host = text.as_bytes();
            assert!(is_host_and_port(host) && access.allows_host(Some(host)), "{text}");
            assert!(format!("https://{text}").parse::<OriginPattern>().is_ok(), "{text:?} in an origin");
        }
    }
}
