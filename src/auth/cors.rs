//! CORS: the pages whose scripts may read a response (Fetch, "CORS protocol").
//!
//! Pure: patterns and bytes. It decides, and writes no field of a response. An origin is granted as its page wrote it,
//! and only if a pattern of the list matches.

use super::AccessSettings;

/// The pages that may read a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cors {
    /// Pages of any origin.
    AnyOrigin,
    /// Pages of this origin.
    Origin(String),
    /// No page.
    NoOrigin,
}

impl Cors {
    /// Decides which pages may read the response to a request with this `Origin`.
    pub(crate) fn of(access: &AccessSettings, origin: Option<&[u8]>) -> Self {
        if access.origins.is_empty() {
            return Self::AnyOrigin;
        }
        let origin = origin.and_then(|octets| std::str::from_utf8(octets).ok());
        let listed = origin.filter(|origin| access.origins.iter().any(|pattern| pattern.matches(origin)));
        listed.map_or(Self::NoOrigin, |origin| Self::Origin(origin.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(origins: &str) -> AccessSettings {
        let origins = origins.split_whitespace().map(|text| text.parse().expect("an origin")).collect();
        AccessSettings { origins, ..AccessSettings::default() }
    }

    #[test]
    fn without_a_list_every_page_may_read() {
        assert_eq!(Cors::of(&AccessSettings::default(), None), Cors::AnyOrigin);
        assert_eq!(Cors::of(&AccessSettings::default(), Some(b"https://evil.example")), Cors::AnyOrigin);
    }

    /// No browser sends its scheme's default port.
    #[test]
    fn default_port_of_a_listed_origin_is_dropped() {
        for (written, sent) in [
            ("https://Example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("https://[::1]:443", "https://[::1]"),
            ("https://example.com:80", "https://example.com:80"),
            ("https://example.com:4443", "https://example.com:4443"),
        ] {
            let access = access(written);
            assert_eq!(Cors::of(&access, Some(sent.as_bytes())), Cors::Origin(sent.to_owned()), "{written}");
            assert_eq!(access.origins[0].to_string(), sent);
        }
    }

    #[test]
    fn only_listed_origins_may_read() {
        let access = access("https://example.com http://localhost:3000 *.wild.net");
        for origin in ["https://example.com", "http://localhost:3000", "https://a.wild.net", "http://b.a.wild.net:8080"]
        {
            assert_eq!(Cors::of(&access, Some(origin.as_bytes())), Cors::Origin(origin.to_owned()));
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
            assert_eq!(Cors::of(&access, Some(origin.as_bytes())), Cors::NoOrigin, "{origin}");
        }
        assert_eq!(Cors::of(&access, None), Cors::NoOrigin);
    }
}
