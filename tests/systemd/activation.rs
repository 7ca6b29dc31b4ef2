//! Sockets that are open before the server starts, and are passed to it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::thread;

use rustix::process::Signal;
use support::{Client, EventStream, Served, get, wait_until};

use crate::has;
use crate::{Process, Program};

const TOOL: &str = "systemd-socket-activate";

/// Becomes a program that gets standard input as a passed socket.
const HAND_OVER: &str = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@""#;

/// Addresses that nothing listens on.
#[track_caller]
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("it is bound"))
}

/// Starts systemd's tool, which listens on these addresses and becomes the program at the first connection. Returns the
/// client of that connection too.
#[track_caller]
fn activate(addresses: &[SocketAddr], names: &[&str]) -> (Program, Client) {
    let listen: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
    let mut launcher = vec![TOOL];
    launcher.extend(listen.iter().flat_map(|address| ["-l", address]));
    launcher.extend(names);
    let first = addresses[0];
    let client = thread::spawn(move || {
        let mut stream = None;
        wait_until("the tool listens", || {
            stream = TcpStream::connect(first).ok();
            stream.is_some()
        });
        Client::over(stream.expect("it is connected")).expect("options can be set")
    });
    let program = Program::spawn(&mut Process::command(&launcher));
    (program, client.join().expect("it has connected"))
}

#[test]
#[ignore = "it needs systemd's tools"]
fn a_client_that_connected_before_the_start_is_served() {
    if !has(TOOL, "a socket") {
        return;
    }
    let [address] = free_addresses();
    let (program, client) = activate(&[address], &[]);
    assert_eq!(program.addr, address, "in {:?}", program.start_line);
    let mut stream = EventStream::open(client);
    assert_eq!(program.count(), 1);
    program.publish("hello");
    stream.expect_data("hello");
    program.signal(Signal::TERM);
    stream.expect_end(b"");
    assert_eq!(program.finish().code, Some(0));
}

#[test]
#[ignore = "it needs systemd's tools"]
fn it_serves_on_every_passed_socket() {
    if !has(TOOL, "two sockets") {
        return;
    }
    let addresses: [_; 2] = free_addresses();
    let (program, client) = activate(&addresses, &[]);
    for address in addresses {
        let line = &program.start_line;
        assert!(line.contains(&format!("http://{address}/")), "{address} is not in {line:?}");
    }
    let mut streams = [EventStream::open(client), EventStream::open(Client::connect(addresses[1]))];
    assert_eq!(program.count(), 2);
    program.publish("hello");
    streams.iter_mut().for_each(|stream| stream.expect_data("hello"));
}

#[test]
#[ignore = "it needs systemd's tools"]
fn a_socket_named_admin_is_the_operators() {
    if !has(TOOL, "a socket for the operator") {
        return;
    }
    let addresses: [_; 2] = free_addresses();
    let (program, mut client) = activate(&addresses, &["--fdname=smolcast.socket:admin"]);
    assert_eq!(program.addr, addresses[0], "in {:?}", program.start_line);
    client.request(get("/healthz")).expect_status(404);
    let mut stream = program.stream();
    Client::connect(addresses[1]).request(get("/healthz")).expect_status(200);
    let mut operator = Client::connect(addresses[1]);
    operator.send("GET /sse HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let answer = operator.rest();
    assert!(answer.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&answer));
    program.publish("hello");
    stream.expect_data("hello");
}

#[test]
#[ignore = "with the other tests of systemd, though it needs nothing of it"]
fn a_restart_refuses_no_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let start = || {
        let own: OwnedFd = listener.try_clone().expect("a descriptor is free").into();
        Program::spawn(Process::command(&["sh", "-c", HAND_OVER, "sh"]).stdin(own))
    };
    let program = start();
    assert_eq!(program.addr, address, "in {:?}", program.start_line);
    let mut stream = program.stream();
    program.signal(Signal::TERM);
    stream.expect_end(b"");
    assert_eq!(program.finish().code, Some(0));
    // Nothing serves now, and clients wait.
    let mut waiting = [Client::connect(address), Client::connect(address)];
    waiting.iter_mut().for_each(|client| client.send(get("/connections")));
    let _program = start();
    for client in &mut waiting {
        assert_eq!(client.response().expect_status(200).body, b"0");
    }
}

#[test]
#[ignore = "with the other tests of systemd, though it needs nothing of it"]
fn sockets_passed_to_another_process_are_not_taken() {
    let listener: OwnedFd = TcpListener::bind("127.0.0.1:0").expect("a free port").into();
    let hand_over = HAND_OVER.replace("LISTEN_PID=$$", "LISTEN_PID=1");
    let mut command: Command = Process::command(&["sh", "-c", &hand_over, "sh"]);
    let handed = TcpListener::from(listener.try_clone().expect("a descriptor is free"));
    let program = Program::spawn(command.args(["--port", "0"]).stdin(listener));
    assert_ne!(program.addr, handed.local_addr().expect("it is bound"));
    assert_eq!(program.count(), 0);
}
