//! Property: a parser of the event stream gets back every published event, and no text becomes more than one event.

use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use smolcast::event::frame::Frame;
use smolcast::{Event, InvalidField};
use support::sse::{self, Message, normalised};

use super::shown;
use crate::reference::publishing::is_good_id;
use crate::steering::Steering;

/// Some events of one stream.
#[derive(Debug, Arbitrary)]
struct Events<'i> {
    steering: [u8; 2],
    events: Vec<Fields<'i>>,
}

#[derive(Debug, Arbitrary)]
struct Fields<'i> {
    kind: Option<&'i str>,
    id: Option<&'i str>,
    retry: Option<Duration>,
    data: &'i str,
}

impl Fields<'_> {
    fn event(&self) -> Event {
        let mut event = Event::new(self.data);
        if let Some(kind) = self.kind {
            event = event.with_type(kind);
        }
        if let Some(id) = self.id {
            event = event.with_id(id);
        }
        if let Some(retry) = self.retry {
            event = event.with_retry(retry);
        }
        event
    }

    /// The reasons why it cannot be sent.
    fn faults(&self) -> Vec<InvalidField> {
        let is_bad_kind = self.kind.is_some_and(|kind| kind.contains(['\r', '\n']));
        let is_bad_id = self.id.is_some_and(|id| !is_good_id(id));
        let is_gap = self.kind == Some("gap");
        [(is_bad_kind, InvalidField::Type), (is_gap, InvalidField::ReservedType), (is_bad_id, InvalidField::Id)]
            .into_iter()
            .filter_map(|(is_bad, fault)| is_bad.then_some(fault))
            .collect()
    }
}

/// Checks one input: events, and cuts of their stream.
pub fn hold(input: &[u8]) {
    let Ok(Events { steering, events }) = Events::arbitrary_take_rest(Unstructured::new(input)) else { return };
    let mut stream = b":ok\n\n".to_vec();
    let (mut messages, mut retry, mut last_event_id) = (Vec::new(), None, "");
    for fields in &events {
        let frame = match Frame::encode(&fields.event()) {
            Ok(frame) => frame,
            Err(fault) => {
                assert!(fields.faults().contains(&fault), "{fault:?} for {fields:?}");
                continue;
            }
        };
        assert_eq!(fields.faults(), [], "{fields:?}");
        hold_for_message(fields.data);
        retry = fields.retry.map(|retry| retry.as_millis()).or(retry);
        last_event_id = fields.id.unwrap_or(last_event_id);
        let kind = fields.kind.filter(|kind| !kind.is_empty()).unwrap_or("message").to_owned();
        messages.push(Message { event: kind, data: normalised(fields.data), last_event_id: last_event_id.to_owned() });
        stream.extend_from_slice(frame.as_bytes());
    }
    let whole = sse::parse([&stream[..]]);
    let (dispatched, parser) = &whole;
    assert!(parser.is_at_boundary(), "in the middle of an event, {}", shown(&stream));
    assert_eq!((dispatched, parser.retry, parser.comments.len()), (&messages, retry, 1), "{}", shown(&stream));
    let pieces = Steering::new(&steering).cuts().pieces(&stream);
    assert_eq!(sse::parse(pieces), whole, "in pieces and whole, {}", shown(&stream));
}

/// Checks that a message is an event with only data, and that its frame has one blank line: the last.
fn hold_for_message(data: &str) {
    let frame = Frame::message(data);
    assert_eq!(Frame::encode(&Event::new(data)).as_ref(), Ok(&frame), "{data:?} as an event");
    let frame = frame.as_bytes();
    let blank = frame.windows(2).position(|pair| pair == b"\n\n");
    assert_eq!(blank, frame.len().checked_sub(2), "the blank line of {data:?}");
    assert!(!frame.contains(&b'\r'), "{data:?}");
    let expected = Message { event: "message".into(), data: normalised(data), last_event_id: String::new() };
    assert_eq!(sse::parse([frame]).0, [expected]);
}
