//! The streams that get the same bytes, and those bytes.
//!
//! An audience belongs to one shard. It is given batches and wakes its members; each member has a [`Seat`], which
//! knows its position and writes what follows it. Caught up, a member is a position and a waker: on a wake it loads
//! the newest batch (no reference count is touched) and writes the rest of it. Only a member whose socket would block
//! looks into the window of older batches, and whoever needs a byte that the window let go has lagged. An audience
//! never waits for a member and never writes itself. This is the only module that uses arc-swap.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use arc_swap::ArcSwap;
use slab::Slab;

use crate::frame;
use crate::window::{Batch, Window};

/// The members and the bytes they get.
#[derive(Debug)]
pub(crate) struct Audience {
    /// What a member that has kept up writes on its next wake.
    newest: ArcSwap<Batch>,
    /// What a member that has not kept up still finds.
    window: RefCell<Window>,
    /// One waker for each member, registered once; in the order of joining, which is the order of the sockets.
    members: RefCell<Slab<Member>>,
    /// The members whose sockets block, by position: the hindmost first.
    blocked: RefCell<BTreeSet<(u64, usize)>>,
    /// Whether the last batch was given.
    closed: Cell<bool>,
    /// Ticks of the shard's clock since the last batch.
    silence: Cell<u64>,
}

#[derive(Debug)]
struct Member {
    waker: Waker,
    /// Whether a new batch wakes it: not while its socket blocks, which wakes it by itself.
    follows: bool,
}

impl Audience {
    /// An audience without members, whose window serves whoever is at most `window_bytes` behind.
    pub(crate) fn new(window_bytes: usize) -> Self {
        Self {
            newest: ArcSwap::from_pointee(Batch::empty()),
            window: RefCell::new(Window::new(window_bytes)),
            members: RefCell::new(Slab::new()),
            blocked: RefCell::new(BTreeSet::new()),
            closed: Cell::new(false),
            silence: Cell::new(0),
        }
    }

    /// A seat behind all that was given so far.
    pub(crate) fn join(&self) -> Seat<'_> {
        let member = Member { waker: Waker::noop().clone(), follows: false };
        let key = self.members.borrow_mut().insert(member);
        let position = self.window.borrow().end();
        Seat { audience: self, key, position, is_blocked: false, held: None }
    }

    /// Gives every member these bytes, which are whole frames.
    pub(crate) fn give(&self, bytes: Arc<[u8]>) {
        let batch = self.window.borrow_mut().push(bytes);
        self.newest.store(batch);
        self.silence.set(0);
        for (_, member) in self.members.borrow().iter().filter(|(_, member)| member.follows) {
            member.waker.wake_by_ref();
        }
        self.wake_lagged();
    }

    /// Nothing more will be given: members end once they have written all.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        for (_, member) in self.members.borrow().iter() {
            member.waker.wake_by_ref();
        }
    }

    /// A tick has passed; returns how many have since the last batch.
    pub(crate) fn tick(&self) -> u64 {
        self.silence.set(self.silence.get() + 1);
        self.silence.get()
    }

    /// Wakes those whose next byte the window let go, so that they end now and not when their sockets next take one.
    fn wake_lagged(&self) {
        let start = self.window.borrow().start();
        let mut blocked = self.blocked.borrow_mut();
        while blocked.first().is_some_and(|(position, _)| *position < start) {
            if let Some((_, key)) = blocked.pop_first() {
                self.members.borrow()[key].waker.wake_by_ref();
            }
        }
    }
}

/// How far a member came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has written everything.
    CaughtUp,
    /// It has written everything, and there will be no more.
    Finished,
    /// Its socket takes no more now.
    Blocked,
    /// What it needs next is lost.
    Lagged,
    /// Its socket failed.
    Failed,
}

/// One member's place in an audience, given back when dropped.
#[derive(Debug)]
pub(crate) struct Seat<'a> {
    audience: &'a Audience,
    key: usize,
    /// The position of the next byte to write.
    position: u64,
    /// Whether `blocked` has this seat.
    is_blocked: bool,
    /// The batch that a blocked member is in the middle of, so that it can end with a whole event even when the
    /// window let go of it.
    held: Option<Arc<Batch>>,
}

impl Seat<'_> {
    /// Has `write` write what follows the position, until there is nothing more or it would block.
    pub(crate) fn catch_up(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> Progress {
        self.leave_blocked();
        loop {
            let newest = self.audience.newest.load();
            let (written, all) = match newest.rest(self.position) {
                Some([]) => return self.caught_up(),
                Some(rest) => (write(rest), Some(rest.len())),
                None => match self.audience.window.borrow().at(self.position) {
                    Some(batch) => (write(batch.rest(self.position).unwrap_or_default()), None),
                    None => return Progress::Lagged,
                },
            };
            match written {
                Ok(0) => return Progress::Failed,
                Ok(count) => {
                    self.position += count as u64;
                    if all == Some(count) {
                        return self.caught_up();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.blocked(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Failed,
            }
        }
    }

    /// The position of the next byte to write: it moves with every write that made progress.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The seat's number, by which members can be told apart while they sit.
    pub(crate) fn number(&self) -> usize {
        self.key
    }

    /// Registers the task's waker, which stays until it changes. While the member `follows`, every batch wakes it.
    pub(crate) fn register(&self, waker: &Waker, follows: bool) {
        let member = &mut self.audience.members.borrow_mut()[self.key];
        member.waker.clone_from(waker);
        member.follows = follows;
    }

    /// What is left of the event that the position is in the middle of: nothing at an event's boundary, `None` where
    /// those bytes are lost.
    pub(crate) fn rest_of_event(&self) -> Option<Vec<u8>> {
        let window = self.audience.window.borrow();
        if self.position == window.end() {
            return Some(Vec::new());
        }
        let batch = self.held.as_ref().or_else(|| window.at(self.position))?;
        let (bytes, offset) = batch.split(self.position);
        Some(bytes[offset..frame::next_boundary(bytes, offset)].to_vec())
    }

    fn caught_up(&mut self) -> Progress {
        self.held = None;
        if self.audience.closed.get() { Progress::Finished } else { Progress::CaughtUp }
    }

    fn blocked(&mut self) -> Progress {
        self.held = self.audience.window.borrow().at(self.position).cloned();
        self.audience.blocked.borrow_mut().insert((self.position, self.key));
        self.is_blocked = true;
        Progress::Blocked
    }

    fn leave_blocked(&mut self) {
        if self.is_blocked {
            self.audience.blocked.borrow_mut().remove(&(self.position, self.key));
            self.is_blocked = false;
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.leave_blocked();
        self.audience.members.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    use super::*;

    /// A socket that takes so many bytes and then blocks.
    struct Sink {
        taken: Vec<u8>,
        room: usize,
    }

    impl Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Ok(count)
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn give(audience: &Audience, text: &str) {
        audience.give(Arc::from(text.as_bytes()));
    }

    #[test]
    fn a_member_gets_what_is_given_after_it_joined() {
        let audience = Audience::new(100);
        give(&audience, "before\n\n");
        let mut seat = audience.join();
        let mut sink = Sink { taken: Vec::new(), room: 100 };
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::CaughtUp);
        give(&audience, "a\n\n");
        give(&audience, "b\n\n");
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::CaughtUp);
        audience.close();
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::Finished);
        assert_eq!(sink.taken, b"a\n\nb\n\n");
    }

    #[test]
    fn a_batch_wakes_those_who_follow_and_those_it_leaves_behind() {
        let audience = Audience::new(4);
        let mut seat = audience.join();
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        seat.register(&waker, true);
        give(&audience, "abcd");
        assert_eq!(wakes.0.load(Relaxed), 1, "a follower is woken");

        let mut sink = Sink { taken: Vec::new(), room: 2 };
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::Blocked);
        seat.register(&waker, false);
        give(&audience, "ef");
        assert_eq!(wakes.0.load(Relaxed), 1, "a blocked member has nothing to do");
        give(&audience, "gh");
        assert_eq!(wakes.0.load(Relaxed), 2, "until the window lets go of its next byte");
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::Lagged);
    }

    #[test]
    fn a_lagged_member_can_still_finish_its_event() {
        let audience = Audience::new(4);
        let mut seat = audience.join();
        let mut sink = Sink { taken: Vec::new(), room: 7 };
        give(&audience, "abc\n\ndef\n\nghi\n\n");
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::Blocked);
        give(&audience, "jkl\n\n");
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::Lagged);
        assert_eq!(seat.rest_of_event().as_deref(), Some(&b"f\n\n"[..]));
    }

    #[test]
    fn a_member_between_two_events_has_none_to_finish() {
        let audience = Audience::new(4);
        let mut seat = audience.join();
        assert_eq!(seat.rest_of_event().as_deref(), Some(&b""[..]), "caught up");
        let mut sink = Sink { taken: Vec::new(), room: 5 };
        give(&audience, "abc\n\ndef\n\n");
        assert_eq!(seat.catch_up(|bytes| sink.write(bytes)), Progress::Blocked);
        assert_eq!(seat.rest_of_event().as_deref(), Some(&b""[..]), "between two events of a batch");
    }

    #[test]
    fn a_seat_leaves_nothing_behind() {
        let audience = Audience::new(4);
        let mut seat = audience.join();
        give(&audience, "abc");
        assert_eq!(seat.catch_up(|_| Err(io::ErrorKind::WouldBlock.into())), Progress::Blocked);
        drop(seat);
        assert!(audience.members.borrow().is_empty() && audience.blocked.borrow().is_empty());
        give(&audience, "defghi");
    }
}
