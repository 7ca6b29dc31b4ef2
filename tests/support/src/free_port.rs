//! A port for a program that must be given one by number.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback port that a server can bind by number.
///
/// The system gives it to nobody else while this value exists: it is bound, and not listened on.
pub struct FreePort {
    addr: SocketAddr,
    _bound: Socket,
}

impl FreePort {
    /// Binds a port that the system chooses.
    pub fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
        // Servers set it too, so that both can be bound.
        bound.set_reuse_address(true).expect("an option of every socket");
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let addr = bound.local_addr().ok().and_then(|addr| addr.as_socket()).expect("it is bound");
        Self { addr, _bound: bound }
    }

    /// Its address on loopback.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.addr.port()
    }
}

impl Default for FreePort {
    fn default() -> Self {
        Self::new()
    }
}
