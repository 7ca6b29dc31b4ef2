//! Sockets and time: accepting, admitting, reads and writes with deadlines.
//!
//! It knows no HTTP and no events, only bytes, descriptors, addresses and ticks.

mod acceptor;
mod admission;
mod buffers;
mod clock;
mod listener;
mod reactor;
mod socket;
mod timeout;
mod unix_socket;
mod wait_group;

pub(crate) use self::acceptor::Acceptor;
pub use self::acceptor::Inherited;
pub(crate) use self::admission::{Admission, Client, ConnectionPermit, NetworkPermit, Proxy, RESERVED_DESCRIPTORS};
pub(crate) use self::buffers::{ReadBuffer, RecvBuffer};
pub(crate) use self::clock::{Clock, Deadline};
pub(crate) use self::listener::Listener;
pub(crate) use self::reactor::start_reactor;
pub use self::socket::Sink;
pub(crate) use self::socket::{Interrupted, Socket, close_in_stages, read, write_all};
pub(crate) use self::timeout::within;
pub(crate) use self::wait_group::{WaitGroup, WaitGuard};
