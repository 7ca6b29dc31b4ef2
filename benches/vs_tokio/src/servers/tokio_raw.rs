//! The server that one writes on tokio alone: a task for each connection, a broadcast channel to all streams, and
//! httparse for the requests.
//!
//! Bytes that arrive together are handled together: the requests of one read are published and answered by one write,
//! and the events that wait for a stream leave by one write.

use std::io;
use std::mem;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::Settings;
use super::shared::http::{CLOSE_LIMIT, Exchange, Next, READ_BYTES};
use super::shared::{self, Hub, Subscription};
use anyhow::Result;

pub(super) fn serve(settings: Settings) -> Result<()> {
    shared::accept_on_tokio(settings, |mut socket, hub| async move { serve_client(&mut socket, &hub).await })
}

/// Serves a connection to its end. An error is a client that is gone.
async fn serve_client(socket: &mut TcpStream, hub: &Hub) {
    match serve_requests(socket, hub).await {
        Ok(Some(events)) => serve_stream(socket, events).await,
        Ok(None) => drop(close(socket).await),
        Err(_) => {}
    }
}

/// Answers requests until one opens a stream, whose events it returns, or was the last. Its buffers end with it: what a
/// stream keeps is multiplied by thousands.
async fn serve_requests(socket: &mut TcpStream, hub: &Hub) -> io::Result<Option<Subscription>> {
    let mut exchange = Exchange::default();
    let mut input = Vec::with_capacity(READ_BYTES);
    while socket.read_buf(&mut input).await? > 0 {
        let next = exchange.answer(&input, hub.streams());
        input.clear();
        if !exchange.events.is_empty() {
            hub.publish(mem::take(&mut exchange.events));
        }
        // Before the client is told: then the count is right at once.
        let subscription = (next == Next::Stream).then(|| hub.subscribe());
        socket.write_all(&exchange.output).await?;
        exchange.output.clear();
        if next != Next::Request {
            return Ok(subscription);
        }
    }
    Ok(None)
}

/// Both run at once, so that a stream ends with its client even where a write to it is stuck.
async fn serve_stream(socket: &mut TcpStream, events: Subscription) {
    let (reader, writer) = socket.split();
    let mut ignored = [0; 16];
    tokio::select! {
        biased;
        _ = write_events(writer, events) => {}
        () = hang_up(reader, &mut ignored) => {}
    }
}

/// Ends when a write fails, or when the stream has lagged too far.
async fn write_events(mut writer: WriteHalf<'_>, mut events: Subscription) -> io::Result<()> {
    while let Some(batch) = events.next_batch().await {
        writer.write_all(&batch).await?;
    }
    Ok(())
}

/// Waits until the client closes, half-closes or resets; other bytes of it are dropped.
async fn hang_up(mut reader: ReadHalf<'_>, ignored: &mut [u8]) {
    while reader.read(ignored).await.is_ok_and(|length| length > 0) {}
}

/// Closes in two steps: a socket closed with unread bytes in it is reset, and that may cost the client its last answer.
async fn close(socket: &mut TcpStream) -> io::Result<()> {
    socket.shutdown().await?;
    let (reader, _) = socket.split();
    let _ = timeout(CLOSE_LIMIT, hang_up(reader, &mut vec![0; READ_BYTES])).await;
    Ok(())
}
