//! A proxy that reloads, and a server that restarts behind it: browsers reconnect and miss nothing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::measure::{report, time_until};
use support::{Folder, Served};

use crate::PATIENCE;
use crate::Program;
use crate::curl::{Next, Stream, Version, publish, request};
use crate::proxy::{Kind, Proxy, for_each};

/// Browsers of each version.
const BROWSERS: usize = 3;
const ALL: usize = 2 * BROWSERS;

/// Pause of a browser before it reconnects, and of a publisher between two messages.
const PAUSE: Duration = Duration::from_millis(50);

/// Duration without a server.
const AWAY: Duration = Duration::from_secs(1);

/// Longest duration of any part of the test.
const LONGEST: Duration = Duration::from_secs(60);

/// Least number of messages after a reload, if streams may stay open.
const AFTER_RELOAD: usize = 20;

/// The last message.
const LAST: usize = usize::MAX;

/// The grace period of old proxy workers is cut from 30 seconds to one.
fn changes(kind: Kind) -> &'static [(&'static str, &'static str)] {
    match kind {
        Kind::Nginx => &[("worker_shutdown_timeout 30s", "worker_shutdown_timeout 1s")],
        Kind::Caddy => &[("grace_period 3s", "grace_period 1s")],
        Kind::Haproxy => &[("hard-stop-after 30s", "hard-stop-after 1s")],
    }
}

/// Reports of browsers and the publisher to the test.
#[derive(Default)]
struct Told {
    /// Number of opened streams.
    opened: AtomicUsize,
    /// Set to end the publisher.
    is_enough: AtomicBool,
    accepted: Mutex<Vec<usize>>,
    refused: AtomicUsize,
}

impl Told {
    #[track_caller]
    fn wait_for_opened(&self, what: &str, count: usize) -> Duration {
        time_until(what, PATIENCE, || self.opened.load(SeqCst) >= count)
    }
}

/// A browser up to the last event; returns the numbers of all its events, in order.
fn browse(proxy: &Proxy, version: Version, told: &Told) -> Vec<usize> {
    let (mut numbers, mut last_id) = (Vec::new(), String::new());
    let deadline = Instant::now() + LONGEST;
    loop {
        assert!(Instant::now() < deadline, "a browser waits for the last event");
        let Some(mut stream) = Stream::resume(proxy, version, &last_id) else {
            thread::park_timeout(PAUSE);
            continue;
        };
        told.opened.fetch_add(1, SeqCst);
        loop {
            match stream.next(PATIENCE) {
                Next::Event(message, _) => {
                    assert_eq!(message.event, "message", "{message:?}");
                    let number = message.data.parse().expect("a number was published");
                    numbers.push(number);
                    last_id = message.last_event_id;
                    if number == LAST {
                        return numbers;
                    }
                }
                Next::End => break,
                Next::Silence => panic!("a stream is open and brings nothing"),
            }
        }
        thread::park_timeout(PAUSE);
    }
}

/// Publishes number after number. A refused one is given up: it may have been published.
fn publish_all(proxy: &Proxy, told: &Told) {
    let deadline = Instant::now() + LONGEST;
    for number in 0.. {
        assert!(Instant::now() < deadline, "a publisher waits to be told to end, or to be heard");
        let is_last = told.is_enough.load(SeqCst);
        let number = if is_last { LAST } else { number };
        if publish(proxy, Version::BOTH[number % 2], &number.to_string()) == 202 {
            told.accepted.lock().expect("no thread panics with it").push(number);
            if is_last {
                return;
            }
        } else {
            told.refused.fetch_add(1, SeqCst);
        }
        thread::park_timeout(PAUSE);
    }
}

/// Starts the server with a history, at this port.
fn start(port: u16, history_dir: &str) -> Program {
    let port = port.to_string();
    let history = [("SMOLCAST_HISTORY", "10000"), ("SMOLCAST_HISTORY_DIR", history_dir)];
    Program::start_without_flags(&[&[("SMOLCAST_PORT", port.as_str())], &history[..]].concat())
}

/// Holds that a browser has every accepted event, once and in order.
fn check(kind: Kind, numbers: &[usize], accepted: &[usize]) {
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{}: twice, or out of order: {numbers:?}", kind.name());
    let missing: Vec<_> = accepted.iter().filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "{}: missing: {missing:?} of {numbers:?}", kind.name());
}

/// Waits until the streams from before a reload have settled. Other proxies end them after the grace period; Caddy 2.6
/// keeps them.
fn await_reload(kind: Kind, told: &Told) -> (&'static str, Duration) {
    if kind != Kind::Caddy {
        return ("are back", told.wait_for_opened("all streams are back from a reload", 2 * ALL));
    }
    let accepted = || told.accepted.lock().expect("no thread panics with it").len();
    let enough = accepted() + AFTER_RELOAD;
    ("are open", time_until("messages are accepted after a reload", PATIENCE, || accepted() >= enough))
}

/// Every event arrives once and in order.
#[test]
#[ignore = "it needs nginx, Caddy and HAProxy, and waits for streams that come back"]
fn a_reload_and_a_restart_cost_browsers_no_event() {
    for_each("comeback", |kind| {
        let folder = Folder::new();
        let history_dir = folder.path("history").to_str().expect("the path is UTF-8").to_owned();
        let program = start(0, &history_dir);
        let port = program.addr.port();
        let proxy = Proxy::start(kind, program.addr, changes(kind));
        let told = Told::default();
        let (proxy, told) = (&proxy, &told);
        thread::scope(|scope| {
            let browser = |number| scope.spawn(move || browse(proxy, Version::BOTH[number % 2], told));
            let browsers: Vec<_> = (0..ALL).map(browser).collect();
            told.wait_for_opened("all streams are open", ALL);
            let publisher = scope.spawn(|| publish_all(proxy, told));

            proxy.reload();
            let (stays, reload) = await_reload(kind, told);
            let refused = told.refused.load(SeqCst);
            // Caddy resets one in some thousand connections that are opened at the very moment of a reload.
            let most = usize::from(kind == Kind::Caddy);
            assert!(refused <= most, "{}: {refused} publishers were refused over a reload", kind.name());

            let before = told.opened.load(SeqCst);
            program.signal(Signal::TERM);
            assert_eq!(program.finish().code, Some(0));
            thread::park_timeout(AWAY);
            let program = start(port, &history_dir);
            let restart = told.wait_for_opened("all streams are back from a restart", before + ALL);
            program.wait_for_count(ALL);
            told.is_enough.store(true, SeqCst);
            publisher.join().expect("the publisher is well");
            let accepted = told.accepted.lock().expect("no thread panics with it").clone();
            for browser in browsers {
                check(kind, &browser.join().expect("the browser is well"), &accepted);
            }
            let (count, refused) = (accepted.len(), told.refused.load(SeqCst));
            report(
                "comeback",
                format_args!(
                    "{}: {ALL} streams {stays} {reload:.1?} after a reload, and are back {restart:.1?} after a \
                     restart; {count} messages accepted and none lost, {refused} refused while the server was away",
                    kind.name()
                ),
            );
        });
    });
}

/// A browser gets a response after which it reconnects, a publisher an error.
#[test]
#[ignore = "it needs nginx, Caddy and HAProxy, and waits for what they try first"]
fn a_missing_server_is_an_honest_error() {
    for_each("no server", |kind| {
        // Ended as soon as its port is known.
        let addr = Program::start(&[]).addr;
        let patience: &[_] = if kind == Kind::Caddy { &[("lb_try_duration 10s", "lb_try_duration 1s")] } else { &[] };
        let proxy = Proxy::start(kind, addr, patience);
        for version in Version::BOTH {
            let answer = request(&proxy, version, "/sse?topic=a", &[]);
            assert_eq!(answer.status, 200, "{}: {answer:?}", kind.name());
            for field in
                ["content-type: text/event-stream", "cache-control: no-cache", "access-control-allow-origin: *"]
            {
                assert!(answer.head.contains(field), "{}: {field} in {answer:?}", kind.name());
            }
            let retry = answer.body.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
            let delay = retry.and_then(|digits| digits.parse().ok()).unwrap_or(0);
            assert!((3000..=9000).contains(&delay), "{}: {answer:?}", kind.name());
            let status = publish(&proxy, version, "lost");
            assert!([502, 503].contains(&status), "{}: a publisher is told {status}", kind.name());
        }
    });
}
