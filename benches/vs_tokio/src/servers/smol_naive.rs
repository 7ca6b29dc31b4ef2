//! smolcast without its idea: one executor that all threads share, a task for each connection, and for each stream a
//! receiver of its own.
//!
//! This is what one writes on smol at first. The HTTP is that of `tokio-raw`, and so is the care taken: what arrives
//! together is handled together. What is left to differ is the runtime.

use std::future;
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use async_broadcast::{Receiver, Sender, TryRecvError};
use bytes::Bytes;
use smol::future::or;
use smol::io::{AsyncReadExt, AsyncWriteExt};
use smol::{Async, Executor, Timer};

use super::shared::http::{CLOSE_LIMIT, Exchange, Next, READ_BYTES};
use super::shared::{ACCEPT_PAUSE, BATCH_BYTES, CAPACITY, HEARTBEAT};
use super::{Settings, announce, listen};
use anyhow::{Context, Result};

pub(super) fn serve(settings: Settings) -> Result<()> {
    let listener = listen(settings)?;
    announce(&listener)?;
    let listener = Async::<TcpListener>::new(listener).context("handing the listener to smol")?;
    let executor = Arc::new(Executor::new());
    for _ in 1..settings.workers {
        let executor = Arc::clone(&executor);
        thread::spawn(move || smol::block_on(executor.run(future::pending::<()>())));
    }
    let (mut events, heard) = async_broadcast::broadcast(CAPACITY);
    // A full channel drops its oldest message: a stream that lags so far learns of it, and no publisher waits.
    events.set_overflow(true);
    executor.spawn(beat(events.clone(), heard, settings.heartbeat)).detach();
    smol::block_on(executor.run(accept(&listener, &executor, &events)));
    Ok(())
}

async fn accept(listener: &Async<TcpListener>, executor: &Executor<'static>, events: &Sender<Bytes>) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => {
                let events = events.clone();
                executor.spawn(async move { serve_client(&socket, &events).await }).detach();
            }
            Err(_) => {
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection to its end. An error is a client that is gone.
async fn serve_client(socket: &Async<TcpStream>, events: &Sender<Bytes>) {
    match serve_requests(socket, events).await {
        Ok(Some(events)) => serve_stream(socket, events).await,
        Ok(None) => drop(close(socket).await),
        Err(_) => {}
    }
}

/// Answers requests until one opens a stream, whose events it returns, or was the last. Its buffers end with it: what a
/// stream keeps is multiplied by thousands.
async fn serve_requests(mut socket: &Async<TcpStream>, events: &Sender<Bytes>) -> io::Result<Option<Receiver<Bytes>>> {
    let mut exchange = Exchange::default();
    let mut input = vec![0; READ_BYTES];
    loop {
        let length = AsyncReadExt::read(&mut socket, &mut input).await?;
        if length == 0 {
            return Ok(None);
        }
        // Every receiver is an open stream, but for the heart's.
        let next = exchange.answer(&input[..length], events.receiver_count() - 1);
        if !exchange.events.is_empty() {
            // Never in vain: the heart hears everything.
            let _ = events.try_broadcast(mem::take(&mut exchange.events).into());
        }
        // Before the client is told: then the count is right at once.
        let receiver = (next == Next::Stream).then(|| events.new_receiver());
        socket.write_all(&exchange.output).await?;
        exchange.output.clear();
        if next != Next::Request {
            return Ok(receiver);
        }
    }
}

/// Both run at once, so that a stream ends with its client even where a write to it is stuck.
async fn serve_stream(socket: &Async<TcpStream>, events: Receiver<Bytes>) {
    let mut ignored = [0; 16];
    let writing = async { drop(write_events(socket, events).await) };
    or(writing, hang_up(socket, &mut ignored)).await;
}

/// Ends when a write fails, or when the stream has lagged too far.
async fn write_events(mut socket: &Async<TcpStream>, mut events: Receiver<Bytes>) -> io::Result<()> {
    while let Some(batch) = next_batch(&mut events).await {
        socket.write_all(&batch).await?;
    }
    Ok(())
}

/// Waits for an event and joins to it those that wait behind it. None once the stream has lagged too far: it has to
/// end, or it would skip events.
async fn next_batch(events: &mut Receiver<Bytes>) -> Option<Bytes> {
    let first = events.recv_direct().await.ok()?;
    let mut batch = Vec::new();
    while first.len() + batch.len() < BATCH_BYTES {
        match events.try_recv() {
            Ok(event) => {
                if batch.is_empty() {
                    batch.extend_from_slice(&first);
                }
                batch.extend_from_slice(&event);
            }
            Err(TryRecvError::Empty) => break,
            Err(_) => return None,
        }
    }
    Some(if batch.is_empty() { first } else { batch.into() })
}

/// Waits until the client closes, half-closes or resets; other bytes of it are dropped.
async fn hang_up(socket: &Async<TcpStream>, ignored: &mut [u8]) {
    // smol's own read begins with a system call whenever it is polled, which is at every event. This begins with none.
    while socket.readable().await.is_ok() {
        match socket.get_ref().read(ignored) {
            Ok(0) => return,
            Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            _ => {}
        }
    }
}

/// Closes in two steps: a socket closed with unread bytes in it is reset, and that may cost the client its last answer.
async fn close(socket: &Async<TcpStream>) -> io::Result<()> {
    socket.get_ref().shutdown(Shutdown::Write)?;
    let give_up = async {
        Timer::after(CLOSE_LIMIT).await;
    };
    or(hang_up(socket, &mut vec![0; READ_BYTES]), give_up).await;
    Ok(())
}

/// Sends a comment after each silence of that length. Every stream gets every event, so the silence of one is the
/// silence of all, and a single timer does.
async fn beat(events: Sender<Bytes>, mut heard: Receiver<Bytes>, interval: Duration) {
    loop {
        let event = async { Some(heard.recv_direct().await) };
        let silence = async {
            Timer::after(interval).await;
            None
        };
        if or(event, silence).await.is_none() {
            let _ = events.try_broadcast(Bytes::from_static(HEARTBEAT));
        }
    }
}
