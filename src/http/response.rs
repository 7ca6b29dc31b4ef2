//! Answers as bytes: the head of a stream, and whole responses with the framing their status asks for.
//!
//! Nothing of what a client sent goes into an answer, but an origin that the operator's list allows.

use super::date::Date;
use super::{Persistence, RequestError};
use crate::auth::Cors;

/// The interim answer to `Expect: 100-continue` (RFC 9110, 15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What a page of a listed origin may do with a token, and for how long its browser may remember (Fetch, "CORS
/// protocol"): all fields that a publisher may add, for two hours, beyond which the usual browsers would not go.
const PUBLISH_PERMISSION: &[u8] = b"Access-Control-Allow-Methods: POST\r\n\
    Access-Control-Allow-Headers: Authorization, Content-Type, Event-Type, Event-Id, X-EventSource-Event\r\n\
    Access-Control-Max-Age: 7200\r\n";

/// What every answer has: when it was made and which pages may read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Common<'o> {
    pub(crate) date: Date,
    pub(crate) cors: Cors<&'o str>,
}

/// Appends the head of a stream.
///
/// The body is delimited by the connection's end (RFC 9112, 6.3), so that its bytes are the same for every client.
pub(crate) fn stream_head(out: &mut Vec<u8>, common: &Common<'_>) {
    start(out, "200 OK", &common.date);
    out.extend_from_slice(b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n");
    allow_origin(out, common.cors);
    out.extend_from_slice(b"X-Accel-Buffering: no\r\n\r\n");
}

/// Appends the answer to an accepted message, with a body of JSON for who asked for one.
pub(crate) fn accepted(out: &mut Vec<u8>, common: &Common<'_>, json: Option<&str>, persistence: Persistence) {
    start(out, "202 Accepted", &common.date);
    if json.is_some() {
        out.extend_from_slice(b"Content-Type: application/json\r\n");
    }
    allow_origin(out, common.cors);
    let body = json.unwrap_or_default();
    content_length(out, body.len());
    finish(out, persistence);
    out.extend_from_slice(body.as_bytes());
}

/// Appends the number of open streams.
pub(crate) fn stream_count(out: &mut Vec<u8>, common: &Common<'_>, streams: usize) {
    let body = streams.to_string();
    start(out, "200 OK", &common.date);
    out.extend_from_slice(b"Content-Type: text/plain\r\nCache-Control: no-cache\r\n");
    allow_origin(out, common.cors);
    content_length(out, body.len());
    finish(out, Persistence::Close);
    out.extend_from_slice(body.as_bytes());
}

/// Appends the answer to `OPTIONS`, which has no body and so says nothing of one (RFC 9110, 8.6).
pub(crate) fn preflight(out: &mut Vec<u8>, common: &Common<'_>) {
    start(out, "204 No Content", &common.date);
    allow_origin(out, common.cors);
    finish(out, Persistence::Close);
}

/// Appends the answer to `OPTIONS` of where a page may publish with a token.
pub(crate) fn publish_preflight(out: &mut Vec<u8>, common: &Common<'_>) {
    start(out, "204 No Content", &common.date);
    allow_origin(out, common.cors);
    out.extend_from_slice(PUBLISH_PERMISSION);
    finish(out, Persistence::Close);
}

/// Appends `404`; the answer to `HEAD` is the same without the body (RFC 9110, 9.3.2).
pub(crate) fn not_found(out: &mut Vec<u8>, common: &Common<'_>, persistence: Persistence, is_head: bool) {
    let body = "Not found; there are GET /sse, GET /connections and POST /broadcast.\n";
    start(out, "404 Not Found", &common.date);
    text(out, common.cors, body.len());
    finish(out, persistence);
    if !is_head {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Appends the answer to what is refused.
pub(crate) fn refused(out: &mut Vec<u8>, common: &Common<'_>, refusal: RequestError, persistence: Persistence) {
    start(out, refusal.status(), &common.date);
    text(out, common.cors, refusal.advice().len());
    out.extend_from_slice(match refusal {
        RequestError::Overloaded | RequestError::Stopping => b"Retry-After: 5\r\n",
        // The challenge that a `401` has to have (RFC 9110, 15.5.2).
        RequestError::Token => b"WWW-Authenticate: Bearer\r\n",
        _ => b"",
    });
    finish(out, persistence);
    out.extend_from_slice(refusal.advice().as_bytes());
}

fn start(out: &mut Vec<u8>, status: &str, date: &Date) {
    for part in [b"HTTP/1.1 ", status.as_bytes(), b"\r\nDate: ", date, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

fn text(out: &mut Vec<u8>, cors: Cors<&str>, length: usize) {
    out.extend_from_slice(b"Content-Type: text/plain\r\n");
    allow_origin(out, cors);
    content_length(out, length);
}

/// The CORS field. Where it depends on the request, caches are told so (RFC 9110, 12.5.5).
fn allow_origin(out: &mut Vec<u8>, cors: Cors<&str>) {
    match cors {
        Cors::AnyOrigin => out.extend_from_slice(b"Access-Control-Allow-Origin: *\r\n"),
        Cors::Origin(origin) => {
            for part in [b"Access-Control-Allow-Origin: ", origin.as_bytes(), b"\r\nVary: Origin\r\n"] {
                out.extend_from_slice(part);
            }
        }
        Cors::NoOrigin => out.extend_from_slice(b"Vary: Origin\r\n"),
    }
}

fn content_length(out: &mut Vec<u8>, length: usize) {
    out.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
}

fn finish(out: &mut Vec<u8>, persistence: Persistence) {
    out.extend_from_slice(match persistence {
        Persistence::KeepAlive => b"\r\n",
        Persistence::KeepAliveTold => b"Connection: keep-alive\r\n\r\n",
        Persistence::Close => b"Connection: close\r\n\r\n",
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMON: &Common<'_> = &Common { date: *b"Sun, 06 Nov 1994 08:49:37 GMT", cors: Cors::AnyOrigin };

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("answers are ASCII")
    }

    #[test]
    fn answers_to_the_byte() {
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
            written(|out| stream_count(out, COMMON, 12)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
             Cache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\n12"
        );
        assert_eq!(
            written(|out| preflight(out, COMMON)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_names_the_origin_that_may_read_it() {
        let to = |cors| written(|out| preflight(out, &Common { cors, ..*COMMON }));
        assert_eq!(
            to(Cors::Origin("https://a.example")),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            to(Cors::NoOrigin),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nVary: Origin\r\n\
             Connection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_page_is_told_what_it_may_publish_with() {
        let common = Common { cors: Cors::Origin("https://a.example"), ..*COMMON };
        assert_eq!(
            written(|out| publish_preflight(out, &common)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Access-Control-Allow-Origin: https://a.example\r\nVary: Origin\r\n\
             Access-Control-Allow-Methods: POST\r\n\
             Access-Control-Allow-Headers: Authorization, Content-Type, Event-Type, Event-Id, X-EventSource-Event\r\n\
             Access-Control-Max-Age: 7200\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn who_shows_no_token_is_challenged() {
        assert_eq!(
            written(|out| refused(out, COMMON, RequestError::Token, Persistence::Close)),
            "HTTP/1.1 401 Unauthorized\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n\
             Access-Control-Allow-Origin: *\r\nContent-Length: 82\r\nWWW-Authenticate: Bearer\r\n\
             Connection: close\r\n\r\n\
             To publish, send Authorization: Bearer with a token that this server knows, once.\n"
        );
    }

    #[test]
    fn a_refusal_says_what_to_do_and_closes() {
        let answer = written(|out| refused(out, COMMON, RequestError::LengthRequired, Persistence::Close));
        assert!(answer.starts_with("HTTP/1.1 411 Length Required\r\n"), "{answer}");
        assert!(answer.ends_with("Connection: close\r\n\r\nSend Content-Length, or a chunked body.\n"), "{answer}");
    }

    #[test]
    fn the_answer_to_head_has_no_body() {
        let answer = written(|out| not_found(out, COMMON, Persistence::KeepAlive, true));
        assert!(answer.ends_with("\r\n\r\n") && !answer.contains("Connection"), "{answer}");
    }
}
