//! Optional fields of a request: an event's type and id, a resume point, credentials, the form of the response.
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
    /// Set if `Accept` names `application/json`.
    pub(crate) accepts_json: bool,
}

impl<'b> OptionalFields<'b> {
    /// Finds these fields among all fields of a head.
    pub(super) fn find(fields: &[Header<'b>]) -> Self {
        let mut found = Self::default();
        for field in fields {
            // The length alone excludes most fields.
            match field.name.len() {
                6 if is(field, "Accept") => found.accepts_json |= names_json(field.value),
                8 if is(field, "Event-Id") => found.event_id.add(field.value),
                10 if is(field, "Event-Type") => found.event_type.add(field.value),
                13 if is(field, "Last-Event-ID") => found.last_event_id.add(field.value),
                13 if is(field, "Authorization") => found.authorization.add(field.value),
                19 if is(field, "X-EventSource-Event") => found.event_type.add(field.value),
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

/// Returns true if a list of media ranges names `application/json` (RFC 9110, 12.5.1). `*/*` does not ask for it, and a
/// weight of 0 declines it (RFC 9110, 12.4.2).
fn names_json(value: &[u8]) -> bool {
    list_members(value).any(|range| {
        let mut parts = range.split(|octet| *octet == b';').map(trim_whitespace);
        let media_type = parts.next().unwrap_or_default();
        media_type.eq_ignore_ascii_case(b"application/json") && !parts.any(is_no_weight)
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
    }
}
