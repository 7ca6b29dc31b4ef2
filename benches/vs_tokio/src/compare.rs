//! The whole comparison: the check of each server, the runs of those that conform, and the report.

use std::process::ExitCode;

use crate::conformance::{self, Standard};
use crate::contender::{Contender, Server, contenders};
use crate::figure::{Comparison, Contestant, Measured};
use crate::flags::{cores, typed};
use crate::goals::goals;
use crate::interrupt;
use crate::progress::Progress;
use crate::report::{self, Machine};
use crate::scenario::{Plan, Scenario, Sizes};
use crate::servers;
use crate::stamp::check_size;
use anyhow::{Result, ensure};
use argh::FromArgs;

/// Estimated seconds of the check of one server.
const CHECK_SECONDS: f64 = 0.5;

/// Measures smolcast beside the servers that one would write on tokio, and beside the floor under them all; about ten
/// minutes, or one with --quick. Scenarios: idle, fanout, saturation, connect, slow, burst; all where none is named.
#[derive(Debug, FromArgs)]
#[argh(
    note = "Other uses of this program:
  load   the load alone, against a server that runs already
  posts  the cost of publishing, with each way to keep a history
  soak   everything at once against one server, healthy and hostile, for 15 minutes or any other time
  check  whether a server does the five tasks
  serve  one of the servers, to look at
Each has a --help of its own.",
    example = "{command_name} fanout --only floor --only smolcast --rounds 5",
    example = "{command_name} --quick --server other='/usr/bin/other --port {{port}}'"
)]
struct Options {
    /// what to measure: idle, fanout, saturation, connect, slow, burst
    #[argh(positional)]
    scenarios: Vec<Scenario>,

    /// everything small, about a minute in all: to see that it runs, not to compare
    #[argh(switch)]
    quick: bool,

    /// a server to measure, by name, can be given again; without, all are
    #[argh(option)]
    only: Vec<String>,

    /// another server, as NAME=COMMAND; it prints `Listening on http://ADDRESS/`, or listens on the 127.0.0.1 port
    /// that `{port}` in its command stands for. A name that is taken replaces the server of that name
    #[argh(option)]
    server: Vec<Contender>,

    /// open streams
    #[argh(option)]
    clients: Option<usize>,

    /// messages offered a second
    #[argh(option)]
    rate: Option<u64>,

    /// bytes of a message, 33 or more
    #[argh(option)]
    size: Option<usize>,

    /// seconds measured in each run, behind the warm-up
    #[argh(option)]
    seconds: Option<f64>,

    /// rounds, in each of which every server has its turn with a fresh process
    #[argh(option)]
    rounds: Option<usize>,

    /// threads of each server; one a core where not given
    #[argh(option, default = "cores()")]
    workers: usize,

    /// folder of the report, target/vs_tokio where not given
    #[argh(option, default = "String::from(\"target/vs_tokio\")")]
    out: String,
}

impl Options {
    fn validate(&self) -> Result<()> {
        self.size.map_or(Ok(()), check_size)?;
        let none = [self.clients, self.rounds, Some(self.workers)].contains(&Some(0)) || self.rate == Some(0);
        let odd = self.seconds.is_some_and(|seconds| !(0.1..=3600.0).contains(&seconds));
        ensure!(
            !none && !odd,
            "--clients, --rate, --rounds and --workers must be 1 or more, --seconds between 0.1 and 3600"
        );
        Ok(())
    }

    fn scenarios(&self) -> Vec<Scenario> {
        match self.scenarios.is_empty() {
            true => Scenario::ALL.map(|(_, plans)| Scenario(plans)).to_vec(),
            false => self.scenarios.clone(),
        }
    }

    fn sizes(&self) -> Sizes {
        let &Self { quick, clients, rate, size, seconds, rounds, .. } = self;
        Sizes { quick, clients, rate, size, seconds, rounds }
    }
}

pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = typed("cargo run --release -p vs_tokio --", words);
    options.validate()?;
    let folder = report::create_folder(&options.out)?;
    interrupt::arm()?;
    let comparison = compare(&options, words)?;
    let goals = goals(&comparison);
    if !goals.is_empty() && !options.quick {
        println!("What smolcast has to reach:");
        goals.iter().for_each(|goal| println!("  {goal}"));
        println!();
    }
    for path in report::write(&comparison, &Machine::of_this(), folder)? {
        println!("{}", path.display());
    }
    if options.quick {
        println!("This was a quick run: it shows that everything works, its figures compare nothing.");
    }
    let is_whole = comparison.contestants.iter().all(|contestant| contestant.objections.is_empty())
        && comparison.measured.iter().flat_map(|measured| &measured.servers).all(|rounds| rounds.failure.is_none());
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn compare(options: &Options, words: &[String]) -> Result<Comparison> {
    let contenders = contenders(&options.only, &options.server, options.workers)?;
    let plans: Vec<Plan> =
        options.scenarios().into_iter().flat_map(|scenario| (scenario.0)(&options.sizes())).collect();
    let count = contenders.len();
    let seconds = plans.iter().map(|plan| plan.estimate(count)).sum::<f64>() + CHECK_SECONDS * count as f64;
    let progress = Progress::new(seconds);
    let contestants = contenders.iter().map(|contender| examine(contender, &progress)).collect::<Result<Vec<_>>>()?;
    let conforming: Vec<Contender> = (contenders.into_iter().zip(&contestants))
        .filter_map(|(contender, contestant)| contestant.objections.is_empty().then_some(contender))
        .collect();
    let mut measured: Vec<Measured> = Vec::new();
    for plan in &plans {
        let result = plan.measure(&conforming, &progress)?;
        progress.print(&report::table(&result));
        measured.push(result);
    }
    progress.finish();
    Ok(Comparison { arguments: words.to_vec(), quick: options.quick, contestants, measured })
}

/// Checks a server before it is measured.
fn examine(contender: &Contender, progress: &Progress) -> Result<Contestant> {
    progress.begin(&format!("conformance, {}", contender.name));
    let server = Server::start(contender)?;
    let rows = conformance::check(server.address, Standard::of(&contender.name));
    progress.end(CHECK_SECONDS);
    let objections: Vec<String> =
        (rows.into_iter()).filter_map(|row| Some(format!("{}: {}", row.what, row.objection?))).collect();
    if !objections.is_empty() {
        progress.print(&format!("{} is not measured:\n  {}\n", contender.name, objections.join("\n  ")));
    }
    let own = servers::ALL.iter().find(|own| own.name == contender.name && contender.is_own());
    let about = own.map_or_else(|| contender.command(), |own| own.about.to_owned());
    Ok(Contestant { name: contender.name.clone(), about, objections })
}
