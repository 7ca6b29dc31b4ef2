//! `GET /sse`: opens a stream. To resume, a subscriber names its last event and gets those that it missed.
//!
//! It ends once the stream is open; `stream.rs` has it from there. Live events begin right after the last replayed
//! one: none is missing and none comes twice.

use smol::future::yield_now;

use super::reader::ConnectionEnd;
use super::requests::Exchange;
use super::stream::Stream;
use crate::event::frame::{self, Frame};
use crate::event::topic::FilterSet;
use crate::fanout::Reservation;
use crate::http::request::{SlowPolicy, SubscribeRequest};
use crate::http::response;
use crate::hub::Sequence;
use crate::metrics::{StatusClass, StreamEnd};
use crate::net::{NetworkPermit, Socket};

/// Comment that a stream opens with.
const OPENING: &[u8] = b":ok\n\n";

/// A stream whose head was sent.
pub(super) struct OpenedStream<'s, S: Socket> {
    pub(super) stream: Stream<'s, S>,
    /// The room of its client, if a proxy asked for it.
    pub(super) client: Option<Box<NetworkPermit>>,
}

impl<'s, S: Socket> Exchange<'s, S> {
    /// Reserves the stream's position and counts the stream, with no wait between, then sends the opening.
    pub(super) async fn open_stream(
        mut self,
        subscribe: &SubscribeRequest,
    ) -> Result<OpenedStream<'s, S>, ConnectionEnd> {
        let context = self.context;
        if subscribe.slow == SlowPolicy::Latest {
            context.dispatcher.keep_latest();
        }
        let reservation = context.dispatcher.reserve_after(context.shared.hub.position(), &subscribe.filters).await;
        let counted = context.shared.metrics.stream();
        match self.send_opening(subscribe, reservation).await {
            Ok(reservation) => {
                let client = self.proxy.and_then(|proxy| proxy.into_client());
                let (io, unread) = self.reader.into_socket();
                let stream = Stream::new(reservation.join(io), counted, subscribe.slow, unread, context);
                Ok(OpenedStream { stream, client })
            }
            Err(end) => {
                drop(counted);
                context.shared.metrics.stream_ended(match end {
                    ConnectionEnd::Stalled => StreamEnd::Stalled,
                    _ if context.clock.is_stopping() => StreamEnd::Cut,
                    _ => StreamEnd::HangUp,
                });
                Err(end)
            }
        }
    }

    /// Sends a stream's head and the events that its client has missed; returns the position right after them.
    ///
    /// With a history the id of that position follows, so that a client that loses its connection before its first
    /// event misses nothing.
    async fn send_opening(
        &mut self,
        subscribe: &SubscribeRequest,
        reservation: Reservation<S>,
    ) -> Result<Reservation<S>, ConnectionEnd> {
        self.respond(StatusClass::Successful, response::stream_head);
        self.reader.output.extend_from_slice(OPENING);
        let history = self.context.shared.hub.history();
        let (reservation, last) = match (&subscribe.resume, history) {
            // The first reservation counts until there is the other.
            (Some(id), Some(history)) => self.replay(history, id, &subscribe.filters).await?,
            _ => (reservation, None),
        };
        // There was no wait since the reservation, so this is its position.
        let covered = history.map(|history| history.covering_id(self.context.dispatcher.dispatched()));
        if let Some(last) = last {
            self.reader.flush().await?;
            self.reader.send(last.as_bytes()).await?;
        }
        if let Some(id) = covered {
            self.reader.output.extend_from_slice(frame::resume_point(&id).as_bytes());
        }
        self.reader.flush().await?;
        Ok(reservation)
    }

    /// Sends the events since the one with this id; returns a reservation right after them, and the last of them if
    /// that is long and has yet to be sent.
    ///
    /// This shard has dispatched the client's last event, or soon will. Once the client has everything dispatched so
    /// far, the reservation follows with no wait between the two.
    async fn replay(
        &mut self,
        history: &Sequence,
        id: &str,
        filters: &FilterSet,
    ) -> Result<(Reservation<S>, Option<Frame>), ConnectionEnd> {
        let dispatcher = &self.context.dispatcher;
        // Events of earlier runs come before the first one of this server.
        let restored = history.restored();
        let mut cursor = history.resume(id);
        dispatcher.has_dispatched(cursor.after.saturating_sub(restored)).await;
        loop {
            let last = restored + dispatcher.dispatched();
            let long = history.read(&mut cursor, last, filters, id, &mut self.reader.output);
            if cursor.after >= last {
                return Ok((dispatcher.reserve(filters), long));
            }
            self.reader.flush().await?;
            if let Some(long) = long {
                self.reader.send(long.as_bytes()).await?;
            }
            if self.context.clock.is_stopping() {
                return Err(ConnectionEnd::Gone);
            }
            // A history that grows as fast as it is read must not keep its shard from the others.
            yield_now().await;
        }
    }
}
