//! An audience over pipes that take so many bytes: who is moved by whom, who lags, and how members leave.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

use super::*;
use crate::fanout::window::Budget;

/// A socket that takes so many bytes and then blocks.
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
    let window = Window::new(window_bytes, Budget::new(usize::MAX));
    Rc::new(Audience::new(window, Rc::new(PartialEvents::new(window_bytes)), Arc::default(), None))
}

fn join(audience: &Rc<Audience<Pipe>>, pipe: Pipe) -> Membership<Pipe> {
    audience.reserve().join(pipe)
}

fn give(audience: &Audience<Pipe>, text: &str) {
    audience.give(Arc::from(text.as_bytes()), 1);
    smol::block_on(audience.write_round(&mut TimeSlice::new()));
}

fn rest_of_event(membership: Membership<Pipe>) -> Option<String> {
    let (_, partial_event) = membership.leave().expect("the seat was taken");
    partial_event.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
}

#[test]
fn rounds_move_a_member_that_keeps_up() {
    let audience = audience(100);
    give(&audience, "before\n\n");
    let pipe = Pipe::with_room(100);
    let mut membership = join(&audience, pipe.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    give(&audience, "a\n\n");
    assert_eq!(pipe.text(), "", "not before it has caught up by itself");
    assert_eq!(membership.catch_up(&waker), Progress::CaughtUp);
    give(&audience, "b\n\n");
    assert_eq!(pipe.text(), "a\n\nb\n\n");
    assert_eq!(wakes.count(), 0, "without waking its task");
    audience.close();
    assert_eq!(wakes.count(), 1);
    assert_eq!(membership.catch_up(&waker), Progress::Finished);
}

#[test]
fn a_member_that_blocks_leaves_the_rounds_until_it_has_caught_up() {
    let audience = audience(100);
    let pipe = Pipe::with_room(2);
    let mut membership = join(&audience, pipe.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    assert_eq!(membership.catch_up(&waker), Progress::CaughtUp);
    give(&audience, "abc");
    assert_eq!((pipe.text().as_str(), wakes.count()), ("ab", 1));
    assert_eq!(membership.catch_up(&waker), Progress::Blocked);
    pipe.room.set(100);
    give(&audience, "de");
    assert_eq!((pipe.text().as_str(), wakes.count()), ("ab", 1), "its task is woken by the socket, not by a round");
    assert_eq!(membership.catch_up(&waker), Progress::CaughtUp);
    give(&audience, "f");
    assert_eq!(pipe.text(), "abcdef");
}

#[test]
fn who_a_round_could_not_move_is_behind_until_it_has_caught_up_lagged_or_gone() {
    let audience = audience(100);
    let pipes = [2, 2, 2].map(Pipe::with_room);
    let [mut first, mut second, mut third] = [0, 1, 2].map(|number| join(&audience, pipes[number].clone()));
    assert!(!audience.has_slow(), "who joins has not been left behind");
    for membership in [&mut first, &mut second, &mut third] {
        assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp);
    }
    give(&audience, "abc");
    assert_eq!(audience.behind.get(), 3, "before their tasks have looked");
    pipes[0].room.set(1000);
    assert_eq!(first.catch_up(Waker::noop()), Progress::CaughtUp);
    assert_eq!(second.catch_up(Waker::noop()), Progress::Blocked);
    assert_eq!(audience.behind.get(), 2);
    drop(second);
    assert_eq!(audience.behind.get(), 1);
    give(&audience, &"x".repeat(100));
    assert_eq!(third.catch_up(Waker::noop()), Progress::Lagged);
    assert!(!audience.has_slow());
    smol::block_on(audience.none_slow());
}

#[test]
fn who_is_left_behind_is_woken_and_has_lagged() {
    let audience = audience(150);
    let pipe = Pipe::with_room(2);
    let mut membership = join(&audience, pipe.clone());
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    give(&audience, "abcd");
    assert_eq!(membership.catch_up(&waker), Progress::Blocked);
    give(&audience, "ef");
    assert_eq!(wakes.count(), 0, "the window still has its next byte");
    give(&audience, "gh");
    assert_eq!(wakes.count(), 1, "and now lets go of it");
    assert_eq!(membership.catch_up(&waker), Progress::Lagged);
}

#[test]
fn a_lagged_member_can_still_finish_its_event() {
    let audience = audience(50);
    let mut membership = join(&audience, Pipe::with_room(7));
    give(&audience, "abc\n\ndef\n\nghi\n\n");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
    give(&audience, "jkl\n\n");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Lagged);
    assert_eq!(rest_of_event(membership), Some("f\n\n".into()));
}

#[test]
fn a_member_between_two_events_has_none_to_finish() {
    let audience = audience(4);
    assert_eq!(rest_of_event(join(&audience, Pipe::default())), Some(String::new()), "caught up");
    let mut membership = join(&audience, Pipe::with_room(5));
    give(&audience, "abc\n\ndef\n\n");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
    assert_eq!(rest_of_event(membership), Some(String::new()), "between two events of a batch");
}

#[test]
fn a_seat_that_is_dropped_in_the_middle_of_an_event_tears_its_sink() {
    let audience = audience(100);
    let pipes = [5, 6, 100].map(Pipe::with_room);
    let mut seats: Vec<_> = pipes.iter().map(|pipe| join(&audience, pipe.clone())).collect();
    give(&audience, "abc\n\ndef\n\n");
    for membership in &mut seats {
        membership.catch_up(Waker::noop());
    }
    drop(seats);
    assert_eq!(pipes.map(|pipe| pipe.text()), ["abc\n\n", "abc\n\nd<reset>", "abc\n\ndef\n\n"]);
}

#[test]
fn a_seat_leaves_nothing_behind() {
    let audience = audience(4);
    let mut membership = join(&audience, Pipe::default());
    give(&audience, "abc");
    assert_eq!(membership.catch_up(Waker::noop()), Progress::Blocked);
    assert!(membership.leave().is_some());
    drop(join(&audience, Pipe::default()));
    assert!(audience.subscribers.borrow().is_empty() && audience.blocked.borrow().is_empty());
    give(&audience, "defghi");
}

#[test]
fn a_round_reaches_every_row() {
    let audience = audience(100);
    let pipes: Vec<_> = (0..3 * ROWS_IN_A_SLICE + 1).map(|_| Pipe::with_room(100)).collect();
    let mut seats: Vec<_> = pipes.iter().map(|pipe| join(&audience, pipe.clone())).collect();
    assert!(seats.iter_mut().all(|membership| membership.catch_up(Waker::noop()) == Progress::CaughtUp));
    give(&audience, "abc");
    assert!(pipes.iter().all(|pipe| pipe.text() == "abc"));
    let long = "x".repeat(BYTES_IN_A_SLICE as usize);
    pipes.iter().for_each(|pipe| pipe.room.set(long.len()));
    give(&audience, &long);
    assert!(pipes.iter().all(|pipe| pipe.text().len() == 3 + long.len()), "a turn may end after one row");
}

#[test]
fn a_tick_lets_go_of_what_nobody_needs_any_more() {
    let audience = audience(100);
    let (quick, slow) = (Pipe::with_room(100), Pipe::default());
    let mut seats = [quick, slow.clone()].map(|pipe| join(&audience, pipe));
    seats.iter_mut().for_each(|membership| assert_eq!(membership.catch_up(Waker::noop()), Progress::CaughtUp));
    give(&audience, "one\n\n");
    assert_eq!(seats[1].catch_up(Waker::noop()), Progress::Blocked);
    audience.tick();
    assert!(audience.stats().window_bytes > 0, "one needs it");
    slow.room.set(100);
    assert_eq!(seats[1].catch_up(Waker::noop()), Progress::CaughtUp);
    audience.tick();
    assert_eq!(audience.stats().window_bytes, 0);
    // A round has yet to come.
    audience.give(Arc::from(&b"two\n\n"[..]), 1);
    audience.tick();
    assert!(audience.stats().window_bytes > 0, "all need it");
    smol::block_on(audience.write_round(&mut TimeSlice::new()));
    audience.tick();
    assert_eq!((audience.stats().window_bytes, slow.text().as_str()), (0, "one\n\ntwo\n\n"));
}
