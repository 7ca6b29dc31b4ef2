//! A shard that really hangs: the reports meanwhile, and its recovery.
//!
//! The shard that makes room wakes a waiting publisher on its own thread. A waker that does not return keeps the shard
//! there.

use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use serde_json::json;
use smolcast::{Config, Event, Limits, PublishError, Receipt, Server};
use support::{DEADLINE, TestServer, assert_bytes, config, wait_until, with, within_deadline};

use super::live::Page;
use super::{admin, ask, get, metrics, request, text, watched};

/// A waker that holds the shard that calls it.
struct Trap {
    caught: Sender<usize>,
    /// Closed to release the shard.
    held: Mutex<Receiver<()>>,
}

impl Wake for Trap {
    fn wake(self: Arc<Self>) {
        let thread = thread::current();
        let shard = thread.name().and_then(|name| name.strip_prefix("smolcast-")?.parse().ok());
        let _ = self.caught.send(shard.expect("only a shard makes room"));
        let _ = self.held.lock().expect("it is woken once").recv();
    }
}

/// A server with one shard that hangs.
struct Hanging {
    server: TestServer,
    shard: usize,
    /// Dropped to release the shard, before the waiting publish: that cannot be dropped while it is being woken.
    hold: Sender<()>,
    /// The publish that waits for room.
    publish: Pin<Box<dyn Future<Output = Result<Receipt, PublishError>>>>,
}

impl Hanging {
    #[track_caller]
    fn start(config: Config) -> Self {
        let mut config = config;
        config.limits.publish_queue_bytes = 1;
        config.limits.turn_timeout = Duration::from_millis(500);
        let server = Server::bind(watched(config)).expect("a free port");
        let publisher = server.publisher();
        within_deadline(publisher.publish(Event::new("takes all the room"))).expect("there is some");
        let mut publish = Box::pin(async move { publisher.publish(Event::new("waits for room")).await });
        let ((caught, catches), (hold, held)) = (channel(), channel());
        let waker = Waker::from(Arc::new(Trap { caught, held: Mutex::new(held) }));
        assert!(publish.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "there is no room");
        let server = TestServer::run(server);
        let shard = catches.recv_timeout(DEADLINE).expect("a shard makes room");
        Self { server, shard, hold, publish }
    }

    /// Releases the shard and waits until the server is ready.
    #[track_caller]
    fn end(self) -> TestServer {
        let Self { server, hold, publish, .. } = self;
        drop(hold);
        wait_until("it is ready again", || get(admin(&server), "/readyz").status == 200);
        within_deadline(publish).expect("there is room again");
        server
    }
}

/// The live page goes on meanwhile.
#[test]
fn a_stuck_shard_is_reported_until_it_goes_on() {
    let hanging = Hanging::start(config(Limits::default()));
    let (server, shard) = (&hanging.server, hanging.shard);
    let reason = format!("not ready: worker {shard} has not turned its loop for too long\n");
    // The other shard may be late too on a busy machine, but goes on.
    wait_until("that shard is reported", || {
        let response = get(admin(server), "/readyz");
        response.status == 503 && response.body == reason.as_bytes()
    });
    assert_bytes("the process lives", b"ok\n", text(admin(server), "/healthz").as_bytes());
    assert_eq!(metrics(server).value("smolcast_ready"), 0.0);
    let (mut page, _) = Page::open(admin(server));
    let turned = [page.sample(), page.sample()].map(|sample| {
        assert_eq!((&sample["ready"], &sample["slowest"]), (&json!(false), &json!([])), "{sample}");
        sample["workers"][shard]["turned"].as_f64().expect("a number")
    });
    assert!(0.5 < turned[0] && turned[0] < turned[1], "{turned:?}");
    let server = hanging.end();
    page.sample_where("it is ready again", |sample| sample["ready"] == json!(true));
    assert_eq!(server.metrics.messages(), 2);
}

/// The queue holds a message for a stuck shard as for a busy one. A unit test has the message that finds no room: the
/// trap holds the lock that the next publisher would wait for.
#[test]
fn a_message_published_while_a_shard_hangs_is_accepted() {
    let hanging = Hanging::start(with!(config(Limits::default()), { workers: std::num::NonZeroUsize::new(1) }));
    ask(admin(&hanging.server), request("POST", "/publish", b"x")).expect_status(202);
    let server = hanging.end();
    // The one that took all the room, the one that waited for some, and the one that found it.
    assert_eq!(server.metrics.messages(), 3);
}
