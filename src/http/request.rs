//! A request's route and its parameters, from the query or from fields of the head.
//!
//! Pure: a head in, a [`Request`] or an error out. It reads no body and judges no permission. Topics are stricter here
//! than in the library: one that ends in `/` is rejected, because a bare `#` cuts a URL right there.

use std::borrow::Cow;
use std::time::Duration;

use super::fields::Once;
use super::head::RequestHead;
use super::{RequestError, decimal, parameters, query, values};
use crate::event::frame::Fields;
use crate::event::id;
use crate::event::topic::{FilterSet, Topics};

/// The route of a request: its method and path, recognised before its parameters are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `GET /sse`.
    Subscribe,
    /// `HEAD /sse`.
    SubscribeHead,
    /// `POST /broadcast`.
    Publish,
    /// `GET` or `HEAD` of `/connections`.
    Count,
    /// `GET` or `HEAD` of `/`.
    Front,
    /// `OPTIONS` of a path that pages may get.
    Preflight,
    /// `OPTIONS` of the path that pages may publish to.
    PublishPreflight,
    /// Anything else, a known path with another method included.
    NotFound,
}

impl Route {
    /// Recognises a request by its method and its path, both case-sensitive.
    pub(crate) fn of(method: &str, path: &str) -> Self {
        match (method, path) {
            ("GET", "/sse") => Self::Subscribe,
            ("POST", "/broadcast") => Self::Publish,
            ("HEAD", "/sse") => Self::SubscribeHead,
            ("GET" | "HEAD", "/connections") => Self::Count,
            ("GET" | "HEAD", "/") => Self::Front,
            ("OPTIONS", "/sse" | "/connections") => Self::Preflight,
            ("OPTIONS", "/broadcast") => Self::PublishPreflight,
            _ => Self::NotFound,
        }
    }
}

/// A route with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A stream of the messages published from now on, or from a resume point on.
    Subscribe(SubscribeRequest),
    /// The head of the response to that, and no stream.
    SubscribeHead,
    /// The body as a message.
    Publish(PublishRequest),
    /// The number of open streams that a message with these topics is for.
    Count(Topics),
    /// The permissions of a page that reads.
    Preflight {
        /// Set if it asks to send fields.
        asks_for_fields: bool,
    },
    /// The permissions of a page that publishes.
    PublishPreflight,
    /// Nothing that this server has, asked for by a person's browser.
    Front,
    /// Nothing that this server has.
    NotFound,
}

/// The parameters of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubscribeRequest {
    pub(crate) filters: FilterSet,
    /// The id of the last event that the client has, if it reconnects and there is a history. It is empty, which no id
    /// is, if the client sent none that can be read.
    pub(crate) resume: Option<String>,
    pub(crate) slow: SlowPolicy,
}

/// The fate of a stream whose subscriber is too slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SlowPolicy {
    /// It ends.
    #[default]
    Disconnect,
    /// It skips to the newest event of each topic.
    Latest,
}

impl SlowPolicy {
    fn read(query: &str) -> Result<Self, RequestError> {
        match single(query, "slow", Once::Never)?.as_deref() {
            None | Some("disconnect") => Ok(Self::Disconnect),
            Some("latest") => Ok(Self::Latest),
            Some(_) => Err(RequestError::Slow),
        }
    }
}

/// The parameters of a message, and the form of the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublishRequest {
    /// The event's fields besides its data.
    pub(crate) fields: Fields,
    /// The topics whose subscribers get the message.
    pub(crate) topics: Topics,
    /// Set if the publisher asks for a receipt as JSON.
    pub(crate) wants_json: bool,
}

impl Request {
    /// Reads the parameters of a route. Without a history a resume point means nothing.
    pub(crate) fn read(route: Route, head: &RequestHead<'_>, has_history: bool) -> Result<Self, RequestError> {
        match route {
            Route::Subscribe => SubscribeRequest::read(head, has_history).map(Self::Subscribe),
            Route::SubscribeHead => SubscribeRequest::read(head, has_history).map(|_| Self::SubscribeHead),
            Route::Publish => PublishRequest::read(head).map(Self::Publish),
            Route::Count => {
                parameters::check_count(head.query)?;
                message_topics(&filter_texts(head.query)?).map(Self::Count)
            }
            Route::Preflight => Ok(Self::Preflight { asks_for_fields: head.optional.asks_for_fields }),
            Route::PublishPreflight => Ok(Self::PublishPreflight),
            Route::Front if head.optional.accepts_html => Ok(Self::Front),
            Route::Front | Route::NotFound => Ok(Self::NotFound),
        }
    }
}

impl SubscribeRequest {
    fn read(head: &RequestHead<'_>, has_history: bool) -> Result<Self, RequestError> {
        parameters::check_stream(head.query)?;
        let resume = if has_history { resume_point(head) } else { None };
        Ok(Self { filters: filters(head.query)?, resume, slow: SlowPolicy::read(head.query)? })
    }
}

impl PublishRequest {
    /// Reads the parameters of a publish.
    pub(crate) fn read(head: &RequestHead<'_>) -> Result<Self, RequestError> {
        let (query, optional) = (head.query, &head.optional);
        parameters::check_publish(query)?;
        if optional.has_content_coding {
            return Err(RequestError::ContentCoding);
        }
        if optional.has_foreign_charset {
            return Err(RequestError::Charset);
        }
        let fields = Fields {
            kind: single(query, "event", optional.event_type)?,
            id: single(query, "id", optional.event_id)?,
            retry: single(query, "retry", Once::Never)?.map(|text| milliseconds(&text)).transpose()?,
        };
        fields.check().map_err(RequestError::EventField)?;
        let mut texts = topics(query)?;
        if optional.has_topic {
            for octets in values(head.octets, b"Topic") {
                texts.push(std::str::from_utf8(octets).map_err(|_| RequestError::NotText)?.into());
            }
        }
        Ok(Self { fields, topics: message_topics(&texts)?, wants_json: optional.accepts_json })
    }
}

/// Parameters for clients that cannot set the header, the most usual first.
const RESUME_POINTS: [&str; 4] = ["last_event_id", "lastEventId", "lastEventID", "evs_last_event_id"];

/// The resume point: from the header that browsers send, else from the first parameter that is given. An empty id is
/// none (WHATWG HTML, 9.2.6).
///
/// A browser never reconnects after an error, so there is none: a point that no client can have been given is empty.
fn resume_point(head: &RequestHead<'_>) -> Option<String> {
    let from_head = match head.optional.last_event_id {
        Once::Value(octets) => Some(utf8_or_latin1(octets)).filter(|id| !id.is_empty()),
        Once::Never => None,
        Once::Repeated => return Some(String::new()),
    };
    let from_query = || {
        RESUME_POINTS.into_iter().find_map(|name| match single(head.query, name, Once::Never) {
            Ok(id) => id.filter(|id| !id.is_empty()),
            Err(_) => Some(String::new()),
        })
    };
    let point = from_head.or_else(from_query)?;
    Some(if point.len() > id::MOST_BYTES { String::new() } else { point })
}

/// Text of a field's value. Some clients send Latin-1, the older encoding of fields (RFC 9110, 5.5).
fn utf8_or_latin1(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(_) => octets.iter().map(|octet| char::from(*octet)).collect(),
    }
}

/// The topics that a query names, decoded.
fn topics(query: &str) -> Result<Vec<Cow<'_, str>>, RequestError> {
    query::values(query, "topic").collect()
}

/// The filters that a query names. A level of one space is the wildcard `+`, written by hand.
fn filter_texts(query: &str) -> Result<Vec<Cow<'_, str>>, RequestError> {
    let mut texts = topics(query)?;
    for text in texts.iter_mut().filter(|text| text.contains(' ')) {
        let levels: Vec<_> = text.split('/').map(|level| if level == " " { "+" } else { level }).collect();
        *text = levels.join("/").into();
    }
    Ok(texts)
}

fn filters(query: &str) -> Result<FilterSet, RequestError> {
    let texts = filter_texts(query)?;
    FilterSet::parse(whole(&texts)?).map_err(RequestError::Topic)
}

fn message_topics(texts: &[Cow<'_, str>]) -> Result<Topics, RequestError> {
    Topics::parse(whole(texts)?).map_err(RequestError::Topic)
}

/// Rejects texts that end in `/`. They are probably filters that lost their `#`, which is `%23` in a URL.
fn whole<'t>(texts: &'t [Cow<'_, str>]) -> Result<impl Iterator<Item = &'t str>, RequestError> {
    let is_cut = texts.iter().any(|text| text.ends_with('/'));
    if is_cut { Err(RequestError::TrailingSlash) } else { Ok(texts.iter().map(AsRef::as_ref)) }
}

/// The value of a parameter that may also come as a field; given more than once, it is rejected.
fn single(query: &str, name: &str, field: Once<'_>) -> Result<Option<String>, RequestError> {
    let mut values = query::values(query, name);
    match (values.next(), values.next(), text(field)?) {
        (Some(value), None, None) => value.map(|value| Some(value.into_owned())),
        (None, _, field) => Ok(field),
        _ => Err(RequestError::Repeated),
    }
}

/// The value of a field that may be given once.
fn text(field: Once<'_>) -> Result<Option<String>, RequestError> {
    match field {
        Once::Never => Ok(None),
        Once::Value(octets) => {
            std::str::from_utf8(octets).map(|text| Some(text.to_owned())).map_err(|_| RequestError::NotText)
        }
        Once::Repeated => Err(RequestError::Repeated),
    }
}

/// A time in the form of an event stream's `retry` field: digits alone (WHATWG HTML, 9.2.6). Clients wait by a timer
/// of 31 bits; a longer time would be none at all there.
fn milliseconds(text: &str) -> Result<Duration, RequestError> {
    let number = decimal(text.as_bytes()).filter(|number| i32::try_from(*number).is_ok());
    number.map(Duration::from_millis).ok_or(RequestError::Retry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::topic::TopicError;
    use crate::http::parameters::Parameter;

    #[test]
    fn routes_are_exact_methods_and_paths() {
        for (method, path, expected) in [
            ("GET", "/sse", Route::Subscribe),
            ("GET", "/connections", Route::Count),
            ("POST", "/broadcast", Route::Publish),
            ("OPTIONS", "/sse", Route::Preflight),
            ("OPTIONS", "/connections", Route::Preflight),
            ("OPTIONS", "/broadcast", Route::PublishPreflight),
            ("OPTIONS", "/broadcast/", Route::NotFound),
            ("OPTIONS", "*", Route::NotFound),
            ("HEAD", "/sse", Route::SubscribeHead),
            ("HEAD", "/connections", Route::Count),
            ("HEAD", "/broadcast", Route::NotFound),
            ("POST", "/sse", Route::NotFound),
            ("GET", "/broadcast", Route::NotFound),
            ("get", "/sse", Route::NotFound),
            ("GET", "/SSE", Route::NotFound),
            ("GET", "/sse/", Route::NotFound),
            ("GET", "/", Route::Front),
            ("HEAD", "/", Route::Front),
            ("POST", "/", Route::NotFound),
        ] {
            assert_eq!(Route::of(method, path), expected, "for {method} {path}");
        }
    }

    fn read(target: &str, fields: &str) -> Result<PublishRequest, RequestError> {
        let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        PublishRequest::read(&RequestHead::parse(head.as_bytes()).expect("a good head"))
    }

    fn fields(kind: &str, id: &str, retry: u64) -> Fields {
        Fields { kind: Some(kind.into()), id: Some(id.into()), retry: Some(Duration::from_millis(retry)) }
    }

    #[test]
    fn event_fields_come_from_query_or_head() {
        let with = |fields, wants_json| Ok(PublishRequest { fields, topics: Topics::none(), wants_json });
        let request = read("/broadcast?id=%37&&event=gre+et&retry=1500", "");
        assert_eq!(request, with(fields("gre et", "7", 1500), false));
        let request = read("/broadcast?retry=0", "event-type: greet\r\nEVENT-ID: 7\r\nAccept: application/json\r\n");
        assert_eq!(request, with(fields("greet", "7", 0), true));
        assert_eq!(read("/broadcast", ""), with(Fields::default(), false));
        assert_eq!(read("/broadcast?", "X-Event: c\r\n"), with(Fields::default(), false));
        let longest = read("/broadcast?retry=2147483647", "").map(|request| request.fields.retry);
        assert_eq!(longest, Ok(Some(Duration::from_millis(2_147_483_647))));
    }

    #[test]
    fn repeated_or_invalid_parameters_are_rejected() {
        for (target, head, error) in [
            ("/?event=a&event=a", "", RequestError::Repeated),
            ("/?id=a&id=b", "", RequestError::Repeated),
            ("/?retry=1&retry=1", "", RequestError::Repeated),
            ("/?event=a", "Event-Type: a\r\n", RequestError::Repeated),
            ("/", "Event-Type: a\r\nX-EventSource-Event: a\r\n", RequestError::Repeated),
            ("/", "Event-Id: a\r\nEvent-Id: a\r\n", RequestError::Repeated),
            ("/?event=%ff", "", RequestError::NotText),
            ("/?retry=", "", RequestError::Retry),
            ("/?retry=-1", "", RequestError::Retry),
            ("/?retry=+1", "", RequestError::Retry),
            ("/?retry=1.5", "", RequestError::Retry),
            ("/?retry=2147483648", "", RequestError::Retry),
            ("/?retry=99999999999999999999", "", RequestError::Retry),
            ("/", "Content-Encoding: gzip\r\n", RequestError::ContentCoding),
            ("/", "Content-Type: text/plain;charset=latin1\r\n", RequestError::Charset),
            ("/?x=1", "", RequestError::UnknownParameter),
            ("/?topics=a", "", RequestError::Misspelt(Parameter::Topic)),
            ("/?topic=a/", "", RequestError::TrailingSlash),
            ("/", "Topic: a/\r\n", RequestError::TrailingSlash),
            ("/", "Topic: \r\n", RequestError::Topic(TopicError::Length)),
            ("/", "Topic: a/+\r\n", RequestError::Topic(TopicError::Wildcard)),
        ] {
            assert_eq!(read(target, head), Err(error), "for {target} {head}");
        }
        for target in ["/?event=a%0ab", "/?event=%0D", "/?event=gap", "/?id=a%0a", "/?id=%00", "/?id=", "/?id=earliest"]
        {
            assert!(matches!(read(target, ""), Err(RequestError::EventField(_))), "for {target}");
        }
        assert!(read("/?event=%00", "").is_ok(), "NUL is no trouble in a type");
    }

    #[test]
    fn topic_parameter_may_repeat() {
        let head = "GET /?topic=b/%2B&x&topic=a/+&topic=b/+ HTTP/1.1\r\nHost: h\r\n\r\n";
        let head = RequestHead::parse(head.as_bytes()).expect("a good head");
        let filters = FilterSet::parse(["a/+", "b/+"]).expect("filters");
        let subscribe = SubscribeRequest { filters, resume: None, slow: SlowPolicy::Disconnect };
        assert_eq!(Request::read(Route::Subscribe, &head, true), Ok(Request::Subscribe(subscribe)));
        assert_eq!(Request::read(Route::Count, &head, false), Err(RequestError::Topic(TopicError::Wildcard)));
        assert_eq!(read("/?topic=a%00", ""), Err(RequestError::Topic(TopicError::Character)));
        assert_eq!(read("/?topic=%ff", ""), Err(RequestError::NotText));
        for (target, fields) in
            [("/?topic=b&topic=a", ""), ("/?topic=b", "Topic: a\r\n"), ("/", "TOPIC:\t b \r\nX: y\r\ntopic: a\r\n")]
        {
            let topics = read(target, fields).map(|request| request.topics);
            assert_eq!(topics, Ok(Topics::parse(["a", "b"]).expect("two")), "for {target} {fields:?}");
        }
        let comma = read("/", "Topic: a, b\r\n").map(|request| request.topics);
        assert_eq!(comma, Ok(Topics::parse(["a, b"]).expect("one")), "a comma is a part of a topic");
    }

    #[test]
    fn spaces_are_wildcards_of_filters_alone() {
        let filters = |query: &str| filters(query).map(|filters| filters.iter().map(str::to_owned).collect::<Vec<_>>());
        for (query, expected) in [
            ("topic=a/+", "a/+"),
            ("topic=+/+/%23", "+/+/#"),
            ("topic=a+b/%20", "a b/+"),
            ("topic=a/++", "a/  "),
            ("topic=a/%2b", "a/+"),
        ] {
            assert_eq!(filters(query), Ok(vec![expected.to_owned()]), "for {query}");
        }
        assert_eq!(filters("topic=news/"), Err(RequestError::TrailingSlash));
        let topics = read("/?topic=a/+", "").map(|request| request.topics);
        assert_eq!(topics, Ok(Topics::parse(["a/ "]).expect("one")), "a message has no wildcard");
    }

    /// The resume point of a request for a stream.
    fn resume(target: &str, fields: &[u8], has_history: bool) -> Option<String> {
        let start = format!("GET {target} HTTP/1.1\r\nHost: h\r\n");
        let head = [start.as_bytes(), fields, b"\r\n"].concat();
        match Request::read(Route::Subscribe, &RequestHead::parse(&head).expect("a good head"), has_history) {
            Ok(Request::Subscribe(subscribe)) => subscribe.resume,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn resume_header_wins_over_parameters() {
        let all = "/?evs_last_event_id=d&lastEventId=c&last_event_id=b";
        for (target, fields, expected) in [
            (all, "Last-Event-ID: a\r\n", Some("a")),
            (all, "", Some("b")),
            ("/?evs_last_event_id=d&lastEventId=c", "", Some("c")),
            ("/?evs_last_event_id=%64", "", Some("d")),
            ("/?last_event_id=", "", None),
            ("/", "Last-Event-ID: \r\n", None),
            ("/?last_event_id=b", "Last-Event-ID: \r\n", Some("b")),
            ("/?last_event_id=&lastEventId=c", "", Some("c")),
        ] {
            assert_eq!(resume(target, fields.as_bytes(), true), expected.map(str::to_owned), "for {target} {fields}");
        }
    }

    #[test]
    fn odd_resume_points_are_read_or_empty() {
        let twice = b"Last-Event-ID: a\r\nLast-Event-ID: a\r\n";
        let long = |length| format!("Last-Event-ID: {}\r\n", "x".repeat(length)).into_bytes();
        for (target, fields, expected) in [
            ("/", &twice[..], ""),
            ("/?last_event_id=a&last_event_id=b", b"", ""),
            ("/?last_event_id=a&last_event_id=b", b"Last-Event-ID: c\r\n", "c"),
            ("/?last_event_id=%ff", b"", ""),
            ("/", b"Last-Event-ID: caf\xc3\xa9\r\n", "caf\u{e9}"),
            ("/", b"Last-Event-ID: caf\xe9\r\n", "caf\u{e9}"),
            ("/", &long(512), &"x".repeat(512)),
            ("/", &long(513), ""),
            (&format!("/?last_event_id={}", "x".repeat(513)), b"", ""),
        ] {
            assert_eq!(
                resume(target, fields, true).as_deref(),
                Some(expected),
                "for {target} {}",
                fields.escape_ascii()
            );
        }
        assert_eq!(resume("/?last_event_id=a&last_event_id=b", twice, false), None, "nobody looks");
    }
}
