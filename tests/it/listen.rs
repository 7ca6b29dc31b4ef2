//! Several addresses at once: TCP of both families and unix sockets, all of one server.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;

use smolcast::{Address, Config, Limits, Server, Sockets};
use support::{
    Client, End, EventStream, Folder, FreePort, Served, TestServer, config, get, parse_responses, post, within_deadline,
};

fn on(listen: Vec<Address>) -> Config {
    Config { listen, ..config(Limits::default()) }
}

#[test]
fn a_message_reaches_the_streams_of_every_address() {
    let folder = Folder::new();
    let path = folder.path("s");
    let unix = Address::Unix { path: path.clone(), mode: 0o600 };
    let mut server =
        TestServer::start(on(vec![(Ipv4Addr::LOCALHOST, 0).into(), (Ipv6Addr::LOCALHOST, 0).into(), unix]));
    let v6 = server.addresses[1].tcp().expect("it is one");
    assert!(v6.is_ipv6() && v6.port() != 0, "{v6}");
    let mut streams = [
        server.stream(),
        EventStream::open(Client::connect(v6)),
        EventStream::open(Client::connect_unix(&path)),
        EventStream::open(Client::connect_unix(&path)),
    ];
    assert_eq!(server.count(), 4);
    for (number, mut publisher) in
        [server.connect(), Client::connect(v6), Client::connect_unix(&path)].into_iter().enumerate()
    {
        publisher.request(post(number.to_string())).expect_status(202);
        streams.iter_mut().for_each(|stream| stream.expect_data(&number.to_string()));
    }
    drop(streams);
    server.wait_for_count(0);
    let mut last = EventStream::open(Client::connect_unix(&path));
    server.stop();
    last.expect_end(b"");
    server.join();
    assert!(!path.exists(), "the socket goes with its server");
}

#[test]
fn a_unix_client_is_held_to_http() {
    let folder = Folder::new();
    let path = folder.path("s");
    let _server =
        TestServer::start(on(vec![(Ipv4Addr::LOCALHOST, 0).into(), Address::Unix { path: path.clone(), mode: 0o600 }]));
    let mut client = Client::connect_unix(&path);
    client.send([post("a"), post("b"), get("/connections")].concat());
    let (bytes, end) = client.rest_and_end();
    let statuses: Vec<_> =
        parse_responses(&bytes, &["POST", "POST", "GET"]).into_iter().map(|answer| answer.status).collect();
    assert_eq!((statuses, end), (vec![202, 202, 200], End::Closed));
    let mut client = Client::connect_unix(&path);
    let answer = client.request("POST /broadcast HTTP/1.1\r\nHost: h\r\n\r\n").expect_status(411);
    assert!(answer.closes(), "{answer:?}");
}

/// With an IPv4 address of the same port each address has its own socket.
#[test]
fn an_ipv6_wildcard_takes_ipv4_too() {
    let both = TestServer::start(on(vec![(Ipv6Addr::UNSPECIFIED, 0).into()]));
    let port = both.addr.port();
    assert_eq!(both.addresses.len(), 1);
    Client::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).request(get("/connections")).expect_status(200);
    Client::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).request(get("/connections")).expect_status(200);
    drop(both);

    let [any, one]: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into()];
    let (mapped, any_v6) = (Ipv4Addr::LOCALHOST.to_ipv6_mapped().into(), Ipv6Addr::UNSPECIFIED.into());
    for pair in [[any, any_v6], [one, any_v6], [any_v6, one], [mapped, any_v6]] {
        let listen = |port| on(pair.map(|address| (address, port).into()).to_vec());
        // A port that is free on 127.0.0.1 may be taken on another address.
        let server = (0..20).find_map(|_| Server::bind(listen(FreePort::new().number())).ok());
        let each = TestServer::run(server.unwrap_or_else(|| panic!("no port for {pair:?}")));
        let port = each.addr.port();
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))] {
            Client::connect(address).request(get("/connections")).expect_status(200);
        }
        assert_eq!(each.addresses.len(), 2);
    }
}

#[test]
fn passed_sockets_replace_addresses() {
    let folder = Folder::new();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let unix = UnixListener::bind(folder.path("s")).expect("the path is free");
    let expected = tcp.local_addr().expect("it is bound");
    // A client that connected before the server started waits in the backlog.
    let mut early = Client::connect(expected);
    early.send(get("/sse"));
    let taken = Address::Unix { path: folder.path("never"), mode: 0o600 };
    let mut sockets = Sockets::default();
    sockets.public = vec![tcp.into(), unix.into()];
    let server = Server::bind_with(on(vec![taken]), sockets).expect("both listen");
    let addresses: Vec<_> = server.addresses().map(Address::to_string).collect();
    let unix_path = folder.path("s").display().to_string();
    assert_eq!(addresses, [format!("http://{expected}/"), format!("unix:{unix_path}")]);
    let publisher = server.publisher();
    within_deadline(server.run(async {
        while publisher.streams() == 0 {
            smol::future::yield_now().await;
        }
    }))
    .expect("it ends well");
    assert!(!folder.path("never").exists(), "the configuration's was not made");
    assert!(folder.path("s").exists(), "one that was handed over is its owner's to remove");
}

#[test]
fn an_impossible_unix_socket_is_a_helpful_error() {
    let folder = Folder::new();
    std::fs::write(folder.path("file"), "precious").expect("a file can be made");
    let _other = UnixListener::bind(folder.path("taken")).expect("the path is free");
    for (name, advice) in
        [("file", "no socket; remove that"), ("taken", "another program"), ("no/folder", "folder does not exist")]
    {
        let path = folder.path(name);
        let listen = vec![Address::Unix { path: path.clone(), mode: 0o600 }];
        let error = Server::bind(on(listen)).expect_err("it cannot be made").to_string();
        assert!(error.contains(&*path.to_string_lossy()) && error.contains(advice), "{error}");
    }
    let error = Server::bind(on(Vec::new())).expect_err("there is nothing to listen on");
    assert_eq!(error.to_string(), "the configuration's listen has to name an address");
}

/// Its connections once took the room of the public side.
#[test]
fn a_passed_admin_socket_has_its_own_connection_limit() {
    TestServer::raise_descriptor_limit();
    let limit = |config, sockets| Server::bind_with(config, sockets).expect("free ports").connection_limit();
    let on_loopback = || Config::on(([127, 0, 0, 1], 0));
    let bound = Config { admin: Some(([127, 0, 0, 1], 0).into()), ..on_loopback() };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mut handed_over = Sockets::default();
    handed_over.admin = Some(listener.into());
    let limits =
        [limit(on_loopback(), Sockets::default()), limit(bound, Sockets::default()), limit(on_loopback(), handed_over)];
    // One for each, and one for a connection over the limit, which is closed at once.
    let room = Limits::default().admin_connections + 1;
    assert_eq!(limits.map(|limit| limits[0] - limit), [0, room, room], "without, bound, and handed over: {limits:?}");
}
