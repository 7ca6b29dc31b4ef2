//! A small server that does the five tasks and can be told to do one thing wrong, so that the tests see each rule
//! object.
//!
//! A thread a connection, every broadcast under one lock.

use std::io::{ErrorKind, Read, Write};
use std::mem;
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// What the server does otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    None,
    /// Streams in chunked coding, each event in two chunks; a client cannot tell.
    ChunkedStreams,
    /// A stream begins with the last message that was published before it.
    RepeatsToNewcomers,
    /// In the answers to requests with this in their head, that for this.
    Answer(&'static str, &'static str, &'static str),
    /// The connection stays open behind answers with this in them.
    KeepsOpen(&'static str),
    /// The connection is closed behind every message.
    ClosesBehindMessages,
    /// Messages become other bytes.
    Frame(fn(&str) -> String),
    /// A stream ends with its first event.
    EndsStreams,
    /// Streams from this one on do not get this message,
    Drops(&'static str, usize),
    /// or get it behind the next one.
    Delays(&'static str, usize),
    /// The request with this in it has no answer.
    NoAnswer(&'static str),
    /// The answer to the request with this in it comes behind the next one.
    LateAnswer(&'static str),
    /// Chunked bodies are taken as they come.
    RawChunks,
    /// What is not UTF-8 is broadcast, with this status.
    BroadcastsAnything(&'static str),
    /// The count is told otherwise.
    Count(fn(usize) -> String),
    /// A stream that ends so stays in the count.
    KeepsCounting(Ending),
}

/// How a server learns that a stream's client went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Fin,
    Reset,
    /// A FIN is taken for half a farewell: only a failed write ends the stream.
    HalfClose,
}

struct Fake {
    fault: Fault,
    streams: Mutex<Vec<Listener>>,
    /// Streams that are gone and still counted.
    ghosts: Mutex<usize>,
    last_frame: Mutex<String>,
}

struct Listener {
    socket: Arc<TcpStream>,
    is_chunked: bool,
    /// A frame that goes out behind the next one.
    delayed: String,
}

/// Serves in the background until the tests are over.
pub(super) fn serve(fault: Fault) -> SocketAddrV4 {
    let fake =
        Arc::new(Fake { fault, streams: Mutex::default(), ghosts: Mutex::default(), last_frame: Mutex::default() });
    background(move |socket| fake.converse(&Arc::new(socket)))
}

/// Does this with each connection.
pub(super) fn background(with: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddrV4 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of loopback is free");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let with = with.clone();
            thread::spawn(move || with(socket));
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// A request, its body decoded.
struct Request {
    /// The method and the path, even where an absolute target was sent.
    line: String,
    head: String,
    body: Option<Vec<u8>>,
}

impl Fake {
    fn converse(&self, socket: &Arc<TcpStream>) {
        let (mut input, mut late) = (Vec::new(), String::new());
        while let Some(request) = self.read_request(socket, &mut input) {
            if request.line == "GET /sse" {
                return self.stream(socket, &request.head);
            }
            let (answer, closes) = self.answer(&request);
            let answer = self.edited(&request.head, &answer);
            let text = request.head + &String::from_utf8_lossy(&request.body.unwrap_or_default());
            match self.fault {
                Fault::NoAnswer(of) if text.contains(of) => continue,
                Fault::LateAnswer(of) if text.contains(of) => late = answer,
                _ => send(socket, &(answer + &mem::take(&mut late))),
            }
            if closes && !matches!(self.fault, Fault::KeepsOpen(of) if text.contains(of)) {
                return;
            }
        }
    }

    fn read_request(&self, socket: &TcpStream, input: &mut Vec<u8>) -> Option<Request> {
        loop {
            if let Some(request) = self.take_request(input) {
                return Some(request);
            }
            read_more(socket, input).filter(|count| *count > 0)?;
        }
    }

    fn take_request(&self, input: &mut Vec<u8>) -> Option<Request> {
        let length = find(input, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&input[..length]).into_owned();
        let rest = &input[length..];
        let (body, taken) = if head.contains("chunked") {
            let taken = find(rest, b"0\r\n\r\n")? + 5;
            let raw = rest[..taken].to_vec();
            (Some(if matches!(self.fault, Fault::RawChunks) { raw } else { unchunked(&raw) }), taken)
        } else if let Some((_, value)) = head.split_once("Content-Length: ") {
            let count: usize =
                value.lines().next().and_then(|line| line.parse().ok()).expect("the check sends numbers");
            (Some(rest.get(..count)?.to_vec()), count)
        } else {
            (None, 0)
        };
        input.drain(..length + taken);
        Some(Request { line: request_line(&head), head, body })
    }

    /// An answer, and whether the connection ends with it.
    fn answer(&self, request: &Request) -> (String, bool) {
        let nothing = String::new();
        let (head, body, closes) = match (request.line.as_str(), &request.body) {
            ("GET /connections", _) => {
                ("200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-cache", self.count(), true)
            }
            ("OPTIONS /sse" | "OPTIONS /connections", _) => ("204 No Content", nothing, true),
            ("POST /broadcast", None) => ("411 Length Required", nothing, true),
            ("POST /broadcast", Some(body)) => {
                (self.publish(body), nothing, matches!(self.fault, Fault::ClosesBehindMessages))
            }
            _ => ("404 Not Found", nothing, false),
        };
        let length =
            if head.starts_with("204") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let connection = if closes { "Connection: close\r\n" } else { "" };
        let origin = "Access-Control-Allow-Origin: *\r\n";
        (format!("HTTP/1.1 {head}\r\n{origin}{length}{connection}\r\n{body}"), closes)
    }

    fn edited(&self, head: &str, answer: &str) -> String {
        match self.fault {
            Fault::Answer(to, from, into) if head.contains(to) => answer.replacen(from, into, 1),
            _ => answer.to_owned(),
        }
    }

    fn stream(&self, socket: &Arc<TcpStream>, head: &str) {
        let is_chunked = matches!(self.fault, Fault::ChunkedStreams) && !head.contains("HTTP/1.0");
        let coding = if is_chunked { "Transfer-Encoding: chunked\r\n" } else { "" };
        let opening = if is_chunked { "1\r\n:\r\n4\r\nok\n\n\r\n" } else { ":ok\n\n" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
             Access-Control-Allow-Origin: *\r\n{coding}\r\n{opening}"
        );
        let mut streams = lock(&self.streams);
        send(socket, &self.edited(head, &answer));
        if matches!(self.fault, Fault::RepeatsToNewcomers) {
            send(socket, &lock(&self.last_frame));
        }
        streams.push(Listener { socket: Arc::clone(socket), is_chunked, delayed: String::new() });
        drop(streams);
        let ending = match read_more(socket, &mut Vec::new()) {
            None => Ending::Reset,
            Some(_) => Ending::Fin,
        };
        if matches!(self.fault, Fault::KeepsCounting(Ending::HalfClose)) {
            while socket.as_ref().write_all(b":\n\n").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let mut streams = lock(&self.streams);
        streams.retain(|listener| !Arc::ptr_eq(&listener.socket, socket));
        if matches!(self.fault, Fault::KeepsCounting(kept) if kept == ending) {
            *lock(&self.ghosts) += 1;
        }
        // It may have been closed for the client by its last event.
        let _ = socket.shutdown(Shutdown::Both);
    }

    fn count(&self) -> String {
        let streams = lock(&self.streams);
        let count = streams.len() + *lock(&self.ghosts);
        match self.fault {
            Fault::Count(told) => told(count),
            _ => count.to_string(),
        }
    }

    /// Hands a message to every stream, and returns the status for its publisher.
    fn publish(&self, body: &[u8]) -> &'static str {
        let status = match (std::str::from_utf8(body), self.fault) {
            (Ok(_), _) => "202 Accepted",
            (Err(_), Fault::BroadcastsAnything(status)) => status,
            (Err(_), _) => return "400 Bad Request",
        };
        let message = String::from_utf8_lossy(body);
        let frame = match self.fault {
            Fault::Frame(frame) => frame(&message),
            _ => frame(&message),
        };
        for (number, listener) in lock(&self.streams).iter_mut().enumerate() {
            match self.fault {
                Fault::Drops(what, from) if message == what && number >= from => {}
                Fault::Delays(what, from) if message == what && number >= from => listener.delayed = frame.clone(),
                _ => {
                    let delayed = mem::take(&mut listener.delayed);
                    listener.send(&(frame.clone() + &delayed));
                }
            }
            if matches!(self.fault, Fault::EndsStreams) {
                let _ = listener.socket.shutdown(Shutdown::Both);
            }
        }
        *lock(&self.last_frame) = frame;
        status
    }
}

impl Listener {
    fn send(&self, frame: &str) {
        if !self.is_chunked {
            return send(&self.socket, frame);
        }
        let (first, rest) = frame.split_at(1);
        send(&self.socket, &format!("1\r\n{first}\r\n{:X}\r\n{rest}\r\n", rest.len()));
    }
}

fn request_line(head: &str) -> String {
    let mut words = head.split([' ', '?']);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.strip_prefix("http://").map_or(target, |rest| &rest[rest.find('/').unwrap_or(rest.len())..]);
    format!("{method} {path}")
}

/// What a server should send for a message.
pub(super) fn frame(message: &str) -> String {
    let lines = message.replace("\r\n", "\n").replace('\r', "\n");
    lines.split('\n').map(|line| format!("data: {line}\n")).collect::<String>() + "\n"
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of a lock panics")
}

/// A client that went away in the middle of its answer is none of the fake's faults.
fn send(mut socket: &TcpStream, text: &str) {
    let _ = socket.write_all(text.as_bytes());
}

/// `None` where the connection was reset.
fn read_more(mut socket: &TcpStream, input: &mut Vec<u8>) -> Option<usize> {
    let mut buffer = [0; 4096];
    let count = match socket.read(&mut buffer) {
        Err(error) if error.kind() == ErrorKind::Interrupted => return read_more(socket, input),
        other => other.ok()?,
    };
    input.extend_from_slice(&buffer[..count]);
    Some(count)
}

fn unchunked(mut raw: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((length, size))) = httparse::parse_chunk_size(raw) {
        let end = length + usize::try_from(size).expect("the check sends small chunks");
        body.extend_from_slice(&raw[length..end]);
        raw = &raw[end + 2..];
    }
    body
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
