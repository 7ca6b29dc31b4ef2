//! The open-loop publisher: one kept-alive connection that pipelines.
//!
//! Message i is sent when it is due, at t0 + i/R, whether or not earlier ones have been answered or
//! received. It wakes once a millisecond at most and sends all that is due by then, since a wake
//! for each of thousands of messages a second would take the CPU that the servers share with it.
//! If the server takes no more, messages wait here and keep their due time.

use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SendFlags, SocketFlags, SocketType, sockopt};

use crate::clock::{MILLISECOND, SECOND, now, until};
use crate::stamp::{Stamp, append_payload};
use anyhow::{Context, Result, bail, ensure};
use httparse::{EMPTY_HEADER, Status};

const WAKE_INTERVAL: u64 = MILLISECOND;
/// The longest wait without a look at `given_up`.
const LONGEST_WAIT: u64 = 100 * MILLISECOND;
const REQUEST_START: &[u8] = b"POST /broadcast HTTP/1.1\r\nHost: smolcast\r\n";
/// No more is made while so much waits: a message made late still carries the time it was due.
const UNSENT_BYTES: usize = 256 * 1024;
/// A server that closes more often than that in one run does not want to be published to.
const MOST_RECONNECTS: u64 = 1000;
const READ_BYTES: usize = 64 * 1024;

/// A plan to publish `total` messages of `size` bytes, `rate` a second from `start`, in bursts of `burst`.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) start: u64,
    pub(crate) rate: u64,
    pub(crate) size: usize,
    pub(crate) burst: u64,
    pub(crate) total: u64,
}

impl Schedule {
    pub(crate) fn due(&self, sequence: u64) -> u64 {
        self.start + sequence / self.burst * self.burst * SECOND / self.rate
    }
}

pub(crate) struct Publisher {
    server: SocketAddrV4,
    socket: OwnedFd,
    /// Times that the server has closed the connection amid requests.
    reconnects: u64,
    schedule: Schedule,
    /// Requests made so far, and of these the bytes that the socket has not taken.
    made: u64,
    unsent: Vec<u8>,
    /// Bytes of answers that are not complete, and the answers that were.
    input: Vec<u8>,
    answered: u64,
}

impl Publisher {
    pub(crate) fn connect(server: SocketAddrV4, schedule: Schedule) -> Result<Self> {
        let socket = connect(server).context("connecting the publisher")?;
        Ok(Self {
            server,
            socket,
            reconnects: 0,
            schedule,
            made: 0,
            unsent: Vec::new(),
            input: Vec::new(),
            answered: 0,
        })
    }

    /// Publishes all and reads all answers, unless `given_up` is set meanwhile; returns how often it had to reconnect.
    pub(crate) fn run(mut self, given_up: &AtomicBool) -> Result<u64> {
        while self.answered < self.schedule.total && !given_up.load(Ordering::Relaxed) {
            let earliest = now() + WAKE_INTERVAL;
            self.make_due_requests();
            self.send()?;
            if !self.receive()? {
                self.reconnect()?;
            }
            self.wait(earliest)?;
        }
        Ok(self.reconnects)
    }

    /// A server may close a connection between two requests; what it has not answered is sent again (RFC 9112, 9.3.2).
    fn reconnect(&mut self) -> Result<()> {
        self.reconnects += 1;
        if self.reconnects > MOST_RECONNECTS {
            bail!("the server closed the publisher's connection {} times", self.reconnects);
        }
        self.socket = connect(self.server).context("reconnecting the publisher")?;
        self.made = self.answered;
        self.unsent.clear();
        self.input.clear();
        Ok(())
    }

    fn make_due_requests(&mut self) {
        let Schedule { size, total, .. } = self.schedule;
        let time = now();
        while self.made < total && self.unsent.len() < UNSENT_BYTES && self.schedule.due(self.made) <= time {
            let stamp = Stamp { sequence: self.made, due: self.schedule.due(self.made) };
            let length = format!("Content-Length: {size}\r\n\r\n");
            self.unsent.extend_from_slice(REQUEST_START);
            self.unsent.extend_from_slice(length.as_bytes());
            append_payload(&mut self.unsent, stamp, size);
            self.made += 1;
        }
    }

    fn send(&mut self) -> Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        match net::send(&self.socket, &self.unsent, SendFlags::NOSIGNAL) {
            Ok(sent) => drop(self.unsent.drain(..sent)),
            // A server that has closed may have answered before; the next read tells.
            Err(Errno::AGAIN | Errno::INTR | Errno::PIPE | Errno::CONNRESET) => {}
            Err(error) => return Err(error).context("publishing"),
        }
        Ok(())
    }

    /// Reads answers; false if the server has closed the connection.
    fn receive(&mut self) -> Result<bool> {
        self.input.reserve(READ_BYTES);
        match rustix::io::read(&self.socket, spare_capacity(&mut self.input)) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(true),
            Ok(0) | Err(Errno::CONNRESET) => return Ok(false),
            other => other.context("reading the answers to the publisher")?,
        };
        let mut used = 0;
        while let Some(length) = answer_length(&self.input[used..])? {
            used += length;
            self.answered += 1;
        }
        self.input.drain(..used);
        Ok(true)
    }

    /// Sleeps to `earliest`, then for the next message to be due or the socket to be ready.
    fn wait(&self, earliest: u64) -> Result<()> {
        pause(&mut [], earliest)?;
        let next_due = match self.made < self.schedule.total {
            true => self.schedule.due(self.made),
            false => u64::MAX,
        };
        let mut interest = PollFlags::IN;
        interest.set(PollFlags::OUT, !self.unsent.is_empty());
        let wake = next_due.min(now() + LONGEST_WAIT);
        pause(&mut [PollFd::new(&self.socket, interest)], wake)
    }
}

fn pause(sockets: &mut [PollFd<'_>], deadline: u64) -> Result<()> {
    match poll(sockets, Some(&until(deadline))) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("waiting to publish"),
    }
}

fn connect(server: SocketAddrV4) -> rustix::io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
    let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    net::connect(&socket, &server)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok(socket)
}

/// The length of the first answer in `input` once it is there as a whole; anything but a 202 fails.
pub(crate) fn answer_length(input: &[u8]) -> Result<Option<usize>> {
    let mut fields = [EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let Status::Complete(head) = answer.parse(input).context("reading the answer to a publish")? else {
        return Ok(None);
    };
    ensure!(answer.code == Some(202), "a publish was answered with {:?}, not 202", answer.code.unwrap_or_default());
    let length = answer.headers.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    let body = length.and_then(|field| str::from_utf8(field.value).ok()?.trim().parse().ok());
    let whole = head + body.unwrap_or(0);
    Ok((input.len() >= whole).then_some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_a_steady_rate_or_in_bursts() {
        let schedule = Schedule { start: 1000, rate: 4, size: 100, burst: 1, total: 10 };
        let due = |schedule: Schedule| [0, 1, 2, 3, 4].map(|sequence| (schedule.due(sequence) - 1000) / MILLISECOND);
        assert_eq!(due(schedule), [0, 250, 500, 750, 1000]);
        assert_eq!(due(Schedule { burst: 2, ..schedule }), [0, 0, 500, 500, 1000]);
    }

    #[test]
    fn an_answer_is_counted_when_it_is_whole() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok";
        for length in 0..answer.len() {
            assert_eq!(answer_length(&answer[..length]).expect("a 202"), None);
        }
        assert_eq!(answer_length(answer).expect("a 202"), Some(answer.len()));
        let bare = b"HTTP/1.1 202 Accepted\r\n\r\nHTTP/1.1 202";
        assert_eq!(answer_length(bare).expect("a 202"), Some(25));
        assert!(answer_length(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").is_err());
    }
}
