//! The visitors of a soak: streams that leave in every way, streams that read slowly or not at all, and hostile
//! requests. A task each, on one thread; at the end all of them close at once.
//!
//! Their choices follow from the seed, the moments from the clock as well.

use std::future::Future;
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
use anyhow::{Context, Result, bail, ensure};

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
/// The bytes of an answer that a fault shows.
const SHOWN_BYTES: usize = 60;
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
        executor.spawn(lag(stage, rng(1, number), Lag::Sips)).detach();
    }
    for number in 0..STALLED {
        executor.spawn(lag(stage, rng(2, number), Lag::Stalls)).detach();
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
    let socket = ask(stage, None).await?;
    if matches!(leave, Leave::AtOnce) {
        return Ok(());
    }
    await_opening(&socket).await?;
    ensure!(within(stay, read_all(&socket, Pace::Fast, &mut Vec::new())).await.is_none(), "was ended by the server");
    match leave {
        Leave::Fin | Leave::AtOnce => socket.get_ref().shutdown(Shutdown::Both).context("closing"),
        Leave::Reset => reset(&socket),
        Leave::HalfClose => {
            socket.get_ref().shutdown(Shutdown::Write).context("half-closing")?;
            let ended = within(PATIENCE, read_all(&socket, Pace::Fast, &mut Vec::new())).await;
            ended.with_context(|| format!("half-closed, and not ended in {PATIENCE:?}"))
        }
    }
}

/// A subscriber's way of being slow: a few kilobytes a second, or nothing.
#[derive(Clone, Copy, PartialEq)]
enum Lag {
    Sips,
    Stalls,
}

async fn lag(stage: &Stage, mut rng: Rng, lag: Lag) {
    let (who, counter, longest) = match lag {
        Lag::Sips => ("a slow reader", &stage.visits.slow, 5_000..60_000),
        Lag::Stalls => ("a stream that is not read", &stage.visits.stalled, 10_000..90_000),
    };
    loop {
        Timer::after(milliseconds(&mut rng, 0..2000)).await;
        let stay = milliseconds(&mut rng, longest.clone());
        count(counter);
        match within(stay, await_cut(stage, lag)).await {
            Some(Ok(())) => count(&stage.visits.cut),
            Some(Err(failure)) => stage.note(&stage.visitors, &format!("{who}: {failure:#}")),
            None => {}
        }
    }
}

/// Opens a slow stream, and waits until the server ends it.
async fn await_cut(stage: &Stage, lag: Lag) -> Result<()> {
    let socket = ask(stage, Some(TIGHT_BUFFER)).await?;
    await_opening(&socket).await?;
    if lag == Lag::Sips {
        read_all(&socket, Pace::Slow, &mut Vec::new()).await;
        return Ok(());
    }
    // A stream that reads nothing sees the server's reset alone: unread bytes would hide a FIN.
    while socket.get_ref().take_error().context("asking for a socket's error")?.is_none() {
        Timer::after(LOOK_INTERVAL).await;
    }
    Ok(())
}

async fn harass(stage: &Stage, mut rng: Rng, list: &[&Hostile]) {
    loop {
        Timer::after(milliseconds(&mut rng, 0..400)).await;
        let one = list[rng.usize(0..list.len())];
        let tired = milliseconds(&mut rng, 500..20_000);
        match misbehave(stage, one, tired).await {
            Ok(answer) if is_carried_out(&answer) => {
                let answer = answer[..answer.len().min(SHOWN_BYTES)].escape_ascii();
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
    let (mut writing, mut answer) = (&socket, Vec::new());
    // A server may refuse before it has everything, and close: then this fails, as it should.
    let sent = matches!(within(PATIENCE, writing.write_all(&one.opening)).await, Some(Ok(())));
    match one.then {
        Then::AwaitRefusal => {
            let ended = within(PATIENCE, read_all(&socket, Pace::Fast, &mut answer)).await;
            ended.with_context(|| format!("the connection was still open after {PATIENCE:?}"))?;
        }
        Then::Wait => drop(Timer::after(tired).await),
        Then::Reset => reset(&socket)?,
        Then::Drip(byte) if sent => {
            within(tired, or(drip(&socket, byte), read_all(&socket, Pace::Fast, &mut answer))).await;
        }
        Then::Drip(_) => {}
    }
    Ok(answer)
}

/// Sends a byte now and then, for ever: the reading side sees the end.
async fn drip(mut socket: &Async<TcpStream>, byte: u8) {
    while socket.write_all(&[byte]).await.is_ok() {
        Timer::after(SIP_INTERVAL).await;
    }
    pending::<()>().await;
}

/// The pace of a reader.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    Fast,
    Slow,
}

/// Reads to the end of the connection, which may be a reset; `first` gets the first of what came.
async fn read_all(mut socket: &Async<TcpStream>, pace: Pace, first: &mut Vec<u8>) {
    let mut buffer = vec![0; if pace == Pace::Slow { SIP_BYTES } else { 4096 }];
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        if first.len() < SHOWN_BYTES {
            first.extend_from_slice(&buffer[..count]);
        }
        if pace == Pace::Slow {
            Timer::after(SIP_INTERVAL).await;
        }
    }
}

/// Waits for some work; `None` if it takes longer than this.
async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    or(async { Some(work.await) }, async {
        Timer::after(time).await;
        None
    })
    .await
}

async fn connect(stage: &Stage) -> Result<Async<TcpStream>> {
    let connected = within(PATIENCE, Async::<TcpStream>::connect(stage.server)).await;
    connected.context("no connection in time")?.context("connecting")
}

/// Asks for a stream; without a receive buffer of its own the socket has the kernel's.
async fn ask(stage: &Stage, receive_buffer: Option<usize>) -> Result<Async<TcpStream>> {
    let mut socket = connect(stage).await?;
    if let Some(bytes) = receive_buffer {
        set_socket_recv_buffer_size(&socket, bytes).context("setting SO_RCVBUF")?;
    }
    socket.write_all(REQUEST).await.context("asking for a stream")?;
    Ok(socket)
}

fn reset(socket: &Async<TcpStream>) -> Result<()> {
    set_socket_linger(socket, Some(Duration::ZERO)).context("setting SO_LINGER")
}

async fn await_opening(mut socket: &Async<TcpStream>) -> Result<()> {
    let open = async {
        let (mut input, mut byte) = (Vec::new(), [0]);
        while !input.ends_with(b":ok\n\n") {
            match socket.read(&mut byte).await.context("waiting for `:ok`")? {
                0 => bail!("was closed before `:ok`"),
                _ => input.extend_from_slice(&byte),
            }
        }
        Ok(())
    };
    within(PATIENCE, open).await.with_context(|| format!("no `:ok` in {PATIENCE:?}"))?
}
