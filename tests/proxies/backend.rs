//! A stand-in for the server that reports every request of a proxy, and its connection.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use support::Acceptor;

use crate::PATIENCE;

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The number of its connection, in the order of accepting.
    pub(crate) connection: usize,
    pub(crate) request_line: String,
    /// Fields in the order received, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Passed {
    /// All values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// Answers each request with `202`, and keeps a connection open until a request says that it is the last.
pub(crate) struct Backend {
    pub(crate) addr: SocketAddr,
    passed: Receiver<Passed>,
    _acceptor: Acceptor,
}

impl Backend {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (sender, passed) = channel();
        let acceptor = Acceptor::start(move |connection, number| answer(&connection, number, &sender));
        Self { addr: acceptor.addr(), passed, _acceptor: acceptor }
    }

    /// The next request.
    #[track_caller]
    pub(crate) fn passed(&self) -> Passed {
        self.passed.recv_timeout(PATIENCE).expect("the proxy passes on a request")
    }

    /// Holds that there is no further request.
    #[track_caller]
    pub(crate) fn expect_nothing_more(&self) {
        let more: Vec<_> = self.passed.try_iter().collect();
        assert!(more.is_empty(), "passed on: {more:?}");
    }
}

fn answer(connection: &TcpStream, number: usize, passed: &Sender<Passed>) -> io::Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let request = read(&mut reader, number)?;
        let is_last = request.values("connection").iter().any(|options| options.eq_ignore_ascii_case("close"));
        // Without a receiver the test is over.
        let _ = passed.send(request);
        (&*connection).write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
        if is_last {
            return Ok(());
        }
    }
}

fn read(reader: &mut impl BufRead, connection: usize) -> io::Result<Passed> {
    let request_line = line(reader)?;
    let mut fields = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or(ErrorKind::InvalidData)?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut passed = Passed { connection, request_line, fields, body: Vec::new() };
    let length = passed.values("content-length").first().map_or(Ok(0), |length| length.parse());
    passed.body = vec![0; length.map_err(|_| ErrorKind::InvalidData)?];
    reader.read_exact(&mut passed.body)?;
    Ok(passed)
}

/// A line of a head, without its end.
fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match reader.read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}
