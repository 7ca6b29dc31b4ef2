//! Thousands of subscribers in one thread: they connect, ask for the stream, and are read by epoll.
//!
//! Edge-triggered: a read that comes back short has emptied the socket, so it needs no second one
//! to find that out.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use crate::clock::{MILLISECOND, SECOND, now, until};
use crate::stamp::{Scan, Stamp, scan};
use anyhow::{Context, Error, Result, anyhow, bail};

const READ_BYTES: usize = 64 * 1024;
const REQUEST: &[u8] = b"GET /sse HTTP/1.1\r\nHost: smolcast\r\nAccept: text/event-stream\r\n\r\n";
const OPENING: &[u8] = b":ok\n\n";
/// A port is searched for when a socket is bound, and the search grows with the ports taken. rustix
/// has no IP_BIND_ADDRESS_NO_PORT, so many addresses with few ports each keep it short.
const CLIENTS_PER_ADDRESS: usize = 4000;
/// The first retry of a SYN comes after a second: a connect that took so long lost its first one.
const SLOW_CONNECT: u64 = 900 * MILLISECOND;
const OPEN_LIMIT: u64 = 30 * SECOND;

pub(crate) struct Crowd {
    pub(crate) clients: Vec<Client>,
    epoll: OwnedFd,
    /// Shared by all reads.
    buffer: Vec<u8>,
    /// Connects that took so long that a SYN must have been sent again.
    pub(crate) slow_connects: usize,
}

/// The manner of opening streams.
#[derive(Clone, Copy)]
pub(crate) struct Opening {
    /// So many connects, then as many requests, then the next lot.
    pub(crate) at_once: usize,
    /// SO_RCVBUF in bytes, where not the kernel's own choice.
    pub(crate) receive_buffer: Option<usize>,
}

impl Opening {
    pub(crate) fn at_once(at_once: usize) -> Self {
        Self { at_once, receive_buffer: None }
    }
}

pub(crate) struct Client {
    socket: OwnedFd,
    phase: Phase,
    /// Bytes received but not used: the head while it is incomplete, then an unfinished line.
    rest: Vec<u8>,
    /// The sequence number of the next message.
    pub(crate) next: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Since when.
    Connecting(u64),
    Connected,
    Open,
    Closed,
}

impl Crowd {
    /// Opens `count` streams.
    pub(crate) fn open(server: SocketAddrV4, count: usize, opening: Opening) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("opening an epoll")?;
        let mut crowd =
            Self { clients: Vec::with_capacity(count), epoll, buffer: vec![0; 2 * READ_BYTES], slow_connects: 0 };
        let deadline = now() + OPEN_LIMIT;
        for first in (0..count).step_by(opening.at_once) {
            let lot = first..count.min(first.saturating_add(opening.at_once));
            crowd.connect(server, lot.clone(), opening, deadline)?;
            crowd.request(lot.clone())?;
            crowd.await_opening(lot, deadline)?;
        }
        Ok(crowd)
    }

    /// Waits until `deadline` for something to be ready and fills `events` with it, the index of a
    /// client as the data of each.
    pub(crate) fn wait(&self, events: &mut Vec<Event>, deadline: u64) -> Result<()> {
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&until(deadline))) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("waiting for the subscribers"),
        }
    }

    /// Reads all that has come for the client at `index`; `found` gets each message with the time
    /// of its receipt.
    pub(crate) fn read(
        &mut self,
        index: usize,
        event_bytes: usize,
        mut found: impl FnMut(&mut u64, Stamp, u64),
    ) -> Received {
        let mut unreadable = 0;
        let closed = self.clients[index].read_with(&mut self.buffer, |next, bytes, time| {
            let scan: Scan = scan(bytes, event_bytes, |stamp| found(next, stamp, time));
            unreadable += scan.unreadable;
            scan.used
        });
        Received { unreadable, closed }
    }

    /// The same for events of any kind: `take` gets what has come and is not used yet, and returns how much of it it
    /// used. True where the server closed or reset the stream.
    pub(crate) fn read_with(&mut self, index: usize, mut take: impl FnMut(&[u8]) -> usize) -> bool {
        self.clients[index].read_with(&mut self.buffer, |_, bytes, _| take(bytes))
    }

    /// Reads all that has come and counts the comments in it: a comment begins with a colon, and a heartbeat's has no
    /// other.
    pub(crate) fn count_comments(&mut self) -> usize {
        let mut comments = 0;
        for client in &self.clients {
            while let Ok(count @ 1..) = rustix::io::read(&client.socket, &mut self.buffer) {
                comments += self.buffer[..count].iter().filter(|&&byte| byte == b':').count();
            }
        }
        comments
    }

    fn connect(&mut self, server: SocketAddrV4, lot: Range<usize>, opening: Opening, deadline: u64) -> Result<()> {
        let mut pending = lot.len();
        let last = lot.end - 1;
        for index in lot {
            let client = Client::connect(server, index, opening.receive_buffer);
            let client = client.context(format!("opening connection {index} to {server}"))?;
            let data = EventData::new_u64(index as u64);
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, &client.socket, data, interest).context("watching a connection")?;
            self.clients.push(client);
            // Now and then, so that the time a connect took is not the time the whole storm took.
            if index % 256 == 0 || index == last {
                pending -= self.settle_connects(now())?;
            }
        }
        while pending > 0 {
            pending -= self.settle_connects(deadline)?;
            if now() > deadline {
                bail!("{pending} connects had no answer in 30 s");
            }
        }
        Ok(())
    }

    /// Settles the connects that epoll has, waiting until `deadline` for the first; returns their number.
    fn settle_connects(&mut self, deadline: u64) -> Result<usize> {
        let mut settled = 0;
        let mut events = Vec::with_capacity(1024);
        self.wait(&mut events, deadline)?;
        for event in &events {
            let client = &mut self.clients[event.data.u64() as usize];
            if let Phase::Connecting(since) = client.phase {
                let outcome = sockopt::socket_error(&client.socket).and_then(|outcome| outcome);
                outcome.context("connecting a subscriber")?;
                client.phase = Phase::Connected;
                self.slow_connects += usize::from(now() - since > SLOW_CONNECT);
                settled += 1;
            }
        }
        Ok(settled)
    }

    fn request(&self, lot: Range<usize>) -> Result<()> {
        for client in &self.clients[lot] {
            net::send(&client.socket, REQUEST, SendFlags::NOSIGNAL).context("asking for a stream")?;
        }
        Ok(())
    }

    fn await_opening(&mut self, lot: Range<usize>, deadline: u64) -> Result<()> {
        let mut pending = lot.len();
        let mut events = Vec::with_capacity(1024);
        while pending > 0 {
            self.wait(&mut events, deadline)?;
            for event in &events {
                let client = &mut self.clients[event.data.u64() as usize];
                if client.phase == Phase::Connected && client.read_opening(&mut self.buffer)? {
                    pending -= 1;
                }
            }
            if pending > 0 && now() > deadline {
                bail!("{pending} streams were not opened in 30 s; does the server allow so many?");
            }
        }
        Ok(())
    }
}

/// The outcome of a read.
#[derive(Default)]
pub(crate) struct Received {
    pub(crate) unreadable: u64,
    /// The server closed or reset the stream.
    pub(crate) closed: bool,
}

impl Client {
    fn connect(server: SocketAddrV4, index: usize, receive_buffer: Option<usize>) -> rustix::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // Closing then resets, and leaves no port in TIME_WAIT for the next round.
        sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        if let Some(bytes) = receive_buffer {
            sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
        }
        if server.ip().is_loopback() {
            net::bind(&socket, &SocketAddrV4::new(source_address(index), 0))?;
        }
        let since = now();
        match net::connect(&socket, &server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { socket, phase: Phase::Connecting(since), rest: Vec::new(), next: 0 })
    }

    /// Reads towards the opening; true once it is complete.
    fn read_opening(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match rustix::io::read(&self.socket, &mut *buffer) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(count) if count > 0 => self.rest.extend_from_slice(&buffer[..count]),
            Ok(_) => return Err(self.refused("closed")),
            Err(error) => return Err(self.refused(&format!("broken ({error})"))),
        }
        let opening = self.rest.windows(OPENING.len());
        let Some(found) = opening.into_iter().position(|bytes| bytes == OPENING) else {
            return Ok(false);
        };
        if !self.rest.starts_with(b"HTTP/1.1 200") {
            return Err(self.refused("answered"));
        }
        // What is kept stays as long as the stream, ten thousand times: no larger than it must be.
        self.rest = self.rest.split_off(found + OPENING.len());
        self.phase = Phase::Open;
        Ok(true)
    }

    /// Hands on what comes, behind what was not used before; true at the end of the stream.
    fn read_with(&mut self, buffer: &mut Vec<u8>, mut take: impl FnMut(&mut u64, &[u8], u64) -> usize) -> bool {
        while self.phase == Phase::Open {
            let kept = self.rest.len();
            buffer.resize(buffer.len().max(kept + READ_BYTES), 0);
            buffer[..kept].copy_from_slice(&self.rest);
            let room = &mut buffer[kept..kept + READ_BYTES];
            let count = match rustix::io::read(&self.socket, room) {
                Err(Errno::AGAIN) => return false,
                Err(Errno::INTR) => continue,
                Ok(0) | Err(_) => {
                    self.phase = Phase::Closed;
                    return true;
                }
                Ok(count) => count,
            };
            let time = now();
            let bytes = &buffer[..kept + count];
            let used = take(&mut self.next, bytes, time);
            self.rest.clear();
            self.rest.extend_from_slice(&bytes[used..]);
            if count < READ_BYTES {
                return false;
            }
        }
        false
    }

    fn refused(&self, how: &str) -> Error {
        let answer = String::from_utf8_lossy(&self.rest);
        anyhow!("`GET /sse` was {how} without `:ok` on a 200; received: {answer:?}")
    }
}

/// 127.0.0.2 and up.
fn source_address(index: usize) -> Ipv4Addr {
    let block = u32::try_from(index / CLIENTS_PER_ADDRESS).unwrap_or(0);
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 0, 2)) + block)
}
