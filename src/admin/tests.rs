//! The admin address over shards that are a test's own: they queue messages and commands, and do nothing by themselves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::task::{self, Waker};
use std::time::{Duration, Instant};

use smol::channel::Receiver;

use super::live::Live;
use super::*;
use crate::auth::AccessControl;
use crate::config::Limits;
use crate::event::topic::FilterSet;
use crate::fanout::{Command, SlowReport, SubscriberCounts};
use crate::hub::{Hub, QueueReceiver};
use crate::metrics::Metrics;
use crate::net::{Acceptor, within};

/// Longest wait for anything that must happen.
const DEADLINE: Duration = Duration::from_secs(5);

/// The receiving ends of one shard.
pub(super) struct Shard {
    commands: Receiver<Command>,
    pub(super) receiver: QueueReceiver,
}

/// A server with this many shards, and nothing else.
pub(super) fn server(limits: Limits, shards: usize) -> (AdminContext, Vec<Shard>) {
    let metrics = Metrics::of_shards(shards);
    let (hub, receivers) = Hub::new(&limits, None, shards, metrics.clone());
    let (mut handles, mut ends) = (Vec::new(), Vec::new());
    for receiver in receivers {
        let (request, commands) = channel::bounded(1);
        handles.push(ShardHandle::new(request));
        ends.push(Shard { commands, receiver });
    }
    let config = Config { limits: limits.clone(), ..Config::on(([127, 0, 0, 1], 0)) };
    let health = Health::new(metrics.clone(), Instant::now(), limits.turn_timeout);
    let access_control = AccessControl::new(config.access.clone());
    let shared = Shared { limits, access_control, hub, metrics, subscriber_counts: SubscriberCounts::default() };
    // It has begun, so it takes messages.
    drop(health.serve());
    let started = SystemTime::now();
    (AdminContext { config, shared, health, connection_limit: 1, started, handles }, ends)
}

/// Runs a future, which has to end in time.
#[track_caller]
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    async_io::block_on(within(DEADLINE, future)).expect("it ends in time")
}

/// Shards were once asked one after the other, and each stuck one took half a second. With 24 of them the page heard
/// nothing for longer than it waits.
#[test]
fn stuck_shards_cost_a_sample_the_wait_for_one() {
    let (context, shards) = server(Limits::default(), 40);
    let mut live = Live::new(&context);
    let mut sample = pin!(live.sample());
    assert!(sample.as_mut().poll(&mut task::Context::from_waker(Waker::noop())).is_pending());
    let commands: Vec<_> =
        shards.iter().map(|shard| shard.commands.try_recv().expect("each is asked at once")).collect();
    for number in [7, 39] {
        let Command::Slowest(_, reply) = &commands[number] else { panic!("{:?}", commands[number]) };
        let seen = format!("peer of {number}");
        let report = SlowReport { number: 0, bytes: 1, ticks: 1, filters: FilterSet::default(), seen };
        reply.try_send(vec![(Duration::from_secs(1), report)]).expect("somebody waits for it");
    }
    let sample = run(sample);
    for peer in ["\"peer of 7\"", "\"peer of 39\""] {
        assert!(sample.contains(peer), "no {peer} in {sample}");
    }
}

#[test]
fn a_page_gets_the_setup_before_a_shard_is_asked() {
    let (context, shards) = server(Limits::default(), 1);
    let acceptor = Acceptor::bind(&([127, 0, 0, 1], 0).into(), false, &context.shared.limits).expect("a free port");
    let mut client = TcpStream::connect(acceptor.address().tcp().expect("it is one")).expect("it listens");
    client.set_read_timeout(Some(DEADLINE)).expect("an option");
    client.write_all(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("there is room");
    let mut listener = Listener::new(vec![acceptor], context.shared.metrics.clone());
    let service = AdminService::new(&context);
    let executor = LocalExecutor::new();
    let request = async {
        let _command = shards[0].commands.recv().await.expect("it is asked");
        // This is the admin thread too: it writes nothing while it blocks on this read.
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        while memchr::memmem::find(&bytes, b"event: hello\n").is_none() {
            let count = client.read(&mut buffer).expect("it is written already");
            assert_ne!(count, 0, "the stream has ended");
            bytes.extend_from_slice(&buffer[..count]);
        }
    };
    run(executor.run(future::or(request, service.accept(&mut listener, &executor))));
}
