//! Prometheus, a reader of the metrics: its checker accepts them, and it scrapes them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use support::measure::{report, skipped, time_until};
use support::{Child, Client, EventStream, Folder, Served, escaped};

use crate::Program;
use crate::packages::run;

/// Longest wait for Prometheus, including its start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// True if one of its programs runs; prints its version or the reason.
fn has(tool: &str, test: &str) -> bool {
    let version = run(Command::new(tool).arg("--version"));
    version.map(|version| report(test, version)).map_err(|why| skipped(test, why)).is_ok()
}

/// A server with a history that has had every kind of traffic, and two streams.
fn busy() -> (Program, SocketAddr, [EventStream; 2]) {
    let program = Program::start(&["--admin", "127.0.0.1:0", "--history", "100", "--workers", "2"]);
    let admin = program.admin().tcp().expect("it was asked for");
    let mut streams = [program.stream(), program.stream()];
    for number in 0..20 {
        program.publish(format!("message {number}"));
    }
    streams.iter_mut().for_each(|stream| assert_eq!(stream.message().data, "message 0"));
    program.stream().reset();
    program.request("BAD\r\n\r\n").expect_status(400);
    program.wait_for_count(2);
    (program, admin, streams)
}

/// The response of another program, in its own form.
#[track_caller]
fn body(addr: SocketAddr, target: &str) -> Vec<u8> {
    let mut client = Client::connect(addr);
    client.send(format!("GET {target} HTTP/1.0\r\nHost: {addr}\r\n\r\n"));
    let answer = client.rest();
    let start = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let start = start.unwrap_or_else(|| panic!("no answer: {}", escaped(&answer)));
    answer[start + 4..].to_vec()
}

fn check(metrics: &[u8]) -> Output {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = promtool.spawn().expect("it has run already");
    process.stdin.take().expect("it is piped").write_all(metrics).expect("it reads all of it");
    process.wait_with_output().expect("it is a child of this process")
}

#[test]
#[ignore = "it needs promtool"]
fn promtool_accepts_the_metrics() {
    let test = "promtool check metrics";
    if !has("promtool", test) {
        return;
    }
    let (_program, admin, _streams) = busy();
    let metrics = body(admin, "/metrics");
    let checked = check(&metrics);
    let said = format!("{}{}", String::from_utf8_lossy(&checked.stdout), String::from_utf8_lossy(&checked.stderr));
    assert_eq!((checked.status.code(), said.as_str()), (Some(0), ""), "{}", String::from_utf8_lossy(&metrics));
    // The checker does find errors.
    let wrong = String::from_utf8_lossy(&metrics).replace("smolcast_messages_total", "smolcast_messages");
    assert_ne!(check(wrong.as_bytes()).status.code(), Some(0), "a counter by another name");
}

/// Prometheus with its own data folder. Its drop kills it.
struct Prometheus {
    _process: Child,
    addr: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    /// Starts one that scrapes this address each second.
    #[track_caller]
    fn start(target: SocketAddr) -> Self {
        let folder = Folder::new();
        let (file, data) = (folder.path("prometheus.yml"), folder.path("data"));
        let jobs = format!("scrape_configs: [{{job_name: smolcast, static_configs: [{{targets: ['{target}']}}]}}]");
        fs::write(&file, format!("global: {{scrape_interval: 1s}}\n{jobs}\n")).expect("the folder is new");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", data.display())).arg("--web.listen-address=127.0.0.1:0");
        command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Child::spawn(&mut command);
        let mut log = BufReader::new(process.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
        let (sender, found) = channel();
        thread::spawn(move || {
            let said: Vec<_> = log.by_ref().map(|line| (address(&line), line)).scan(false, until_found).collect();
            // Without a receiver the test has given up.
            let _ = sender.send(said);
            log.for_each(drop);
        });
        let said = found.recv_timeout(PATIENCE).unwrap_or_default();
        let addr = said.last().and_then(|(address, _)| *address);
        let addr = addr.unwrap_or_else(|| panic!("no address of it: {said:?}"));
        let started = Self { _process: process, addr, _folder: folder };
        time_until("it is ready", PATIENCE, || body(addr, "/-/ready").ends_with(b"Ready.\n"));
        started
    }

    /// The value of a query with one sample.
    #[track_caller]
    fn query(&self, query: &str) -> Option<f64> {
        let body = body(self.addr, &format!("/api/v1/query?query={query}"));
        let answer: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", escaped(&body)));
        assert_eq!(answer["status"], "success", "{answer}");
        answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok())
    }
}

/// Continues up to the first line with an address, including that line.
fn until_found<T>(is_found: &mut bool, (address, line): (Option<T>, String)) -> Option<(Option<T>, String)> {
    let goes_on = !*is_found;
    *is_found |= address.is_some();
    goes_on.then_some((address, line))
}

/// The address in a line of its log.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("msg=\"Listening on\" address=")?;
    rest.split(' ').next()?.parse().ok()
}

#[test]
#[ignore = "it needs Prometheus"]
fn prometheus_scrapes_the_metrics() {
    let test = "Prometheus";
    if !has("prometheus", test) {
        return;
    }
    let (program, admin, mut streams) = busy();
    let prometheus = Prometheus::start(admin);
    let until = |query: &str, value: f64| {
        time_until(&format!("{query} is {value}"), PATIENCE, || prometheus.query(query) == Some(value))
    };
    until("up", 1.0);
    until("smolcast_streams", 2.0);
    until("smolcast_messages_total", 20.0);
    until("sum(smolcast_deliveries_total)", 40.0);
    until("smolcast_publishes_total%7Boutcome=%22accepted%22%7D", 20.0);
    until("smolcast_history_events", 20.0);
    let p99 = prometheus.query("histogram_quantile(0.99,smolcast_publish_to_last_write_seconds_bucket)");
    assert!(p99.is_some_and(|seconds| seconds > 0.0 && seconds < 10.0), "{p99:?}");
    report(test, format_args!("p99 from publish to last write, {:?}", Duration::from_secs_f64(p99.unwrap_or(0.0))));
    program.publish("one more");
    streams.iter_mut().for_each(|stream| while stream.message().data != "one more" {});
    until("smolcast_messages_total", 21.0);
    drop(program);
    until("up", 0.0);
}
