//! The outcome of a whole connection, from all octets that its client sends.

use std::collections::BTreeSet;

use smolcast::Limits;
use smolcast::connection::memory::Conversation;
use smolcast::http::framing::Framing;
use support::sse;

use super::access::{Lists, Readers};
use super::answer::{self, Connection, Kind};
use super::framing::values;
use super::head::{self, Head};
use super::publishing::{self, Event};
use super::{Reading, Refusals, chunked, parameters, query, topics};

/// The first bytes of a stream.
const OPENING: &[u8] = b":ok\n\n";

/// The events of a connection that the reference expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The responses, in order.
    pub answers: Vec<answer::Expected>,
    /// The published events.
    pub events: Vec<Event>,
    /// Its end.
    pub end: End,
}

/// The state at the end of the client's octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The end of a request: the server waits for another.
    Waiting,
    /// The last request: the server ends the connection.
    Closed,
    /// The middle of a request. The server waits for the rest of it, and then says `400` or nothing.
    Incomplete,
    /// The middle of one that is refused already. The server may wait for the rest or not.
    Doubtful(BTreeSet<u16>),
    /// A stream. The server ends it if its client has sent too much.
    Stream {
        /// Set if it has.
        is_overrun: bool,
    },
    /// A request with more than one valid response.
    Open,
}

/// The client's octets and the server's settings.
struct Reader<'b> {
    rest: &'b [u8],
    limits: &'b Limits,
    lists: &'b Lists,
    answers: Vec<answer::Expected>,
    events: Vec<Event>,
}

/// The outcome for these octets of a client.
pub fn outcome(sent: &[u8], limits: &Limits, lists: &Lists) -> Outcome {
    let mut reader = Reader { rest: sent, limits, lists, answers: Vec::new(), events: Vec::new() };
    let end = loop {
        if let Some(end) = reader.request() {
            break end;
        }
    };
    Outcome { answers: reader.answers, events: reader.events, end }
}

impl Reader<'_> {
    /// Reads a request; returns the connection's end if no other can follow.
    fn request(&mut self) -> Option<End> {
        if self.rest.is_empty() {
            return Some(End::Waiting);
        }
        let (head, length) = match head::read(self.rest, self.limits) {
            Reading::Whole(head, length) => (head, length),
            Reading::Partial => return Some(End::Incomplete),
            Reading::Open => return Some(End::Open),
            // A head that cannot be read has no known origin.
            Reading::Refused(refusals) => return Some(self.refuse(refusals, self.lists.readers(None), false)),
        };
        self.rest = &self.rest[length..];
        let readers = self.lists.readers(head.origin.as_deref());
        let event = publishing::event(&head);
        let mut refusals = self.refusals(&head);
        // A missing token is reported before other faults.
        if !refusals.statuses.contains(&401) {
            refusals.add_if(!is_well_asked(&head, event.as_ref()), 400);
        }
        if !refusals.is_empty() {
            return Some(self.refuse(refusals, readers, head.method == "HEAD"));
        }
        match (head.method.as_str(), head.path.as_str()) {
            ("POST", "/broadcast") => self.publish(event.unwrap_or_default(), &head, readers),
            ("GET", "/sse") => {
                self.answer(200, Kind::Stream, Connection::Unsaid, readers);
                Some(End::Stream { is_overrun: self.rest.len() > self.limits.stream_input_bytes })
            }
            ("HEAD", "/sse") => self.last_answer(200, Kind::Stream, readers, true),
            (method @ ("GET" | "HEAD"), "/connections") => {
                self.last_answer(200, Kind::Count, readers, method == "HEAD")
            }
            ("OPTIONS", "/sse" | "/connections") => {
                let asks = !values(&head.fields, "access-control-request-headers").is_empty();
                let kind = if asks { Kind::FieldsPreflight } else { Kind::Preflight };
                self.last_answer(204, kind, readers, false)
            }
            ("OPTIONS", "/broadcast") if self.lists.tell_of_fields(head.origin.as_deref()) => {
                self.last_answer(204, Kind::PublishPreflight, readers, false)
            }
            // A page for people has this status too, and its text is not checked here.
            ("GET" | "HEAD", "/") if publishing::may_want_html(&head.fields) => Some(End::Open),
            _ => self.not_found(&head, readers),
        }
    }

    /// The reasons against a request, except those of its query.
    fn refusals(&self, head: &Head) -> Refusals {
        let is_publish = (head.method.as_str(), head.path.as_str()) == ("POST", "/broadcast");
        let mut refusals = Refusals { at_once: true, ..Refusals::default() };
        refusals.add_if(!self.lists.admit(head.authority.as_deref()), 421);
        refusals.add_if(is_publish && !self.lists.may_publish(head.origin.as_deref()), 403);
        if is_publish && !self.lists.are_shown_a_token(&head.fields) {
            refusals.add([401]);
        } else if is_publish {
            refusals.add_if(!publishing::is_plain(&head.fields), 415);
            refusals.add_if(head.body == Framing::None, 411);
            refusals
                .add_if(matches!(head.body, Framing::Length(length) if length > self.limits.body_bytes as u64), 413);
        }
        refusals
    }

    /// The response to an unknown path. An unexpected body ends the connection, and is never read as a request.
    fn not_found(&mut self, head: &Head, readers: Readers) -> Option<End> {
        let has_body = !matches!(head.body, Framing::None | Framing::Length(0));
        let connection = if has_body { Connection::Close } else { connection(head) };
        self.answer(404, Kind::Problem, connection, readers);
        if let Some(last) = self.answers.last_mut() {
            last.is_head = head.method == "HEAD";
        }
        (connection == Connection::Close).then_some(End::Closed)
    }

    fn publish(&mut self, event: Event, head: &Head, readers: Readers) -> Option<End> {
        if head.expects_continue {
            self.answer(100, Kind::Continue, Connection::Unsaid, Readers::Unsaid);
        }
        let body = match head.body {
            Framing::Length(length) => match usize::try_from(length).ok().and_then(|length| self.rest.get(..length)) {
                Some(body) => Reading::Whole(body.to_vec(), body.len()),
                None => Reading::Partial,
            },
            Framing::Chunked | Framing::None => chunked::decode(self.rest, self.limits),
        };
        let (body, length) = match body {
            Reading::Whole(body, length) => (body, length),
            Reading::Partial => return Some(End::Incomplete),
            Reading::Refused(refusals) => return Some(self.refuse(refusals, readers, false)),
            Reading::Open => return Some(End::Open),
        };
        self.rest = &self.rest[length..];
        let connection = connection(head);
        match String::from_utf8(body) {
            Ok(data) => {
                self.events.push(Event { data, ..event });
                self.answer(202, Kind::Accepted(publishing::form(&head.fields)), connection, readers);
            }
            Err(_) => self.answer(400, Kind::Problem, connection, readers),
        }
        (connection == Connection::Close).then_some(End::Closed)
    }

    fn refuse(&mut self, refusals: Refusals, readers: Readers, is_head: bool) -> End {
        if !refusals.at_once {
            return End::Doubtful(refusals.statuses);
        }
        self.answers.push(answer::Expected { is_head, ..refusal(refusals.statuses, readers) });
        End::Closed
    }

    /// An answer that ends the connection.
    fn last_answer(&mut self, status: u16, kind: Kind, readers: Readers, is_head: bool) -> Option<End> {
        self.answer(status, kind, Connection::Close, readers);
        if let Some(last) = self.answers.last_mut() {
            last.is_head = is_head;
        }
        Some(End::Closed)
    }

    fn answer(&mut self, status: u16, kind: Kind, connection: Connection, readers: Readers) {
        let statuses = BTreeSet::from([status]);
        self.answers.push(answer::Expected { statuses, connection, is_head: false, readers, kind });
    }
}

/// Checks the known parameters of a request, and the fields that replace them.
fn is_well_asked(head: &Head, event: Option<&Event>) -> bool {
    let query = &head.query;
    let mut topics = query::values(query, "topic");
    match (head.method.as_str(), head.path.as_str()) {
        ("POST", "/broadcast") => {
            topics.extend(values(&head.fields, "topic").into_iter().map(<[u8]>::to_vec));
            event.is_some() && topics::are_topics(&topics) && parameters::are_of_publish(query)
        }
        ("GET" | "HEAD", "/sse") => {
            let filters = topics::with_plus(topics);
            topics::are_filters(&filters) && publishing::is_policy(head) && parameters::are_of_stream(query)
        }
        ("GET" | "HEAD", "/connections") => {
            topics::are_topics(&topics::with_plus(topics)) && parameters::are_of_count(query)
        }
        _ => true,
    }
}

fn connection(head: &Head) -> Connection {
    match (head.keeps_alive, head.is_http_1_0) {
        (false, _) => Connection::Close,
        (true, true) => Connection::KeepAlive,
        (true, false) => Connection::Unsaid,
    }
}

fn refusal(statuses: BTreeSet<u16>, readers: Readers) -> answer::Expected {
    answer::Expected { statuses, connection: Connection::Close, is_head: false, readers, kind: Kind::Problem }
}

impl Outcome {
    /// Compares a conversation with this outcome; an error describes the difference.
    pub fn check(&self, conversation: &Conversation) -> Result<(), String> {
        let mut sent = &conversation.sent[..];
        for (number, expected) in self.answers.iter().enumerate() {
            answer::take(&mut sent, expected).map_err(|wrong| format!("answer {number} has {wrong}"))?;
        }
        if self.end == End::Open {
            return Ok(());
        }
        self.check_end(sent, conversation.ended_first)?;
        self.check_published(&conversation.published)
    }

    /// Checks the published events by a page's parser, and then the order of their lines.
    fn check_published(&self, published: &[u8]) -> Result<(), String> {
        let (messages, parser) = sse::parse([published]);
        let mut last_event_id = String::new();
        let mut expected = Vec::new();
        for event in &self.events {
            let message = event.message(&last_event_id);
            last_event_id.clone_from(&message.last_event_id);
            expected.push(message);
        }
        if messages != expected || !parser.is_at_boundary() {
            return Err(format!("published {messages:?} and not {expected:?}"));
        }
        let text = std::str::from_utf8(published).map_err(|error| error.to_string())?;
        let frames: Vec<_> = text.split_terminator("\n\n").collect();
        if frames.len() != self.events.len() {
            return Err(format!("published {} frames", frames.len()));
        }
        for (frame, event) in frames.iter().zip(&self.events) {
            let lines: Vec<_> = frame.split('\n').collect();
            let data = lines.iter().position(|line| line.starts_with("data:")).unwrap_or(lines.len());
            let (before, data) = lines.split_at(data);
            if before != event.lines() || !data.iter().all(|line| line.starts_with("data:")) {
                return Err(format!("the frame {frame:?} for {event:?}"));
            }
        }
        Ok(())
    }

    /// Checks the octets sent after the responses.
    fn check_end(&self, mut sent: &[u8], ended_first: bool) -> Result<(), String> {
        let mut take_refusal = |statuses: BTreeSet<u16>| {
            if sent.is_empty() { Ok(()) } else { answer::take(&mut sent, &refusal(statuses, Readers::Unsaid)) }
        };
        let may_end_first = match &self.end {
            End::Waiting => Some(false),
            End::Closed => Some(true),
            End::Incomplete => {
                take_refusal(BTreeSet::from([400]))?;
                Some(false)
            }
            End::Doubtful(statuses) => {
                take_refusal(statuses.iter().copied().chain([400]).collect())?;
                None
            }
            End::Stream { is_overrun } => {
                sent = sent.strip_prefix(OPENING).ok_or("no opening of a stream")?;
                Some(*is_overrun)
            }
            End::Open => return Ok(()),
        };
        if !sent.is_empty() {
            return Err(format!("more was sent: {:?}", String::from_utf8_lossy(sent)));
        }
        match may_end_first {
            Some(expected) if expected != ended_first => Err(format!("the server ended first: {ended_first}")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::access::LISTS;
    use support::with;

    use super::*;

    fn of(sent: &str) -> (Vec<Vec<u16>>, Vec<String>, End) {
        let limits = with!(Limits::default(), { body_bytes: 64, stream_input_bytes: 8 });
        let Outcome { answers, events, end } = outcome(sent.as_bytes(), &limits, &LISTS[0]);
        let statuses = answers.into_iter().map(|answer| answer.statuses.into_iter().collect());
        (statuses.collect(), events.into_iter().map(|event| event.data).collect(), end)
    }

    #[track_caller]
    fn comes_to(sent: &str, statuses: &[u16], messages: &[&str], end: End) {
        let statuses: Vec<_> = statuses.iter().map(|status| vec![*status]).collect();
        assert_eq!(of(sent), (statuses, messages.iter().map(|text| (*text).into()).collect(), end), "{sent:?}");
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let post = "POST /broadcast HTTP/1.1\r\nHost: h\r\n";
        comes_to("", &[], &[], End::Waiting);
        comes_to(&format!("{post}Content-Length: 2\r\n\r\nhi"), &[202], &["hi"], End::Waiting);
        comes_to(
            &format!(
                "{post}Content-Length: 2\r\n\r\nhi\r\n{post}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
            ),
            &[202, 202],
            &["hi", "a"],
            End::Waiting,
        );
        comes_to(&format!("{post}Content-Length: 0\r\nConnection: close\r\n\r\n{post}"), &[202], &[""], End::Closed);
        comes_to(&format!("{post}\r\n{post}"), &[411], &[], End::Closed);
        comes_to(&format!("{post}Content-Length: 65\r\n\r\n"), &[413], &[], End::Closed);
        comes_to(&format!("{post}Content-Length: 9\r\nExpect: 100-continue\r\n\r\nx"), &[100], &[], End::Incomplete);
        comes_to(&format!("{post}Content-Length: 9\r\n\r\n12345678"), &[], &[], End::Incomplete);
        comes_to("POST /broadcast HTTP/1.0\r\nContent-Length: 1\r\n\r\nxPOST", &[202], &["x"], End::Closed);
        comes_to("GET /sse HTTP/1.1\r\nHost: h\r\n\r\n12345678", &[200], &[], End::Stream { is_overrun: false });
        comes_to("GET /sse HTTP/1.1\r\nHost: h\r\n\r\n123456789", &[200], &[], End::Stream { is_overrun: true });
        comes_to("GET /connections HTTP/1.1\r\nHost: h\r\n\r\nGET", &[200], &[], End::Closed);
        comes_to("OPTIONS /sse HTTP/1.1\r\nHost: h\r\n\r\nGET", &[204], &[], End::Closed);
        comes_to("HEAD /sse HTTP/1.1\r\nHost: h\r\n\r\nGET", &[200], &[], End::Closed);
        comes_to("HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET", &[404], &[], End::Incomplete);
        comes_to("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nGET", &[404], &[], End::Closed);
        comes_to("GET / HTTP/1.1\r\n\r\nGET", &[400], &[], End::Closed);
        comes_to("\r\n", &[], &[], End::Incomplete);
        comes_to("(", &[400], &[], End::Closed);
        comes_to("GET / HTTP/1.1\r\n(", &[], &[], End::Doubtful(BTreeSet::from([400])));
    }

    #[test]
    fn tokens_come_before_everything_but_host_and_origin() {
        let limits = with!(Limits::default(), { body_bytes: 64 });
        for (head, expected) in [
            ("POST /broadcast?retry=x HTTP/1.1\r\nHost: h", &[401][..]),
            ("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 65", &[401]),
            ("POST /broadcast HTTP/1.1\r\nHost: i\r\nOrigin: http://i", &[401, 403, 421]),
            ("POST /broadcast HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer t", &[411]),
            ("GET /connections HTTP/1.1\r\nHost: h", &[200]),
            ("OPTIONS /broadcast HTTP/1.1\r\nHost: h\r\nOrigin: http://a.b", &[204]),
            ("OPTIONS /broadcast HTTP/1.1\r\nHost: h\r\nOrigin: http://a.c", &[404]),
            ("OPTIONS /broadcast HTTP/1.1\r\nHost: h", &[404]),
        ] {
            let outcome = outcome(format!("{head}\r\n\r\n").as_bytes(), &limits, &LISTS[5]);
            let statuses: Vec<_> = outcome.answers.iter().flat_map(|answer| answer.statuses.clone()).collect();
            assert_eq!(statuses, expected, "{head}");
        }
    }

    #[test]
    fn another_request_may_follow_a_message_that_is_not_utf8() {
        let sent = b"POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n\xff\
            POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx";
        let outcome = outcome(sent, &Limits::default(), &LISTS[0]);
        let statuses: Vec<_> = outcome.answers.iter().flat_map(|answer| answer.statuses.clone()).collect();
        let event = Event { data: "x".into(), ..Event::default() };
        assert_eq!((&statuses[..], &outcome.events[..]), (&[400, 202][..], &[event][..]));
    }

    #[test]
    fn a_different_conversation_fails_the_check() {
        let sent = b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\nGET /sse HTTP/1.1\r\nHost: h\r\n\r\n";
        let outcome = outcome(sent, &Limits::default(), &LISTS[0]);
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nAccess-Control-Allow-Origin: *\r\n";
        let conversation = |opening: &str, ended_first, published: &str| Conversation {
            sent: format!(
                "HTTP/1.1 404 Not Found\r\n{date}Content-Type: text/plain\r\nContent-Length: 9\r\n\r\n\
                 HTTP/1.1 200 OK\r\n{date}Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
                 X-Accel-Buffering: no\r\n\r\n{opening}"
            )
            .into_bytes(),
            published: published.into(),
            ended_first,
            ..Conversation::default()
        };
        assert_eq!(outcome.check(&conversation(":ok\n\n", false, "")), Ok(()));
        for bad in [
            conversation(":ok\n", false, ""),
            conversation(":ok\n\ndata: x\n\n", false, ""),
            conversation(":ok\n\n", true, ""),
            conversation(":ok\n\n", false, "data: x\n\n"),
            conversation(":ok\n\n", false, "data: x"),
        ] {
            assert!(outcome.check(&bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_invalid_query_is_refused_by_the_head() {
        let post = |query: &str, fields: &str| {
            let end = "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
            format!("POST /broadcast?{query} HTTP/1.1\r\nHost: h\r\n{fields}{end}")
        };
        comes_to(&post("topic=a&event=b&&", "Event-Id: 1\r\nTopic: a\r\n"), &[100, 202], &["x"], End::Waiting);
        comes_to(&post("x", ""), &[400], &[], End::Closed);
        comes_to(&post("topics=a", ""), &[400], &[], End::Closed);
        comes_to(&post("", "Topic: a/\r\n"), &[400], &[], End::Closed);
        comes_to(&post("", "Content-Encoding: gzip\r\n"), &[415], &[], End::Closed);
        comes_to(&post("event=a", "Event-Type: a\r\n"), &[400], &[], End::Closed);
        comes_to(&post("topic=a%23", ""), &[400], &[], End::Closed);
        for (query, is_good) in [("event=%ff&retry=x&id&id", true), ("topic=%ff", false), ("topic", false)] {
            let with = |method, path| format!("{method} {path}?{query} HTTP/1.1\r\nHost: h\r\n\r\n");
            comes_to(&with("GET", "/connections"), &[if is_good { 200 } else { 400 }], &[], End::Closed);
            comes_to(&with("OPTIONS", "/connections"), &[204], &[], End::Closed);
            comes_to(&with("PUT", "/broadcast"), &[404], &[], End::Waiting);
        }
        comes_to("GET /sse?topic=+/%23 HTTP/1.0\r\n\r\n", &[200], &[], End::Stream { is_overrun: false });
        comes_to("GET /sse?slow=%6catest HTTP/1.0\r\n\r\n", &[200], &[], End::Stream { is_overrun: false });
        comes_to("GET /sse?slow=&topic=a HTTP/1.0\r\n\r\n", &[400], &[], End::Closed);
        comes_to("GET /sse?topic=%23/a HTTP/1.0\r\n\r\n", &[400], &[], End::Closed);
        comes_to("GET /connections?topic=+ HTTP/1.0\r\n\r\n", &[400], &[], End::Closed);
        let (statuses, ..) = of("POST /broadcast?retry=x HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n");
        assert_eq!(statuses, [[400, 413]], "any of these is good");
    }

    #[test]
    fn an_event_has_its_lines_in_order() {
        let event = Event { kind: Some("a".into()), id: Some("b".into()), retry: Some(7), data: "c\nd".into() };
        let plain = Event { data: String::new(), ..Event::default() };
        let outcome = Outcome { answers: Vec::new(), events: vec![event, plain], end: End::Waiting };
        let good = "event: a\nid: b\nretry: 7\ndata: c\ndata: d\n\ndata: \n\n";
        assert_eq!(outcome.check_published(good.as_bytes()), Ok(()));
        for (what, with) in [
            ("event: a\nid: b", "id: b\nevent: a"),
            ("retry: 7", "retry: 8"),
            ("retry: 7\ndata: c", "data: c\nretry: 7"),
            ("retry: 7\n", ""),
            ("event: a", "event: a\nfoo: bar"),
            ("event: a\n", ""),
            ("id: b\n", ""),
            ("data: \n\n", ""),
            ("data: \n\n", "data: \n\n:\n\n"),
            ("data: \n\n", "retry: 1\ndata: \n\n"),
        ] {
            assert!(outcome.check_published(good.replacen(what, with, 1).as_bytes()).is_err(), "{with:?} for {what:?}");
        }
    }
}
