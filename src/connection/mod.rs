//! One client's connection, from accept to its end: requests, then perhaps a stream.
//!
//! It accepts nothing and orders nothing: sockets come from `net`, messages go to the hub. A connection is one task and
//! its future one small enum. Idle streams are many, so their phase alone has no box; a box is gone when its phase is.

mod context;
#[cfg(any(test, feature = "internals"))]
pub mod memory;
mod publish;
mod reader;
mod requests;
mod stream;
mod subscribe;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{self, Poll, ready};

pub(crate) use self::context::{Context, Shared};
pub(crate) use self::publish::receipt;
pub(crate) use self::reader::{ConnectionEnd, RequestReader};
use self::stream::Stream;
use self::subscribe::OpenedStream;
use crate::net::{Client, ConnectionPermit, Socket, WaitGuard};

type Boxed<'s, T> = Pin<Box<dyn Future<Output = T> + 's>>;

/// The future of a connection's task, ready when the client is gone. A panic ends this connection and nothing else.
pub(crate) struct Connection<'s, S: Socket> {
    context: &'s Context<S>,
    phase: Phase<'s, S>,
    permit: ConnectionPermit,
    _member: WaitGuard<'s>,
}

enum Phase<'s, S: Socket> {
    /// Requests are read and answered.
    Requests(Boxed<'s, Option<OpenedStream<'s, S>>>),
    /// A request has opened a stream.
    Stream(Stream<'s, S>),
    /// The stream is ending.
    End(Boxed<'s, ()>),
    Over,
}

impl<'s, S: Socket + 's> Connection<'s, S> {
    /// Begins to serve a client that was just accepted.
    pub(crate) fn new(client: Client<S>, context: &'s Context<S>) -> Self {
        let Client { io, rejection, permit, proxy } = client;
        let phase = Phase::Requests(Box::pin(requests::serve(io, rejection, proxy, context)));
        Self { context, phase, permit, _member: context.connections.enter() }
    }

    fn poll_phases(&mut self, cx: &mut task::Context<'_>) -> Poll<()> {
        loop {
            self.phase = match &mut self.phase {
                Phase::Requests(requests) => match ready!(requests.as_mut().poll(cx)) {
                    Some(OpenedStream { stream, client }) => {
                        self.permit.pass_on(client);
                        Phase::Stream(stream)
                    }
                    None => Phase::Over,
                },
                Phase::Stream(stream) => {
                    let reason = ready!(stream.poll(cx));
                    match std::mem::replace(&mut self.phase, Phase::Over) {
                        Phase::Stream(stream) => Phase::End(Box::pin(stream.end(reason))),
                        other => other,
                    }
                }
                Phase::End(end) => {
                    ready!(end.as_mut().poll(cx));
                    Phase::Over
                }
                Phase::Over => return Poll::Ready(()),
            };
        }
    }
}

impl<'s, S: Socket + 's> Future for Connection<'s, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<()> {
        // A connection that panicked is not used again: it is dropped, and its guards put the counts right.
        catch_unwind(AssertUnwindSafe(|| self.poll_phases(cx))).unwrap_or_else(|panic| {
            self.context.shared.metrics.task_panicked();
            log::error!("a connection's task panicked, which is a bug; it is closed: {}", panic_text(&*panic));
            self.phase = Phase::Over;
            Poll::Ready(())
        })
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
