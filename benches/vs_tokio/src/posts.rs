//! The cost of publishing, without a stream: posts a second, and CPU time a post, with and without a history.
//!
//! One connection pipelines, and then several send one post at a time each. Nothing is timed but the whole, so that the
//! load costs little.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use argh::FromArgs;

use crate::clock::{SECOND, now};
use crate::contender::{Contender, Server};
use crate::flags::typed;
use crate::process::CpuCounters;
use anyhow::{Context, Result, anyhow, ensure};

/// Posts of a connection that pipelines which may be unanswered.
const WINDOW: u64 = 4096;

const END_OF_HEAD: &[u8; 4] = b"\r\n\r\n";

/// Publishes as fast as a server takes it, with each way to keep a history, and prints posts a second and the server's
/// CPU time a post. Medians of interleaved rounds.
#[derive(FromArgs)]
struct Options {
    /// the program, target/release/smolcast where not given
    #[argh(option, default = "PathBuf::from(\"target/release/smolcast\")")]
    program: PathBuf,

    /// posts of the connection that pipelines, 300000 where not given
    #[argh(option, default = "300_000")]
    pipelined: u64,

    /// connections that send one post at a time, 8 where not given
    #[argh(option, default = "8")]
    connections: u64,

    /// posts of these together, 60000 where not given
    #[argh(option, default = "60_000")]
    alternating: u64,

    /// bytes of a body, 100 where not given
    #[argh(option, default = "100")]
    size: usize,

    /// rounds, 3 where not given
    #[argh(option, default = "3")]
    rounds: usize,
}

/// The ways to keep a history: a name, and flags in which `{folder}` is a new folder's path.
const WAYS: [(&str, &str); 4] = [
    ("none", ""),
    ("memory", " --history 1000"),
    ("disk, interval", " --history 1000 --history-dir {folder}"),
    ("disk, always", " --history 1000 --history-dir {folder} --history-sync always"),
];

/// One run: posts a second, and microseconds of the server's CPU time a post.
#[derive(Clone, Copy)]
struct Cost {
    rate: f64,
    cpu: f64,
}

pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = typed("cargo run --release -p vs_tokio -- posts", words);
    ensure!(options.program.exists(), "there is no {}: cargo build --release", options.program.display());
    ensure!(options.rounds > 0 && options.connections > 0, "--rounds and --connections must be 1 or more");
    let mut costs = WAYS.map(|_| (Vec::new(), Vec::new()));
    for round in 0..options.rounds {
        for ((name, flags), costs) in WAYS.iter().zip(&mut costs) {
            eprintln!("round {} of {}: history {name}", round + 1, options.rounds);
            costs.0.push(run(&options, flags, |address| pipeline(address, &options))?);
            costs.1.push(run(&options, flags, |address| alternate(address, &options))?);
        }
    }
    let (pipelined, alternating) =
        ("1 connection, pipelined", format!("{} connections, one at a time", options.connections));
    println!("| history | {pipelined}: posts/s | CPU us a post | {alternating}: posts/s | CPU us a post |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for ((name, _), (pipelined, alternating)) in WAYS.iter().zip(&costs) {
        let [p, a] = [pipelined, alternating].map(|costs| median(costs));
        println!("| {name} | {:.0} | {:.2} | {:.0} | {:.2} |", p.rate, p.cpu, a.rate, a.cpu);
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts a server in a folder of its own, and measures some posts, whose number the load returns.
fn run(options: &Options, flags: &str, load: impl FnOnce(SocketAddrV4) -> Result<u64>) -> Result<Cost> {
    let folder = env::current_dir()?.join("target").join(format!("posts-{}", std::process::id()));
    let flags = flags.replace("{folder}", &folder.join("history").display().to_string());
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let command = format!("smolcast={} --port 0{flags}", options.program.display());
    let cost = measure(&command, load);
    fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    cost
}

fn measure(command: &str, load: impl FnOnce(SocketAddrV4) -> Result<u64>) -> Result<Cost> {
    let contender: Contender = command.parse().map_err(|reason: String| anyhow!(reason))?;
    let mut server = Server::start(&contender)?;
    let (start, before) = (now(), CpuCounters::of(&server.processes())?);
    let count = load(server.address)? as f64;
    let seconds = (now() - start) as f64 / SECOND as f64;
    let cpu = CpuCounters::of(&server.processes())?.since(before).total();
    server.terminate(now() + 10 * SECOND)?;
    Ok(Cost { rate: count / seconds, cpu: cpu / count })
}

fn request(size: usize) -> Vec<u8> {
    format!("POST /broadcast HTTP/1.1\r\nHost: smolcast\r\nContent-Length: {size}\r\n\r\n{}", "x".repeat(size)).into()
}

/// Sends posts without waiting for each response; returns their number.
fn pipeline(address: SocketAddrV4, options: &Options) -> Result<u64> {
    let total = options.pipelined;
    let mut stream = TcpStream::connect(address)?;
    let mut sender = stream.try_clone()?;
    let answered = AtomicU64::new(0);
    thread::scope(|scope| {
        let sending = scope.spawn(|| -> Result<()> {
            const AT_ONCE: u64 = 256;
            let requests = request(options.size).repeat(AT_ONCE as usize);
            let mut sent = 0;
            while sent < total {
                while sent >= answered.load(Relaxed) + WINDOW {
                    thread::park();
                }
                let count = AT_ONCE.min(total - sent);
                sender.write_all(&requests[..requests.len() / AT_ONCE as usize * count as usize])?;
                sent += count;
            }
            Ok(())
        });
        let received = receive(&mut stream, total, |count| {
            answered.store(count, Relaxed);
            sending.thread().unpark();
        });
        // A failure of the reader lets the writer go on to its own.
        answered.store(total, Relaxed);
        sending.thread().unpark();
        received.and(sending.join().map_err(|_| anyhow!("the sending thread panicked"))?)
    })?;
    Ok(total)
}

/// Sends one post at a time on each of several connections; returns their number.
fn alternate(address: SocketAddrV4, options: &Options) -> Result<u64> {
    let each = options.alternating / options.connections;
    let one = || -> Result<()> {
        let (mut stream, request) = (TcpStream::connect(address)?, request(options.size));
        stream.set_nodelay(true)?;
        for _ in 0..each {
            stream.write_all(&request)?;
            receive(&mut stream, 1, |_| ())?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.connections).map(|_| scope.spawn(one)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    Ok(each * options.connections)
}

/// Reads so many responses, none of which has a body; reports their number after each read.
fn receive(stream: &mut TcpStream, total: u64, report: impl Fn(u64)) -> Result<()> {
    let (mut buffer, mut matched, mut count) = (vec![0; 64 * 1024], 0, 0);
    while count < total {
        let length = stream.read(&mut buffer)?;
        ensure!(length > 0, "the server closed after {count} of {total} responses");
        ensure!(count > 0 || buffer.starts_with(b"HTTP/1.1 202 "), "the server answered no 202");
        for byte in &buffer[..length] {
            matched = if *byte == END_OF_HEAD[matched] { matched + 1 } else { usize::from(*byte == b'\r') };
            if matched == END_OF_HEAD.len() {
                (matched, count) = (0, count + 1);
            }
        }
        report(count);
    }
    Ok(())
}

fn median(costs: &[Cost]) -> Cost {
    let of = |value: fn(&Cost) -> f64| {
        let mut values: Vec<_> = costs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Cost { rate: of(|cost| cost.rate), cpu: of(|cost| cost.cpu) }
}
