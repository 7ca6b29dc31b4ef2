//! The healthy streams: they read everything at once, and each byte is held against the order of all.
//!
//! One thread reads all of them by epoll, and does so little for a delivery that it is never itself the reason why a
//! stream falls behind.

use std::sync::atomic::Ordering;

use super::ledger::{Ledger, Place};
use super::stage::Stage;
use crate::clock::{MILLISECOND, now};
use crate::crowd::Crowd;
use crate::failure::Result;

/// From one look at who is how far to the next.
const INTERVAL: u64 = 50 * MILLISECOND;

/// Reads until it is over, and closes the streams; returns how many messages of each publisher were heard.
pub(super) fn listen(stage: &Stage, mut crowd: Crowd, publishers: usize) -> Result<Vec<u64>> {
    let mut ledger = Ledger::new(stage.seed, publishers);
    let mut places = vec![Place::default(); crowd.clients.len()];
    let mut events = Vec::with_capacity(1024);
    let mut look = now();
    while stage.crowd_goes_on() {
        crowd.wait(&mut events, now() + INTERVAL)?;
        for event in &events {
            read(stage, &mut crowd, &mut ledger, &mut places, event.data.u64() as usize);
        }
        if now() >= look {
            look = now() + INTERVAL;
            settle(stage, &mut ledger, &places);
        }
    }
    Ok(ledger.heard_of_each().to_vec())
}

fn read(stage: &Stage, crowd: &mut Crowd, ledger: &mut Ledger, places: &mut [Place], index: usize) {
    let place = &mut places[index];
    let closed = crowd.read_with(index, |bytes| {
        ledger.follow(place, bytes, |fault| stage.note(&stage.healthy, &format!("stream {index} {fault}")))
    });
    if closed {
        stage.open.fetch_sub(1, Ordering::Relaxed);
        place.is_out = true;
        let (heard, of) = (place.next, ledger.end());
        stage.note(&stage.healthy, &format!("stream {index} was ended by the server after {heard} of {of} events"));
    }
}

/// Tells how far the slowest is, and forgets what all have heard. Who is out of it holds nothing up.
fn settle(stage: &Stage, ledger: &mut Ledger, places: &[Place]) {
    let least = places.iter().filter(|place| !place.is_out).map(|place| place.next).min();
    stage.least_heard.store(least.unwrap_or(0), Ordering::Relaxed);
    ledger.forget_before(least.unwrap_or(ledger.end()));
}
