//! Flags and environment to a [`Config`]: what was typed, in two steps.
//!
//! [`Args`] is what stands on the command line, over argh. A flag wins over its variable, and a variable over the
//! default. What cannot be understood is one line that names the flag or the variable and says what it takes.

use std::env;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use argh::FromArgs;
use smolcast::{Config, HistoryFile, HistorySync, Retention};

/// Send one message to every open browser tab, now.
///
/// POST /broadcast publishes its body, GET /sse streams what is published as Server-Sent Events, GET /connections
/// counts the open streams.
#[derive(FromArgs)]
#[argh(
    note = "Sizes are in bytes, or with a suffix k or m. Durations are in seconds, or with a suffix ms, s or m.

Each option is also read from the environment, as SMOLCAST_ and its name in capitals (SMOLCAST_MAX_BODY for
--max-body); a flag wins over it.",
    example = "smolcast &\ncurl -N localhost:1942/sse &\ncurl -d hello localhost:1942/broadcast",
    error_code(0, "Ended in order, by SIGTERM or SIGINT."),
    error_code(1, "Could not listen, or failed."),
    error_code(2, "Was told what it does not understand.")
)]
struct Args {
    /// address to listen on (default: 127.0.0.1; whoever reaches it may publish)
    #[argh(option, arg_name = "addr")]
    host: Option<String>,

    /// TCP port to listen on, 0 for any free one (default: 1942)
    #[argh(option, arg_name = "n")]
    port: Option<String>,

    /// worker threads (default: one for each core)
    #[argh(option, arg_name = "n")]
    workers: Option<String>,

    /// longest message (default: 1m)
    #[argh(option, arg_name = "bytes")]
    max_body: Option<String>,

    /// most connections at one time (default: what the limit of open files allows)
    #[argh(option, arg_name = "n")]
    max_connections: Option<String>,

    /// most connections from one IPv4 address or IPv6 /64 (default: no limit)
    #[argh(option, arg_name = "n")]
    max_connections_per_ip: Option<String>,

    /// silence after which a stream gets a comment, 0 for never (default: 15s)
    #[argh(option, arg_name = "time")]
    heartbeat: Option<String>,

    /// host that requests may be for, such as example.com or *.example.com; can be given again (default: any)
    #[argh(option, arg_name = "host")]
    allow_host: Vec<String>,

    /// origin whose pages may publish and read, such as https://example.com or *.example.com; can be given
    /// again (default: any)
    #[argh(option, arg_name = "origin")]
    allow_origin: Vec<String>,

    /// hold so many events for streams that come back, and give each an id; with bytes and an age behind it, as in
    /// 1000,64m,24h (default: none)
    #[argh(option, arg_name = "events")]
    history: Option<String>,

    /// file in which the history outlives the server; without --history it holds 1000,64m,24h (default: none)
    #[argh(option, arg_name = "path")]
    history_file: Option<String>,

    /// when an event is on the disk: always (before its publisher is answered) or interval (a second later)
    /// (default: interval)
    #[argh(option, arg_name = "when")]
    history_sync: Option<String>,

    /// how far a stream may fall behind before it is closed (default: 1m)
    #[argh(option, arg_name = "bytes")]
    max_lag: Option<String>,

    /// how long a write may make no progress before its connection is closed (default: 30s)
    #[argh(option, arg_name = "time")]
    write_timeout: Option<String>,

    /// time for a request's head (default: 10s)
    #[argh(option, arg_name = "time")]
    head_timeout: Option<String>,

    /// time for a request's body (default: 30s)
    #[argh(option, arg_name = "time")]
    body_timeout: Option<String>,

    /// how long a connection may stay idle between two requests (default: 60s)
    #[argh(option, arg_name = "time")]
    idle_timeout: Option<String>,

    /// how long ending in order may take (default: 10s)
    #[argh(option, arg_name = "time")]
    drain: Option<String>,

    /// print the version and exit
    #[argh(switch)]
    version: bool,
}

/// What the program was told to do.
pub(crate) enum Command {
    /// Print this and end.
    Print(String),
    Serve(Box<Config>),
}

/// What was typed wrong, and what is right.
#[derive(Debug)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; see smolcast --help", self.0)
    }
}

/// Reads this process's arguments and environment.
pub(crate) fn parse() -> Result<Command, UsageError> {
    let mut typed = Vec::new();
    for argument in env::args_os().skip(1) {
        let text = argument.into_string().map_err(|odd| UsageError(format!("the argument {odd:?} is not UTF-8")))?;
        typed.push(text);
    }
    let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
    parse_from(&typed, |variable| env::var_os(variable).map(|value| value.to_string_lossy().into_owned()))
}

fn parse_from(typed: &[&str], variable: impl Fn(&str) -> Option<String>) -> Result<Command, UsageError> {
    // argh takes a flag's value as the next argument alone; people type it behind `=` as well.
    let typed: Vec<&str> = typed.iter().flat_map(|argument| flag_and_value(argument)).collect();
    let args = match Args::from_args(&["smolcast"], &typed) {
        Ok(args) => args,
        Err(exit) if exit.status.is_ok() => return Ok(Command::Print(format!("{}\n", exit.output.trim_end()))),
        Err(exit) => return Err(UsageError(one_line(&exit.output))),
    };
    if args.version {
        return Ok(Command::Print(format!("smolcast {}\n", env!("CARGO_PKG_VERSION"))));
    }
    config(args, variable).map(|config| Command::Serve(Box::new(config)))
}

fn flag_and_value(argument: &str) -> impl Iterator<Item = &str> {
    argument.splitn(if argument.starts_with("--") { 2 } else { 1 }, '=')
}

fn config(args: Args, variable: impl Fn(&str) -> Option<String>) -> Result<Config, UsageError> {
    let options = Options { variable };
    let mut config = Config::default();
    let (mut host, mut port) = (IpAddr::from([127, 0, 0, 1]), 1942_u16);
    options.set("host", args.host, HOST, |text| text.parse().ok(), &mut host)?;
    options.set("port", args.port, "a number from 0 to 65535", |text| text.parse().ok(), &mut port)?;
    config.listen = vec![(host, port).into()];
    let workers = |text: &str| worker_count(text).map(Some);
    options.set("workers", args.workers, "a number from 1 to 1024", workers, &mut config.workers)?;
    let heartbeat = |text: &str| duration(text).map(|heartbeat| Some(heartbeat).filter(|time| !time.is_zero()));
    options.set("heartbeat", args.heartbeat, TIME, heartbeat, &mut config.heartbeat)?;

    let history = |text: &str| retention(text).map(Some);
    options.set("history", args.history, HISTORY, history, &mut config.history)?;

    let file = |text: &str| Some(text).filter(|text| !text.is_empty()).map(|text| Some(PathBuf::from(text)));
    let (mut path, mut sync) = (None, None);
    options.set("history-file", args.history_file, "a path", file, &mut path)?;
    options.set(
        "history-sync",
        args.history_sync,
        "always or interval",
        |text| history_sync(text).map(Some),
        &mut sync,
    )?;
    if sync.is_some() && path.is_none() {
        return Err(UsageError("--history-sync says when a file is written: name one with --history-file".into()));
    }
    config.history_file = path.map(|path| HistoryFile { path, sync: sync.unwrap_or_default() });

    let access = &mut config.access;
    options.set("allow-host", joined(&args.allow_host), HOSTS, list, &mut access.hosts)?;
    options.set("allow-origin", joined(&args.allow_origin), ORIGINS, list, &mut access.origins)?;

    let limits = &mut config.limits;
    let connections = |text: &str| text.parse().ok().map(Some);
    options.set("max-connections", args.max_connections, COUNT, connections, &mut limits.connections)?;
    options.set(
        "max-connections-per-ip",
        args.max_connections_per_ip,
        COUNT,
        connections,
        &mut limits.connections_per_ip,
    )?;
    options.set("max-body", args.max_body, SIZE, size, &mut limits.body_bytes)?;
    options.set("max-lag", args.max_lag, SIZE, |text| size(text).filter(|size| *size > 0), &mut limits.window_bytes)?;
    options.set("drain", args.drain, TIME, duration, &mut limits.drain_timeout)?;
    let timeout = |text: &str| duration(text).filter(|time| !time.is_zero());
    options.set("write-timeout", args.write_timeout, SOME_TIME, timeout, &mut limits.write_timeout)?;
    options.set("head-timeout", args.head_timeout, SOME_TIME, timeout, &mut limits.head_timeout)?;
    options.set("body-timeout", args.body_timeout, SOME_TIME, timeout, &mut limits.body_timeout)?;
    options.set("idle-timeout", args.idle_timeout, SOME_TIME, timeout, &mut limits.idle_timeout)?;
    Ok(config)
}

/// A year: what is longer is a slip.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const HOST: &str = "an IP address, such as 127.0.0.1 or ::1";
const HOSTS: &str = "hosts, such as example.com,*.example.com";
const ORIGINS: &str = "origins, such as https://example.com,*.example.com";
const HISTORY: &str = "events, bytes and age, such as 1000 or 1000,64m,24h";
const COUNT: &str = "a number from 1";
const SIZE: &str = "a number of bytes, such as 65536, 64k or 1m";
const TIME: &str = "a time, such as 500ms, 15s or 2m";
const SOME_TIME: &str = "a time above 0, such as 500ms, 15s or 2m";

/// Where options are looked up that were not typed.
struct Options<F> {
    variable: F,
}

impl<F: Fn(&str) -> Option<String>> Options<F> {
    /// Fills `slot` with the option's value, and leaves it as it is where there is none.
    fn set<T>(
        &self,
        flag: &str,
        typed: Option<String>,
        takes: &str,
        read: impl Fn(&str) -> Option<T>,
        slot: &mut T,
    ) -> Result<(), UsageError> {
        let variable = format!("SMOLCAST_{}", flag.replace('-', "_").to_ascii_uppercase());
        let (source, text) = match typed {
            Some(text) => (format!("--{flag}"), text),
            None => match (self.variable)(&variable) {
                Some(text) => (variable, text),
                None => return Ok(()),
            },
        };
        *slot = read(&text).ok_or_else(|| UsageError(format!("{source} takes {takes}, not {text:?}")))?;
        Ok(())
    }
}

/// A flag that was given several times, as its variable would have it.
fn joined(typed: &[String]) -> Option<String> {
    (!typed.is_empty()).then(|| typed.join(","))
}

fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|item| item.trim().parse().ok()).collect()
}

fn worker_count(text: &str) -> Option<NonZeroUsize> {
    text.parse().ok().filter(|workers: &NonZeroUsize| workers.get() <= 1024)
}

/// A number of bytes, in units of 1024 with `k` and of 1024 x 1024 with `m`; no more than can be calculated with.
fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1024 * 1024)),
    };
    let number = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<usize>().ok())??;
    number.checked_mul(unit).filter(|bytes| *bytes <= usize::MAX / 16)
}

fn history_sync(text: &str) -> Option<HistorySync> {
    match text {
        "always" => Some(HistorySync::Always),
        "interval" => Some(HistorySync::Interval),
        _ => None,
    }
}

/// Events, then perhaps bytes, then perhaps an age, all of them some.
fn retention(text: &str) -> Option<Retention> {
    let mut parts = text.split(',').map(str::trim);
    let mut retention = Retention { events: parts.next()?.parse().ok()?, ..Retention::default() };
    if let Some(bytes) = parts.next() {
        retention.bytes = size(bytes)?;
    }
    if let Some(age) = parts.next() {
        retention.age = duration(age)?;
    }
    let is_some = retention.events > 0 && retention.bytes > 0 && !retention.age.is_zero();
    (is_some && parts.next().is_none()).then_some(retention)
}

/// A number of seconds, or of what its suffix says; no more than a year.
fn duration(text: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000)];
    let with_unit = units.into_iter().find_map(|(suffix, millis)| Some((text.strip_suffix(suffix)?, millis)));
    let (digits, millis) = with_unit.unwrap_or((text, 1000));
    let number = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<u32>().ok())??;
    Duration::from_millis(millis).checked_mul(number).filter(|time| *time <= LONGEST_TIME)
}

/// What argh says over several lines, as one.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text.split_whitespace().collect();
    words.join(" ").trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const FLAGS: [&str; 18] = [
        "history-file",
        "history-sync",
        "history",
        "host",
        "port",
        "workers",
        "max-body",
        "max-connections",
        "max-connections-per-ip",
        "heartbeat",
        "max-lag",
        "write-timeout",
        "head-timeout",
        "body-timeout",
        "idle-timeout",
        "drain",
        "allow-host",
        "allow-origin",
    ];

    fn serve(typed: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match parse_from(typed, variable) {
            Ok(Command::Serve(config)) => Ok(*config),
            Ok(Command::Print(text)) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn each_flag_sets_its_number() {
        assert_eq!(serve(&[], &[]), Ok(Config::default()));
        let typed = ["--host", "::1", "--port=0", "--workers", "3", "--max-body", "64k", "--max-connections", "7"];
        let config = serve(&typed, &[]).expect("all are good");
        assert_eq!(config.listen, [(Ipv6Addr::LOCALHOST, 0).into()]);
        assert_eq!(config.workers.map(NonZeroUsize::get), Some(3));
        assert_eq!((config.limits.body_bytes, config.limits.connections.map(NonZeroUsize::get)), (65536, Some(7)));
        assert_eq!(serve(&["--heartbeat", "2"], &[]).map(|config| config.heartbeat), Ok(Some(Duration::from_secs(2))));
        assert_eq!(serve(&["--heartbeat", "0"], &[]).map(|config| config.heartbeat), Ok(None));
    }

    #[test]
    fn a_list_is_one_flag_with_commas_or_several() {
        let hosts = |typed: &[&str]| serve(typed, &[]).map(|config| config.access.hosts);
        let both = hosts(&["--allow-host", "a.example, *.b.example"]);
        assert_eq!(both.as_ref().map(Vec::len), Ok(2));
        assert_eq!(hosts(&["--allow-host=a.example", "--allow-host=*.b.example"]), both);
        let error = hosts(&["--allow-host", "http://a"]).expect_err("no host");
        assert!(error.starts_with("--allow-host takes hosts, such as example.com,*.example.com, not"), "{error}");
    }

    #[test]
    fn each_bound_has_a_flag() {
        let typed = "--max-lag 2m --write-timeout 1s --head-timeout 2 --body-timeout 300ms --idle-timeout 4m --drain 0";
        let limits = serve(&typed.split(' ').collect::<Vec<_>>(), &[]).expect("all are good").limits;
        let times = [limits.write_timeout, limits.head_timeout, limits.body_timeout, limits.idle_timeout];
        assert_eq!(times.map(|time| time.as_millis()), [1000, 2000, 300, 240_000]);
        assert_eq!((limits.window_bytes, limits.drain_timeout), (2 * 1024 * 1024, Duration::ZERO));
    }

    #[test]
    fn a_history_is_events_and_perhaps_bytes_and_an_age() {
        let history = |text: &str| serve(&["--history", text], &[]).map(|config| config.history);
        let all = Retention { events: 7, bytes: 65536, age: Duration::from_secs(7200) };
        assert_eq!(history("7,64k,2h"), Ok(Some(all)));
        assert_eq!(history("7"), Ok(Some(Retention { events: 7, ..Retention::default() })));
        for text in ["", "0", "7,0", "7,1k,0", "7,,", "7,1k,1h,1", "x"] {
            assert!(history(text).is_err(), "{text:?}");
        }
        let file = serve(&["--history-file", "f", "--history-sync", "always"], &[]).map(|config| config.history_file);
        assert_eq!(file, Ok(Some(HistoryFile { path: "f".into(), sync: HistorySync::Always })));
        assert!(serve(&["--history-sync", "always"], &[]).is_err(), "of which file");
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let variables = [("SMOLCAST_PORT", "1"), ("SMOLCAST_MAX_BODY", "2m")];
        let config = serve(&["--port", "2"], &variables).expect("all are good");
        assert_eq!(config.listen, [([127, 0, 0, 1], 2).into()]);
        assert_eq!(config.limits.body_bytes, 2 * 1024 * 1024);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_right() {
        for (typed, expected) in [
            (["--port", "65536"], "--port takes a number from 0 to 65535, not \"65536\"; see smolcast --help"),
            (
                ["--host", "localhost"],
                "--host takes an IP address, such as 127.0.0.1 or ::1, not \"localhost\"; see smolcast --help",
            ),
            (["--workers", "0"], "--workers takes a number from 1 to 1024, not \"0\"; see smolcast --help"),
            (
                ["--max-body", "1x"],
                "--max-body takes a number of bytes, such as 65536, 64k or 1m, not \"1x\"; see smolcast --help",
            ),
            (["--max-connections", "0"], "--max-connections takes a number from 1, not \"0\"; see smolcast --help"),
            (
                ["--heartbeat", "-1"],
                "--heartbeat takes a time, such as 500ms, 15s or 2m, not \"-1\"; see smolcast --help",
            ),
            (
                ["--head-timeout", "0s"],
                "--head-timeout takes a time above 0, such as 500ms, 15s or 2m, not \"0s\"; see smolcast --help",
            ),
        ] {
            assert_eq!(serve(&typed, &[]), Err(expected.to_owned()));
        }
        let variable = serve(&[], &[("SMOLCAST_PORT", "")]);
        assert_eq!(variable, Err("SMOLCAST_PORT takes a number from 0 to 65535, not \"\"; see smolcast --help".into()));
        let unknown = serve(&["--prot", "1"], &[]).expect_err("no such flag");
        assert!(unknown.contains("--prot") && !unknown.contains('\n'), "{unknown:?}");
    }

    #[test]
    fn sizes_have_suffixes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("10", Some(10)),
            ("2k", Some(2048)),
            ("2K", Some(2048)),
            ("1m", Some(1 << 20)),
            ("", None),
            ("k", None),
            ("+1", None),
            ("1kb", None),
            ("1.5m", None),
            ("99999999999999999999", None),
            ("99999999999999999m", None),
        ] {
            assert_eq!(size(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn times_have_suffixes() {
        for (text, milliseconds) in [
            ("0", Some(0)),
            ("15", Some(15_000)),
            ("15s", Some(15_000)),
            ("250ms", Some(250)),
            ("2m", Some(120_000)),
            ("", None),
            ("s", None),
            ("1.5s", None),
            ("-1", None),
            ("+1", None),
            ("1h", Some(3_600_000)),
            ("1d", None),
            ("8761h", None),
            ("9999999999", None),
            ("525601m", None),
        ] {
            assert_eq!(duration(text).map(|time| time.as_millis()), milliseconds, "for {text:?}");
        }
    }

    #[test]
    fn help_names_every_flag_and_each_has_its_variable() {
        let help = serve(&["--help"], &[]).expect_err("help is printed");
        assert!(help.contains("SMOLCAST_MAX_BODY"), "{help}");
        for flag in FLAGS {
            assert!(help.contains(&format!("--{flag} ")), "{flag} in {help}");
            let variable = format!("SMOLCAST_{}", flag.replace('-', "_").to_ascii_uppercase());
            // A question mark is a path; nothing is none.
            let wrong = if flag == "history-file" { "" } else { "?" };
            let error = serve(&[], &[(&variable, wrong)]).expect_err("no option takes that");
            assert!(error.starts_with(&format!("{variable} takes ")), "{error}");
        }
        assert!(help.contains("--version"), "{help}");
        assert_eq!(serve(&["--version"], &[]), Err(format!("smolcast {}\n", env!("CARGO_PKG_VERSION"))));
    }
}
