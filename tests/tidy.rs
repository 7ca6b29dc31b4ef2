//! The shape of the sources, held by a test: rooms, module heads, lengths, and who may use what.
//!
//! The three lines in `src/lib.rs` are the one place where the order of the rooms is written down; this reads it there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const MOST_LINES_IN_A_FILE: usize = 600;
const MOST_LINES_IN_A_FUNCTION: usize = 60;
const MOST_COLUMNS: usize = 120;
const MOST_LETTERS_IN_A_NAME: usize = 60;

const MANIFESTS: [&str; 4] =
    ["Cargo.toml", "benches/vs_tokio/Cargo.toml", "benches/micro/Cargo.toml", "tests/support/Cargo.toml"];

/// Crates that belong to one module, or to these, and what only these do.
const RESERVED: [(&str, &[&str]); 9] = [
    ("arc_swap::", &["auth", "fanout"]),
    ("async_broadcast::", &["hub"]),
    ("httparse::", &["http"]),
    ("subtle::", &["auth"]),
    ("TcpListener", &["net"]),
    ("httpdate::", &["http"]),
    ("argh::", &["args"]),
    ("listenfd::", &["systemd"]),
    ("sd_notify::", &["systemd"]),
];

/// A newcomer's questions: a word of each, and the file that answers it.
const QUESTIONS: [(&str, &str); 8] = [
    ("CORS", "auth/cors.rs"),
    ("403", "auth/mod.rs"),
    ("Backpressure", "hub/budget.rs"),
    ("Graceful shutdown", "server/shutdown.rs"),
    ("Limits on connections", "net/admission.rs"),
    ("Slow subscribers", "fanout/slow.rs"),
    ("event-stream format", "event/frame.rs"),
    ("resume", "connection/subscribe.rs"),
];

/// Calls that values do not make: they wait for no socket, read no clock and start no thread.
const IMPURE: [&str; 6] = ["async_io", "std::net::Tcp", "Instant::now", "SystemTime::now", "Timer::", "thread::"];

struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// The room a file of the library belongs to, or the module of the program: the first part of its path.
    fn module(&self) -> String {
        let path = self.path.strip_prefix("src").expect("a path below src");
        let path = path.strip_prefix("bin/smolcast").unwrap_or(path);
        let first = path.components().next().expect("a file's name").as_os_str().to_string_lossy();
        first.trim_end_matches(".rs").to_owned()
    }

    /// The lines before the tests, without comments.
    fn code(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.lines().take_while(|line| *line != "#[cfg(test)]");
        lines.filter(|line| !line.trim_start().starts_with("//"))
    }
}

fn sources_below(folder: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.expect("an entry can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                sources.push(Source { path, text });
            }
        }
    }
    assert!(!sources.is_empty(), "no sources below {folder}");
    sources
}

/// All Rust files of the project.
fn all_sources() -> Vec<Source> {
    ["src", "tests", "benches", "examples", "fuzz/src", "fuzz/fuzz_targets"]
        .into_iter()
        .filter(|folder| Path::new(folder).exists())
        .flat_map(sources_below)
        .collect()
}

/// The rooms of the library in their order, from the three lines in its documentation that name its layers.
fn rooms() -> Vec<(&'static str, String)> {
    let text = fs::read_to_string("src/lib.rs").expect("the library's root");
    let mut rooms = Vec::new();
    for layer in ["values", "engine", "edge"] {
        let start = format!("//! {layer}: ");
        let line = text.lines().find_map(|line| line.strip_prefix(&start)).unwrap_or_else(|| panic!("no line {layer}"));
        rooms.extend(line.split(' ').map(|name| (layer, name.trim_matches('`').to_owned())));
    }
    rooms
}

#[test]
fn every_room_is_in_the_three_lines() {
    let text = fs::read_to_string("src/lib.rs").expect("the library's root");
    let declared =
        text.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let mut declared: Vec<_> = declared.map(str::to_owned).collect();
    declared.sort();
    // A room that is public under a feature is declared twice.
    declared.dedup();
    let mut listed: Vec<_> = rooms().into_iter().map(|(_, room)| room).collect();
    listed.sort();
    assert_eq!(declared, listed, "the modules of lib.rs and the rooms that its layers name");
}

#[test]
fn a_room_names_only_rooms_before_it() {
    let order: Vec<_> = rooms().into_iter().map(|(_, room)| room).collect();
    let place = |room: &str| order.iter().position(|other| other == room);
    for source in sources_below("src") {
        let user = source.module();
        let Some(here) = place(&user) else { continue };
        for used in source.code().flat_map(modules_named) {
            let is_before = place(used).is_some_and(|there| there <= here);
            assert!(is_before, "{}: {user} names {used}, which is no room before it", source.path.display());
        }
    }
}

/// The modules that a line of code names as `crate::module`.
fn modules_named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
        .filter(|name| !name.is_empty())
}

#[test]
fn reserved_crates_and_types_are_used_by_their_owners_alone() {
    let sources = sources_below("src");
    for (what, owners) in RESERVED {
        let users = sources.iter().filter(|source| source.code().any(|line| line.contains(what)));
        let users: BTreeSet<_> = users.map(Source::module).collect();
        assert_eq!(users, owners.iter().map(|owner| (*owner).to_owned()).collect(), "who uses {what}, and who may");
    }
}

/// The first line of a file says what the file answers.
#[test]
fn newcomers_find_the_file_that_answers_their_question() {
    for (subject, file) in QUESTIONS {
        let text = fs::read_to_string(Path::new("src").join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let head = text.lines().next().unwrap_or_default();
        assert!(head.starts_with("//! ") && head.contains(subject), "{file} does not open with {subject:?}: {head}");
    }
}

#[test]
fn values_are_pure() {
    for source in sources_of("values") {
        for what in IMPURE {
            assert!(!source.code().any(|line| line.contains(what)), "{} uses {what}", source.path.display());
        }
    }
}

#[test]
fn the_engine_names_no_http() {
    for source in sources_of("engine") {
        let names_http = source.code().any(|line| line.contains("crate::http"));
        assert!(!names_http, "{} names http", source.path.display());
    }
}

/// The sources of a layer's rooms.
fn sources_of(layer: &str) -> Vec<Source> {
    let rooms = rooms().into_iter().filter(|(of, _)| *of == layer);
    rooms.flat_map(|(_, room)| sources_below(&format!("src/{room}"))).collect()
}

#[test]
fn every_file_opens_with_its_duty_and_is_short() {
    for source in all_sources() {
        let path = source.path.display();
        assert!(source.text.starts_with("//! "), "{path} does not open with `//!`");
        let lines = source.text.lines().count();
        assert!(lines <= MOST_LINES_IN_A_FILE, "{path} has {lines} lines");
        for (number, line) in source.text.lines().enumerate() {
            assert!(line.chars().count() <= MOST_COLUMNS, "{path}:{} is too wide", number + 1);
        }
    }
}

/// The names of tests are names of functions.
#[test]
fn functions_have_short_names_and_can_be_seen_whole() {
    for source in all_sources() {
        for (name, lines) in functions(&source.text) {
            assert!(lines <= MOST_LINES_IN_A_FUNCTION, "{}: {name} has {lines} lines", source.path.display());
            assert!(name.len() <= MOST_LETTERS_IN_A_NAME, "{}: {name} is too long a name", source.path.display());
        }
    }
}

/// The functions of a formatted file, each with its length: from the line of its `fn` to the brace in the same column.
fn functions(text: &str) -> Vec<(&str, usize)> {
    let lines: Vec<_> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else { continue };
        let closing = format!("{}}}", &line[..indent]);
        let length = lines[start..].iter().position(|line| *line == closing).map_or(1, |length| length + 1);
        let is_one_line = line.ends_with('}') || line.ends_with(';');
        found.push((name, if is_one_line { 1 } else { length }));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split([' ', '(', '<']);
    let is_qualifier = |word: &&str| matches!(*word, "pub" | "crate)" | "super)" | "const" | "async");
    let first = words.find(|word| !is_qualifier(word))?;
    if first == "fn" { words.next() } else { None }
}

#[test]
fn the_measure_of_functions_measures() {
    let text = "\
fn a() {}
pub(crate) async fn b() {
    x
}
impl C {
    fn d(
    ) {
        if x {
        }
    }
}
";
    assert_eq!(functions(text), [("a", 1), ("b", 3), ("d", 5)]);
}

#[test]
fn nothing_is_left_unfinished() {
    let unfinished = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!("));
    for source in all_sources() {
        for what in &unfinished {
            assert!(!source.text.contains(what), "{} has {what}", source.path.display());
        }
    }
    for source in sources_below("src") {
        assert!(!source.code().any(|line| line.contains(".unwrap()")), "{} unwraps", source.path.display());
    }
}

#[test]
fn every_dependency_says_what_it_is_for() {
    for path in MANIFESTS {
        let manifest = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut in_dependencies = false;
        let mut previous = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            } else if in_dependencies && line.contains('=') {
                assert!(previous.starts_with("# "), "{path}: no comment above: {line}");
            }
            previous = line;
        }
    }
}

#[test]
fn no_other_runtime_comes_with_the_server() {
    let lock = fs::read_to_string("Cargo.lock").expect("the lock file");
    let packages: BTreeMap<&str, Vec<&str>> = lock.split("[[package]]").skip(1).map(locked_package).collect();
    let mut reached = vec!["smolcast"];
    let mut looked_at = 0;
    while let Some(package) = reached.get(looked_at) {
        let new: Vec<_> = packages[package].iter().filter(|name| !reached.contains(name)).copied().collect();
        reached.extend(new);
        looked_at += 1;
    }
    assert!(reached.contains(&"smol") && packages.contains_key("tokio"), "the lock file is read as it is");
    for package in ["tokio", "hyper", "axum", "actix-web", "async-std", "criterion"] {
        assert!(!reached.contains(&package), "{package} is a dependency, by way of one of {reached:?}");
    }
}

/// The name of a package in the lock file and those of its dependencies, the ones for its tests too.
fn locked_package(entry: &str) -> (&str, Vec<&str>) {
    fn name_of(line: &str) -> Option<&str> {
        line.split('"').nth(1)?.split(' ').next()
    }
    let name = entry.lines().find(|line| line.starts_with("name = ")).and_then(name_of).expect("a package has a name");
    let dependencies = entry.lines().filter(|line| line.starts_with(" \"")).filter_map(name_of);
    (name, dependencies.collect())
}

/// RELIABILITY.md names a test for each promise.
#[test]
fn every_promise_has_the_test_that_it_names() {
    let text = fs::read_to_string("RELIABILITY.md").expect("it is there");
    let sources: Vec<_> = ["tests", "src"].into_iter().flat_map(sources_below).collect();
    let named = text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"));
    let mut count = 0;
    for (module, test) in named.filter(|(module, _)| *module != "file") {
        let (file, function) = (format!("{module}.rs"), format!("fn {test}() {{"));
        let has_test = |source: &&Source| source.path.ends_with(&file) && source.text.contains(&function);
        assert!(sources.iter().any(|source| has_test(&source)), "there is no test {module}::{test}");
        count += 1;
    }
    assert!(count >= 30, "only {count} tests are named");
}
