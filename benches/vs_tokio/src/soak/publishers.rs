//! A publisher: it sends its messages at a steady pace, in its manner, and goes on when each was answered with 202.
//!
//! A message sent twice would break the order that the streams are held to: so a publisher that fails is done.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::message::message;
use super::stage::{Part, Stage};
use crate::clock::{MILLISECOND, now};
use crate::publisher::answer_length;
use anyhow::{Context, Result, bail};
use fastrand::Rng;

/// For a write, and for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages in one write of a publisher that pipelines.
const PIPELINED: u64 = 4;
/// The longest sleep without a look at whether it is over.
const LONGEST_SLEEP: u64 = 50 * MILLISECOND;

/// A publisher's way of sending its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    KeepAlive,
    Chunked,
    Pipelined,
    /// A connection for each message.
    OneEach,
}

impl Manner {
    /// In turn; each of them twice.
    pub(super) const ALL: [Self; 8] = {
        use Manner::{Chunked, KeepAlive, OneEach, Pipelined};
        [KeepAlive, Chunked, Pipelined, OneEach, KeepAlive, Chunked, Pipelined, OneEach]
    };
}

/// Publishes until it is over, `interval` from one message to the next; returns how many were accepted.
pub(super) fn publish(stage: &Stage, publisher: usize, manner: Manner, interval: u64) -> u64 {
    let mut accepted = 0;
    if let Err(failure) = publish_all(stage, publisher, manner, interval, &mut accepted) {
        let who = format!("publisher {publisher} ({manner:?}) at message {accepted}");
        stage.note(&stage.publishers, &format!("{who}: {failure:#}"));
    }
    accepted
}

fn publish_all(stage: &Stage, publisher: usize, manner: Manner, interval: u64, accepted: &mut u64) -> Result<()> {
    let start = now();
    let at_once = if manner == Manner::Pipelined { PIPELINED } else { 1 };
    let mut rng = stage.choices(0, publisher as u64);
    let mut open: Option<TcpStream> = None;
    while wait_until(stage, start + *accepted * interval) {
        let requests: Vec<u8> = (*accepted..*accepted + at_once)
            .flat_map(|number| request(&message(stage.seed, publisher, number), manner, &mut rng))
            .collect();
        let mut connection = match open.take() {
            Some(connection) => connection,
            None => connect(stage)?,
        };
        connection.write_all(&requests).context("sending a message")?;
        read_answers(&mut connection, at_once)?;
        *accepted += at_once;
        stage.accepted.fetch_add(at_once, Ordering::Relaxed);
        open = (manner != Manner::OneEach).then_some(connection);
    }
    Ok(())
}

/// False once it is over.
fn wait_until(stage: &Stage, moment: u64) -> bool {
    while stage.goes_on(Part::Publishers) {
        match moment.saturating_sub(now()) {
            0 => return true,
            left => thread::sleep(Duration::from_nanos(left.min(LONGEST_SLEEP))),
        }
    }
    false
}

fn connect(stage: &Stage) -> Result<TcpStream> {
    let connection = TcpStream::connect_timeout(&stage.server.into(), PATIENCE).context("connecting")?;
    connection.set_nodelay(true).context("setting TCP_NODELAY")?;
    connection.set_read_timeout(Some(PATIENCE)).context("setting a limit")?;
    connection.set_write_timeout(Some(PATIENCE)).context("setting a limit")?;
    Ok(connection)
}

fn request(message: &[u8], manner: Manner, rng: &mut Rng) -> Vec<u8> {
    let mut request = b"POST /broadcast HTTP/1.1\r\nHost: smolcast\r\n".to_vec();
    match manner {
        Manner::Chunked => {
            request.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            let mut rest = message;
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(rng.usize(1..=rest.len()));
                request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                request.extend_from_slice(chunk);
                request.extend_from_slice(b"\r\n");
                rest = behind;
            }
            request.extend_from_slice(b"0\r\n\r\n");
        }
        Manner::KeepAlive | Manner::Pipelined | Manner::OneEach => {
            let closes = if manner == Manner::OneEach { "Connection: close\r\n" } else { "" };
            request.extend_from_slice(format!("{closes}Content-Length: {}\r\n\r\n", message.len()).as_bytes());
            request.extend_from_slice(message);
        }
    }
    request
}

fn read_answers(connection: &mut TcpStream, mut count: u64) -> Result<()> {
    let (mut input, mut buffer) = (Vec::new(), [0; 4096]);
    while count > 0 {
        if let Some(length) = answer_length(&input)? {
            input.drain(..length);
            count -= 1;
            continue;
        }
        match connection.read(&mut buffer).context("waiting for an answer")? {
            0 => bail!("the connection was closed before the answer"),
            received => input.extend_from_slice(&buffer[..received]),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_all_of_its_message() {
        let mut rng = Rng::with_seed(1);
        let text = |manner, rng: &mut Rng| String::from_utf8(request(b"abc", manner, rng)).expect("UTF-8");
        assert!(text(Manner::KeepAlive, &mut rng).ends_with("\r\nContent-Length: 3\r\n\r\nabc"));
        assert!(text(Manner::OneEach, &mut rng).contains("\r\nConnection: close\r\n"));
        for _ in 0..20 {
            let chunked = text(Manner::Chunked, &mut rng);
            let body = chunked.split_once("\r\n\r\n").expect("a head").1;
            let data: String = body.split("\r\n").skip(1).step_by(2).collect();
            assert!(data == "abc" && body.ends_with("\r\n0\r\n\r\n"), "{body:?}");
        }
    }
}
