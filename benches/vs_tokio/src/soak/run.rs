//! A soak from the server's start to its end: the phases, in the order in which they have to be, and the checks that
//! each of them makes possible.

use std::io::{BufRead, BufReader};
use std::process::ChildStderr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Options;
use super::check::Check;
use super::course::{Course, Sample, Trend};
use super::healthy;
use super::publishers::{Manner, publish};
use super::stage::{EndOfAll, Faults, Part, Stage};
use super::visitors;
use crate::clock::{MILLISECOND, SECOND, now};
use crate::conformance;
use crate::contender::{Contender, Server};
use crate::crowd::{Crowd, Opening};
use crate::number::grouped;
use crate::process::{CpuCounters, descriptors};
use crate::progress::Progress;
use anyhow::{Error, Result, anyhow, bail, ensure};

const CONNECTS_AT_ONCE: usize = 50;
/// Streams that are opened and closed before anything is counted.
const WARM_UP_STREAMS: usize = 50;
/// For a count, a stream or a descriptor to be as it has to be in the end.
const SETTLE_LIMIT: u64 = 10 * SECOND;
/// For an orderly end: what a server takes at the most that has `--drain` as it is, and a bit.
const END_LIMIT: u64 = 12 * SECOND;
const SAMPLE_INTERVAL: f64 = 1.0;
/// A shorter run has so many samples all the same.
const FEWEST_SAMPLES: f64 = 40.0;
/// Off a terminal, from one line to the next.
const LINE_INTERVAL: f64 = 30.0;

/// The results of a soak.
pub(super) struct Soaked {
    pub(super) server: String,
    pub(super) arguments: Vec<String>,
    pub(super) seed: u64,
    /// The reason of an early end.
    pub(super) cut_short: Option<&'static str>,
    pub(super) samples: Vec<Sample>,
    pub(super) trend: Option<Trend>,
    /// The work done, in words and figures.
    pub(super) figures: Vec<(&'static str, String)>,
    pub(super) checks: Vec<Check>,
}

pub(super) fn soak(options: &Options, words: &[String], asked_to_end: &AtomicBool) -> Result<Soaked> {
    let contender = match &options.server {
        Some(guest) => guest.clone(),
        None => Contender::own("smolcast", options.workers)?,
    };
    eprintln!("{} with --seed {}", contender.name, options.seed);
    let (mut server, errors) = Server::start_apart(&contender)?;
    let said = thread::spawn(move || lines(errors));
    let soaked = against(&mut server, options, asked_to_end);
    // Its standard error ends with it.
    drop(server);
    let said = said.join().map_err(|_| anyhow!("the reader of the server's standard error panicked"))?;
    let mut soaked = soaked.map_err(|failure| anyhow!("{}", with_words(&failure, &said)))?;
    soaked.checks.push(Check::faultless("nothing on its standard error", &said, "no line"));
    soaked.arguments = [&["soak".to_owned()], words].concat();
    Ok(soaked)
}

/// Reads it to its end, or the server would wait for that.
fn lines(errors: ChildStderr) -> Faults {
    let said = Faults::default();
    for line in BufReader::new(errors).split(b'\n').map_while(std::result::Result::ok) {
        said.push(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
    }
    said
}

/// A failure, with what the server said about it.
fn with_words(failure: &Error, said: &Faults) -> String {
    let (_, lines) = said.all();
    lines.iter().fold(format!("{failure:#}"), |text, line| format!("{text}\n  the server said: {line}"))
}

fn against(server: &mut Server, options: &Options, asked_to_end: &AtomicBool) -> Result<Soaked> {
    let base = warm_up(server)?;
    let crowd = Crowd::open(server.address, options.streams, Opening::at_once(CONNECTS_AT_ONCE))?;
    let stage = &Stage::new(server.address, options.seed);
    let began = CpuCounters::of_this_process()?;
    let (mut course, mut checks, mut cut_short) = (Course::begin(server, stage.seconds())?, Vec::new(), None);
    let heard = thread::scope(|scope| {
        let _end = EndOfAll(stage);
        let listening = scope.spawn(|| healthy::listen(stage, crowd, Manner::ALL.len()));
        let interval = Manner::ALL.len() as u64 * SECOND / options.rate;
        let publishers = std::array::from_fn::<_, { Manner::ALL.len() }, _>(|publisher| {
            scope.spawn(move || publish(stage, publisher, Manner::ALL[publisher], interval))
        });
        let visiting = scope.spawn(|| visitors::come_and_go(stage));
        cut_short = watch(server, stage, options, &mut course, asked_to_end)?;
        stage.end(Part::Publishers);
        let accepted: Vec<u64> = publishers.into_iter().map(|one| one.join().unwrap_or_default()).collect();
        stage.end(Part::Visitors);
        if visiting.join().is_err() {
            bail!("those who come and go panicked");
        }
        let published: u64 = accepted.iter().sum();
        let least = || stage.least_heard.load(Ordering::Relaxed);
        settled(least, |least| *least >= published);
        checks.push(count_is("the count, with the healthy streams alone", server, options.streams as u64));
        let least = least();
        stage.end(Part::Healthy);
        let heard = listening.join().map_err(|_| anyhow!("the thread of the healthy streams panicked"))??;
        checks.push(Check::heard(&accepted, &heard, least));
        Ok(published)
    })?;
    let load = CpuCounters::of_this_process()?.since(began).total() / 1e6 / stage.seconds();
    checks.push(count_is("the count, with nobody left", server, 0));
    let trend = Trend::of(&course.samples);
    checks.push(descriptors_are_back(server, base));
    checks.push(Check::memory(trend, options.workers));
    checks.extend(faults(stage, options, heard));
    checks.push(ended(server)?);
    let figures = figures(stage, &course, options, load);
    let samples = course.samples;
    let (server, arguments, seed) = (server.name.clone(), Vec::new(), options.seed);
    Ok(Soaked { server, arguments, seed, cut_short, samples, trend, figures, checks })
}

/// Opens and closes streams; returns the descriptors of the idle server. What a server takes once is no leak.
fn warm_up(server: &mut Server) -> Result<u64> {
    drop(Crowd::open(server.address, WARM_UP_STREAMS, Opening::at_once(CONNECTS_AT_ONCE))?);
    let is_back = count_is("the count, before", server, 0).holds;
    ensure!(is_back, "GET /connections is not 0 after the first streams are closed");
    let processes = server.processes();
    let (mut last, mut same) = (descriptors(&processes)?, 0);
    // The connection that asked may be open for a moment more.
    let count = || {
        let now = descriptors(&processes).unwrap_or_default();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same
    };
    settled(count, |same| *same >= 10);
    server.check_alive()?;
    Ok(last)
}

/// Looks at the server until the time is over; tells why, where it is over before.
fn watch(
    server: &mut Server,
    stage: &Stage,
    options: &Options,
    course: &mut Course,
    asked_to_end: &AtomicBool,
) -> Result<Option<&'static str>> {
    let total = options.time.0;
    let interval = SAMPLE_INTERVAL.min(total / FEWEST_SAMPLES);
    let (progress, mut next_line) = (Progress::new(total), 0.0);
    let cut_short = loop {
        server.check_alive()?;
        let seconds = stage.seconds();
        let sample = course.look(server, seconds)?;
        if asked_to_end.load(Ordering::Relaxed) {
            break Some("ended early, by a signal");
        }
        if seconds >= total {
            break None;
        }
        if progress.is_terminal() || seconds >= next_line {
            next_line += LINE_INTERVAL;
            progress.begin(&state(server, stage, sample));
        }
        let left = interval.min(total - seconds) - (stage.seconds() - seconds);
        thread::sleep(Duration::from_secs_f64(left.max(0.001)));
        progress.end(stage.seconds() - seconds);
    };
    progress.finish();
    Ok(cut_short)
}

/// The state of the run, in a line.
fn state(server: &Server, stage: &Stage, sample: Sample) -> String {
    let (memory, descriptors) = (sample.resident_bytes as f64 / f64::from(1 << 20), sample.descriptors);
    let streams = conformance::count(server.address).map_or("?".to_owned(), |count| count.to_string());
    let messages = grouped(stage.accepted.load(Ordering::Relaxed));
    let faults: u64 = [&stage.healthy, &stage.publishers, &stage.visitors].map(|faults| faults.all().0).iter().sum();
    format!("{memory:.1} MiB, {descriptors} descriptors, {streams} streams, {messages} messages, {faults} faults")
}

/// Waits until a figure is as it should be, but not for ever; returns the last one.
fn settled<T>(mut figure: impl FnMut() -> T, is_good: impl Fn(&T) -> bool) -> T {
    let deadline = now() + SETTLE_LIMIT;
    loop {
        let found = figure();
        if is_good(&found) || now() > deadline {
            return found;
        }
        thread::sleep(Duration::from_nanos(20 * MILLISECOND));
    }
}

fn count_is(what: &'static str, server: &Server, expected: u64) -> Check {
    let count = settled(|| conformance::count(server.address).ok(), |count| *count == Some(expected));
    Check::equal(what, count, expected)
}

fn descriptors_are_back(server: &Server, base: u64) -> Check {
    let processes = server.processes();
    let are_back = |left: &Option<u64>| left.is_some_and(|left| left <= base);
    let left = settled(|| descriptors(&processes).ok(), are_back);
    let figure = format!("{} of {base} before", left.map_or("unknown".to_owned(), |left| left.to_string()));
    Check::new("all descriptors came back", are_back(&left), figure)
}

fn faults(stage: &Stage, options: &Options, published: u64) -> [Check; 3] {
    let (streams, visits) = (options.streams as u64, &stage.visits);
    let messages = format!("{} messages", grouped(published));
    let deliveries = format!("{} deliveries to {streams} streams, {messages}", grouped(published * streams));
    let came = visits.churned.load(Ordering::Relaxed) + visits.hostile.load(Ordering::Relaxed);
    let visits = format!("{} visits", grouped(came));
    [
        Check::faultless("nothing lost, doubled, torn or swapped", &stage.healthy, &deliveries),
        Check::faultless("every message was answered with 202", &stage.publishers, &messages),
        Check::faultless("streams let in and out, the hostile refused", &stage.visitors, &visits),
    ]
}

fn ended(server: &mut Server) -> Result<Check> {
    let asked = now();
    let status = server.terminate(asked + END_LIMIT)?;
    Ok(Check::ended(status, (now() - asked) as f64 / SECOND as f64))
}

fn figures(stage: &Stage, course: &Course, options: &Options, load: f64) -> Vec<(&'static str, String)> {
    let of = |counter: &std::sync::atomic::AtomicU64| grouped(counter.load(Ordering::Relaxed));
    let resident = || course.samples.iter().map(|sample| sample.resident_bytes as f64 / f64::from(1 << 20));
    let (least, most) = (resident().fold(f64::INFINITY, f64::min), resident().fold(0.0, f64::max));
    let descriptors = course.samples.iter().map(|sample| sample.descriptors).max().unwrap_or_default();
    let seconds = course.samples.last().map_or(0.0, |sample| sample.seconds);
    let span = (course.samples.len().max(2) - 1) as f64;
    let cores = course.samples.iter().map(|sample| sample.cores).sum::<f64>() / span;
    let Stage { visits, accepted, .. } = stage;
    vec![
        ("time", format!("{seconds:.0} s")),
        ("messages", format!("{}, {} publishers, 1 B to 32 kB", of(accepted), Manner::ALL.len())),
        ("healthy streams", options.streams.to_string()),
        ("streams that came and went", of(&visits.churned)),
        (
            "slow and stalled streams",
            format!("{} and {}, {} of them cut", of(&visits.slow), of(&visits.stalled), of(&visits.cut)),
        ),
        ("hostile connections", format!("{}, {} of them answered", of(&visits.hostile), of(&visits.refused))),
        ("server's memory", format!("{least:.1} to {most:.1} MiB")),
        ("server's descriptors", format!("{descriptors} at the most")),
        ("CPU", format!("server {cores:.2} cores, load {load:.2} cores")),
    ]
}
