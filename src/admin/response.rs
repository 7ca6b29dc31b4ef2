//! Answers of the admin address as bytes. Each is the last of its connection.

use crate::http::date::Date;

/// What a page of this address may do: load what is served here, and ask for nothing from elsewhere; no other page may
/// hold it in a frame, and what is text is never taken for anything else.
const POLICY: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n";

/// The end of a head's last line, and the empty line.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A body and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'t> {
    pub(super) media_type: &'t str,
    pub(super) text: &'t str,
}

impl<'t> Content<'t> {
    /// A line for people.
    pub(super) fn line(text: &'t str) -> Self {
        Self { media_type: "text/plain; charset=utf-8", text }
    }

    pub(super) fn json(text: &'t str) -> Self {
        Self { media_type: "application/json", text }
    }
}

/// An answer with a body.
pub(super) fn with_content(status: &str, date: &Date, content: Content<'_>) -> Vec<u8> {
    let Content { media_type, text } = content;
    let fields = format!("Content-Type: {media_type}\r\nContent-Length: {}\r\nConnection: close\r\n", text.len());
    let mut out = head(status, date, &fields);
    out.extend_from_slice(text.as_bytes());
    out
}

/// The same answer to `HEAD`, which has no body (RFC 9110, 9.3.2).
pub(super) fn without_content(mut answer: Vec<u8>) -> Vec<u8> {
    let end = memchr::memmem::find(&answer, HEAD_END).map_or(0, |start| start + HEAD_END.len());
    answer.truncate(end);
    answer
}

/// An answer without one (RFC 9110, 15.3.5).
pub(super) fn no_content(date: &Date) -> Vec<u8> {
    head("204 No Content", date, "Connection: close\r\n")
}

/// The head of a stream of events, which ends with its connection.
pub(super) fn stream(date: &Date) -> Vec<u8> {
    head("200 OK", date, "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n")
}

fn head(status: &str, date: &Date, fields: &str) -> Vec<u8> {
    let date = String::from_utf8_lossy(date);
    format!("HTTP/1.1 {status}\r\nDate: {date}\r\nCache-Control: no-cache\r\n{fields}{POLICY}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &Date = b"Sun, 06 Nov 1994 08:49:37 GMT";

    #[test]
    fn answers_to_the_byte() {
        let text = |bytes| String::from_utf8(bytes).expect("answers are text").replace(POLICY, "[policy]\r\n");
        assert_eq!(
            text(with_content("200 OK", DATE, Content::line("ok\n"))),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-cache\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\nConnection: close\r\n[policy]\r\n\r\nok\n"
        );
        let head = without_content(with_content("200 OK", DATE, Content::line("ok\n")));
        assert!(text(head).ends_with("Connection: close\r\n[policy]\r\n\r\n"));
        assert_eq!(
            text(no_content(DATE)),
            "HTTP/1.1 204 No Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-cache\r\n\
             Connection: close\r\n[policy]\r\n\r\n"
        );
        assert_eq!(
            text(stream(DATE)),
            "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: no-cache\r\n\
             Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\n[policy]\r\n\r\n"
        );
    }
}
