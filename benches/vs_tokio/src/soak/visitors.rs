//! The visitors of a soak: streams that leave in every way, streams that read slowly or not at all, and hostile
//! requests. A task each, on one thread; at the end all of them close at once.
//!
//! Their choices follow from the seed, the moments from the clock as well.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use rustix::net::sockopt::{set_socket_linger, set_socket_recv_buffer_size};
use smol::future::{or, pending};
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, LocalExecutor, Timer};

use super::hostile::{self, Hostile, Then, is_carried_out};
use super::stage::{Part, Stage, count};
use anyhow::{Context, Result, anyhow, bail};

/// Tasks of each kind.
pub(super) const CHURNING: u64 = 30;
pub(super) const SLOW: u64 = 10;
pub(super) const STALLED: u64 = 10;
/// Hostile clients that await their refusal or break off, and those that hold their connection.
pub(super) const HASTY: u64 = 12;
pub(super) const PATIENT: u64 = 24;

const REQUEST: &[u8] = b"GET /sse HTTP/1.1\r\nHost: smolcast\r\n\r\n";
/// For what the server has to do at once, on a machine that has much to do.
const PATIENCE: Duration = Duration::from_secs(15);
/// Little enough for a stream that does not read to be noticed soon.
const TIGHT_BUFFER: usize = 4096;
/// The bytes that a slow subscriber reads at once, and its pause between two reads.
const SIP_BYTES: usize = 1024;
const SIP_INTERVAL: Duration = Duration::from_millis(300);
/// From one look at a stream that is not read to the next.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Comes and goes until it is over.
pub(super) fn come_and_go(stage: &Stage) {
    let list = hostile::all();
    let (patient, hasty): (Vec<_>, Vec<_>) =
        list.iter().partition(|one| matches!(one.then, Then::Wait | Then::Drip(_)));
    let executor = LocalExecutor::new();
    let rng = |kind: u64, number: u64| stage.choices(1 + kind, number);
    for number in 0..CHURNING {
        executor.spawn(churn(stage, rng(0, number))).detach();
    }
    for number in 0..SLOW {
        executor.spawn(read_slowly(stage, rng(1, number))).detach();
    }
    for number in 0..STALLED {
        executor.spawn(stall(stage, rng(2, number))).detach();
    }
    for number in 0..HASTY {
        executor.spawn(harass(stage, rng(3, number), &hasty)).detach();
    }
    for number in 0..PATIENT {
        executor.spawn(harass(stage, rng(4, number), &patient)).detach();
    }
    smol::block_on(executor.run(async {
        while stage.goes_on(Part::Visitors) {
            Timer::after(Duration::from_millis(50)).await;
        }
    }));
}

fn milliseconds(rng: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

/// A subscriber's way of leaving.
#[derive(Clone, Copy)]
enum Leave {
    Fin,
    Reset,
    HalfClose,
    /// Before it is answered.
    AtOnce,
}

async fn churn(stage: &Stage, mut rng: Rng) {
    loop {
        Timer::after(milliseconds(&mut rng, 0..1000)).await;
        let leave = [Leave::Fin, Leave::Reset, Leave::HalfClose, Leave::AtOnce][rng.usize(0..4)];
        if let Err(failure) = open_and_leave(stage, leave, milliseconds(&mut rng, 0..1500)).await {
            stage.note(&stage.visitors, &format!("a stream that comes and goes: {failure:#}"));
        }
        count(&stage.visits.churned);
    }
}

async fn open_and_leave(stage: &Stage, leave: Leave, stay: Duration) -> Result<()> {
    let mut socket = connect(stage).await?;
    socket.write_all(REQUEST).await.context("asking for a stream")?;
    if matches!(leave, Leave::AtOnce) {
        return Ok(());
    }
    await_opening(&mut socket).await?;
    match read_for(&mut socket, stay).await {
        Stayed::Open => {}
        Stayed::Ended => bail!("was ended by the server"),
    }
    match leave {
        Leave::Fin | Leave::AtOnce => socket.get_ref().shutdown(Shutdown::Both).context("closing"),
        Leave::Reset => reset(&socket),
        Leave::HalfClose => {
            socket.get_ref().shutdown(Shutdown::Write).context("half-closing")?;
            match read_for(&mut socket, PATIENCE).await {
                Stayed::Ended => Ok(()),
                Stayed::Open => Err(anyhow!("half-closed, and not ended in {PATIENCE:?}")),
            }
        }
    }
}

enum Stayed {
    Open,
    Ended,
}

/// Reads everything for so long.
async fn read_for(socket: &mut Async<TcpStream>, time: Duration) -> Stayed {
    let mut buffer = [0; 4096];
    let read = async {
        while let Ok(1..) = socket.read(&mut buffer).await {}
        Stayed::Ended
    };
    or(read, async {
        Timer::after(time).await;
        Stayed::Open
    })
    .await
}

async fn read_slowly(stage: &Stage, mut rng: Rng) {
    loop {
        Timer::after(milliseconds(&mut rng, 0..2000)).await;
        let stay = milliseconds(&mut rng, 5_000..60_000);
        count(&stage.visits.slow);
        let outcome = or(async { sip(&mut open_tight(stage).await?).await.map(|()| true) }, async {
            Timer::after(stay).await;
            Ok(false)
        });
        tell_of_cut(stage, outcome.await, "a slow reader");
    }
}

/// Reads a few kilobytes a second to the end of the stream.
async fn sip(socket: &mut Async<TcpStream>) -> Result<()> {
    let mut buffer = [0; SIP_BYTES];
    // An end by a reset is an end as well.
    while let Ok(1..) = socket.read(&mut buffer).await {
        Timer::after(SIP_INTERVAL).await;
    }
    Ok(())
}

async fn stall(stage: &Stage, mut rng: Rng) {
    loop {
        Timer::after(milliseconds(&mut rng, 0..2000)).await;
        let stay = milliseconds(&mut rng, 10_000..90_000);
        count(&stage.visits.stalled);
        let outcome = or(async { await_reset(&open_tight(stage).await?).await.map(|()| true) }, async {
            Timer::after(stay).await;
            Ok(false)
        });
        tell_of_cut(stage, outcome.await, "a stream that is not read");
    }
}

/// Waits for the reset by which a server ends a subscriber that reads nothing. Unread bytes would hide a FIN.
async fn await_reset(socket: &Async<TcpStream>) -> Result<()> {
    while socket.get_ref().take_error().context("asking for a socket's error")?.is_none() {
        Timer::after(LOOK_INTERVAL).await;
    }
    Ok(())
}

fn tell_of_cut(stage: &Stage, outcome: Result<bool>, who: &str) {
    match outcome {
        Ok(true) => count(&stage.visits.cut),
        Ok(false) => {}
        Err(failure) => stage.note(&stage.visitors, &format!("{who}: {failure:#}")),
    }
}

async fn open_tight(stage: &Stage) -> Result<Async<TcpStream>> {
    let mut socket = connect(stage).await?;
    set_socket_recv_buffer_size(&socket, TIGHT_BUFFER).context("setting SO_RCVBUF")?;
    socket.write_all(REQUEST).await.context("asking for a stream")?;
    await_opening(&mut socket).await?;
    Ok(socket)
}

async fn harass(stage: &Stage, mut rng: Rng, list: &[&Hostile]) {
    loop {
        Timer::after(milliseconds(&mut rng, 0..400)).await;
        let one = list[rng.usize(0..list.len())];
        let tired = milliseconds(&mut rng, 500..20_000);
        match misbehave(stage, one, tired).await {
            Ok(answer) if is_carried_out(&answer) => {
                let answer = answer[..answer.len().min(60)].escape_ascii();
                stage.note(&stage.visitors, &format!("{} was answered with `{answer}`", one.name));
            }
            Ok(answer) if answer.is_empty() => {}
            Ok(_) => count(&stage.visits.refused),
            Err(failure) => stage.note(&stage.visitors, &format!("{}: {failure:#}", one.name)),
        }
        count(&stage.visits.hostile);
    }
}

/// Sends the opening and behaves as listed; returns the answer, if the client waits for one.
async fn misbehave(stage: &Stage, one: &Hostile, tired: Duration) -> Result<Vec<u8>> {
    let socket = connect(stage).await?;
    // A server may refuse before it has everything, and close: then this fails, as it should.
    let mut writing = &socket;
    let sent = or(async { writing.write_all(&one.opening).await.is_ok() }, after(PATIENCE, false)).await;
    match one.then {
        Then::AwaitRefusal => read_to_end(&socket, PATIENCE, true).await,
        Then::Wait => after(tired, Ok(Vec::new())).await,
        Then::Reset => reset(&socket).map(|()| Vec::new()),
        Then::Drip(byte) if sent => or(drip(&socket, byte), read_to_end(&socket, tired, false)).await,
        Then::Drip(_) => Ok(Vec::new()),
    }
}

/// Sends a byte now and then, for ever: the reading side sees the end.
async fn drip(mut socket: &Async<TcpStream>, byte: u8) -> Result<Vec<u8>> {
    while socket.write_all(&[byte]).await.is_ok() {
        Timer::after(SIP_INTERVAL).await;
    }
    pending().await
}

/// The first of what came up to the end of the connection; where an answer is owed, a connection that stays open and
/// silent is a failure.
async fn read_to_end(mut socket: &Async<TcpStream>, time: Duration, is_owed: bool) -> Result<Vec<u8>> {
    let (mut buffer, mut answer) = ([0; 1024], Vec::new());
    let read = async {
        while let Ok(count @ 1..) = socket.read(&mut buffer).await {
            if answer.len() < 64 {
                answer.extend_from_slice(&buffer[..count]);
            }
        }
        true
    };
    let ended = or(read, after(time, false)).await;
    match ended || !is_owed {
        true => Ok(answer),
        false => Err(anyhow!("the connection was still open after {time:?}")),
    }
}

async fn after<T>(time: Duration, value: T) -> T {
    Timer::after(time).await;
    value
}

async fn connect(stage: &Stage) -> Result<Async<TcpStream>> {
    let late = async {
        Timer::after(PATIENCE).await;
        Err(io::Error::from(io::ErrorKind::TimedOut))
    };
    or(Async::<TcpStream>::connect(stage.server), late).await.context("connecting")
}

fn reset(socket: &Async<TcpStream>) -> Result<()> {
    set_socket_linger(socket, Some(Duration::ZERO)).context("setting SO_LINGER")
}

async fn await_opening(socket: &mut Async<TcpStream>) -> Result<()> {
    let mut input = Vec::new();
    let open = async {
        let mut byte = [0];
        while !input.ends_with(b":ok\n\n") {
            match socket.read(&mut byte).await.context("waiting for `:ok`")? {
                0 => bail!("was closed before `:ok`"),
                _ => input.extend_from_slice(&byte),
            }
        }
        Ok(())
    };
    let late = async {
        Timer::after(PATIENCE).await;
        Err(anyhow!("no `:ok` in {PATIENCE:?}"))
    };
    or(open, late).await
}
