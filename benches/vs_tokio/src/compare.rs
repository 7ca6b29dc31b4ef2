//! The whole comparison: who conforms, what is measured of those, and what is told of it.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::conformance::{self, Standard};
use crate::contender::{Contender, Server};
use crate::figure::{Comparison, Contestant, Measured};
use crate::goals::goals;
use crate::interrupt;
use crate::options::{Options, typed};
use crate::progress::Progress;
use crate::report::{self, Machine};
use crate::scenario::Plan;
use crate::servers;
use anyhow::{Context, Result};

/// How long the check of one server is thought to take.
const CHECK_SECONDS: f64 = 0.5;

pub(crate) fn main(words: &[String]) -> Result<ExitCode> {
    let options: Options = match typed("cargo run --release -p vs_tokio --", words) {
        Ok(options) => options,
        Err(code) => return Ok(code),
    };
    options.validate()?;
    // Before ten minutes of measuring, not behind them.
    let folder = Path::new(&options.out);
    fs::create_dir_all(folder).context(format!("creating the report's folder {}", folder.display()))?;
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
    let contenders = options.contenders()?;
    let plans: Vec<Plan> = options.scenarios().into_iter().flat_map(|scenario| scenario.plans(options)).collect();
    let count = contenders.len();
    let seconds = plans.iter().map(|plan| plan.estimate(count)).sum::<f64>() + CHECK_SECONDS * count as f64;
    let mut progress = Progress::new(seconds);
    let contestants =
        contenders.iter().map(|contender| examine(contender, &mut progress)).collect::<Result<Vec<_>>>()?;
    let conforming: Vec<Contender> = (contenders.into_iter().zip(&contestants))
        .filter_map(|(contender, contestant)| contestant.objections.is_empty().then_some(contender))
        .collect();
    let mut measured: Vec<Measured> = Vec::new();
    for plan in &plans {
        let result = plan.measure(&conforming, &mut progress)?;
        progress.print(&report::table(&result));
        measured.push(result);
    }
    progress.finish();
    Ok(Comparison { arguments: words.to_vec(), quick: options.quick, contestants, measured })
}

/// Checks a server before it is measured.
fn examine(contender: &Contender, progress: &mut Progress) -> Result<Contestant> {
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
