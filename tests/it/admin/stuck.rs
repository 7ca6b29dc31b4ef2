//! A worker that really hangs: what is told of it meanwhile, and that it goes on.
//!
//! A publisher that waits for room is woken by the worker that makes some, on that worker's thread. One with a waker
//! that does not return keeps the worker there.

use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use serde_json::json;
use smolcast::{Config, Event, Limits, PublishError, Server};

use super::live::Page;
use super::{admin, ask, get, metrics, request, text, watched};
use crate::support::{DEADLINE, TestServer, assert_bytes, config, wait_until, within_deadline};

/// Keeps the worker that wakes it.
struct Trap {
    caught: Sender<usize>,
    /// Closed when the worker may go on.
    held: Mutex<Receiver<()>>,
}

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        let thread = thread::current();
        let worker = thread.name().and_then(|name| name.strip_prefix("smolcast-")?.parse().ok());
        let _ = self.caught.send(worker.expect("only a worker makes room"));
        let _ = self.held.lock().expect("it is woken once").recv();
    }
}

/// A server, one of whose workers hangs.
struct Hanging {
    server: TestServer,
    worker: usize,
    /// Dropped to have the worker go on. Before what waits for room, which cannot be dropped while it is being woken.
    hold: Sender<()>,
    /// What waits for room.
    publish: Pin<Box<dyn Future<Output = Result<(), PublishError>>>>,
}

impl Hanging {
    #[track_caller]
    fn start(config: Config) -> Self {
        let limits = Limits { publish_queue_bytes: 1, turn_timeout: Duration::from_millis(500), ..config.limits };
        let server = Server::bind(watched(Config { limits, ..config })).expect("a free port");
        let publisher = server.publisher();
        within_deadline(publisher.publish(Event::new("takes all the room"))).expect("there is some");
        let mut publish = Box::pin(async move { publisher.publish(Event::new("waits for room")).await });
        let ((caught, catches), (hold, held)) = (channel(), channel());
        let waker = Waker::from(Arc::new(Trap { caught, held: Mutex::new(held) }));
        assert!(publish.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "there is no room");
        let server = TestServer::run(server);
        let worker = catches.recv_timeout(DEADLINE).expect("a worker makes room");
        Self { server, worker, hold, publish }
    }

    /// Has the worker go on, and waits until all is well.
    #[track_caller]
    fn end(self) -> TestServer {
        let Self { server, hold, publish, .. } = self;
        drop(hold);
        wait_until("it is ready again", || get(admin(&server), "/readyz").status == 200);
        within_deadline(publish).expect("there is room again");
        server
    }
}

#[test]
fn a_worker_that_hangs_is_told_until_it_goes_on_and_the_page_goes_on_meanwhile() {
    let hanging = Hanging::start(config(Limits::default()));
    let (server, worker) = (&hanging.server, hanging.worker);
    let reason = format!("not ready: worker {worker} has not turned its loop for too long\n");
    // The other one may be late as well, on a machine that has no time for it, but goes on.
    wait_until("that worker is told", || {
        let response = get(admin(server), "/readyz");
        response.status == 503 && response.body == reason.as_bytes()
    });
    assert_bytes("the process lives", b"ok\n", text(admin(server), "/healthz").as_bytes());
    assert_eq!(metrics(server).value("smolcast_ready"), 0.0);
    let (mut page, _) = Page::open(admin(server));
    let turned = [page.sample(), page.sample()].map(|sample| {
        assert_eq!((&sample["ready"], &sample["slowest"]), (&json!(false), &json!([])), "{sample}");
        sample["workers"][worker]["turned"].as_f64().expect("a number")
    });
    assert!(0.5 < turned[0] && turned[0] < turned[1], "{turned:?}");
    let server = hanging.end();
    page.sample_where("it is ready again", |sample| sample["ready"] == json!(true));
    assert_eq!(server.metrics.messages(), 2);
}

/// The queue holds a message for a shard that hangs, as it does for one that is busy. A message that finds no room in time
/// is a unit test: a waker that does not return holds the lock that the next publisher would wait for.
#[test]
fn a_message_published_while_a_shard_hangs_is_accepted() {
    let hanging = Hanging::start(Config { workers: std::num::NonZeroUsize::new(1), ..config(Limits::default()) });
    ask(admin(&hanging.server), request("POST", "/publish", b"x")).expect_status(202);
    let server = hanging.end();
    // The one that took all the room, the one that waited for some, and the one that found it.
    assert_eq!(server.metrics.messages(), 3);
}
