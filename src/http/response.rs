//! Responses as bytes: a writer of heads for the public side and the admin side, and the public side's responses.
//!
//! It knows no socket. A response holds nothing that a client sent, except an origin that the operator's list allows.

use super::date::Date;
use super::{Persistence, RequestError, front};
use crate::auth::Cors;

/// Interim response to `Expect: 100-continue` (RFC 9110, 15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Fields that clients over fetch set themselves, which browsers ask for (Fetch, "CORS protocol").
///
/// No browser remembers a permission for longer than a day.
const READ_PERMISSION: &str = "Access-Control-Allow-Headers: Last-Event-ID, Authorization, Cache-Control\r\n\
    Access-Control-Max-Age: 86400\r\n";

/// Permissions of a listed origin's page that publishes: every field that a publisher may add.
const PUBLISH_PERMISSION: &str = "Access-Control-Allow-Methods: POST\r\n\
    Access-Control-Allow-Headers: Authorization, Content-Type, Event-Type, Event-Id, X-EventSource-Event, Topic\r\n\
    Access-Control-Max-Age: 86400\r\n";

/// The date and the CORS fields of every response of the public side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'o> {
    pub(crate) date: Date,
    pub(crate) cors: &'o Cors,
}

/// A response under construction: its fields go out in the order of the calls.
///
/// It ends with [`Self::without_body`] or [`Self::with_body`], or else its head has no end.
#[derive(Debug)]
#[must_use]
pub(crate) struct Response<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> Response<'o> {
    /// Appends the status line and `Date` to `out`.
    pub(crate) fn new(out: &'o mut Vec<u8>, status: &str, date: &Date) -> Self {
        Self { out }.bytes(b"HTTP/1.1 ").bytes(status.as_bytes()).bytes(b"\r\nDate: ").bytes(date).bytes(b"\r\n")
    }

    /// Adds a field.
    pub(crate) fn field(self, name: &str, value: &str) -> Self {
        self.bytes(name.as_bytes()).bytes(b": ").bytes(value.as_bytes()).bytes(b"\r\n")
    }

    /// Adds whole field lines, each with its line end.
    pub(crate) fn lines(self, lines: &str) -> Self {
        self.bytes(lines.as_bytes())
    }

    /// Adds the CORS fields. If they depend on the request, `Vary` says so to caches (RFC 9110, 12.5.5).
    ///
    /// A listed origin's page may send cookies, for a proxy that signs its users in.
    pub(crate) fn cors(self, cors: &Cors) -> Self {
        match cors {
            Cors::AnyOrigin => self.field("Access-Control-Allow-Origin", "*"),
            Cors::Origin(origin) => {
                let response = self.field("Access-Control-Allow-Origin", origin);
                response.field("Access-Control-Allow-Credentials", "true").field("Vary", "Origin")
            }
            Cors::NoOrigin => self.field("Vary", "Origin"),
        }
    }

    /// Adds the length of the body (RFC 9110, 8.6).
    pub(crate) fn content_length(self, length: usize) -> Self {
        self.field("Content-Length", &length.to_string())
    }

    /// Adds the `Connection` field, if the client cannot infer it (RFC 9112, 9.3).
    pub(crate) fn persistence(self, persistence: Persistence) -> Self {
        match persistence {
            Persistence::KeepAlive => self,
            Persistence::KeepAliveTold => self.field("Connection", "keep-alive"),
            Persistence::Close => self.field("Connection", "close"),
        }
    }

    /// Ends the head; no body follows, or it is a stream's.
    pub(crate) fn without_body(self) {
        self.out.extend_from_slice(b"\r\n");
    }

    /// Ends the head and adds the body.
    pub(crate) fn with_body(self, body: &str) {
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body.as_bytes());
    }

    /// Ends the head and adds the body, which the response to `HEAD` lacks (RFC 9110, 9.3.2).
    pub(crate) fn with_body_unless(self, is_head: bool, body: &str) {
        if is_head { self.without_body() } else { self.with_body(body) }
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        self.out.extend_from_slice(bytes);
        self
    }
}

/// Appends the head of a stream.
///
/// The connection's end delimits the body (RFC 9112, 6.3), so that its bytes are the same for every client.
pub(crate) fn stream_head(out: &mut Vec<u8>, common: &Common<'_>) {
    stream_fields(out, common).without_body();
}

/// Appends the response to `HEAD` of a stream, which closes the connection.
pub(crate) fn stream_head_alone(out: &mut Vec<u8>, common: &Common<'_>) {
    stream_fields(out, common).persistence(Persistence::Close).without_body();
}

fn stream_fields<'o>(out: &'o mut Vec<u8>, common: &Common<'_>) -> Response<'o> {
    Response::new(out, "200 OK", &common.date)
        .field("Content-Type", "text/event-stream")
        .field("Cache-Control", "no-cache")
        .cors(common.cors)
        .field("X-Accel-Buffering", "no")
}

/// Appends the response to an accepted message, with the JSON receipt if the publisher asked for it.
pub(crate) fn accepted(out: &mut Vec<u8>, common: &Common<'_>, receipt: Option<&str>, persistence: Persistence) {
    let mut response = Response::new(out, "202 Accepted", &common.date);
    if receipt.is_some() {
        response = response.field("Content-Type", "application/json");
    }
    let body = receipt.unwrap_or_default();
    response.cors(common.cors).content_length(body.len()).persistence(persistence).with_body(body);
}

/// Appends the number of open streams.
pub(crate) fn stream_count(out: &mut Vec<u8>, common: &Common<'_>, streams: usize, is_head: bool) {
    let body = streams.to_string();
    let response = Response::new(out, "200 OK", &common.date)
        .field("Content-Type", "text/plain")
        .field("Cache-Control", "no-cache")
        .cors(common.cors)
        .content_length(body.len())
        .persistence(Persistence::Close);
    response.with_body_unless(is_head, &body);
}

/// Appends the response to `OPTIONS`; a `204` has neither a body nor its length (RFC 9110, 8.6).
pub(crate) fn preflight(out: &mut Vec<u8>, common: &Common<'_>, asks_for_fields: bool) {
    let response = Response::new(out, "204 No Content", &common.date).cors(common.cors);
    let response = if asks_for_fields { response.lines(READ_PERMISSION) } else { response };
    response.persistence(Persistence::Close).without_body();
}

/// Appends the response to `OPTIONS /broadcast`, for pages that may publish.
pub(crate) fn publish_preflight(out: &mut Vec<u8>, common: &Common<'_>) {
    let response = Response::new(out, "204 No Content", &common.date).cors(common.cors);
    response.lines(PUBLISH_PERMISSION).persistence(Persistence::Close).without_body();
}

/// Appends `404`; the response to `HEAD` is the same without the body (RFC 9110, 9.3.2).
pub(crate) fn not_found(out: &mut Vec<u8>, common: &Common<'_>, persistence: Persistence, is_head: bool) {
    let body = "Not found; there are GET /sse, GET /connections and POST /broadcast.\n";
    let response = text(out, "404 Not Found", common, body).persistence(persistence);
    response.with_body_unless(is_head, body);
}

/// Appends `404` for a person's browser, with a page about this server. It has a box to publish if that is open.
pub(crate) fn front(out: &mut Vec<u8>, common: &Common<'_>, persistence: Persistence, is_head: bool, is_open: bool) {
    let parts = front::parts(is_open);
    let response = Response::new(out, "404 Not Found", &common.date)
        .field("Content-Type", "text/html; charset=utf-8")
        .field("Cache-Control", "no-cache")
        .field("Vary", "Accept")
        .cors(common.cors)
        .lines(front::POLICY)
        .content_length(parts.iter().map(|part| part.len()).sum())
        .persistence(persistence);
    response.with_body_unless(is_head, &parts.concat());
}

/// Appends the response to a rejected request.
pub(crate) fn error(
    out: &mut Vec<u8>,
    common: &Common<'_>,
    error: RequestError,
    persistence: Persistence,
    is_head: bool,
) {
    let response = text(out, error.status(), common, error.advice());
    let response = match error {
        RequestError::Overloaded | RequestError::Stopping => response.field("Retry-After", "5"),
        // RFC 9110, 15.5.2: a `401` has a challenge.
        RequestError::Token => response.field("WWW-Authenticate", "Bearer"),
        _ => response,
    };
    response.persistence(persistence).with_body_unless(is_head, error.advice());
}

/// Begins a response whose body is a line for people.
fn text<'o>(out: &'o mut Vec<u8>, status: &str, common: &Common<'_>, body: &str) -> Response<'o> {
    let response = Response::new(out, status, &common.date).field("Content-Type", "text/plain");
    response.cors(common.cors).content_length(body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &Common<'_> = &Common { date: *b"Sun, 06 Nov 1994 08:49:37 GMT", cors: &Cors::AnyOrigin };

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("responses are ASCII")
    }

    #[test]
    fn responses_are_byte_exact() {
        assert_eq!(
            written(|out| stream_head(out, COMMON)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/event-stream\r\n\
             Cache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\nX-Accel-Buffering: no\r\n\r\n"
        );
        assert_eq!(
            written(|out| accepted(out, COMMON, None, Persistence::KeepAlive)),
            "HTTP/1.1 202 Accepted\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: *\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(
            written(|out| stream_count(out, COMMON, 12, false)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
             Cache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n12"
        );
        assert_eq!(
            written(|out| preflight(out, COMMON, false)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            written(|out| preflight(out, COMMON, true)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: *\r\n\
             Access-Control-Allow-Headers: Last-Event-ID, Authorization, Cache-Control\r\n\
             Access-Control-Max-Age: 86400\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            written(|out| stream_head_alone(out, COMMON)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/event-stream\r\n\
             Cache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\nX-Accel-Buffering: no\r\n\
             Connection: close\r\n\r\n"
        );
    }

    #[test]
    fn responses_name_the_allowed_origin() {
        let to = |cors| written(|out| preflight(out, &Common { cors: &cors, ..*COMMON }, false));
        assert_eq!(
            to(Cors::Origin("https://a.example".to_owned())),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: https://a.example\r\nAccess-Control-Allow-Credentials: true\r\n\
             Vary: Origin\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            to(Cors::NoOrigin),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nVary: Origin\r\n\
             Connection: close\r\n\r\n"
        );
    }

    #[test]
    fn publish_preflight_lists_publisher_fields() {
        let cors = Cors::Origin("https://a.example".to_owned());
        let common = Common { cors: &cors, ..*COMMON };
        assert_eq!(
            written(|out| publish_preflight(out, &common)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: https://a.example\r\nAccess-Control-Allow-Credentials: true\r\n\
             Vary: Origin\r\nAccess-Control-Allow-Methods: POST\r\n\
             Access-Control-Allow-Headers: Authorization, Content-Type, \
             Event-Type, Event-Id, X-EventSource-Event, Topic\r\n\
             Access-Control-Max-Age: 86400\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn missing_token_is_challenged() {
        assert_eq!(
            written(|out| error(out, COMMON, RequestError::Token, Persistence::Close, false)),
            "HTTP/1.1 401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
             Access-Control-Allow-Origin: *\r\nContent-Length: 82\r\nWWW-Authenticate: Bearer\r\n\
             Connection: close\r\n\r\n\
             To publish, send Authorization: Bearer with a token that this server knows, once.\n"
        );
    }

    #[test]
    fn errors_advise_and_close() {
        let response = written(|out| error(out, COMMON, RequestError::LengthRequired, Persistence::Close, false));
        assert!(response.starts_with("HTTP/1.1 411 Length Required\r\n"), "{response}");
        assert!(response.ends_with("Connection: close\r\n\r\nSend Content-Length, or a chunked body.\n"), "{response}");
    }

    #[test]
    fn head_responses_have_no_body() {
        let response = written(|out| not_found(out, COMMON, Persistence::KeepAlive, true));
        assert!(response.ends_with("\r\n\r\n") && !response.contains("Connection"), "{response}");
        let response = written(|out| stream_count(out, COMMON, 12, true));
        assert!(response.ends_with("Content-Length: 2\r\nConnection: close\r\n\r\n"), "{response}");
        let response = written(|out| error(out, COMMON, RequestError::Slow, Persistence::Close, true));
        assert!(response.ends_with("Connection: close\r\n\r\n"), "{response}");
    }
}
