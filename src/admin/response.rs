//! Responses of the admin address: a status, a body, and the policy for pages. Each is the last of its connection.
//!
//! The bytes are written by [`Response`], as the public side's are.

use std::borrow::Cow;

use crate::http::date::Date;
use crate::http::response::Response;
use crate::http::{Persistence, RequestError};

/// Restricts the live page to files and requests of this address, and keeps it out of frames. Browsers take each file
/// for what its media type says, so that text never runs as a script.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n";

/// A response that is not a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminResponse {
    status: &'static str,
    /// The media type and the text; none with a `204`.
    body: Option<(&'static str, Cow<'static, str>)>,
}

impl AdminResponse {
    pub(super) fn new(status: &'static str, media_type: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, body: Some((media_type, text.into())) }
    }

    /// A line for people.
    pub(super) fn line(status: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(status, "text/plain; charset=utf-8", text)
    }

    pub(super) fn no_content() -> Self {
        Self { status: "204 No Content", body: None }
    }

    /// Appends the response to `out`; `HEAD` gets its head alone (RFC 9110, 9.3.2).
    pub(super) fn write(&self, out: &mut Vec<u8>, date: &Date, is_head: bool) {
        let response = Response::new(out, self.status, date).field("Cache-Control", "no-cache");
        let Some((media_type, text)) = &self.body else {
            return response.persistence(Persistence::Close).lines(POLICY).without_body();
        };
        let response = response.field("Content-Type", media_type).content_length(text.len());
        let response = response.persistence(Persistence::Close).lines(POLICY);
        if is_head { response.without_body() } else { response.with_body(text) }
    }
}

impl From<RequestError> for AdminResponse {
    fn from(error: RequestError) -> Self {
        Self::line(error.status(), error.advice())
    }
}

/// Appends the head of the live page's stream, which ends with its connection.
pub(super) fn write_stream_head(out: &mut Vec<u8>, date: &Date) {
    Response::new(out, "200 OK", date)
        .field("Cache-Control", "no-cache")
        .field("Content-Type", "text/event-stream")
        .field("X-Accel-Buffering", "no")
        .lines(POLICY)
        .without_body();
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("responses are text").replace(POLICY, "[policy]\r\n")
    }

    #[test]
    fn responses_are_byte_exact() {
        let ok = AdminResponse::line("200 OK", "ok\n");
        let head = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-cache\r\n\
                    Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nConnection: close\r\n\
                    [policy]\r\n\r\n";
        assert_eq!(written(|out| ok.write(out, DATE, false)), format!("{head}ok\n"));
        assert_eq!(written(|out| ok.write(out, DATE, true)), head);
        assert_eq!(
            written(|out| AdminResponse::no_content().write(out, DATE, false)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-cache\r\n\
             Connection: close\r\n[policy]\r\n\r\n"
        );
        assert_eq!(
            written(|out| write_stream_head(out, DATE)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-cache\r\n\
             Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n[policy]\r\n\r\n"
        );
    }
}
