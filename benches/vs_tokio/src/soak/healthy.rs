//! The healthy streams: they read everything at once, and each byte is held against the order of all.
//!
//! One thread reads all of them by epoll, and does so little for a delivery that it is never itself the reason why a
//! stream falls behind.

use std::sync::atomic::Ordering;

use super::ledger::{Ledger, Position};
use super::stage::{Part, Stage};
use crate::clock::{MILLISECOND, now};
use crate::crowd::Crowd;
use anyhow::Result;

/// From one look at the slowest stream to the next.
const INTERVAL: u64 = 50 * MILLISECOND;

/// Reads until it is over, and closes the streams; returns how many messages of each publisher were heard.
pub(super) fn listen(stage: &Stage, mut crowd: Crowd, publishers: usize) -> Result<Vec<u64>> {
    let mut ledger = Ledger::new(stage.seed, publishers);
    let mut places = vec![Position::default(); crowd.clients.len()];
    let mut events = Vec::with_capacity(1024);
    let mut look = now();
    while stage.goes_on(Part::Healthy) {
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

fn read(stage: &Stage, crowd: &mut Crowd, ledger: &mut Ledger, places: &mut [Position], index: usize) {
    let place = &mut places[index];
    let closed = crowd.read_with(index, |bytes| {
        ledger.follow(place, bytes, |fault| stage.note(&stage.healthy, &format!("stream {index} {fault}")))
    });
    if closed {
        place.is_out = true;
        let (heard, of) = (place.next, ledger.end());
        stage.note(&stage.healthy, &format!("stream {index} was ended by the server after {heard} of {of} events"));
    }
}

/// Tells how far the slowest is, and forgets what all have heard. Who is out of it holds nothing up.
fn settle(stage: &Stage, ledger: &mut Ledger, places: &[Position]) {
    let least = places.iter().filter(|place| !place.is_out).map(|place| place.next).min();
    stage.least_heard.store(least.unwrap_or(0), Ordering::Relaxed);
    ledger.forget_before(least.unwrap_or(ledger.end()));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::crowd::Opening;
    use crate::soak::message::{event_of, heard, message};
    use crate::soak::stage::EndOfAll;

    const SEED: u64 = 5;

    /// Lets two streams in; the clients read from them only when they are returned.
    fn accept_two(listener: &TcpListener) -> [TcpStream; 2] {
        [0, 1].map(|_| {
            let (mut stream, _) = listener.accept().expect("a stream comes");
            let _ = stream.read(&mut [0; 1024]).expect("it asks");
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n:ok\n\n").expect("it is there");
            stream
        })
    }

    fn wait_for(what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            thread::yield_now();
        }
    }

    #[test]
    fn a_stream_that_is_cut_is_told_with_its_place() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let Ok(SocketAddr::V4(address)) = listener.local_addr() else { panic!("bound to IPv4") };
        let stage = &Stage::new(address, SEED);
        thread::scope(|scope| {
            let _end = EndOfAll(stage);
            let accepting = scope.spawn(|| accept_two(&listener));
            let crowd = Crowd::open(address, 2, Opening::at_once(2)).expect("two streams");
            let mut streams = accepting.join().expect("two streams");
            let listening = scope.spawn(|| listen(stage, crowd, 1));
            let event = |number| event_of(&heard(&message(SEED, 0, number)));
            streams.iter_mut().for_each(|stream| stream.write_all(&event(0)).expect("it is there"));
            wait_for("both hear it", || stage.least_heard.load(Ordering::Relaxed) == 1);
            let [mut stays, goes] = streams;
            drop(goes);
            wait_for("it is seen to go", || stage.healthy.all().0 == 1);
            stays.write_all(&event(1)).expect("it is there");
            wait_for("the other goes on", || stage.least_heard.load(Ordering::Relaxed) == 2);
            stage.end(Part::Healthy);
            assert_eq!(listening.join().expect("no panic").expect("no failure"), [2]);
        });
        let (count, faults) = stage.healthy.all();
        assert!(count == 1 && faults[0].ends_with("was ended by the server after 1 of 1 events"), "{faults:?}");
    }
}
