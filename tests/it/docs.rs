//! The tables of `docs/`, held against the server: a row for each thing, and no row without one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use smolcast::{Limits, Retention, Server};
use support::{Client, TestServer, config, get, with};

const METRICS: &str = "docs/metrics.md";
const LIMITS: &str = "docs/limits.md";
const RULES: &str = "deploy/prometheus-rules.yml";

/// Prefixes of this server's metrics.
const OWN: [&str; 2] = ["smolcast_", "process_"];

/// The metric behind one name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Family {
    kind: String,
    /// Its labels except `le` of histograms, and the values of labels that are words: `reason`, `reason=lagged`.
    labels: BTreeSet<String>,
}

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The `/metrics` of a server with every feature on.
fn scraped() -> BTreeMap<String, Family> {
    let localhost = SocketAddr::from(([127, 0, 0, 1], 0));
    let history = Some(Retention::default());
    let config = with!(config(Limits::default()), { admin: Some(localhost.into()), history });
    let server = Server::bind(config).expect("a free port");
    let admin = server.admin_address().and_then(|address| address.tcp()).expect("an admin address");
    let _server = TestServer::run(server);
    let response = Client::connect(admin).request(get("/metrics")).expect_status(200);
    families(&String::from_utf8(response.body).expect("metrics are text"))
}

/// The parser of text exposition format 0.0.4.
fn families(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            families.insert(name.to_owned(), Family { kind: kind.to_owned(), ..Family::default() });
        } else if let Some((name, labels)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            let family = families.entry(name.trim_end_matches("_bucket").to_owned()).or_default();
            let (labels, _) = labels.split_once('}').expect("labels end");
            for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
                match (label, value.trim_matches('"')) {
                    ("le", _) => {}
                    ("worker" | "version", _) => drop(family.labels.insert(label.to_owned())),
                    (_, value) => drop(family.labels.insert(format!("{label}={value}"))),
                }
            }
        }
    }
    families
}

/// The cells of all table rows whose first cell is code.
fn rows<'t>(text: &'t str) -> Vec<Vec<&'t str>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &'t str| row.trim_matches('|').split('|').map(str::trim).collect();
    rows.map(cells).collect()
}

/// The spans in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Each row names a metric, its type, and its labels with all their values.
#[test]
fn the_table_of_metrics_is_complete() {
    let text = read(METRICS);
    let mut documented = BTreeMap::new();
    for row in rows(&text) {
        let [name, kind, labels, meaning] = row[..] else { panic!("four cells: {row:?}") };
        let labels = code(labels).map(str::to_owned).collect();
        let before = documented.insert(name.trim_matches('`').to_owned(), Family { kind: kind.to_owned(), labels });
        assert!(before.is_none() && !meaning.is_empty(), "{name} has one row, and a meaning");
    }
    let mut told = scraped();
    assert!(told.len() > 30, "{told:?}");
    if cfg!(not(target_os = "linux")) {
        // Metrics of the process exist only with `/proc`.
        documented.retain(|name, _| !name.starts_with("process_"));
        told.retain(|name, _| !name.starts_with("process_"));
    }
    for (name, family) in &told {
        assert_eq!(documented.get(name), Some(family), "the row of {name} in {METRICS}");
    }
    let unknown: Vec<_> = documented.keys().filter(|name| !told.contains_key(*name)).collect();
    assert!(unknown.is_empty(), "{METRICS} has metrics that are not told: {unknown:?}");
}

/// A query or an alert for a missing metric would be silent forever.
#[test]
fn every_metric_named_in_the_docs_exists() {
    let told = scraped();
    let mut named = 0;
    for path in [METRICS, LIMITS, RULES, "docs/operating.md", "docs/proxies.md", "README.md", "RELIABILITY.md"] {
        let text = read(path);
        for word in text.split(|letter: char| !letter.is_ascii_lowercase() && !matches!(letter, '_' | '0'..='9')) {
            if !OWN.iter().any(|prefix| word.starts_with(prefix)) || (cfg!(not(target_os = "linux"))) {
                continue;
            }
            named += 1;
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
            let is_told = told.contains_key(word)
                || family.and_then(|name| told.get(name)).is_some_and(|family| family.kind == "histogram");
            assert!(is_told, "{path} names {word}, which is no metric");
        }
    }
    assert!(cfg!(not(target_os = "linux")) || named > 60, "{named} names were found");
}

/// Alerts that page an operator need a row that says what to do.
#[test]
fn the_table_of_alerts_is_complete() {
    let (rules, text) = (read(RULES), read(METRICS));
    let there: BTreeSet<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let told = text.lines().filter(|line| line.starts_with("| Smolcast"));
    let told: BTreeSet<_> = told.flat_map(|row| row.split('|').nth(1).unwrap_or_default().trim().split(", ")).collect();
    assert!(there.len() > 5, "{there:?}");
    assert_eq!(told, there, "the alerts of {METRICS}, and those of {RULES}");
}

/// Within the repository: the file exists, and so does the heading.
#[test]
fn every_link_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["", "docs", "fuzz"].map(|folder| fs::read_dir(root.join(folder)).expect("a folder"));
    let files = files.into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let pages: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    let mut links = 0;
    for page in &pages {
        let text = fs::read_to_string(page).expect("pages are UTF-8");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            assert!(target.exists(), "{} links to {link}, which is not there", page.display());
            let text = if heading.is_empty() { String::new() } else { fs::read_to_string(&target).expect("a page") };
            let is_there = text.lines().filter(|line| line.starts_with('#')).any(|line| slug(line) == heading);
            assert!(heading.is_empty() || is_there, "{} links to {link}: no such heading", page.display());
        }
    }
    assert!(pages.len() > 10 && links > 60, "{links} links in {} pages", pages.len());
}

/// A heading's name in links.
fn slug(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// Each row of the table of limits names a field of `Limits` and its default.
#[test]
fn the_table_of_limits_is_complete() {
    let text = read(LIMITS);
    let documented: BTreeMap<_, _> = rows(&text)
        .into_iter()
        .filter(|row| row.len() == 5)
        .map(|row| (row[0].trim_matches('`').to_owned(), row[1].to_owned()))
        .collect();
    let all = format!("{:?}", Limits::default());
    let all = all.strip_prefix("Limits { ").and_then(|rest| rest.strip_suffix(" }")).expect("a struct");
    let all: BTreeMap<_, _> = all
        .split(", ")
        .map(|field| field.split_once(": ").expect("a name and a value"))
        .map(|(name, value)| (name.to_owned(), for_people(name, value)))
        .collect();
    assert!(all.len() > 20, "{all:?}");
    assert_eq!(documented, all, "the rows of {LIMITS}, and what is in force");
}

/// A default as the table writes it.
fn for_people(name: &str, value: &str) -> String {
    let unit = value.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number = &value[..value.len() - unit.len()];
    match number.parse::<usize>() {
        Ok(bytes) if name.ends_with("_bytes") && bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        Ok(bytes) if name.ends_with("_bytes") && bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        Ok(0) if unit == "ns" => "0".to_owned(),
        Ok(number) => format!("{number} {unit}").trim_end().to_owned(),
        Err(_) => value.to_ascii_lowercase(),
    }
}
