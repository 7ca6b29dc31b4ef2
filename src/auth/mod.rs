//! Permission for requests: [`authorize`] decides on hosts (`421`), origins (`403`) and tokens (`401`).
//!
//! Pure: patterns and bytes, no statuses and no fields. Every page that a browser opens can reach a
//! server on loopback: by its address, or by a name that a foreign DNS server points to it. The lists of hosts and
//! origins keep such pages out. Programs can forge these fields; the tokens are for them.

mod authority;
mod control;
mod cors;
mod pattern;
mod token;

use subtle::Choice;

pub(crate) use self::authority::{host_of, is_host_and_port};
pub use self::control::AccessControl;
pub(crate) use self::cors::Cors;
use self::pattern::Pattern;
pub use self::pattern::{HostPattern, InvalidPattern, OriginPattern};
pub use self::token::{InvalidToken, Token};

/// Hosts, origins and tokens that requests are checked against. Every list is empty by default and then allows all.
///
/// Fields are added in minor versions, so a program starts from the default and assigns fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessSettings {
    /// Hosts that a request may be for, by its target or its `Host` field; any other gets `421`.
    pub hosts: Vec<HostPattern>,
    /// Origins whose pages may publish; any other gets `403`. A request without `Origin` comes from no page. Pages of
    /// these origins may also read responses, with credentials: `Access-Control-Allow-Origin` then names the page's own
    /// origin, not `*`.
    pub origins: Vec<OriginPattern>,
    /// Tokens of which a publisher has to show one (`Authorization: Bearer TOKEN`), or gets `401`. Pages may show one
    /// if their origin is listed: only then does `OPTIONS /broadcast` permit it to their browsers.
    pub publish_tokens: Vec<Token>,
}

/// The parts of a request that its permission depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Caller<'r> {
    /// The host that the request names.
    pub(crate) host: Option<&'r [u8]>,
    /// The origin of the page that made it; other programs send none.
    pub(crate) origin: Option<&'r [u8]>,
    /// The bearer token that it shows.
    pub(crate) token: Option<&'r [u8]>,
}

/// An action that a request needs permission for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// To read, or to ask what may be read.
    Read,
    /// To publish.
    Publish,
    /// To ask, as a browser does, if a page may publish with fields of its own.
    PublishPreflight,
}

/// The reason why a request may not do what it asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The request is for a host that is not listed: `421`.
    Host,
    /// Pages of this origin may not publish: `403`.
    Origin,
    /// A publisher shows no token, or an unknown one: `401`.
    Token,
    /// The preflight has no response, because the page's origin is not listed: `404`.
    Preflight,
}

/// Decides if a request may do what it asks, and which pages may read the response.
///
/// The host comes first, then the origin, then the token: a denied client learns nothing of the later lists.
pub(crate) fn authorize(access: &AccessSettings, caller: Caller<'_>, action: Action) -> (Cors, Result<(), Denied>) {
    let cors = Cors::of(access, caller.origin);
    let denied = match action {
        _ if !access.allows_host(caller.host) => Some(Denied::Host),
        Action::Publish if caller.origin.is_some() && cors == Cors::NoOrigin => Some(Denied::Origin),
        Action::Publish if !access.accepts_token(caller.token) => Some(Denied::Token),
        // A page may publish with such fields only if the operator lists its origin.
        Action::PublishPreflight if !matches!(cors, Cors::Origin(_)) => Some(Denied::Preflight),
        Action::Read | Action::Publish | Action::PublishPreflight => None,
    };
    (cors, denied.map_or(Ok(()), Err))
}

impl AccessSettings {
    /// Returns true if any client that reaches the server may publish, pages included.
    pub(crate) fn is_open(&self) -> bool {
        self.publish_tokens.is_empty() && self.origins.is_empty()
    }

    /// Returns true if this host, with any port, is listed by its own name.
    pub(crate) fn names(&self, authority: &str) -> bool {
        self.hosts.iter().any(|pattern| matches!(pattern.0, Pattern::Exact(_)) && pattern.matches(authority))
    }

    /// Returns true if a request to this host is for this server.
    fn allows_host(&self, authority: Option<&[u8]>) -> bool {
        let matches = |authority: &str| self.hosts.iter().any(|pattern| pattern.matches(authority));
        self.hosts.is_empty() || authority.and_then(|octets| std::str::from_utf8(octets).ok()).is_some_and(matches)
    }

    /// Returns true if this token permits to publish. It is compared with every token, so that the time reveals
    /// nothing.
    fn accepts_token(&self, token: Option<&[u8]>) -> bool {
        let is_known = |shown: &[u8]| {
            let tokens = self.publish_tokens.iter();
            tokens.fold(Choice::from(0), |is_known, token| is_known | token.is(shown)).into()
        };
        self.publish_tokens.is_empty() || token.is_some_and(is_known)
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn access(hosts: &str, origins: &str) -> AccessSettings {
        fn read<T: FromStr<Err = InvalidPattern>>(list: &str) -> Vec<T> {
            list.split_whitespace().map(|text| text.parse().unwrap_or_else(|_| panic!("{text} is a pattern"))).collect()
        }
        AccessSettings { hosts: read(hosts), origins: read(origins), ..AccessSettings::default() }
    }

    fn verdict(access: &AccessSettings, caller: Caller<'_>, action: Action) -> Result<(), Denied> {
        authorize(access, caller, action).1
    }

    #[test]
    fn empty_lists_allow_everything() {
        let caller = Caller { host: Some(b"anything"), origin: Some(b"https://evil.example"), token: Some(b"x") };
        for action in [Action::Read, Action::Publish] {
            assert_eq!(authorize(&AccessSettings::default(), caller, action), (Cors::AnyOrigin, Ok(())));
            assert_eq!(verdict(&AccessSettings::default(), Caller::default(), action), Ok(()));
        }
    }

    #[test]
    fn foreign_pages_read_but_do_not_publish() {
        let access = access("", "https://example.com");
        let from = |origin| Caller { origin, ..Caller::default() };
        let (listed, foreign) = (from(Some(b"https://example.com")), from(Some(b"https://evil.example")));
        assert_eq!(authorize(&access, foreign, Action::Read), (Cors::NoOrigin, Ok(())));
        assert_eq!(authorize(&access, foreign, Action::Publish), (Cors::NoOrigin, Err(Denied::Origin)));
        assert_eq!(verdict(&access, from(Some(b"")), Action::Publish), Err(Denied::Origin));
        assert_eq!(verdict(&access, listed, Action::Publish), Ok(()));
        assert_eq!(verdict(&access, from(None), Action::Publish), Ok(()), "no page at all");
    }

    #[test]
    fn denied_clients_learn_nothing_of_later_lists() {
        let publish_tokens = vec!["t".parse().expect("a token")];
        let access = AccessSettings { publish_tokens, ..access("example.com", "https://example.com") };
        let (host, origin) = (Some(&b"example.com"[..]), Some(&b"https://evil.example"[..]));
        let publish = |caller| verdict(&access, caller, Action::Publish);
        assert_eq!(publish(Caller { host: None, origin, token: None }), Err(Denied::Host));
        assert_eq!(publish(Caller { host, origin, token: None }), Err(Denied::Origin));
        assert_eq!(publish(Caller { host, origin: None, token: None }), Err(Denied::Token));
        assert_eq!(publish(Caller { host, origin: None, token: Some(b"t") }), Ok(()));
        assert_eq!(verdict(&access, Caller { host, ..Caller::default() }, Action::Read), Ok(()), "readers show none");
    }

    #[test]
    fn publishers_show_a_listed_token() {
        let publish_tokens = ["first", "the-second", "c2Vjb25k=="].map(|text| text.parse().expect("a token")).into();
        let access = AccessSettings { publish_tokens, ..AccessSettings::default() };
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
    fn publish_preflight_needs_a_listed_origin() {
        let tokens = || vec!["t".parse().expect("a token")];
        let (neither, origins) = (access("", ""), access("", "https://example.com"));
        let both = AccessSettings { publish_tokens: tokens(), ..origins.clone() };
        let preflight = |access: &AccessSettings, origin: Option<&str>| {
            let caller = Caller { origin: origin.map(str::as_bytes), ..Caller::default() };
            verdict(access, caller, Action::PublishPreflight)
        };
        let listed = Some("https://example.com");
        assert_eq!(preflight(&both, listed), Ok(()));
        assert_eq!(preflight(&both, None), Err(Denied::Preflight));
        assert_eq!(preflight(&both, Some("https://evil.net")), Err(Denied::Preflight));
        assert_eq!(preflight(&origins, listed), Ok(()));
        assert_eq!(preflight(&origins, Some("https://evil.net")), Err(Denied::Preflight));
        assert_eq!(preflight(&neither, listed), Err(Denied::Preflight));
        assert_eq!(preflight(&AccessSettings { publish_tokens: tokens(), ..neither }, listed), Err(Denied::Preflight));
    }

    #[test]
    fn hosts_match_exactly_or_below_a_name() {
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

    /// Such a list once let no client in, without a word about it.
    #[test]
    fn hosts_that_no_request_can_name_are_rejected() {
        let hosts =
            "::1 a:b:c example.com:99999 example.com: example.com:+1 example.com:x [::g] [] [::1 ::1] [::1]x [1]
            [::1]: : :80 [::1]:65536 [::1%eth0]";
        for text in hosts.split_whitespace() {
            assert!(text.parse::<HostPattern>().is_err(), "{text:?} as a host");
            assert!(format!("https://{text}").parse::<OriginPattern>().is_err(), "{text:?} in an origin");
        }
        for two_ports in ["http://a:1:80", "https://a:443:443"] {
            assert_eq!(two_ports.parse::<OriginPattern>(), Err(InvalidPattern), "{two_ports}");
        }
        for text in "localhost EXAMPLE.com:65535 a_b.example 127.0.0.1:0 [::1] [::ffff:1.2.3.4]:80".split_whitespace() {
            let access = AccessSettings { hosts: vec![text.parse().expect("a host")], ..AccessSettings::default() };
            let host = text.as_bytes();
            assert!(is_host_and_port(host) && access.allows_host(Some(host)), "{text}");
            assert!(format!("https://{text}").parse::<OriginPattern>().is_ok(), "{text:?} in an origin");
        }
    }
}
