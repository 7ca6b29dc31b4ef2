//! Optional fields of a request: an event's type and id, a resume point, credentials, the forms of body and response.
//!
//! One pass over the head finds them all. A repeated field is reported as such, and no value is chosen. Callers check
//! the values.

use httparse::Header;

use super::{list_members, trim_whitespace};

/// A field that may be given once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Once<'b> {
    #[default]
    Never,
    Value(&'b [u8]),
    /// The field was given more than once.
    Repeated,
}

impl<'b> Once<'b> {
    fn add(&mut self, value: &'b [u8]) {
        *self = match self {
            Self::Never => Self::Value(trim_whitespace(value)),
            Self::Value(_) | Self::Repeated => Self::Repeated,
        };
    }
}

/// The opt-in fields of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OptionalFields<'b> {
    /// `Event-Type`, or nchan's name for it, `X-EventSource-Event`.
    pub(crate) event_type: Once<'b>,
    /// `Event-Id`.
    pub(crate) event_id: Once<'b>,
    /// `Last-Event-ID` (WHATWG HTML, 9.2.4).
    pub(crate) last_event_id: Once<'b>,
    /// `Authorization` (RFC 9110, 11.6.2).
    authorization: Once<'b>,
    /// Set if there is a `Topic`, which may repeat.
    pub(crate) has_topic: bool,
    /// Set if `Accept` names `application/json`.
    pub(crate) accepts_json: bool,
    /// Set if `Accept` names `text/html`, as that of a person's browser does.
    pub(crate) accepts_html: bool,
    /// Set if `Content-Encoding` names a coding (RFC 9110, 8.4); `identity` is none.
    pub(crate) has_content_coding: bool,
    /// Set if `Content-Type` declares a charset whose octets are not UTF-8.
    pub(crate) has_foreign_charset: bool,
    /// Set if a preflight asks for request fields (Fetch, "CORS protocol").
    pub(crate) asks_for_fields: bool,
}

impl<'b> OptionalFields<'b> {
    /// Finds these fields among all fields of a head.
    pub(super) fn find(fields: &[Header<'b>]) -> Self {
        let mut found = Self::default();
        for field in fields {
            // The length alone excludes most fields.
            match field.name.len() {
                5 if is(field, "Topic") => found.has_topic = true,
                6 if is(field, "Accept") => {
                    found.accepts_json |= names_type(field.value, b"application/json");
                    found.accepts_html |= names_type(field.value, b"text/html");
                }
                8 if is(field, "Event-Id") => found.event_id.add(field.value),
                10 if is(field, "Event-Type") => found.event_type.add(field.value),
                12 if is(field, "Content-Type") => found.has_foreign_charset |= names_foreign_charset(field.value),
                13 if is(field, "Last-Event-ID") => found.last_event_id.add(field.value),
                13 if is(field, "Authorization") => found.authorization.add(field.value),
                16 if is(field, "Content-Encoding") => found.has_content_coding |= names_coding(field.value),
                19 if is(field, "X-EventSource-Event") => found.event_type.add(field.value),
                30 if is(field, "Access-Control-Request-Headers") => found.asks_for_fields = true,
                _ => {}
            }
        }
        found
    }

    /// The token of the one `Authorization` field, if its scheme is `Bearer` in any case (RFC 6750, 2.1; RFC 9110, 11.1
    /// and 11.4).
    pub(crate) fn bearer(&self) -> Option<&'b [u8]> {
        const SCHEME: &[u8] = b"Bearer";
        let Once::Value(credentials) = self.authorization else { return None };
        let (scheme, rest) = credentials.split_at_checked(SCHEME.len())?;
        let spaces = rest.iter().take_while(|octet| **octet == b' ').count();
        (scheme.eq_ignore_ascii_case(SCHEME) && spaces > 0).then(|| &rest[spaces..])
    }
}

fn is(field: &Header<'_>, name: &str) -> bool {
    field.name.eq_ignore_ascii_case(name)
}

/// Returns true if a list of content codings has one that changes the body.
fn names_coding(value: &[u8]) -> bool {
    list_members(value).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

/// Returns true if a media type has a charset parameter (RFC 9110, 8.3.2) that names neither UTF-8 nor ASCII.
fn names_foreign_charset(value: &[u8]) -> bool {
    const ALLOWED: [&[u8]; 4] = [b"utf-8", b"utf8", b"us-ascii", b"ascii"];
    let mut is_quoted = false;
    let parameters = value.split(|octet| {
        is_quoted ^= *octet == b'"';
        *octet == b';' && !is_quoted
    });
    parameters.skip(1).any(|parameter| {
        let Some(equals) = parameter.iter().position(|octet| *octet == b'=') else { return false };
        let (name, charset) = (trim_whitespace(&parameter[..equals]), trim_whitespace(&parameter[equals + 1..]));
        let charset = charset.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(charset);
        name.eq_ignore_ascii_case(b"charset") && !ALLOWED.iter().any(|allowed| charset.eq_ignore_ascii_case(allowed))
    })
}

/// Returns true if a list of media ranges names a type (RFC 9110, 12.5.1). `*/*` does not ask for it, and a weight of 0
/// declines it (RFC 9110, 12.4.2).
fn names_type(value: &[u8], name: &[u8]) -> bool {
    list_members(value).any(|range| {
        let mut parts = range.split(|octet| *octet == b';').map(trim_whitespace);
        let media_type = parts.next().unwrap_or_default();
        media_type.eq_ignore_ascii_case(name) && !parts.any(is_no_weight)
    })
}

/// Returns true if a parameter of a media range is the weight 0.
fn is_no_weight(parameter: &[u8]) -> bool {
    match parameter {
        [b'q' | b'Q', b'=', b'0', decimals @ ..] => decimals.iter().all(|octet| matches!(octet, b'.' | b'0')),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'b>(fields: &[(&'b str, &'b str)]) -> OptionalFields<'b> {
        let headers: Vec<_> = fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        OptionalFields::find(&headers)
    }

    #[test]
    fn fields_are_found_by_their_names() {
        let found = find(&[("event-TYPE", " greeting\t"), ("Event-Id", "7"), ("last-event-id", "6"), ("Host", "h")]);
        assert_eq!(found.event_type, Once::Value(b"greeting"));
        assert_eq!((found.event_id, found.last_event_id), (Once::Value(b"7"), Once::Value(b"6")));
        assert_eq!(find(&[("X-EventSource-Event", "x")]).event_type, Once::Value(b"x"));
        assert_eq!(find(&[("Host", "h")]), OptionalFields::default());
    }

    #[test]
    fn repeated_fields_are_reported() {
        assert_eq!(find(&[("Event-Type", "a"), ("X-EventSource-Event", "a")]).event_type, Once::Repeated);
        assert_eq!(find(&[("Event-Id", "a"), ("Event-Id", "a"), ("Event-Id", "a")]).event_id, Once::Repeated);
    }

    #[test]
    fn bearer_token_comes_once_and_by_its_scheme() {
        for (credentials, token) in [
            ("Bearer abc", Some("abc")),
            (" bEARER \x20 abc== \t", Some("abc==")),
            ("Bearer abc def", Some("abc def")),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearer\tabc", None),
            ("Bearerabc", None),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(find(&[("authorization", credentials)]).bearer(), token.map(str::as_bytes), "{credentials:?}");
        }
        assert_eq!(find(&[("Authorization", "Bearer a"), ("Authorization", "Bearer a")]).bearer(), None);
        assert_eq!(find(&[("Proxy-Authorization", "Bearer a"), ("X-Authorization", "Bearer a")]).bearer(), None);
    }

    #[test]
    fn only_identity_is_no_coding() {
        for (coding, expected) in [
            ("", false),
            ("identity", false),
            ("Identity , ", false),
            ("gzip", true),
            ("identity, br", true),
            ("x", true),
        ] {
            assert_eq!(find(&[("Content-Encoding", coding)]).has_content_coding, expected, "for {coding:?}");
        }
        assert!(find(&[("content-encoding", "gzip"), ("content-encoding", "identity")]).has_content_coding);
    }

    #[test]
    fn charsets_are_utf_8_or_ascii() {
        for (content_type, expected) in [
            ("", false),
            ("text/plain", false),
            ("charset=latin1", false),
            ("text/plain;charset=utf-8", false),
            ("text/plain; CharSet = \"UTF-8\"", false),
            ("application/json;charset=utf8;q=1", false),
            ("text/plain; charset=US-ASCII", false),
            ("text/plain; x=\";charset=latin1\"", false),
            ("text/plain; charsets=latin1; charset", false),
            ("text/plain; charset=iso-8859-1", true),
            ("text/plain; charset=\"utf-16\"", true),
            ("text/plain; charset=utf-8; charset=latin1", true),
            ("text/plain; charset=", true),
            ("text/plain; charset=\"utf-8", true),
        ] {
            assert_eq!(find(&[("Content-Type", content_type)]).has_foreign_charset, expected, "for {content_type:?}");
        }
    }

    #[test]
    fn json_is_asked_for_by_its_name() {
        for (accept, expected) in [
            ("application/json", true),
            ("text/plain, Application/JSON;q=0.9", true),
            ("*/*", false),
            ("application/jsonp", false),
            ("application/json;q=0", false),
            ("application/json; charset=utf-8 ; Q=0.000, text/plain", false),
            ("application/json;q=0.001", true),
            ("", false),
        ] {
            assert_eq!(find(&[("Accept", accept)]).accepts_json, expected, "for {accept:?}");
        }
        let browser = find(&[("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")]);
        assert!(browser.accepts_html && !browser.accepts_json);
    }
}
