//! What benches and fuzz targets reach of the parts that are private: each part by itself, as the server uses it.
//!
//! There with the feature `internals` alone, and no part of the API. Nothing is computed here: every item hands bytes
//! and values to the part that it is named after, and hands back what comes out. [`FanOut`] is one shard without its
//! sockets, so that the way of a message can be measured for more subscribers than a process may have descriptors.

mod conversation;

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::{fmt, io};

use smol::LocalExecutor;

pub use self::conversation::{Conversation, converse};
use crate::config::Limits;
use crate::event::frame::{Event, Fields, Frame, InvalidField};
use crate::event::topic::{FilterSet, Topics};
use crate::fanout::{self, Dispatcher, Progress, SubscriberCounts};
use crate::http::chunked::Decoder;
use crate::http::framing::Framing;
use crate::http::head::{RequestHead, Scanner};
use crate::http::{Persistence, RequestError};
use crate::hub::{Draft, Hub};
use crate::metrics::Metrics;
use crate::net;

/// Why the server would not carry out a request. Shows itself as the status it is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(RequestError);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.status())
    }
}

impl std::error::Error for Refused {}

/// Looks for the end of a head that arrives in pieces: each item is all that has arrived so far, and so begins with
/// the one before. The length of the head once its end is there, `None` where it never came.
pub fn scan_head<'b>(arrived: impl IntoIterator<Item = &'b [u8]>, limits: &Limits) -> Result<Option<usize>, Refused> {
    let mut scanner = Scanner::default();
    for bytes in arrived {
        if let Some(length) = scanner.scan(bytes, limits).map_err(Refused)? {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

/// What the server acts on in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'b> {
    /// The method.
    pub method: &'b str,
    /// The target's path.
    pub path: &'b str,
    /// The host that the request is for.
    pub authority: Option<&'b [u8]>,
    /// The origin of the page that made it.
    pub origin: Option<&'b [u8]>,
    /// Where the body ends.
    pub body: Body,
    /// Whether another request may follow.
    pub keeps_alive: bool,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// As [`decode_chunked`] reads it.
    Chunked,
}

/// Reads a head, whole as [`scan_head`] found it.
pub fn parse_head(bytes: &[u8]) -> Result<Head<'_>, Refused> {
    let RequestHead { method, path, authority, origin, framing, persistence, expects_continue, .. } =
        RequestHead::parse(bytes).map_err(Refused)?;
    let body = match framing {
        Framing::None => Body::None,
        Framing::Length(length) => Body::Length(length),
        Framing::Chunked => Body::Chunked,
    };
    let keeps_alive = persistence != Persistence::Close;
    Ok(Head { method, path, authority, origin, body, keeps_alive, expects_continue })
}

/// Decodes a chunked body that arrives in `pieces` and appends it to `body`. How many bytes of them belonged to it once
/// it is complete, `None` where its end never came.
pub fn decode_chunked<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    body: &mut Vec<u8>,
    limits: &Limits,
) -> Result<Option<usize>, Refused> {
    let mut decoder = Decoder::new(limits);
    let mut taken = 0;
    for piece in pieces {
        taken += decoder.decode(piece, body).map_err(Refused)?;
        if decoder.is_done() {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// The frame of a message that was posted.
pub fn encode_message(data: &str) -> Arc<[u8]> {
    Frame::message(data).into_bytes()
}

/// The frame of an event with all of its fields.
pub fn encode_event(event: &Event) -> Result<Arc<[u8]>, InvalidField> {
    Frame::encode(event).map(Frame::into_bytes)
}

/// What stands in a socket's place. It takes all it is sent at once and never blocks.
pub trait Sink {
    /// Takes whole frames: what one `send` would be handed.
    fn try_write(&self, bytes: &[u8]);
}

/// A [`Sink`] as an audience sees it.
#[derive(Debug)]
struct Socket<S>(S);

impl<S: Sink> net::Sink for Socket<S> {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes);
        Ok(bytes.len())
    }

    fn reset_on_close(&self, _: bool) {}
}

/// One shard from the hub to the sinks: the channel, the dispatcher on its executor, the audience and its members.
#[derive(Debug)]
pub struct FanOut<S> {
    hub: Hub,
    dispatcher: Rc<Dispatcher<Socket<S>>>,
    executor: LocalExecutor<'static>,
}

/// A subscriber's place, given back when dropped.
#[derive(Debug)]
pub struct Membership<S: Sink>(fanout::Membership<Socket<S>>);

impl<S: Sink + 'static> FanOut<S> {
    /// A shard without subscribers.
    pub fn new(limits: &Limits) -> Self {
        let (hub, mut receivers) = Hub::new(limits, None, 1, Metrics::default());
        let receiver = receivers.pop().expect("one for each shard");
        let dispatcher = Rc::new(Dispatcher::new(receiver, limits, Arc::default(), SubscriberCounts::new()));
        let running = Rc::clone(&dispatcher);
        let executor = LocalExecutor::new();
        executor.spawn(async move { running.run().await }).detach();
        Self { hub, dispatcher, executor }
    }

    /// A seat for a subscriber that gets all broadcasts from now on.
    pub fn join(&self, sink: S) -> Membership<S> {
        self.join_topics(&[], sink)
    }

    /// A seat for a subscriber that gets what is of these topics as well.
    ///
    /// # Panics
    ///
    /// When one of them is none.
    pub fn join_topics(&self, filters: &[&str], sink: S) -> Membership<S> {
        let filters = FilterSet::parse(filters.iter().copied()).expect("filters");
        let mut membership = smol::block_on(self.dispatcher.reserve_after(0, &filters)).join(Socket(sink));
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp, "rounds move it from here");
        Membership(membership)
    }

    /// Puts a broadcast into the channel; returns whether there was room for it.
    pub fn publish(&self, message: &str) -> bool {
        self.publish_to(&[], message)
    }

    /// Puts a message of these topics into the channel.
    ///
    /// # Panics
    ///
    /// When one of them is none.
    pub fn publish_to(&self, topics: &[&str], message: &str) -> bool {
        let (fields, topics) = (Fields::default(), Topics::parse(topics.iter().copied()).expect("topics"));
        let published = pin!(self.hub.publish(Draft::new(&fields, message, &topics)));
        published.poll(&mut task::Context::from_waker(Waker::noop())) == Poll::Ready(Ok(None))
    }

    /// Runs the dispatcher until all that was published is written to every subscriber.
    pub fn dispatch(&self) {
        while self.executor.try_tick() {}
    }
}

impl<S: Sink> Membership<S> {
    /// Has `look` look at the subscriber's sink.
    pub fn sink<T>(&self, look: impl FnOnce(&S) -> T) -> T {
        self.0.sink(|socket| look(&socket.0))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn a_head_is_found_and_read_however_it_arrives() {
        let request = b"POST /broadcast?x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi";
        let limits = Limits::default();
        let length = request.len() - 2;
        assert_eq!(scan_head([&request[..]], &limits), Ok(Some(length)));
        assert_eq!(scan_head((1..=request.len()).map(|end| &request[..end]), &limits), Ok(Some(length)));
        assert_eq!(scan_head([&request[..9], &request[..length - 1]], &limits), Ok(None));
        let body = Body::Length(2);
        let head = Head {
            method: "POST",
            path: "/broadcast",
            authority: Some(b"h"),
            origin: None,
            body,
            keeps_alive: true,
            expects_continue: false,
        };
        assert_eq!(parse_head(&request[..length]), Ok(head));
    }

    #[test]
    fn a_refusal_shows_its_status() {
        let refused = scan_head([&b"\0"[..]], &Limits::default()).expect_err("that is no head");
        assert_eq!(refused.to_string(), "400 Bad Request");
        assert_eq!(parse_head(b"GET / HTTP/1.1\r\n\r\n"), Err(Refused(RequestError::Host)));
        assert_eq!(decode_chunked([&b"x"[..]], &mut Vec::new(), &Limits::default()), Err(Refused(RequestError::Chunk)));
    }

    #[test]
    fn a_chunked_body_is_decoded_however_it_is_cut() {
        let input = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nGET";
        for size in 1..=input.len() {
            let mut body = b"before ".to_vec();
            let taken = decode_chunked(input.chunks(size), &mut body, &Limits::default());
            assert_eq!((taken, &body[..]), (Ok(Some(input.len() - 3)), &b"before abcde"[..]), "in pieces of {size}");
        }
        assert_eq!(decode_chunked([&input[..9]], &mut Vec::new(), &Limits::default()), Ok(None));
    }

    #[test]
    fn a_message_and_an_event_are_encoded() {
        assert_eq!(&encode_message("a\nb")[..], b"data: a\ndata: b\n\n");
        assert_eq!(encode_event(&Event::new("a").with_id("7")).as_deref(), Ok(&b"id: 7\ndata: a\n\n"[..]));
        assert_eq!(encode_event(&Event::new("a").with_id("\n")), Err(InvalidField::Id));
    }

    /// What a subscriber was sent, one string for each write.
    #[derive(Default)]
    struct Writes(RefCell<Vec<String>>);

    impl Sink for Writes {
        fn try_write(&self, bytes: &[u8]) {
            self.0.borrow_mut().push(String::from_utf8_lossy(bytes).into_owned());
        }
    }

    #[test]
    fn what_is_published_reaches_every_sink_once_it_is_dispatched() {
        let fan_out = FanOut::new(&Limits { publish_queue: 2, ..Limits::default() });
        let seats: Vec<_> = (0..1000).map(|_| fan_out.join(Writes::default())).collect();
        let assert_all_got = |expected: &[&str]| {
            assert!(
                seats.iter().all(|membership| membership.sink(|writes| writes.0.take()) == expected),
                "not all: {expected:?}"
            );
        };
        assert!(fan_out.publish("a") && fan_out.publish("b"));
        assert!(!fan_out.publish("c"), "the channel is full");
        assert_all_got(&[]);
        fan_out.dispatch();
        assert_all_got(&["data: a\n\ndata: b\n\n"]);
        let late = fan_out.join(Writes::default());
        assert!(fan_out.publish("d"));
        fan_out.dispatch();
        assert_all_got(&["data: d\n\n"]);
        assert_eq!(late.sink(|writes| writes.0.take()), ["data: d\n\n"]);
    }
}
