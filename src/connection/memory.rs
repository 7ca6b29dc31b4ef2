//! A whole connection in memory, for fuzzing and tests: a client's bytes go in, its responses and messages come out.
//!
//! It is the server's own connection, from its first byte to its end. A `Wire` takes the place of the socket, and the
//! clock is stopped. Nothing is random: the same pieces give the same conversation.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::{Duration, UNIX_EPOCH};

use smol::LocalExecutor;

use super::{Connection, Context, Shared};
use crate::auth::{AccessControl, AccessSettings};
use crate::config::Limits;
use crate::fanout::SubscriberCounts;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::net::{Client, ConnectionPermit, Sink, Socket};

/// Outcome of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// Bytes that the client got.
    pub sent: Vec<u8>,
    /// Published frames, in order.
    pub published: Vec<u8>,
    /// True if the server closed its side before the client did.
    pub ended_first: bool,
    /// True if the connection ended.
    pub is_over: bool,
    /// Streams and connections still counted after its end, and panics.
    pub left_behind: usize,
}

/// Sends a client's pieces, each once the server waits for more, and then closes the client's side.
///
/// The server writes at most `most_written` bytes at once, and every other write would block.
pub fn converse<'b>(
    pieces: impl IntoIterator<Item = &'b [u8]>,
    most_written: usize,
    limits: &Limits,
    access: &AccessSettings,
) -> Conversation {
    // A pause would never end, because the clock is stopped.
    let limits = &Limits { longest_rest: Duration::ZERO, window_time: Duration::ZERO, ..limits.clone() };
    let metrics = Metrics::of_shards(1);
    let (hub, mut receivers) = Hub::new(limits, None, 2, metrics.clone());
    let (mut witness, receiver) = (receivers.remove(0), receivers.remove(0));
    let access_control = AccessControl::new(access.clone());
    let (limits, metrics_too) = (limits.clone(), metrics.clone());
    let shared =
        Shared { limits, access_control, hub, metrics: metrics_too, subscriber_counts: SubscriberCounts::default() };
    let context = Context::new(shared, 0, receiver, UNIX_EPOCH);
    let wire = Wire(Rc::new(Ends { most_written: most_written.max(1), ..Ends::default() }));
    let client = Client { io: wire.clone(), rejection: None, permit: ConnectionPermit::new(&metrics), proxy: None };
    let mut conversation = Conversation::default();
    {
        let executor = LocalExecutor::new();
        executor.spawn(context.dispatcher.run()).detach();
        let connection = executor.spawn(Connection::new(client, &context));
        let mut turn = || {
            while executor.try_tick() {
                while let Some(message) = witness.take_waiting() {
                    conversation.published.extend_from_slice(message.frame.as_bytes());
                }
            }
        };
        turn();
        for piece in pieces {
            wire.0.input.borrow_mut().extend(piece);
            wire.wake();
            turn();
        }
        conversation.ended_first = connection.is_finished() || wire.0.finished.get();
        wire.0.closed.set(true);
        wire.wake();
        turn();
        conversation.is_over = connection.is_finished();
    }
    conversation.sent = wire.0.output.take();
    conversation.left_behind = metrics.streams() + metrics.connections() + metrics.panics() as usize;
    conversation
}

/// The two directions of a connection, shared by its two ends.
#[derive(Clone, Debug, Default)]
struct Wire(Rc<Ends>);

#[derive(Debug, Default)]
struct Ends {
    /// From the client, not read yet.
    input: RefCell<VecDeque<u8>>,
    /// To the client.
    output: RefCell<Vec<u8>>,
    /// The client has closed its side, the server has closed its own.
    closed: Cell<bool>,
    finished: Cell<bool>,
    /// Set if the next write would block.
    is_full: Cell<bool>,
    most_written: usize,
    reader: RefCell<Option<Waker>>,
}

impl Wire {
    fn wake(&self) {
        if let Some(reader) = self.0.reader.take() {
            reader.wake();
        }
    }
}

impl Sink for Wire {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.is_full.replace(false) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.is_full.set(true);
        let count = bytes.len().min(self.0.most_written);
        self.0.output.borrow_mut().extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn reset_on_close(&self, _: bool) {}
}

impl Socket for Wire {
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut input = self.0.input.borrow_mut();
        if input.is_empty() && !self.0.closed.get() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        io::Read::read(&mut *input, buffer)
    }

    fn poll_readable(&self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        if !self.0.input.borrow().is_empty() || self.0.closed.get() {
            return Poll::Ready(Ok(()));
        }
        *self.0.reader.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_writable(&self, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn shutdown_write(&self) -> io::Result<()> {
        self.0.finished.set(true);
        Ok(())
    }

    fn peer(&self) -> String {
        "memory".to_owned()
    }

    fn set_user_timeout(&self, _: Option<Duration>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::frame::Fields;
    use crate::event::topic::Topics;
    use crate::hub::Draft;

    fn with(pieces: &[&str], most_written: usize) -> (String, String, bool) {
        let pieces = pieces.iter().map(|piece| piece.as_bytes());
        let conversation = converse(pieces, most_written, &Limits::default(), &AccessSettings::default());
        assert!(conversation.is_over, "{conversation:?}");
        assert_eq!(conversation.left_behind, 0, "{conversation:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("ASCII");
        (text(conversation.sent), text(conversation.published), conversation.ended_first)
    }

    #[test]
    fn requests_get_responses_whatever_the_pieces() {
        let requests = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi\
                        POST /broadcast HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n";
        let (sent, published, ended_first) = with(&[requests], usize::MAX);
        assert_eq!(sent.matches("HTTP/1.1 202 Accepted\r\n").count(), 2, "{sent}");
        assert_eq!(published, "data: hi\n\ndata: x\n\n");
        assert!(!ended_first, "the connection is kept");
        for cut in 1..requests.len() {
            let pieces = [&requests[..cut], &requests[cut..]];
            assert_eq!(with(&pieces, 7), (sent.clone(), published.clone(), false), "cut at {cut}");
        }
    }

    #[test]
    fn a_stream_is_opened_and_ends_with_its_client() {
        let (sent, published, ended_first) = with(&["GET /sse HTTP/1.1\r\nHost: h\r\n\r\n", "and more"], 5);
        assert!(sent.starts_with("HTTP/1.1 200 OK\r\n") && sent.ends_with("\r\n\r\n:ok\n\n"), "{sent}");
        assert_eq!((published.as_str(), ended_first), ("", false));
    }

    #[test]
    fn a_rejected_request_is_the_last() {
        let (sent, published, ended_first) =
            with(&["GET / HTTP/1.1\r\n\r\nPOST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx"], 1000);
        assert!(sent.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{sent}");
        assert_eq!((sent.matches("HTTP/1.1").count(), published.as_str(), ended_first), (1, "", true), "{sent}");
    }

    /// A socket with reads that panic once its flag is set.
    struct Faulty(Wire, Rc<Cell<bool>>);

    impl Sink for Faulty {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.0.try_write(bytes)
        }

        fn reset_on_close(&self, _: bool) {}
    }

    impl Socket for Faulty {
        fn peer(&self) -> String {
            self.0.peer()
        }

        fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.1.get(), "an injected fault");
            self.0.read(buffer)
        }

        fn poll_readable(&self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
            self.0.poll_readable(cx)
        }

        fn poll_writable(&self, cx: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
            self.0.poll_writable(cx)
        }

        fn shutdown_write(&self) -> io::Result<()> {
            self.0.shutdown_write()
        }

        fn set_user_timeout(&self, _: Option<Duration>) {}
    }

    #[test]
    fn a_panic_ends_its_own_connection_alone() {
        let (limits, metrics) = (Limits::default(), Metrics::of_shards(1));
        let (hub, mut receivers) = Hub::new(&limits, None, 1, metrics.clone());
        let access_control = AccessControl::new(AccessSettings::default());
        let shared = Shared {
            limits,
            access_control,
            hub,
            metrics: metrics.clone(),
            subscriber_counts: SubscriberCounts::default(),
        };
        let context = Context::new(shared, 0, receivers.remove(0), UNIX_EPOCH);
        let executor = LocalExecutor::new();
        executor.spawn(context.dispatcher.run()).detach();
        let ends = || Wire(Rc::new(Ends { most_written: usize::MAX, ..Ends::default() }));
        let streams = [ends(), ends()].map(|wire| {
            let is_broken = Rc::new(Cell::new(false));
            let io = Faulty(wire.clone(), Rc::clone(&is_broken));
            let client = Client { io, rejection: None, permit: ConnectionPermit::new(&metrics), proxy: None };
            wire.0.input.borrow_mut().extend(b"GET /sse HTTP/1.1\r\nHost: h\r\n\r\n");
            (wire, is_broken, executor.spawn(Connection::new(client, &context)))
        });
        let turn = || while executor.try_tick() {};
        turn();
        assert_eq!((metrics.streams(), metrics.connections()), (2, 2));
        let [(broken, is_broken, ended), (sound, _, living)] = streams;
        is_broken.set(true);
        broken.0.input.borrow_mut().push_back(b'x');
        broken.wake();
        turn();
        assert!(ended.is_finished() && !living.is_finished());
        assert_eq!((metrics.streams(), metrics.connections(), metrics.panics()), (1, 1, 1));
        smol::block_on(context.shared.hub.publish(Draft::new(&Fields::default(), "on", &Topics::none())))
            .expect("the hub is open");
        turn();
        assert!(sound.0.output.borrow().ends_with(b":ok\n\ndata: on\n\n"), "{:?}", sound.0.output);
    }
}
