//! The whole report of a made-up comparison. With `REPORT_SAMPLE=folder` it stays there, to be looked at.

use std::env;
use std::process;

use serde_json::Value;

use super::*;
use crate::figure::Sample;

/// A folder that is removed again, if nobody asked for it.
struct Folder {
    path: PathBuf,
    files: Vec<String>,
}

impl Folder {
    fn of(name: &str, comparison: &Comparison) -> Self {
        let path = match env::var_os("REPORT_SAMPLE") {
            Some(kept) => Path::new(&kept).join(name),
            None => env::temp_dir().join(format!("report-{}-{name}", process::id())),
        };
        let written = write(comparison, &sample::machine(), &path).expect("the folder can be written to");
        let name = |path: &PathBuf| path.file_name().expect("a file").to_string_lossy().into_owned();
        Self { path, files: written.iter().map(name).collect() }
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn plots(&self) -> Vec<&str> {
        self.files.iter().map(String::as_str).filter(|name| name.ends_with(".svg")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if env::var_os("REPORT_SAMPLE").is_none() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// What is wrong with an XML document, as far as its tags and its text show it.
fn flaw(document: &str) -> Option<String> {
    let mut open = Vec::new();
    for part in document.split('<').skip(1) {
        let Some((tag, text)) = part.split_once('>') else { return Some(format!("no end: <{part}")) };
        if text.contains('&') && !["&amp;", "&lt;", "&gt;", "&quot;", "&apos;"].iter().any(|name| text.contains(name)) {
            return Some(format!("a bare ampersand: {text}"));
        }
        if tag.matches('"').count() % 2 == 1 {
            return Some(format!("an open quote: <{tag}>"));
        }
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(name) if open.pop() == Some(name) => (),
            Some(_) => return Some(format!("closed, but not open: <{tag}>")),
            None if tag.ends_with('/') => (),
            None => open.push(name),
        }
    }
    open.pop().map(|name| format!("not closed: <{name}>"))
}

#[test]
fn tables_are_complete_and_aligned() {
    for measured in &sample::comparison().measured {
        let text = table(measured);
        println!("{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 120), "too wide");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for word in measured.figures().into_iter().flat_map(|figure| words(figure.label)) {
            assert!(words(&text).contains(&word), "{word} is missing");
        }
        let blocks: Vec<&str> = text.split("\n\n").skip(1).filter(|block| block.contains('─')).collect();
        for block in &blocks {
            let rows: Vec<&str> = block.lines().skip_while(|line| !line.contains('─')).skip(1).collect();
            assert_eq!(rows.len(), measured.servers.len(), "a row for each server");
            let rows = rows.into_iter().filter(|row| !row.split_whitespace().any(|cell| cell == "-"));
            let points: Vec<_> = rows.map(|row| row.chars().position(|character| character == '.')).collect();
            assert!(points.iter().all(|point| *point == points[0]), "the points are not below each other: {points:?}");
        }
    }
}

#[test]
fn tables_tell_what_failed() {
    let text = table(&sample::comparison().measured[0]);
    assert!(text.contains("! hyper: only 2 rounds: round 3: 17 of 10 000 streams were closed by the server\n"));
    assert!(text.contains("! smol-naive: 6.88 % of the messages were lost\n"));
    let lossy = text.lines().filter(|line| line.starts_with("  smol-naive")).nth(1).expect("a second block");
    assert_eq!(lossy.split_whitespace().skip(1).collect::<Vec<_>>(), ["-", "-", "-", "-"]);
}

#[test]
fn the_json_has_every_raw_figure() {
    let comparison = sample::comparison();
    let folder = Folder::of("json", &comparison);
    let document: Value = serde_json::from_str(&folder.read("report.json")).expect("it is JSON");
    assert_eq!(document["arguments"][3], "node=node server.js");
    assert_eq!(document["machine"]["crates"]["tokio"], "1.47.0");
    assert_eq!(document["contestants"][7]["objections"][0], "no `:ok` within 2 s");
    for (measured, scenario) in comparison.measured.iter().zip(document["measured"].as_array().expect("a list")) {
        assert_eq!(scenario["key"], measured.key.as_str());
        for (rounds, server) in measured.servers.iter().zip(scenario["servers"].as_array().expect("a list")) {
            assert_eq!(server["server"], rounds.server.as_str());
            assert_eq!(server["failure"].as_str(), rounds.failure.as_deref());
            let all = server["rounds"].as_array().expect("a list");
            assert_eq!(all.len(), rounds.samples.len());
            for (sample, round) in rounds.samples.iter().zip(all) {
                assert_round(sample, round);
            }
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
    let folder = Folder::of("page", &comparison);
    assert_eq!(folder.files[..2], ["report.md", "report.json"]);
    let page = folder.read("report.md");
    let links: Vec<&str> = page.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect();
    assert!(links.iter().all(|link| folder.path.join(link).is_file()), "{links:?}");
    assert!(folder.files[1..].iter().all(|file| links.contains(&file.as_str())), "a file that no link leads to");
    assert!(folder.files.iter().all(|file| folder.path.join(file).is_file()));
    for expected in [
        "| smolcast | **5.",
        "## Fanout: 10 000 streams",
        "| latency p99, ms |",
        r"axum \| with &lt;bells> & whistles",
        "- no `:ok` within 2 s",
        "- hyper: only 2 rounds",
        "Example CPU @ 2.00GHz",
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
    let folder = Folder::of("plots", &comparison);
    let expected = [
        "cpu-fanout-10000.svg",
        "latency-fanout-10000.svg",
        "cpu-fanout-100.svg",
        "latency-fanout-100.svg",
        "memory-idle.svg",
        "rates-saturation.svg",
    ];
    assert_eq!(folder.plots(), expected);
    for name in folder.plots() {
        let svg = folder.read(name);
        assert_eq!(flaw(&svg), None, "{name}");
        assert!(svg.contains("@media (prefers-color-scheme: dark)") && !svg.contains("NaN"), "{name}");
        for rounds in &comparison.measured[0].servers {
            assert!(svg.contains(&rounds.server), "{name} without {}", rounds.server);
        }
    }
}

#[test]
fn a_soak_is_a_page_with_its_plot() {
    use crate::soak::{Check, Sample, Soaked, Trend};
    let sample = |second: u32| {
        let (seconds, resident_bytes) = (f64::from(second), (8 << 20) + 1024 * u64::from(second));
        Sample { seconds, resident_bytes, descriptors: 250, cores: 0.2 }
    };
    let check = |holds: bool, faults: &[&str]| {
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        Check { what: "nothing lost", holds, figure: "1 | 2".to_owned(), faults }
    };
    let mut soaked = Soaked {
        server: "smolcast".to_owned(),
        arguments: ["soak", "--time", "10m"].map(str::to_owned).to_vec(),
        seed: 42,
        cut_short: None,
        samples: (0..600).map(sample).collect(),
        trend: Some(Trend { seconds: (300.0, 599.0), bytes: (9e6, 9.3e6) }),
        figures: vec![("messages", "12".to_owned())],
        checks: vec![check(true, &[]), check(false, &["at 3.0 s: stream 7 got `<a>`"])],
    };
    let folder = env::temp_dir().join(format!("report-{}-soak", process::id()));
    fs::create_dir_all(&folder).expect("the folder can be made");
    let written = |soaked: &Soaked| {
        let written = write_soak(soaked, &sample::machine(), &folder).expect("the folder can be written to");
        [0, 1].map(|file| fs::read_to_string(&written[file]).expect("it was written"))
    };
    let [page, svg] = written(&soaked);
    assert!(page.contains("**1 of 2 checks failed.**") && page.contains("- at 3.0 s: stream 7 got `&lt;a>`"), "{page}");
    assert!(page.contains(r"| 1 \| 2 |") && page.contains("-- soak --time 10m --seed 42\n"), "{page}");
    assert!(flaw(&svg).is_none() && svg.contains("minutes") && !svg.contains("NaN"), "{svg}");
    soaked.samples.truncate(1);
    (soaked.trend, soaked.cut_short) = (None, Some("ended early, by a signal"));
    let [page, svg] = written(&soaked);
    assert!(page.contains("The run was ended early, by a signal.") && flaw(&svg).is_none(), "{page}");
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn flaws_are_found() {
    for document in ["<a><b></a>", "<a>", "<a>&</a>", "<a b=\"></a>", "<a", "</a>"] {
        assert!(flaw(document).is_some(), "{document}");
    }
    assert_eq!(flaw("<a b=\"c\"><d/>&lt;e&gt;</a>\n"), None);
}

#[test]
fn nothing_measured_is_a_report_too() {
    let folder = Folder::of("nothing", &sample::nothing());
    assert_eq!(folder.files, ["report.md", "report.json"]);
    assert!(folder.read("report.md").contains("Nothing was measured."));
    let document: Value = serde_json::from_str(&folder.read("report.json")).expect("it is JSON");
    assert_eq!(document["measured"].as_array().map(Vec::len), Some(0));
}

/// One server, no floor, no rounds, no words, and values that no scale has a place for.
#[test]
fn odd_results_break_nothing() {
    static CPU: Figure = Figure { key: "cpu_us_per_delivery", label: "", decimals: 2, by_floor: true };
    static BYTES: Figure = Figure { key: "user_bytes_per_stream", label: "bytes", decimals: 0, by_floor: false };
    let values = [&[][..], &[f64::NAN], &[0.0], &[-5.0, -4.0], &[1e300], &[f64::INFINITY, 1.0]];
    let mut comparison = sample::nothing();
    for (index, values) in values.into_iter().enumerate() {
        let sample = |value: &f64| Sample { figures: vec![(&CPU, *value), (&BYTES, *value)], ..Sample::default() };
        let rounds =
            |server: &str, samples| Rounds { server: server.to_owned(), samples, failure: Some(String::new()) };
        let servers = match index % 2 {
            0 => vec![rounds("a server with quite a name, and <more> of it", values.iter().map(sample).collect())],
            _ => vec![rounds("floor", vec![]), rounds("", values.iter().map(sample).collect())],
        };
        let (key, title) = (format!("fanout-{index}"), String::new());
        comparison.measured.push(Measured { key, title, servers });
    }
    comparison.measured.push(Measured { key: "../x y".to_owned(), title: "|".to_owned(), servers: vec![] });
    for measured in &comparison.measured {
        assert!(!table(measured).contains("NaN"), "{}", table(measured));
    }
    let folder = Folder::of("odd", &comparison);
    assert!(!folder.plots().is_empty());
    for name in folder.plots() {
        assert_eq!(flaw(&folder.read(name)), None, "{name}");
    }
}
