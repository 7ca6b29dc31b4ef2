//! A port for a program that has to be told one.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port of loopback that is free for whoever asks for it by number, and that the system gives to nobody else for as
/// long as this is there: it is bound, and not listened on.
pub(crate) struct FreePort {
    addr: SocketAddr,
    _bound: Socket,
}

impl FreePort {
    pub(crate) fn new() -> Self {
        let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor is free");
        // As servers do, so that both may be bound to it.
        bound.set_reuse_address(true).expect("an option of every socket");
        bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        let addr = bound.local_addr().ok().and_then(|addr| addr.as_socket()).expect("it is bound");
        Self { addr, _bound: bound }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn number(&self) -> u16 {
        self.addr.port()
    }
}

#[test]
fn a_free_port_is_one_servers_and_no_others() {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    let port = FreePort::new();
    let refused = TcpStream::connect(port.addr()).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let server = TcpListener::bind(port.addr()).expect("it is free");
    TcpStream::connect(port.addr()).expect("it listens");
    assert_eq!(TcpListener::bind(port.addr()).expect_err("it has it").kind(), ErrorKind::AddrInUse);
    drop(server);
}
