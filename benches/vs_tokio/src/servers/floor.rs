//! The yardstick: the least that any server can do which sends one message to N sockets.
//!
//! One thread accepts, parses and frames; each writer thread does nothing but `send` on its own list of sockets, in
//! the order in which they were accepted. Whatever waits while a round is sent goes out as one write in the next. It
//! is no server to use, and does two of the five tasks: streams and publishing. No count, no limits, no deadlines, no
//! chunked coding, a body is taken for a single line, and a peer that left is noticed when a `send` to it fails.
//!
//! It loses no byte: what a full socket does not take is kept in a tail of its own, without a bound, and tried again
//! with the next batch or after a millisecond.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, SendFlags, SocketFlags};

use super::{Settings, announce, listen};
use anyhow::{Context, Result};

const READ_BYTES: usize = 64 * 1024;
const STREAM_HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\n\
    Access-Control-Allow-Origin: *\r\n\r\n:ok\n\n";
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const HEARTBEAT: &[u8] = b":\n\n";

pub(super) fn serve(settings: Settings) -> Result<()> {
    let listener = listen(settings)?;
    let inboxes: Vec<Arc<Inbox>> = (0..settings.workers).map(|_| Arc::default()).collect();
    for inbox in &inboxes {
        let inbox = Arc::clone(inbox);
        thread::spawn(move || write_loop(&inbox, settings.heartbeat));
    }
    announce(&listener)?;
    Front::new(listener.into(), inboxes).and_then(|mut front| front.run()).context("accepting for the floor")
}

/// The accepting thread's deliveries to one writer.
#[derive(Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    frames: Vec<u8>,
    newcomers: Vec<Stream>,
}

impl Inbox {
    fn put(&self, frames: &[u8]) {
        self.lock().frames.extend_from_slice(frames);
        self.arrived.notify_one();
    }

    /// Wakes no thread: a writer needs its newcomers no earlier than it has something for them.
    fn welcome(&self, stream: Stream) {
        self.lock().newcomers.push(stream);
    }

    /// Waits for frames, or with `lagging` sockets for a millisecond at most. After the silence of a heartbeat's
    /// interval, that is what there is to write.
    fn take(&self, batch: &mut Vec<u8>, streams: &mut Vec<Stream>, lagging: bool, heartbeat: Duration) {
        let limit = if lagging { Duration::from_millis(1) } else { heartbeat };
        let woken = self.arrived.wait_timeout_while(self.lock(), limit, |waiting| waiting.frames.is_empty());
        let (mut waiting, timeout) = woken.expect("no holder of the lock panics");
        if timeout.timed_out() && !lagging {
            waiting.frames.extend_from_slice(HEARTBEAT);
        }
        mem::swap(&mut waiting.frames, batch);
        streams.append(&mut waiting.newcomers);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("no holder of the lock panics")
    }
}

fn write_loop(inbox: &Inbox, heartbeat: Duration) {
    let mut streams: Vec<Stream> = Vec::new();
    let mut batch = Vec::new();
    let mut lagging = false;
    loop {
        inbox.take(&mut batch, &mut streams, lagging, heartbeat);
        lagging = false;
        streams.retain_mut(|stream| {
            let open = stream.send(&batch).is_ok();
            lagging |= !stream.tail.is_empty();
            open
        });
        batch.clear();
    }
}

struct Stream {
    socket: OwnedFd,
    /// Bytes for the socket, of which it has taken the first `taken`.
    tail: Vec<u8>,
    taken: usize,
}

impl Stream {
    fn send(&mut self, batch: &[u8]) -> rustix::io::Result<()> {
        if !self.tail.is_empty() {
            self.tail.extend_from_slice(batch);
            self.taken += send_some(&self.socket, &self.tail[self.taken..])?;
            // Not after each send: moving a long tail costs more than sending its first bytes.
            if self.taken > self.tail.len() / 2 {
                self.tail.drain(..self.taken);
                self.taken = 0;
            }
        } else if !batch.is_empty() {
            let sent = send_some(&self.socket, batch)?;
            self.tail.extend_from_slice(&batch[sent..]);
        }
        Ok(())
    }
}

/// Sends what the socket takes now, which may be nothing.
fn send_some(socket: &OwnedFd, bytes: &[u8]) -> rustix::io::Result<usize> {
    match net::send(socket, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => Ok(0),
        other => other,
    }
}

/// The accepting thread: every connection until it becomes a stream or closes.
struct Front {
    epoll: OwnedFd,
    listener: OwnedFd,
    /// At the index of its descriptor's number.
    connections: Vec<Option<Connection>>,
    inboxes: Vec<Arc<Inbox>>,
    /// Streams dealt so far, hence whose turn it is.
    dealt: usize,
}

struct Connection {
    socket: OwnedFd,
    /// Bytes of a request that is not complete yet.
    input: Vec<u8>,
}

/// The fate of a connection after its requests so far.
enum Next {
    KeepAlive,
    Stream,
    Close,
}

impl Front {
    fn new(listener: OwnedFd, inboxes: Vec<Arc<Inbox>>) -> rustix::io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        watch(&epoll, &listener)?;
        Ok(Self { epoll, listener, connections: Vec::new(), inboxes, dealt: 0 })
    }

    fn run(&mut self) -> rustix::io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            for event in &events {
                let number = event.data.u64() as usize;
                if number == index(&self.listener) {
                    self.accept_all()?;
                } else {
                    self.serve(number)?;
                }
            }
        }
    }

    fn accept_all(&mut self) -> rustix::io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            let socket = match net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            watch(&self.epoll, &socket)?;
            let number = index(&socket);
            if number >= self.connections.len() {
                self.connections.resize_with(number + 1, || None);
            }
            let input = Vec::new();
            self.connections[number] = Some(Connection { socket, input });
        }
    }

    fn serve(&mut self, number: usize) -> rustix::io::Result<()> {
        let Some(mut connection) = self.connections[number].take() else {
            return Ok(());
        };
        match connection.serve(&self.inboxes) {
            Next::KeepAlive => self.connections[number] = Some(connection),
            Next::Stream => {
                epoll::delete(&self.epoll, &connection.socket)?;
                self.inboxes[self.dealt % self.inboxes.len()].welcome(Stream {
                    socket: connection.socket,
                    tail: Vec::new(),
                    taken: 0,
                });
                self.dealt += 1;
            }
            Next::Close => {}
        }
        Ok(())
    }
}

impl Connection {
    /// Reads once and answers every request that is complete by then.
    fn serve(&mut self, inboxes: &[Arc<Inbox>]) -> Next {
        self.input.reserve(READ_BYTES);
        match rustix::io::read(&self.socket, spare_capacity(&mut self.input)) {
            Err(Errno::AGAIN | Errno::INTR) => return Next::KeepAlive,
            Ok(0) | Err(_) => return Next::Close,
            Ok(_) => {}
        }
        let mut frames = Vec::new();
        let mut answers = Vec::new();
        let next = self.take_requests(&mut frames, &mut answers);
        if !frames.is_empty() {
            inboxes.iter().for_each(|inbox| inbox.put(&frames));
        }
        // A publisher that leaves no room for its answers is not one of this bench's.
        match net::send(&self.socket, &answers, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == answers.len() => next,
            _ => Next::Close,
        }
    }

    fn take_requests(&mut self, frames: &mut Vec<u8>, answers: &mut Vec<u8>) -> Next {
        let mut used = 0;
        let mut next = Next::KeepAlive;
        while let (Next::KeepAlive, Some((request, length))) = (&next, parse(&self.input[used..])) {
            used += length;
            match request {
                Request::Publish(body) => {
                    append_frame(frames, body);
                    answers.extend_from_slice(ACCEPTED);
                }
                Request::Subscribe => {
                    answers.extend_from_slice(STREAM_HEAD);
                    next = Next::Stream;
                }
                Request::Other => next = Next::Close,
            }
        }
        self.input.drain(..used);
        next
    }
}

enum Request<'a> {
    Subscribe,
    Publish(&'a [u8]),
    Other,
}

/// The first request of `input` and its length, once it is there as a whole.
fn parse(input: &[u8]) -> Option<(Request<'_>, usize)> {
    let head_end = input.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = &input[..head_end];
    if head.starts_with(b"GET /sse ") {
        return Some((Request::Subscribe, head_end));
    }
    let length = content_length(head);
    match length.filter(|_| head.starts_with(b"POST /broadcast ")) {
        Some(length) => {
            let body = input.get(head_end..head_end + length)?;
            Some((Request::Publish(body), head_end + length))
        }
        None => Some((Request::Other, head_end)),
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let head = std::str::from_utf8(head).ok()?;
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let matches = name.eq_ignore_ascii_case("content-length");
        matches.then(|| value.trim().parse().ok()).flatten()
    })
}

fn append_frame(frames: &mut Vec<u8>, body: &[u8]) {
    frames.extend_from_slice(b"data: ");
    frames.extend_from_slice(body);
    frames.extend_from_slice(b"\n\n");
}

fn watch(epoll: &OwnedFd, socket: &OwnedFd) -> rustix::io::Result<()> {
    let data = EventData::new_u64(index(socket) as u64);
    epoll::add(epoll, socket, data, EventFlags::IN)
}

fn index(socket: &OwnedFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor's number is not negative")
}
