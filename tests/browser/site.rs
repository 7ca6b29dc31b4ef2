//! The web server of a test's page: an origin of its own that serves the page and takes its reports.
//!
//! It understands the requests of a browser and no others. Each connection has its own thread, since a browser also
//! opens connections that stay silent.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use support::Acceptor;

use crate::PATIENCE;

/// A page's report of one event.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) what: String,
    /// The number of its stream.
    pub(crate) stream: usize,
    /// The `readyState` of that stream.
    pub(crate) ready: u8,
    /// The time since the page was opened.
    pub(crate) at: Duration,
    pub(crate) data: String,
}

impl Report {
    /// Parses the target and the body of a report.
    fn parse(target: &str, body: Vec<u8>) -> Option<Self> {
        let mut parts = target.strip_prefix("/report/")?.split('/');
        let what = parts.next()?.to_owned();
        let stream = parts.next()?.parse().ok()?;
        let ready = parts.next()?.parse().ok()?;
        let milliseconds: f64 = parts.next()?.parse().ok()?;
        let at = Duration::try_from_secs_f64(milliseconds / 1e3).ok()?;
        Some(Self { what, stream, ready, at, data: String::from_utf8(body).ok()? })
    }
}

/// An origin that serves nothing yet, so that a server can list it before there is a page.
pub(crate) struct Site {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Site {
    #[track_caller]
    pub(crate) fn bind() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        Self { listener, addr }
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Serves this page from now on.
    pub(crate) fn serve(self, html: String) -> Serving {
        let (sender, reports) = channel();
        let acceptor = Acceptor::on(self.listener, move |connection, _| answer(&connection, &html, &sender));
        Serving { acceptor, reports }
    }
}

/// A serving site. Its drop ends it.
pub(crate) struct Serving {
    acceptor: Acceptor,
    pub(crate) reports: Receiver<Report>,
}

impl Serving {
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.acceptor.addr())
    }
}

/// Reads one request and answers it.
fn answer(connection: &TcpStream, html: &str, reports: &Sender<Report>) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    let (target, body) = read_request(&mut BufReader::new(connection))?;
    let (status, content) = if target == "/" {
        ("200 OK", html)
    } else if let Some(report) = Report::parse(&target, body) {
        // Without a receiver the test is over.
        let _ = reports.send(report);
        ("200 OK", "")
    } else {
        ("404 Not Found", "")
    };
    let fields = format!("Content-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n", content.len());
    let head = format!("HTTP/1.1 {status}\r\n{fields}Connection: close\r\n\r\n");
    (&*connection).write_all(&[head.as_bytes(), content.as_bytes()].concat())
}

/// The target and the body of a request.
fn read_request(reader: &mut impl BufRead) -> io::Result<(String, Vec<u8>)> {
    let first = read_line(reader)?;
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut length = 0;
    loop {
        let line = read_line(reader)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(|_| ErrorKind::InvalidData)?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((target, body))
}

/// A line of a head, without its end.
fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match reader.read_line(&mut line)? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end().to_owned()),
    }
}
