//! The whole report of a made-up comparison.

use roxmltree::Document as Xml;
use serde_json::Value;
use support::Folder;

use super::*;
use crate::figure::{Figure, Rounds, Sample};

/// A written report.
struct Report {
    folder: Folder,
    files: Vec<String>,
}

impl Report {
    fn of(comparison: &Comparison) -> Self {
        let folder = Folder::new();
        let written = write(comparison, &Machine::of_this(), &folder.path("")).expect("the folder can be written to");
        let name = |path: &PathBuf| path.file_name().expect("a file").to_string_lossy().into_owned();
        Self { folder, files: written.iter().map(name).collect() }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn plots(&self) -> Vec<&str> {
        self.files.iter().map(String::as_str).filter(|name| name.ends_with(".svg")).collect()
    }
}

fn nothing() -> Comparison {
    Comparison { arguments: Vec::new(), quick: true, contestants: Vec::new(), measured: Vec::new() }
}

#[test]
fn tables_are_complete_and_fit_a_terminal() {
    for measured in &sample::comparison().measured {
        let text = table(measured);
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "too wide");
        for word in measured.figures().iter().flat_map(|figure| figure.label.split(' ')) {
            assert!(text.contains(word), "{word} is missing");
        }
        let head = text.lines().nth(2).expect("a head");
        assert!(measured.servers.iter().all(|rounds| head.contains(&rounds.server)), "a column for each server");
    }
}

#[test]
fn tables_tell_what_failed() {
    let text = table(&sample::comparison().measured[0]);
    assert!(text.contains("! hyper: only 2 rounds: round 3: 17 of 10 000 streams were closed by the server\n"));
    assert!(text.contains("! smol-naive: 6.88 % of the messages were lost"));
    let lossy = text.lines().find(|line| line.trim_start().starts_with("latency p99")).expect("a row");
    assert!(lossy.trim_end().ends_with(cells::NONE), "smol-naive is the last: {lossy:?}");
}

#[test]
fn the_json_has_every_raw_figure() {
    let comparison = sample::comparison();
    let report = Report::of(&comparison);
    let document: Value = serde_json::from_str(&report.read("report.json")).expect("it is JSON");
    assert_eq!(document["arguments"][3], "node=node server.js");
    assert!(document["machine"]["crates"]["tokio"].is_string());
    assert_eq!(document["contestants"][7]["objections"][0], "no `:ok` within 2 s");
    for (measured, scenario) in comparison.measured.iter().zip(document["measured"].as_array().expect("a list")) {
        assert_eq!(scenario["key"], measured.key.as_str());
        for figure in measured.figures() {
            assert_eq!(scenario["labels"][figure.key], figure.label);
        }
        for (rounds, server) in measured.servers.iter().zip(scenario["servers"].as_array().expect("a list")) {
            assert_eq!(server["server"], rounds.server.as_str());
            assert_eq!(server["failure"].as_str(), rounds.failure.as_deref());
            let all = server["rounds"].as_array().expect("a list");
            assert_eq!(all.len(), rounds.samples.len());
            rounds.samples.iter().zip(all).for_each(|(sample, round)| assert_round(sample, round));
        }
    }
}

fn assert_round(sample: &Sample, round: &Value) {
    for (figure, value) in &sample.figures {
        let found = &round["figures"][figure.key];
        let same = |found: f64| (found - value).abs() <= 1e-12 * value.abs();
        assert!(found.as_f64().map_or(value.is_nan(), same), "{}: {found}, not {value}", figure.key);
    }
    for (step, found) in sample.steps.iter().zip(round["steps"].as_array().expect("a list")) {
        assert!((found["delivered"].as_f64().unwrap_or(0.0) / step.delivered - 1.0).abs() < 1e-12);
        assert_eq!(found["p99_ms"].is_null(), step.p99_ms.is_nan());
    }
    assert_eq!(round["latency"].is_null(), sample.latency.is_none());
    if let Some(latency) = &sample.latency {
        let found = &round["latency"];
        assert_eq!(found["count"].as_u64(), Some(latency.len()));
        let points = found["percentiles"].as_array().expect("a list");
        let [first, last] = [&points[0], &points[points.len() - 1]];
        assert!(points.len() > 40 && first[0].as_f64() == Some(0.0) && last[0].as_f64() == Some(100.0), "{points:?}");
    }
}

#[test]
fn the_page_shows_what_is_there() {
    let comparison = sample::comparison();
    let report = Report::of(&comparison);
    assert_eq!(report.files[..2], ["report.md", "report.json"]);
    let page = report.read("report.md");
    let links: Vec<&str> = page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
    assert!(links.iter().all(|link| report.folder.path(link).is_file()), "{links:?}");
    assert!(report.files[1..].iter().all(|file| links.contains(&file.as_str())), "a file that no link leads to");
    for expected in [
        "| smolcast | **5.",
        "## Fanout: 10 000 streams",
        "| latency p99, ms |",
        r"axum \| with &lt;bells> & whistles",
        "- no `:ok` within 2 s",
        "- hyper: only 2 rounds",
        "## The machine",
        "cargo run --release -p vs_tokio -- --rounds 5 --server 'node=node server.js'",
    ] {
        assert!(page.contains(expected), "{expected} is missing");
    }
    assert!(!page.contains("NaN") && !page.contains("quick run"));
    for table in page.split("\n\n").filter(|part| part.starts_with('|')) {
        let bars = |line: &str| line.matches('|').count() - line.matches(r"\|").count();
        assert!(table.lines().all(|line| bars(line) == bars(table.lines().next().unwrap_or(""))), "{table}");
    }
}

#[test]
fn the_plots_are_drawn_for_light_and_dark() {
    let mut comparison = sample::comparison();
    comparison.measured[0].title.push_str(", <\"&'>");
    let report = Report::of(&comparison);
    let expected = ["cpu-fanout-10000.svg", "latency-fanout-10000.svg", "memory-idle.svg", "rates-saturation.svg"];
    assert_eq!(report.plots(), expected);
    for name in report.plots() {
        let svg = report.read(name);
        Xml::parse(&svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(svg.contains("@media (prefers-color-scheme: dark)") && !svg.contains("NaN"), "{name}");
        for rounds in &comparison.measured[0].servers {
            assert!(svg.contains(&rounds.server), "{name} without {}", rounds.server);
        }
    }
}

#[test]
fn nothing_measured_is_a_report_too() {
    let report = Report::of(&nothing());
    assert_eq!(report.files, ["report.md", "report.json"]);
    assert!(report.read("report.md").contains("Nothing was measured."));
    let document: Value = serde_json::from_str(&report.read("report.json")).expect("it is JSON");
    assert_eq!(document["measured"].as_array().map(Vec::len), Some(0));
}

/// One server, no floor, no rounds, no words, and values that no scale has a place for.
#[test]
fn odd_results_break_nothing() {
    static CPU: Figure = Figure::new("cpu_us_per_delivery", "", 2).and_by_floor();
    static BYTES: Figure = Figure::new("user_bytes_per_stream", "bytes", 0);
    let values = [&[][..], &[f64::NAN], &[0.0], &[-5.0, -4.0], &[1e300], &[f64::INFINITY, 1.0], &[1.0, 3.0]];
    let mut comparison = nothing();
    for (index, values) in values.into_iter().enumerate() {
        let sample = |value: &f64| Sample { figures: vec![(&CPU, *value), (&BYTES, *value)], ..Sample::default() };
        let rounds =
            |server: &str, samples| Rounds { server: server.to_owned(), samples, failure: Some(String::new()) };
        let servers = match index % 2 {
            0 => vec![rounds("a server with quite a name, and <more> of it", values.iter().map(sample).collect())],
            _ => vec![rounds("floor", vec![]), rounds("", values.iter().map(sample).collect())],
        };
        comparison.measured.push(Measured { key: format!("fanout-{index}"), title: String::new(), servers });
    }
    comparison.measured.push(Measured { key: "../x y".to_owned(), title: "|".to_owned(), servers: vec![] });
    for measured in &comparison.measured {
        assert!(!table(measured).contains("NaN"), "{}", table(measured));
    }
    let report = Report::of(&comparison);
    assert!(!report.plots().is_empty());
    for name in report.plots() {
        Xml::parse(&report.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
