//! Peers that vanish: a cable that is cut, packets that never arrive.

use std::io::Read;
use std::time::{Duration, Instant};

use support::measure::{report, time_until};
use support::procfs::Observed;
use support::{Client, DEADLINE, EventStream, Served, post};

use crate::Program;
use crate::crowd::connect_tight;
use crate::network::{self, Cable};

const HEARTBEAT: Duration = Duration::from_secs(1);
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The first heartbeat, the write timeout without an acknowledgement, and the timers of the kernel and the server.
const BOUND: Duration = Duration::from_secs(HEARTBEAT.as_secs() + WRITE_TIMEOUT.as_secs() + 3);

/// Others stay.
#[test]
#[ignore = "slow: it waits for the timers of the network; it needs one of its own"]
fn a_vanished_peer_leaves_the_count_in_time() {
    const NAME: &str = "vanish::a_vanished_peer_leaves_the_count_in_time";
    if !network::own(NAME) {
        return;
    }
    let mut program = network::program("--heartbeat 1s --write-timeout 2s --head-timeout 5s --idle-timeout 5s");
    let cables = [0, 1, 2].map(|number| Cable::lay(number, &program));
    // The program's address on the cable that stays.
    program.addr = cables[2].address(&program);
    expect_those_to_go_who_vanish(&program, &cables);
}

#[track_caller]
fn expect_those_to_go_who_vanish(program: &Program, [silenced, cut, _]: &[Cable; 3]) {
    let observed = Observed::new(program.id());
    let mut stay = program.stream();
    program.wait_for_count(1);
    // The connection that counted may stay open for a moment.
    let base = observed.descriptors();
    let crowds = [silenced, cut].map(|cable| Connections::along(cable, program));
    assert_eq!(program.count(), 21);
    // Heartbeats alone can find this one.
    silenced.silence();
    let took = time_until("silenced peers are out of the count", BOUND, || program.count() == 11);
    report("peers that go silent", format_args!("out of the count after {took:?}, bound {BOUND:?}"));
    cut.cut();
    program.publish("into the void");
    let took = time_until("cut peers are out of the count", BOUND, || program.count() == 1);
    report("peers that are cut off", format_args!("out of the count after {took:?}, bound {BOUND:?}"));
    read_to(&mut stay, "into the void");
    let took = time_until("their descriptors are free", 2 * BOUND, || observed.descriptors() <= base);
    report("peers that are cut off", format_args!("their descriptors are free {took:?} later"));
    program.publish("still here");
    read_to(&mut stay, "still here");
    stay.expect(b":\n\n:\n\n");
    drop(crowds);
}

/// The connections of one cable, one of each kind.
struct Connections {
    _streams: Vec<EventStream>,
    _begun: Client,
    _idle: Client,
}

impl Connections {
    #[track_caller]
    fn along(cable: &Cable, program: &Program) -> Self {
        let addr = cable.address(program);
        let _streams = (0..10).map(|_| EventStream::open(Client::connect(addr))).collect();
        let mut begun = Client::connect(addr);
        begun.send("POST /broadcast HTTP/1.1\r\nHost: h\r\nContent-Le");
        let mut idle = Client::connect(addr);
        idle.request(post("x")).expect_status(202);
        Self { _streams, _begun: begun, _idle: idle }
    }
}

/// Reads up to this event, past the heartbeats before it.
#[track_caller]
fn read_to(stream: &mut EventStream, line: &str) {
    loop {
        let message = stream.message().data;
        if message == line {
            return;
        }
        assert_eq!(message, "x", "of the earlier publishers");
    }
}

/// A page on the slowest of links reads all the time and is never far behind.
#[test]
#[ignore = "slow: it reads for seconds; it needs a network of its own"]
fn a_stream_read_slowly_but_steadily_stays() {
    const NAME: &str = "vanish::a_stream_read_slowly_but_steadily_stays";
    if !network::own(NAME) {
        return;
    }
    let mut program = network::program("--heartbeat 0 --write-timeout 2s");
    program.addr = Cable::lay(0, &program).address(&program);
    let mut slow = EventStream::open(Client::over(connect_tight(program.addr, 16 * 1024)).expect("it is connected"));
    program.publish("x".repeat(600 * 1024));
    // 16 KiB a second, for four times the write timeout.
    let (start, mut received) = (Instant::now(), 0);
    let mut slow = slow.client().socket();
    slow.set_read_timeout(Some(DEADLINE)).expect("a timeout above zero can be set");
    while start.elapsed() < 4 * WRITE_TIMEOUT {
        let count = slow.read(&mut [0; 1024]).unwrap_or_else(|error| panic!("{error} after {received} bytes"));
        assert!(count > 0, "ended after {received} bytes, {:?}", start.elapsed());
        received += count;
        std::thread::park_timeout(Duration::from_millis(60));
    }
    report("a slow reader", format_args!("{received} bytes in {:?}", start.elapsed()));
    assert_eq!(program.count(), 1);
}
