//! Limits per client behind proxies: trusted fields, and the client that each request counts for.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use smolcast::{Address, Config, Event, Limits};
use support::{
    Client, EventStream, Folder, Response, TestServer, config, get, post, retry_of, showing, wait_until, with,
    within_deadline,
};

/// A trusted peer, and one that is not.
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

fn limited(each: usize, trusted: &[&str]) -> Config {
    let limits = with!(Limits::default(), { connections_per_ip: NonZeroUsize::new(each) });
    let trusted_proxies = trusted.iter().map(|text| text.parse().expect("peers")).collect();
    with!(config(limits), { trusted_proxies })
}

/// A server that admits `each` connections of a client, and trusts `PROXY`.
fn start(each: usize) -> TestServer {
    TestServer::start(limited(each, &["127.0.0.2"]))
}

/// The request with these fields added.
fn with_fields(request: &[u8], fields: &str) -> Vec<u8> {
    let at = request.windows(2).position(|window| window == b"\r\n").expect("a request line") + 2;
    [&request[..at], fields.as_bytes(), &request[at..]].concat()
}

fn from(client: &str, request: &[u8]) -> Vec<u8> {
    with_fields(request, &format!("X-Forwarded-For: {client}\r\n"))
}

fn via(peer: Ipv4Addr, server: &TestServer) -> Client {
    Client::connect_from(peer, server.addr)
}

/// Opens a stream for a client of the proxy.
#[track_caller]
fn stream_of(client: &str, server: &TestServer) -> EventStream {
    EventStream::open_with(via(PROXY, server), &from(client, &get("/sse"))).0
}

/// Holds that a stream is rejected with a delay.
#[track_caller]
fn expect_told(mut connection: Client, request: &[u8]) {
    let response = connection.request(request).expect_status(200);
    let rest = if response.body.is_empty() { connection.rest() } else { response.body };
    retry_of(&rest);
}

/// Holds that a request is rejected as over the limit.
#[track_caller]
fn expect_refused(response: Response) {
    let response = response.expect_status(503);
    assert!(response.closes(), "no Connection: close: {response:?}");
    assert!(response.field("retry-after").is_some(), "no Retry-After: {response:?}");
}

#[test]
fn proxied_streams_count_for_the_named_clients() {
    let server = start(2);
    let first = stream_of("192.0.2.1", &server);
    let mut others = [stream_of("192.0.2.1", &server), stream_of("192.0.2.2", &server)];
    expect_told(via(PROXY, &server), &from("192.0.2.1", &get("/sse")));
    let mut refused = via(PROXY, &server);
    expect_refused(refused.request(from("192.0.2.1", &post("x"))));
    refused.expect_closed();
    assert_eq!((server.metrics.connections_over_ip_limit(), server.metrics.connections_refused()), (2, 2));
    assert_eq!(server.publisher.streams(), 3);
    // The client's limit binds neither the proxy nor its other clients.
    via(PROXY, &server).request(get("/connections")).expect_status(200);
    drop(first);
    wait_until("its place is free", || {
        let mut client = via(PROXY, &server);
        client.request(from("192.0.2.1", &get("/connections"))).status == 200
    });
    let mut again = stream_of("192.0.2.1", &server);
    expect_told(via(PROXY, &server), &from("192.0.2.1", &get("/sse")));
    within_deadline(server.publisher.publish(Event::new("x"))).expect("the server runs");
    others.iter_mut().chain([&mut again]).for_each(|stream| stream.expect_data("x"));
}

#[test]
fn an_untrusted_client_cannot_name_another() {
    let server = start(2);
    let fields = |number: u8| format!("X-Forwarded-For: 192.0.2.{number}\r\nForwarded: for=192.0.2.{number}\r\n");
    let stream = |number| EventStream::open_with(via(STRANGER, &server), &with_fields(&get("/sse"), &fields(number))).0;
    let streams = [stream(1), stream(2)];
    expect_told(via(STRANGER, &server), &with_fields(&get("/sse"), &fields(3)));
    expect_refused(via(STRANGER, &server).request(with_fields(&get("/connections"), &fields(4))));
    // None of the named clients has lost anything by it.
    let others: Vec<_> = (1..=4).map(|number| stream_of(&format!("192.0.2.{number}"), &server)).collect();
    assert_eq!(server.publisher.streams(), streams.len() + others.len());
}

#[test]
fn without_trusted_proxies_no_field_counts() {
    let server = TestServer::start(limited(1, &[]));
    let _stream = stream_of("192.0.2.1", &server);
    expect_told(via(PROXY, &server), &from("192.0.2.2", &get("/sse")));
}

/// Either field names it in all its forms; entries that the client wrote itself do not count.
#[test]
fn a_client_is_known_by_its_proxys_field_alone() {
    let server = start(1);
    let _streams = [stream_of("192.0.2.1", &server), stream_of("2001:db8::1", &server)];
    let refused = [
        "X-Forwarded-For: 192.0.2.1\r\n",
        "x-forwarded-for:192.0.2.1:4711\r\n",
        "X-Forwarded-For: ::ffff:192.0.2.1\r\n",
        "X-Forwarded-For: 198.51.100.1, 192.0.2.1\r\n",
        "X-Forwarded-For: 198.51.100.1, 192.0.2.1, 127.0.0.2\r\n",
        "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 192.0.2.1\r\n",
        "X-Forwarded-For: [2001:db8::1]:80\r\n",
        "X-Forwarded-For: 2001:db8::ffff\r\n",
        "Forwarded: for=192.0.2.1\r\n",
        "FORWARDED: For=\"192.0.2.1:80\";proto=https;by=203.0.113.43\r\n",
        "Forwarded: for=\"[2001:db8::1]:4711\"\r\n",
        "Forwarded: for=198.51.100.1, for=192.0.2.1\r\n",
        "Forwarded: for=\"198.51.100.1, for=192.0.2.1\r\n",
        "Forwarded: for=\"\r\nForwarded: for=192.0.2.1\r\n",
        "Forwarded: for=198.51.100.1, for=192.0.2.1, for=127.0.0.2\r\nX-Forwarded-For: 192.0.2.1\r\n",
    ];
    for fields in refused {
        let request = with_fields(&get("/connections"), fields);
        let _row = showing("a client that has its one", &request);
        expect_refused(via(PROXY, &server).request(&request));
    }
    assert_eq!(server.metrics.connections_over_ip_limit(), refused.len() as u64);
    for fields in [
        "X-Forwarded-For: 192.0.2.1, 198.51.100.1\r\n",
        "X-Forwarded-For: 2001:db8:0:1::1\r\n",
        "Forwarded: for=192.0.2.1;by=192.0.2.1, for=198.51.100.1;by=\"192.0.2.1\"\r\n",
        "X-Real-IP: 192.0.2.1\r\n",
    ] {
        let request = with_fields(&get("/connections"), fields);
        let _row = showing("another client", &request);
        via(PROXY, &server).request(&request).expect_status(200);
    }
}

/// A client that makes its proxy write a malformed field would have no limit otherwise.
#[test]
fn an_unnamed_client_counts_for_the_proxy() {
    let server = start(1);
    for fields in ["", "X-Forwarded-For: unknown\r\n", "Forwarded: for=_hidden\r\n", "Forwarded: \"\r\n"] {
        let request = with_fields(&get("/sse"), fields);
        let _row = showing("the one", &request);
        let (stream, _) = EventStream::open_with(via(PROXY, &server), &request);
        expect_told(via(PROXY, &server), &get("/sse"));
        expect_told(via(PROXY, &server), &with_fields(&get("/sse"), "X-Forwarded-For: 127.0.0.2\r\n"));
        drop(stream);
        wait_until("its place is free", || via(PROXY, &server).request(get("/connections")).status == 200);
    }
}

/// Clients that two fields name differently share a limit, which is not the proxy's.
///
/// A proxy that writes one field passes on the other, so a client could claim any address.
#[test]
fn contradictory_fields_share_one_limit() {
    let server = start(1);
    let disputed = |number: u8| format!("X-Forwarded-For: 192.0.2.1\r\nForwarded: for=198.51.100.{number}\r\n");
    let (_stream, _) = EventStream::open_with(via(PROXY, &server), &with_fields(&get("/sse"), &disputed(1)));
    expect_told(via(PROXY, &server), &with_fields(&get("/sse"), &disputed(2)));
    via(PROXY, &server).request(get("/connections")).expect_status(200);
    stream_of("192.0.2.1", &server);
}

/// It counts for the client of each request until the response.
#[test]
fn a_kept_proxy_connection_counts_per_request() {
    let server = start(1);
    let mut kept = via(PROXY, &server);
    // Idle connections count for no client: a proxy may have more of them than a client may.
    let mut idle: Vec<_> = (0..40).map(|_| via(PROXY, &server)).collect();
    for number in [1, 1, 2, 1, 3] {
        kept.request(from(&format!("192.0.2.{number}"), &post("x"))).expect_status(202);
        kept.request(get("/nope")).expect_status(404);
    }
    let begun = "POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    kept.send(from("192.0.2.1", begun.as_bytes()));
    kept.expect(b"HTTP/1.1 100 Continue\r\n\r\n");
    expect_refused(idle[0].request(from("192.0.2.1", &get("/nope"))));
    idle[1].request(from("192.0.2.2", &get("/nope"))).expect_status(404);
    kept.send("hi");
    kept.response().expect_status(202);
    idle[1].request(from("192.0.2.1", &get("/nope"))).expect_status(404);
    // The last request opens a stream, so the connection counts for that client.
    let (stream, _) = EventStream::open_with(kept, &from("192.0.2.1", &get("/sse")));
    expect_refused(idle[1].request(from("192.0.2.1", &get("/nope"))));
    stream.reset();
    wait_until("its place is free", || via(PROXY, &server).request(from("192.0.2.1", &get("/nope"))).status == 404);
    assert_eq!(server.metrics.connections_dropped(), 0);
}

#[test]
fn a_pipelined_request_beyond_the_limit_is_the_last() {
    let server = start(1);
    let mut stream = stream_of("192.0.2.1", &server);
    let mut kept = via(PROXY, &server);
    kept.send([from("192.0.2.2", &post("a")), from("192.0.2.1", &post("b")), from("192.0.2.2", &post("c"))].concat());
    kept.response().expect_status(202);
    expect_refused(kept.response());
    kept.expect_closed();
    kept = via(PROXY, &server);
    kept.request(from("192.0.2.2", &post("d"))).expect_status(202);
    stream.expect(b"data: a\n\ndata: d\n\n");
}

#[test]
fn a_proxy_is_held_to_the_limit_of_all_connections() {
    let mut config = limited(1, &["127.0.0.2"]);
    config.limits.connections = NonZeroUsize::new(2);
    let server = TestServer::start(config);
    let _streams = [stream_of("192.0.2.1", &server), stream_of("192.0.2.2", &server)];
    expect_told(via(PROXY, &server), &from("192.0.2.3", &get("/sse")));
    assert_eq!((server.metrics.connections_over_ip_limit(), server.metrics.connections_refused()), (0, 1));
}

fn with_unix_socket(folder: &Folder, mut config: Config) -> (TestServer, PathBuf) {
    let path = folder.path("s");
    config.listen.push(Address::Unix { path: path.clone(), mode: 0o600 });
    (TestServer::start(config), path)
}

#[test]
fn a_proxy_on_a_trusted_unix_socket_is_trusted() {
    let folder = Folder::new();
    let (server, path) = with_unix_socket(&folder, limited(1, &["unix"]));
    let connect = || Client::connect_unix(&path);
    let (_stream, _) = EventStream::open_with(connect(), &from("192.0.2.1", &get("/sse")));
    expect_told(connect(), &from("192.0.2.1", &get("/sse")));
    EventStream::open_with(connect(), &from("192.0.2.2", &get("/sse")));
    // All unnamed clients count as one.
    let (_unnamed, _) = EventStream::open_with(connect(), &get("/sse"));
    expect_refused(connect().request(get("/connections")));
    // Trust in the unix socket covers no other peer and none of its fields.
    let (_tcp, _) = EventStream::open_with(via(PROXY, &server), &from("192.0.2.3", &get("/sse")));
    expect_told(via(PROXY, &server), &from("192.0.2.4", &get("/sse")));
}

#[test]
fn an_untrusted_unix_socket_has_no_limit_per_client() {
    let folder = Folder::new();
    let (_server, path) = with_unix_socket(&folder, limited(1, &["127.0.0.2"]));
    let open = || EventStream::open_with(Client::connect_unix(&path), &from("192.0.2.1", &get("/sse"))).0;
    let _streams = [open(), open(), open()];
}

/// A socket on `[::]` sees an IPv4 peer by an IPv6 address.
#[test]
fn a_proxy_is_known_by_its_ipv4_address_on_an_ipv6_wildcard() {
    let server =
        TestServer::start(with!(limited(1, &["127.0.0.2/31"]), { listen: vec![(Ipv6Addr::UNSPECIFIED, 0).into()] }));
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, server.addr.port()));
    let connect = || Client::connect_from(PROXY, addr);
    let (_stream, _) = EventStream::open_with(connect(), &from("192.0.2.1", &get("/sse")));
    expect_refused(connect().request(from("192.0.2.1", &get("/connections"))));
    connect().request(from("192.0.2.2", &get("/connections"))).expect_status(200);
}
