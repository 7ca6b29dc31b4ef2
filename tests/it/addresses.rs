//! Addresses of the program: several at once, with unix sockets or by unix socket alone.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, str};

use rustix::process::Signal;
use support::{Client, EventStream, Finished, Folder, Served, get, post};

use crate::{Program, finished};

fn text(path: &Path) -> &str {
    path.to_str().expect("a test's folder has a plain name")
}

/// The TCP address at this place of a start line.
#[track_caller]
fn tcp(program: &Program, place: usize) -> SocketAddr {
    let addresses = program.addresses();
    let address = addresses[place].strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
    address.and_then(|address| address.parse().ok()).unwrap_or_else(|| panic!("no address {place}: {addresses:?}"))
}

/// Holds that one line on standard error contains all of these, with this exit code.
#[track_caller]
fn expect_refusal(finished: &Finished, code: i32, names: &[&str]) {
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(code), ""), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    assert!(names.iter().all(|name| finished.stderr.contains(name)), "{names:?} in {finished:?}");
}

/// The start line names them in that order.
#[test]
fn it_listens_on_every_address_of_a_list() {
    let folder = Folder::new();
    let path = folder.path("s");
    let unix = format!("unix:{}", text(&path));
    let program = Program::start_on(&["--listen", &unix, "--listen", "[::1]:0,127.0.0.1:0"]);
    assert_eq!((program.addresses().len(), program.addresses()[0]), (3, unix.as_str()), "{}", program.start_line);
    let (v6, v4) = (tcp(&program, 1), tcp(&program, 2));
    assert!(v6.is_ipv6() && v4.is_ipv4(), "{}", program.start_line);
    assert_eq!(program.addr, v6, "the first that is a TCP address");
    assert!(!program.start_line.contains("may publish"), "all of them are this machine's: {}", program.start_line);
    let mut streams = [Client::connect(v4), Client::connect(v6), Client::connect_unix(&path)].map(EventStream::open);
    for (body, mut publisher) in
        [("a", Client::connect(v4)), ("b", Client::connect(v6)), ("c", Client::connect_unix(&path))]
    {
        publisher.request(post(body)).expect_status(202);
        streams.iter_mut().for_each(|stream| stream.expect_data(body));
    }
}

#[test]
fn the_start_line_names_addresses_open_to_publishers() {
    let program = Program::start_on(&["--listen", "127.0.0.1:0", "--listen", "0.0.0.0:0"]);
    let open = program.addresses()[1];
    let said = format!("; anyone who reaches {open} may publish to /broadcast");
    assert!(program.start_line.ends_with(&said), "expected {said:?}: {}", program.start_line);
}

/// The program removes it at its end.
#[test]
fn a_unix_socket_alone_replaces_the_port() {
    let folder = Folder::new();
    let path = folder.path("s");
    let program = Program::start_on(&["--unix", text(&path)]);
    let start = format!("Listening on unix:{} with ", text(&path));
    assert!(program.start_line.starts_with(&start), "expected {start:?}: {}", program.start_line);
    assert!(!program.start_line.contains("://"), "no port: {}", program.start_line);
    let metadata = fs::metadata(&path).expect("it is there");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.mode() & 0o777, 0o660, "its user's and its group's");
    let mut stream = EventStream::open(Client::connect_unix(&path));
    Client::connect_unix(&path).request(post("hello")).expect_status(202);
    program.signal(Signal::TERM);
    stream.expect_end(b"data: hello\n\n");
    let said = program.finish();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert!(!path.exists(), "the socket is removed");
}

#[test]
fn a_unix_socket_adds_to_a_port_by_flag() {
    let folder = Folder::new();
    for (name, flags, mode) in [
        ("a", ["--port", "0"].as_slice(), "600"),
        ("b", &["--listen", "127.0.0.1:0"], "606"),
        ("c", &["--host", "127.0.0.1", "--port", "0"], "0777"),
    ] {
        let path = folder.path(name);
        let program = Program::start_on(&[&["--unix", text(&path), "--unix-mode", mode], flags].concat());
        assert_eq!(program.addresses(), [format!("http://{}/", program.addr), format!("unix:{}", text(&path))]);
        assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, u32::from_str_radix(mode, 8).expect(mode));
        let mut stream = program.stream();
        Client::connect_unix(&path).request(post(name)).expect_status(202);
        stream.expect_data(name);
    }
}

#[test]
fn each_address_flag_has_its_variable() {
    let folder = Folder::new();
    let path = folder.path("s");
    let program = Program::start_without_flags(&[
        ("SMOLCAST_LISTEN", "127.0.0.1:0,[::1]:0"),
        ("SMOLCAST_UNIX", text(&path)),
        ("SMOLCAST_UNIX_MODE", "640"),
    ]);
    assert!(tcp(&program, 0).is_ipv4() && tcp(&program, 1).is_ipv6(), "{}", program.start_line);
    assert_eq!(fs::metadata(&path).expect("it is there").mode() & 0o777, 0o640);
}

#[test]
fn a_dead_programs_socket_is_replaced_a_live_ones_is_not() {
    let folder = Folder::new();
    let path = folder.path("s");
    let flags = ["--unix", text(&path)];
    Program::start_on(&flags).kill();
    assert!(path.exists(), "a kill leaves it");
    let program = Program::start_on(&flags);
    expect_refusal(&finished(&flags, &[]), 1, &[text(&path), "another program listens on it"]);
    Client::connect_unix(&path).request(get("/connections")).expect_status(200);
    drop(program);
    fs::remove_file(&path).expect("a kill leaves it");
    let _other = UnixListener::bind(&path).expect("the path is free");
    expect_refusal(&finished(&["--listen", &format!("unix:{}", text(&path))], &[]), 1, &[text(&path)]);
    fs::write(folder.path("file"), "precious").expect("a file can be made");
    expect_refusal(&finished(&["--unix", text(&folder.path("file"))], &[]), 1, &["no socket"]);
    assert_eq!(fs::read(folder.path("file")).expect("it is there"), b"precious");
}

#[test]
fn a_taken_address_is_refused_and_leaves_no_socket() {
    let folder = Folder::new();
    let path = folder.path("s");
    let other = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("it is bound").to_string();
    let listen = format!("unix:{},{taken}", text(&path));
    let refused = finished(&["--listen", &listen], &[]);
    assert!(!path.exists(), "{refused:?}");
    expect_refusal(&refused, 1, &[&taken]);
}

#[test]
fn bad_or_contradictory_addresses_are_refused_with_code_2() {
    for (flags, names) in [
        (["--listen", "example.com:1942"].as_slice(), ["--listen", "example.com:1942"]),
        (&["--listen", "127.0.0.1"], ["--listen", "unix:/"]),
        (&["--listen", "unix:"], ["--listen", "unix:/"]),
        (&["--listen", ""], ["--listen", "unix:/"]),
        (&["--unix", ""], ["--unix", "a path"]),
        (&["--unix", "s", "--unix-mode", "0"], ["--unix-mode", "660"]),
        (&["--unix", "s", "--unix-mode", "1000"], ["--unix-mode", "660"]),
        (&["--unix", "s", "--unix-mode", "rw"], ["--unix-mode", "660"]),
        (&["--unix-mode", "660"], ["--unix-mode", "--unix "]),
        (&["--listen", "127.0.0.1:0", "--port", "0"], ["--listen", "--port"]),
    ] {
        expect_refusal(&finished(flags, &[]), 2, &names);
    }
    let mixed = finished(&["--host", "127.0.0.1"], &[("SMOLCAST_LISTEN", "127.0.0.1:0")]);
    expect_refusal(&mixed, 2, &["--host", "SMOLCAST_LISTEN"]);
}

#[test]
fn curl_speaks_to_its_unix_socket() {
    let folder = Folder::new();
    let path = folder.path("s");
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--max-time", "5", "--unix-socket", text(&path)]).args(arguments);
        command.stdin(Stdio::null()).output()
    };
    if curl(&["--version"]).is_err() {
        eprintln!("SKIPPED: there is no curl");
        return;
    }
    let _program = Program::start_on(&["--unix", text(&path)]);
    let mut stream = EventStream::open(Client::connect_unix(&path));
    let published = curl(&["--write-out", "%{http_code}", "--data", "hello", "http://localhost/broadcast"]);
    let published = published.expect("curl was there a moment ago");
    assert_eq!(str::from_utf8(&published.stdout), Ok("202"), "{published:?}");
    stream.expect_data("hello");
}
