//! The five scenarios: each starts fresh servers in turn, measures them, and fills a table.

use std::thread;
use std::time::Duration;

use crate::clock::{MILLISECOND, SECOND, now};
use crate::crowd::Crowd;
use crate::failure::{Failure, Result};
use crate::load::{self, Outcome};
use crate::options::{Options, Scenario, Sizes};
use crate::process::{resident_bytes, syn_retries};
use crate::server::{Contender, Server};
use crate::table::{Bound, Samples, Table, grouped};

const MAX_CPU_X_FLOOR: f64 = 1.12;
const MAX_USER_US: f64 = 0.35;
const MAX_BYTES_PER_STREAM: f64 = 700.0;
const MIN_MILLION_PER_SECOND: f64 = 4.0;
const MAX_CONNECT_SECONDS: f64 = 1.5;
const MAX_START_MS: f64 = 20.0;

/// Connects in flight while a scenario only wants its streams open, few enough for any backlog.
const GENTLY: usize = 100;

/// What a scenario came to.
pub(crate) struct Report {
    pub(crate) table: Table,
    /// A message was lost, doubled or out of order somewhere.
    pub(crate) lost: bool,
}

/// The results of one scenario: a list of rounds for each server, the floor's first.
struct Rounds<T>(Vec<Vec<T>>);

impl<T> Rounds<T> {
    /// Interleaved, so that whatever else the machine does falls on all servers alike.
    fn run(
        scenario: &str,
        contenders: &[Contender],
        count: usize,
        mut measure: impl FnMut(&Contender) -> Result<T>,
    ) -> Result<Self> {
        let mut rounds: Vec<Vec<T>> = contenders.iter().map(|_| Vec::new()).collect();
        for round in 1..=count {
            for (contender, results) in contenders.iter().zip(&mut rounds) {
                let name = &contender.name;
                eprintln!("{scenario}: round {round} of {count}, {name}");
                let result = measure(contender);
                results.push(
                    result.map_err(|failure| Failure::new(format!("{scenario}, round {round}, {name}: {failure}")))?,
                );
            }
        }
        Ok(Self(rounds))
    }

    fn each(&self, figure: impl Fn(&T) -> f64) -> Vec<Samples> {
        let of_server = |rounds: &Vec<T>| rounds.iter().map(&figure).collect();
        self.0.iter().map(of_server).collect()
    }

    /// Each figure divided by the floor's of the same round.
    fn times_floor(&self, figure: impl Fn(&T) -> f64) -> Vec<Samples> {
        let all = self.each(figure);
        let of_server = |own: &Samples| {
            let pairs = own.iter().zip(&all[0]);
            pairs.map(|(own, floor)| own / floor).collect()
        };
        all.iter().map(of_server).collect()
    }

    fn any(&self, holds: impl Fn(&T) -> bool) -> bool {
        self.0.iter().flatten().any(holds)
    }
}

pub(crate) fn measure(scenario: Scenario, options: &Options, contenders: &[Contender]) -> Result<Report> {
    let sizes = options.sizes(scenario);
    match scenario {
        Scenario::Fanout => fanout(contenders, sizes),
        Scenario::Memory => memory(contenders, sizes),
        Scenario::Saturation => saturation(contenders, sizes),
        Scenario::Connect => connect(contenders, sizes),
        Scenario::Start => start(contenders, sizes),
    }
}

fn fanout(contenders: &[Contender], sizes: Sizes) -> Result<Report> {
    let rounds = Rounds::run("fanout", contenders, sizes.rounds, |contender| broadcast(contender, sizes))?;
    let cpu = |outcome: &Outcome| outcome.server.total() / outcome.window_receipts as f64;
    let mut table = table(&broadcast_title("fanout", sizes), contenders);
    table.row("CPU per delivery, us", 2, Bound::None, &rounds.each(cpu));
    let bound = Bound::AtMost(MAX_CPU_X_FLOOR);
    table.row("  x floor", 2, bound, &rounds.times_floor(cpu));
    cpu_split_rows(&mut table, &rounds, Bound::AtMost(MAX_USER_US));
    latency_rows(&mut table, &rounds);
    integrity_rows(&mut table, &rounds);
    Ok(Report { table, lost: rounds.any(|outcome| !outcome.is_whole()) })
}

fn saturation(contenders: &[Contender], sizes: Sizes) -> Result<Report> {
    let rounds = Rounds::run("saturation", contenders, sizes.rounds, |contender| broadcast(contender, sizes))?;
    let speed = |outcome: &Outcome| outcome.window_receipts as f64 / outcome.window_seconds / 1e6;
    let cpu = |outcome: &Outcome| outcome.server.total() / outcome.window_receipts as f64;
    let mut table = table(&broadcast_title("saturation", sizes), contenders);
    let bound = Bound::AtLeast(MIN_MILLION_PER_SECOND);
    table.row("delivered, million/s", 2, bound, &rounds.each(speed));
    let drain = rounds.each(|outcome| 1e3 * outcome.drain_seconds);
    table.row("all there after the last was due, ms", 1, Bound::None, &drain);
    table.row("CPU per delivery, us", 3, Bound::None, &rounds.each(cpu));
    cpu_split_rows(&mut table, &rounds, Bound::None);
    latency_rows(&mut table, &rounds);
    integrity_rows(&mut table, &rounds);
    Ok(Report { table, lost: rounds.any(|outcome| !outcome.is_whole()) })
}

fn memory(contenders: &[Contender], sizes: Sizes) -> Result<Report> {
    let rounds = Rounds::run("memory", contenders, sizes.rounds, |contender| {
        let server = Server::start(contender)?;
        rest();
        let before = resident_bytes(&server.processes())?;
        let _crowd = Crowd::open(server.address, sizes.clients, GENTLY)?;
        rest();
        let after = resident_bytes(&server.processes())?;
        Ok((after as f64 - before as f64) / sizes.clients as f64)
    })?;
    let title = format!("memory: {} idle streams", grouped(sizes.clients as u64));
    let mut table = table(&title, contenders);
    let bound = Bound::AtMost(MAX_BYTES_PER_STREAM);
    table.row("RSS per stream, B", 0, bound, &rounds.each(|&bytes| bytes));
    Ok(Report { table, lost: false })
}

fn connect(contenders: &[Contender], sizes: Sizes) -> Result<Report> {
    struct Storm {
        seconds: f64,
        slow: f64,
        syn_retries: f64,
    }
    let rounds = Rounds::run("connect", contenders, sizes.rounds, |contender| {
        let server = Server::start(contender)?;
        rest();
        let retries = syn_retries()?;
        let since = now();
        let crowd = Crowd::open(server.address, sizes.clients, sizes.clients)?;
        Ok(Storm {
            seconds: (now() - since) as f64 / SECOND as f64,
            slow: crowd.slow_connects as f64,
            syn_retries: (syn_retries()? - retries) as f64,
        })
    })?;
    let title = format!(
        "connect: {} connects at once, then as many requests, each until its `:ok`",
        grouped(sizes.clients as u64)
    );
    let mut table = table(&title, contenders);
    let seconds = rounds.each(|storm| storm.seconds);
    table.row("all streams open, s", 3, Bound::AtMost(MAX_CONNECT_SECONDS), &seconds);
    table.row("connects above 900 ms", 0, Bound::None, &rounds.each(|storm| storm.slow));
    let retries = rounds.each(|storm| storm.syn_retries);
    table.row("SYNs sent again", 0, Bound::None, &retries);
    Ok(Report { table, lost: false })
}

fn start(contenders: &[Contender], sizes: Sizes) -> Result<Report> {
    let rounds = Rounds::run("start", contenders, sizes.rounds, |contender| {
        let since = now();
        let server = Server::start_unguarded(contender)?;
        let _crowd = Crowd::open(server.address, 1, 1)?;
        Ok((now() - since) as f64 / MILLISECOND as f64)
    })?;
    let title = "start: from the process's start to the first stream's `:ok`";
    let mut table = table(title, contenders);
    let milliseconds = rounds.each(|&milliseconds| milliseconds);
    table.row("first stream open, ms", 1, Bound::AtMost(MAX_START_MS), &milliseconds);
    Ok(Report { table, lost: false })
}

fn broadcast(contender: &Contender, sizes: Sizes) -> Result<Outcome> {
    let mut server = Server::start(contender)?;
    let mut crowd = Crowd::open(server.address, sizes.clients, GENTLY)?;
    load::run(&mut server, &mut crowd, sizes.load)
}

fn cpu_split_rows(table: &mut Table, rounds: &Rounds<Outcome>, user_bound: Bound) {
    let user = |outcome: &Outcome| outcome.server.user / outcome.window_receipts as f64;
    let system = |outcome: &Outcome| outcome.server.system / outcome.window_receipts as f64;
    table.row("  user", 3, user_bound, &rounds.each(user));
    table.row("  system", 3, Bound::None, &rounds.each(system));
}

fn latency_rows(table: &mut Table, rounds: &Rounds<Outcome>) {
    let mut row = |figure: &str, of: &dyn Fn(&Outcome) -> u64| {
        // The latency of a run in which messages are missing is no result.
        let milliseconds = |outcome: &Outcome| match outcome.is_whole() {
            true => of(outcome) as f64 / 1e3,
            false => f64::NAN,
        };
        table.row(figure, 1, Bound::None, &rounds.each(milliseconds));
    };
    row("latency p50, ms", &|outcome| outcome.latency.value_at_quantile(0.5));
    row("  p99", &|outcome| outcome.latency.value_at_quantile(0.99));
    row("  p99.9", &|outcome| outcome.latency.value_at_quantile(0.999));
    row("  max", &|outcome| outcome.latency.max());
    row("  of the last subscriber, median", &|outcome| outcome.last_subscriber.value_at_quantile(0.5));
}

fn integrity_rows(table: &mut Table, rounds: &Rounds<Outcome>) {
    let reach = rounds.each(Outcome::reach);
    table.row("reach", 6, Bound::AtLeast(1.0), &reach);
    let disordered = rounds.each(|outcome| outcome.disordered as f64);
    table.row("out of order, doubled or garbled", 0, Bound::AtMost(0.0), &disordered);
    let closed = rounds.each(|outcome| outcome.closed_streams as f64);
    table.row("streams closed by the server", 0, Bound::AtMost(0.0), &closed);
    let cores = |outcome: &Outcome| outcome.generator.total() / 1e6 / outcome.window_seconds;
    table.row("load generator's own CPU, cores", 2, Bound::None, &rounds.each(cores));
    table.note("Loopback charges the receiver's TCP work to the sender's `send`.");
}

fn broadcast_title(name: &str, sizes: Sizes) -> String {
    format!(
        "{name}: {} clients, {} messages/s of {} B, {} s a round, rounds: {}",
        grouped(sizes.clients as u64),
        grouped(sizes.load.rate),
        sizes.load.size,
        sizes.load.seconds,
        sizes.rounds
    )
}

fn table(title: &str, contenders: &[Contender]) -> Table {
    let names = contenders.iter().map(|contender| contender.name.as_str());
    Table::new(title.to_owned(), names)
}

/// Lets a server finish what it does after a start or a ramp.
fn rest() {
    thread::sleep(Duration::from_millis(300));
}
