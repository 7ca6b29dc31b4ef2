//! An audience over pipes that take so many bytes: rounds, slow subscribers, and their leaving.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};

use super::*;
use crate::fanout::window::WindowBudget;
use crate::fanout::{Membership, Reservation};

/// A sink that takes so many bytes and then blocks.
#[derive(Clone, Default)]
struct Pipe {
    taken: Rc<RefCell<Vec<u8>>>,
    room: Rc<Cell<usize>>,
}

impl Pipe {
    fn with_room(room: usize) -> Self {
        Self { room: Rc::new(Cell::new(room)), ..Self::default() }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.taken.borrow()).into_owned()
    }
}

impl Sink for Pipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.room.get());
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.taken.borrow_mut().extend_from_slice(&bytes[..count]);
        self.room.set(self.room.get() - count);
        Ok(count)
    }

    fn reset_on_close(&self, reset: bool) {
        self.taken.borrow_mut().extend_from_slice(if reset { b"<reset>" } else { b"<end>" });
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn audience(window_bytes: usize) -> Rc<Audience<Pipe>> {
    let window = Window::new(window_bytes, WindowBudget::new(usize::MAX));
    Rc::new(Audience::new(window, Rc::new(PartialEventStore::new(window_bytes)), Arc::default(), None))
}

fn join(audience: &Rc<Audience<Pipe>>, pipe: Pipe) -> Membership<Pipe> {
    Reservation::new(Rc::clone(audience)).join(pipe)
}

fn write(audience: &Audience<Pipe>, text: &str) {
    audience.push(Arc::from(text.as_bytes()), 1);
    smol::block_on(audience.write_round(&mut TimeSlice::new()));
}

fn rest_of_event(membership: Membership<Pipe>) -> Option<String> {
    let (_, partial_event) = membership.leave().expect("it has a row");
    partial_event.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn rounds_write_to_a_live_subscriber() {
    let audience = audience(100);
    write(&audience, "before\n\n");
    let pipe = Pipe::with_room(100);
    let mut membership = join(&audience, pipe.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    write(&audience, "a\n\n");
    assert_eq!(pipe.text(), "", "not before it has caught up by itself");
    assert_eq!(membership.catch_up(&waker), Progress::CaughtUp);
    write(&audience, "b\n\n");
    assert_eq!(pipe.text(), "a\n\nb\n\n");
    assert_eq!(wakes.count(), 0, "without waking its task");
    audience.close();
    assert_eq!(wakes.count(), 1);
    assert_eq!(membership.catch_up(&waker), Progress::Finished);
}

#[test]
fn blocked_subscriber_leaves_rounds_until_it_has_caught_up() {
    let audience = audience(100);
    let pipe = Pipe::with_room(2);
    let mut membership = join(&audience, pipe.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert_eq!(membership.catch_up(&waker), Progress::CaughtUp);
    write(&audience, "abc");
    assert_eq!((pipe.text().as_str(), wakes.count()), ("ab", 1));
    assert_eq!(membership.catch_up(&waker), Progress::Blocked);
    pipe.room.set(100);
    write(&audience, "de");
    assert_eq!((pipe.text().as_str(), wakes.count()), ("ab", 1), "its task is woken by the socket, not by a round");
    assert_eq!(membership.catch_up(&waker), Progress::CaughtUp);
    write(&audience, "f");
    assert_eq!(pipe.text(), "abcdef");
}

#[test]
fn subscriber_is_slow_until_it_catches_up_lags_or_leaves() {
    let audience = audience(100);
    let pipes = [2, 2, 2].map(Pipe::with_room);
    let [mut first, mut second, mut third] = [0, 1, 2].map(|number| join(&audience, pipes[number].clone()));
    assert!(!audience.has_slow(), "a joining subscriber is not slow");
    for membership in [&mut first, &mut second, &mut third] {
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
    }
    write(&audience, "abc");
    // Woken or blocked, which their paces say.
    let slow = || {
        let subscribers = audience.subscribers.borrow();
        subscribers.iter().filter(|(_, s)| matches!(s.pace, Pace::Woken | Pace::Blocked)).count()
    };
    assert_eq!(slow(), 3, "before their tasks have looked");
    pipes[0].room.set(1000);
    assert_eq!(first.catch_up(Waker::noop()), Progress::CaughtUp);
    assert_eq!(second.catch_up(Waker::noop()), Progress::Blocked);
    assert_eq!(slow(), 2);
    drop(second);
    assert_eq!(slow(), 1);
    write(&audience, &"x".repeat(100));
    assert_eq!(third.catch_up(Waker::noop()), Progress::Lagged);
    assert!(!audience.has_slow());
    smol::block_on(audience.none_slow());
}

#[test]
fn slow_subscriber_is_woken_when_it_lags() {
    let audience = audience(150);
    let pipe = Pipe::with_room(2);
    let mut membership = join(&audience, pipe.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    write(&audience, "abcd");
    assert_eq!(membership.catch_up(&waker), Progress::Blocked);
    write(&audience, "ef");
    assert_eq!(wakes.count(), 0, "the window still has its next byte");
    write(&audience, "gh");
    assert_eq!(wakes.count(), 1, "and now lets go of it");
    assert_eq!(membership.catch_up(&waker), Progress::Lagged);
}

#[test]
fn lagged_subscriber_can_still_finish_its_event() {
    let audience = audience(50);
    let mut membership = join(&audience, Pipe::with_room(7));
    write(&audience, "abc\n\ndef\n\nghi\n\n");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
    write(&audience, "jkl\n\n");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Lagged);
    assert_eq!(rest_of_event(membership), Some("f\n\n".into()));
}

#[test]
fn subscriber_between_two_events_has_none_to_finish() {
    let audience = audience(4);
    assert_eq!(rest_of_event(join(&audience, Pipe::default())), Some(String::new()), "caught up");
    let mut membership = join(&audience, Pipe::with_room(5));
    write(&audience, "abc\n\ndef\n\n");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
    assert_eq!(rest_of_event(membership), Some(String::new()), "between two events of a batch");
}

#[test]
fn membership_dropped_amid_an_event_resets_its_sink() {
    let audience = audience(100);
    let pipes = [5, 6, 100].map(Pipe::with_room);
    let mut memberships: Vec<_> = pipes.iter().map(|pipe| join(&audience, pipe.clone())).collect();
    write(&audience, "abc\n\ndef\n\n");
    for membership in &mut memberships {
        membership.catch_up(Waker::noop());
    }
    drop(memberships);
    assert_eq!(pipes.map(|pipe| pipe.text()), ["abc\n\n", "abc\n\nd<reset>", "abc\n\ndef\n\n"]);
}

#[test]
fn subscriber_leaves_no_state() {
    let audience = audience(4);
    let mut membership = join(&audience, Pipe::default());
    write(&audience, "abc");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
    assert!(membership.leave().is_some());
    drop(join(&audience, Pipe::default()));
    assert!(audience.subscribers.borrow().is_empty() && audience.slow.borrow().oldest_needed() == Some(u64::MAX));
    write(&audience, "defghi");
}

#[test]
fn round_reaches_every_row() {
    let audience = audience(100);
    let pipes: Vec<_> = (0..3 * ROWS_IN_A_SLICE + 1).map(|_| Pipe::with_room(100)).collect();
    let mut memberships: Vec<_> = pipes.iter().map(|pipe| join(&audience, pipe.clone())).collect();
    assert!(memberships.iter_mut().all(|membership| membership.catch_up(Waker::noop()) == Progress::CaughtUp));
    write(&audience, "abc");
    assert!(pipes.iter().all(|pipe| pipe.text() == "abc"));
    let long = "x".repeat(BYTES_IN_A_SLICE as usize);
    pipes.iter().for_each(|pipe| pipe.room.set(long.len()));
    write(&audience, &long);
    assert!(pipes.iter().all(|pipe| pipe.text().len() == 3 + long.len()), "a slice may end after one row");
}

#[test]
fn tick_releases_batches_that_no_subscriber_needs() {
    let audience = audience(100);
    let (quick, slow) = (Pipe::with_room(100), Pipe::default());
    let mut memberships = [quick, slow.clone()].map(|pipe| join(&audience, pipe));
    memberships.iter_mut().for_each(|membership| assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp));
    write(&audience, "one\n\n");
    assert_eq!(memberships[1].catch_up(Waker::noop()), Progress::Blocked);
    audience.tick();
    assert!(audience.window.borrow().cost() > 0, "one needs it");
    slow.room.set(100);
    assert_eq!(memberships[1].catch_up(Waker::noop()), Progress::CaughtUp);
    audience.tick();
    assert_eq!(audience.window.borrow().cost(), 0);
    // No round has written it yet.
    audience.push(Arc::from(&b"two\n\n"[..]), 1);
    audience.tick();
    assert!(audience.window.borrow().cost() > 0, "both need it");
    smol::block_on(audience.write_round(&mut TimeSlice::new()));
    audience.tick();
    assert_eq!((audience.window.borrow().cost(), slow.text().as_str()), (0, "one\n\ntwo\n\n"));
}
