//! The admin address over workers that are a test's own: they take what comes to them, and are silent otherwise.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::task::{self, Waker};
use std::time::{Duration, Instant};

use smol::channel::Receiver;

use super::live::Live;
use super::*;
use crate::auth::Settings;
use crate::config::Limits;
use crate::event::topic::FilterSet;
use crate::fanout::{Command, SlowReport, SubscriberCounts};
use crate::hub::{Hub, QueueReceiver};
use crate::metrics::Metrics;
use crate::net::{Acceptor, Client, within};

/// How long a test waits for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(5);

/// What comes to one worker.
pub(super) struct Worker {
    /// The other end is what the way in holds on to.
    _dealt: Sender<Client>,
    pub(super) clients: Receiver<Client>,
    commands: Receiver<Command>,
    pub(super) receiver: QueueReceiver,
}

/// A server of so many workers, of which there is nothing else.
pub(super) fn watched(limits: Limits, workers: usize) -> (AdminContext, Vec<Worker>) {
    let metrics = Metrics::of_shards(workers);
    let (hub, receivers) = Hub::new(&limits, None, workers, metrics.clone()).expect("no thread is started");
    let (mut handles, mut ends) = (Vec::new(), Vec::new());
    for receiver in receivers {
        let ((dealt, clients), (request, commands)) = (channel::bounded(1), channel::bounded(1));
        handles.push(ShardHandle::new(&dealt, request));
        ends.push(Worker { _dealt: dealt, clients, commands, receiver });
    }
    let config = Config { limits: limits.clone(), ..Config::on(([127, 0, 0, 1], 0)) };
    let health = Health::new(metrics.clone(), Instant::now(), limits.turn_timeout);
    let settings = Settings::new(config.access.clone());
    let shared = Shared { limits, settings, hub, metrics, subscriber_counts: SubscriberCounts::new() };
    let (started, handles) = (SystemTime::now(), Arc::new(OnceLock::from(handles)));
    (AdminContext { config, shared, health, connection_limit: 1, started, handles }, ends)
}

/// Runs a future to its end, which has to come in time.
#[track_caller]
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    async_io::block_on(within(DEADLINE, future)).expect("it ends in time")
}

/// Workers were asked one after the other, and each that hung took half a second: with 24 of them the page saw nothing
/// for longer than it waits.
#[test]
fn all_workers_are_asked_before_one_is_waited_for_and_those_that_answer_are_shown() {
    let (watched, workers) = watched(Limits::default(), 40);
    let mut live = Live::new(&watched);
    let mut sample = pin!(live.sample());
    assert!(sample.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
    let commands: Vec<_> =
        workers.iter().map(|worker| worker.commands.try_recv().expect("each is asked at once")).collect();
    for number in [7, 39] {
        let Command::Slowest(_, reply) = &commands[number] else { panic!("{:?}", commands[number]) };
        let seen = format!("peer of {number}");
        let behind = SlowReport { number: 0, bytes: 1, ticks: 1, filters: FilterSet::default(), seen };
        reply.try_send(vec![(Duration::from_secs(1), behind)]).expect("somebody waits for it");
    }
    let sample = run(sample);
    for peer in ["\"peer of 7\"", "\"peer of 39\""] {
        assert!(sample.contains(peer), "no {peer} in {sample}");
    }
}

#[test]
fn a_page_is_told_how_the_server_is_set_up_before_a_worker_is_asked() {
    let (watched, workers) = watched(Limits::default(), 1);
    let acceptor = Acceptor::bind(&([127, 0, 0, 1], 0).into(), false, &watched.shared.limits).expect("a free port");
    let mut client = TcpStream::connect(acceptor.address().tcp().expect("it is one")).expect("it listens");
    client.set_read_timeout(Some(DEADLINE)).expect("an option");
    client.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("there is room");
    let mut listener = Listener::new(vec![acceptor], watched.shared.metrics.clone());
    let service = AdminService::new(&watched);
    let executor = LocalExecutor::new();
    let request = async {
        let _question = workers[0].commands.recv().await.expect("it is asked");
        // The admin thread is this one: what is not written yet is not written while this reads.
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        while memchr::memmem::find(&bytes, b"event: hello\n").is_none() {
            let count = client.read(&mut buffer).expect("it is written already");
            assert_ne!(count, 0, "the stream has ended");
            bytes.extend_from_slice(&buffer[..count]);
        }
    };
    run(executor.run(future::or(request, service.accept(&mut listener, &executor))));
}
