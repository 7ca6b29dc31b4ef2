//! Command lines and environments, and the resulting configurations, texts and errors.

mod man;

use std::fs;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use argh::{FlagInfo, FlagInfoKind, Optionality};
use smolcast::{Address, HistoryDir, HistorySync, Retention};

use self::man::described;
use super::env::{flags, settings, variable_of};
use super::*;

fn serve(typed: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
    match parse_from(typed.iter().map(OsString::from), variable) {
        Ok(Command::Serve(setup)) => Ok(setup.config),
        Ok(Command::Print(text)) => Err(text),
        Err(error) => Err(error),
    }
}

#[test]
fn flags_set_numbers() {
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
fn a_trusted_proxy_is_a_network_an_address_or_unix() {
    let proxies = |typed: &[&str]| serve(typed, &[]).map(|config| config.trusted_proxies);
    let all = proxies(&["--trusted-proxy", "10.0.0.0/8, ::1", "--trusted-proxy=unix", "--max-connections-per-ip=1"]);
    let expected = ["10.0.0.0/8", "::1/128", "unix"].map(|text| text.parse().expect("peers"));
    assert_eq!(all.as_deref(), Ok(&expected[..]));
    let error = proxies(&["--trusted-proxy", "10.0.0.0/8,proxy.example"]).expect_err("no name is looked up");
    assert!(error.starts_with("--trusted-proxy takes networks, such as "), "{error}");
    let error = proxies(&["--trusted-proxy", "::1"]).expect_err("there is no limit to hold for them");
    assert!(error.starts_with("--trusted-proxy only affects --max-connections-per-ip: set that"), "{error}");
}

#[test]
fn host_and_port_listen_and_unix_give_the_addresses() {
    let listen = |typed: &str| serve(&typed.split_whitespace().collect::<Vec<_>>(), &[]).map(|config| config.listen);
    let (v4, v6) = (([127, 0, 0, 1], 1942).into(), (Ipv6Addr::LOCALHOST, 80).into());
    let unix = |mode| Address::Unix { path: "/s".into(), mode };
    for (typed, expected) in [
        ("", vec![v4]),
        ("--listen [::1]:80", vec![v6]),
        ("--listen 127.0.0.1:1942,[::1]:80", vec![v4, v6]),
        ("--listen [::1]:80 --listen 127.0.0.1:1942", vec![v6, v4]),
    ] {
        let expected: Vec<Address> = expected.into_iter().map(|address: SocketAddr| address.into()).collect();
        assert_eq!(listen(typed).as_ref(), Ok(&expected), "{typed}");
        // A unix socket replaces the default address, and comes after given ones.
        let beside = if typed.is_empty() { vec![unix(0o660)] } else { [expected, vec![unix(0o660)]].concat() };
        assert_eq!(listen(&format!("--unix /s {typed}")), Ok(beside), "{typed}");
    }
    assert_eq!(listen("--unix /s --port 1942"), Ok(vec![v4.into(), unix(0o660)]));
    assert_eq!(listen("--unix /s --host 127.0.0.1"), Ok(vec![v4.into(), unix(0o660)]));
    assert_eq!(listen("--listen unix:/s --unix-mode 600"), Ok(vec![unix(0o600)]));
    assert_eq!(listen("--listen unix:/s --unix /s --unix-mode 0777"), Ok(vec![unix(0o777); 2]));
    for typed in
        ["--listen example.com:80", "--listen unix:", "--listen [::1]:80,", "--unix=", "--unix-mode 0 --unix /s"]
    {
        assert!(listen(typed).is_err(), "{typed}");
    }
}

#[test]
fn addresses_that_do_not_go_together_are_named_as_they_came() {
    for (typed, variables, expected) in [
        (
            &["--listen", "[::1]:80", "--port", "1"] as &[&str],
            &[] as &[_],
            "--listen takes the place of --port: give one",
        ),
        (&["--listen", "unix:s", "--host", "::1"], &[], "--listen takes the place of --host: give one"),
        (
            &[],
            &[("SMOLCAST_PORT", "1"), ("SMOLCAST_LISTEN", "unix:s")],
            "SMOLCAST_LISTEN takes the place of SMOLCAST_P",
        ),
        (
            &["--listen", "[::1]:80", "--port", "1"],
            &[("SMOLCAST_HOST", "::1")],
            "--listen takes the place of --port: give one",
        ),
        (
            &["--unix", "s"],
            &[("SMOLCAST_HOST", "::1"), ("SMOLCAST_LISTEN", "unix:s")],
            "SMOLCAST_LISTEN takes the place of SMOLCAST_HOST: give one",
        ),
        (&["--host", "::1"], &[("SMOLCAST_LISTEN", "unix:s")], "SMOLCAST_LISTEN takes the place of --host: give one"),
        (&["--unix-mode", "600"], &[], "--unix-mode is for unix sockets: name one with --unix or"),
        (&["--unix=s", "--admin=[::1]:1", "--admin-mode=600"], &[], "--admin-mode is for unix sockets: name one with"),
        (&["--listen", "[::1]:80"], &[("SMOLCAST_UNIX_MODE", "600")], "SMOLCAST_UNIX_MODE is for unix sockets: name"),
    ] {
        let error = serve(typed, variables).expect_err("they do not go together");
        assert!(error.starts_with(expected), "{error}");
    }
}

/// A host in the environment, as in a container's image, once allowed no other address.
#[test]
fn a_typed_address_wins_over_host_and_port_variables() {
    let image = [("SMOLCAST_HOST", "0.0.0.0"), ("SMOLCAST_PORT", "80")];
    let listen = |typed: &[&str], variables: &[_]| serve(typed, variables).map(|config| config.listen);
    let (v4, v6, unix) = (([0, 0, 0, 0], 80).into(), (Ipv6Addr::LOCALHOST, 80).into(), Address::unix("/s"));
    assert_eq!(listen(&["--listen", "[::1]:80"], &image), Ok(vec![v6]));
    assert_eq!(listen(&["--unix", "/s"], &image), Ok(vec![unix.clone()]));
    assert_eq!(listen(&["--unix", "/s", "--port", "80"], &image), Ok(vec![v4, unix.clone()]), "it has a port again");
    let all = [image.as_slice(), &[("SMOLCAST_UNIX", "/s")]].concat();
    assert_eq!(listen(&[], &all), Ok(vec![([0, 0, 0, 0], 80).into(), unix]), "beside, as by flags alone");
}

#[test]
fn a_list_takes_commas_or_repeated_flags() {
    let hosts = |typed: &[&str]| serve(typed, &[]).map(|config| config.access.hosts);
    let both = hosts(&["--allow-host", "a.example, *.b.example"]);
    assert_eq!(both.as_ref().map(Vec::len), Ok(2));
    assert_eq!(hosts(&["--allow-host=a.example", "--allow-host=*.b.example"]), both);
    for wrong in ["http://a", "::1"] {
        let error = hosts(&["--allow-host", wrong]).expect_err("no host");
        let expected = format!("--allow-host takes hosts, such as example.com,[::1]:1942,*.example.com, not {wrong:?}");
        assert!(error.starts_with(&expected), "{error}");
    }
}

/// nginx and others read `.example.com` as a name and all below it.
#[test]
fn a_pattern_with_a_dot_is_refused_with_the_star_meant() {
    for flag in ["--allow-host", "--allow-origin"] {
        let error = serve(&[flag, "a.example, .b.example"], &[]).expect_err("no pattern");
        let expected = format!("{flag} takes *.b.example for the hosts below that name, not \"a.example, .b.example\"");
        assert_eq!(error, format!("{expected}; see smolcast --help"));
    }
}

#[test]
fn addresses_are_understood_as_they_are_typed() {
    let listen = |typed: &[&str]| serve(typed, &[]).map(|config| config.listen);
    let own = || Ok(vec![([127, 0, 0, 1], 1942).into()]);
    for typed in [["--host", "localhost"], ["--listen", ":1942"], ["--listen", "1942"], ["--listen", "localhost:1942"]]
    {
        assert_eq!(listen(&typed), own(), "{typed:?}");
    }
    assert_eq!(listen(&["--host", "[::1]"]), listen(&["--host", "::1"]));
    let admin = serve(&["--admin", "9942"], &[]).map(|config| config.admin);
    assert_eq!(admin, Ok(Some(([127, 0, 0, 1], 9942).into())));
    let origins = |text: &str| serve(&["--allow-origin", text], &[]).map(|config| config.access.origins);
    assert_eq!(origins("https://example.com/"), origins("https://example.com"));
    assert!(origins("https://example.com").is_ok() && origins("https://example.com/a/").is_err());
}

/// Kubernetes sets SMOLCAST_PORT in every pod beside a Service named smolcast.
#[test]
fn a_service_link_loses_against_any_address() {
    let link = ("SMOLCAST_PORT", "tcp://10.0.0.1:1942");
    let listen =
        |typed: &[&str], more: &[(&str, &str)]| serve(typed, &[&[link], more].concat()).map(|config| config.listen);
    assert_eq!(listen(&["--port", "80"], &[]), Ok(vec![([127, 0, 0, 1], 80).into()]));
    assert_eq!(listen(&["--listen", ":80"], &[]), Ok(vec![([127, 0, 0, 1], 80).into()]));
    assert_eq!(listen(&["--unix", "/s"], &[]), Ok(vec![Address::unix("/s")]));
    assert_eq!(listen(&[], &[("SMOLCAST_LISTEN", "80")]), Ok(vec![([127, 0, 0, 1], 80).into()]));
    let alone = listen(&["--host", "::1"], &[]).expect_err("no port");
    assert!(alone.starts_with("SMOLCAST_PORT is \"tcp://10.0.0.1:1942\", which Kubernetes sets"), "{alone}");
    assert!(alone.contains("enableServiceLinks: false") && !alone.contains('\n'), "{alone}");
}

#[test]
fn the_log_has_a_format() {
    let format = |typed: &[&str]| match parse_from(typed.iter().map(OsString::from), |_| None) {
        Ok(Command::Serve(setup)) => Ok(setup.log_format),
        other => Err(other.err()),
    };
    assert_eq!((format(&[]), format(&["--log-format=text"])), (Ok(Format::Text), Ok(Format::Text)));
    assert_eq!(format(&["--log-format", "json"]), Ok(Format::Json));
    assert!(format(&["--log-format", "xml"]).is_err());
}

#[test]
fn tokens_come_by_file_or_variable_and_in_no_message() {
    let variable = "SMOLCAST_PUBLISH_TOKEN";
    let tokens = |typed: &[&str], value: &str| serve(typed, &[(variable, value)]).map(|config| config.access);
    assert_eq!(tokens(&[], "secret,another==").map(|access| access.publish_tokens.len()), Ok(2));
    for wrong in ["", ",", "sec ret", "secret,secret!"] {
        let error = tokens(&[], wrong).expect_err("no tokens");
        assert!(error.starts_with("SMOLCAST_PUBLISH_TOKEN takes one token or more ("), "{error}");
        assert!(!error.contains("sec"), "{error}");
    }
    let both = tokens(&["--publish-token-file", "f"], "secret").expect_err("which of the two");
    let expected = "--publish-token-file and SMOLCAST_PUBLISH_TOKEN both give tokens: give one of the two";
    assert_eq!(both, format!("{expected}; see smolcast --help"));
    let flag = serve(&["--publish-token=secret"], &[]).expect_err("every user would see it");
    assert_eq!(flag, "there is no option --publish-token; see smolcast --help");
    assert!(serve(&["--publish-token-file", "f", "--allow-host-file=f", "--allow-origin-file=f"], &[]).is_ok());
}

#[test]
fn flags_set_limits() {
    let typed = "--max-lag 2m --write-timeout 1s --head-timeout 2 --body-timeout 300ms --idle-timeout 4m --drain 0 \
                 --drain-delay 7s";
    let limits = serve(&typed.split(' ').collect::<Vec<_>>(), &[]).expect("all are good").limits;
    let times = [limits.write_timeout, limits.head_timeout, limits.body_timeout, limits.idle_timeout];
    assert_eq!(times.map(|time| time.as_millis()), [1000, 2000, 300, 240_000]);
    assert_eq!((limits.window_bytes, limits.drain_timeout), (2 * 1024 * 1024, Duration::ZERO));
    assert_eq!(limits.drain_delay, Duration::from_secs(7));
}

#[test]
fn a_history_takes_events_then_bytes_then_an_age() {
    let history = |text: &str| serve(&["--history", text], &[]).map(|config| config.history);
    let mut all = Retention::default();
    (all.events, all.bytes, all.age) = (7, 65536, Duration::from_secs(7200));
    assert_eq!(history("7,64k,2h"), Ok(Some(all)));
    let mut seven = Retention::default();
    seven.events = 7;
    assert_eq!(history("7"), Ok(Some(seven)));
    for text in ["", "0", "7,0", "7,1k,0", "7,,", "7,1k,1h,1", "x"] {
        assert!(history(text).is_err(), "{text:?}");
    }
    let dir = serve(&["--history-dir", "d", "--history-sync", "always"], &[]).map(|config| config.history_dir);
    let mut synced = HistoryDir::new("d");
    synced.sync = HistorySync::Always;
    assert_eq!(dir, Ok(Some(synced)));
    assert!(serve(&["--history-sync", "always"], &[]).is_err(), "of which folder");
}

#[test]
fn an_option_that_is_gone_names_its_successor() {
    let advice = "use --history-dir DIR, a new folder; the events of an old file cannot be read; see smolcast --help";
    for typed in [&["--history-file", "f"][..], &["--history-file=f"]] {
        assert_eq!(serve(typed, &[]), Err(format!("--history-file is gone: {advice}")));
    }
    let set = serve(&[], &[("SMOLCAST_HISTORY_FILE", "f")]);
    assert_eq!(set, Err(format!("SMOLCAST_HISTORY_FILE is gone: {advice}")));
}

#[test]
fn a_flag_wins_over_its_variable() {
    let variables = [("SMOLCAST_PORT", "1"), ("SMOLCAST_MAX_BODY", "2m")];
    let config = serve(&["--port", "2"], &variables).expect("all are good");
    assert_eq!(config.listen, [([127, 0, 0, 1], 2).into()]);
    assert_eq!(config.limits.body_bytes, 2 * 1024 * 1024);
}

#[test]
fn an_error_names_the_flag_and_what_it_takes() {
    for (typed, expected) in [
        (["--port", "65536"], "--port takes a number from 0 to 65535, not \"65536\"; see smolcast --help"),
        (
            ["--host", "example.com"],
            "--host takes an IP address, such as 127.0.0.1 or ::1, not \"example.com\"; see smolcast --help",
        ),
        (["--workers", "0"], "--workers takes a number from 1 to 1024, not \"0\"; see smolcast --help"),
        (
            ["--max-body", "1x"],
            "--max-body takes a number of bytes, such as 65536, 64k or 1m, not \"1x\"; see smolcast --help",
        ),
        (["--max-connections", "0"], "--max-connections takes a number from 1, not \"0\"; see smolcast --help"),
        (["--heartbeat", "-1"], "--heartbeat takes a time, such as 500ms, 15s or 2m, not \"-1\"; see smolcast --help"),
        (
            ["--head-timeout", "0s"],
            "--head-timeout takes a time above 0, such as 500ms, 15s or 2m, not \"0s\"; see smolcast --help",
        ),
    ] {
        assert_eq!(serve(&typed, &[]), Err(expected.to_owned()));
    }
    let variable = serve(&[], &[("SMOLCAST_PORT", "x")]);
    assert_eq!(variable, Err("SMOLCAST_PORT takes a number from 0 to 65535, not \"x\"; see smolcast --help".into()));
    let unknown = serve(&["--prot", "1"], &[]).expect_err("no such flag");
    assert!(unknown.contains("--prot") && !unknown.contains('\n'), "{unknown:?}");
}

/// A description begins with its unit, if any.
#[test]
fn help_fits_80_columns_and_has_every_flag() {
    let help = serve(&["--help"], &[]).expect_err("help is printed");
    for line in help.lines() {
        assert!(line.chars().count() <= 80 && line.trim_end() == line, "{line:?}");
    }
    assert!(help.contains("SMOLCAST_MAX_BODY") && help.contains("SMOLCAST_PUBLISH_TOKEN"), "{help}");
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for flag in flags() {
        let row = format!(" {} {}", flag.long, flag.description);
        assert!(words.contains(&row), "{row:?} in {help}");
        if let FlagInfoKind::Option { arg_name: unit @ ("SIZE" | "TIME") } = flag.kind {
            assert!(flag.description.starts_with(unit), "{} tells its unit", flag.long);
        }
        let is_several = flag.description.contains(". Takes several, by commas or by giving it again [");
        assert_eq!(is_several, flag.optionality == Optionality::Repeating, "{}", flag.long);
    }
}

#[test]
fn every_flag_has_a_variable_and_a_default_and_needs_a_value() {
    assert!(settings().count() >= 27);
    for flag in settings() {
        let variable = variable_of(flag.long);
        assert_eq!(variable, format!("SMOLCAST_{}", flag.long[2..].replace('-', "_").to_ascii_uppercase()));
        assert!(described(flag).1.is_some_and(|default| !default.is_empty()), "{} has a default", flag.long);
        let error = serve(&[flag.long, ""], &[]).expect_err("no option takes that");
        assert!(error.starts_with(&format!("{} takes ", flag.long)) && error.contains(", not \"\"; see "), "{error}");
        let unset = serve(&[], &[(&variable, "")]);
        match flag.long {
            // A secret that is missing must not open the server.
            "--publish-token-file" => assert!(unset.is_err_and(|error| error.contains(" takes a path, not \"\""))),
            _ => assert_eq!(unset, Ok(Config::default()), "{variable} is not set"),
        }
        let error = serve(&[flag.long], &[]).expect_err("a value is missing");
        assert!(error.starts_with(&format!("{} takes ", flag.long)) && error.contains(", and no value "), "{error}");
        // A question mark is a path.
        if !error.contains(" takes a path") {
            let error = serve(&[], &[(&variable, "?")]).expect_err("no option takes that");
            assert!(error.starts_with(&format!("{variable} takes ")), "{error}");
        }
    }
    let version = format!("smolcast {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(serve(&["--version"], &[]), Err(version));
}

/// The help works with a bad value in the environment.
#[test]
fn variables_do_not_affect_printing_flags() {
    let variables = [("SMOLCAST_PORT", "x"), ("SMOLCAST_VERSION", "1"), ("SMOLCAST_COMPLETIONS", "bash")];
    for flags in [&["--help"] as &[_], &["-V"], &["--man"], &["--completions", "fish"]] {
        assert_eq!(serve(flags, &variables), serve(flags, &[]), "{flags:?}");
        assert!(serve(flags, &[]).is_err_and(|text| text.len() > 10));
    }
    assert_eq!(serve(&[], &variables[1..]), Ok(Config::default()), "flags that print have no variable");
}

#[test]
fn short_flags_equal_long_ones() {
    assert_eq!(serve(&["-h"], &[]), serve(&["--help"], &[]));
    assert_eq!(serve(&["--port", "x", "-V"], &[]), serve(&["--version"], &[]));
    assert!(serve(&["--man"], &[]).is_err_and(|page| page.starts_with(".TH SMOLCAST 1 ")));
}

#[test]
fn usage_errors_are_complete() {
    for (typed, expected) in [
        (&["--prot=1"] as &[&str], "there is no option --prot (did you mean --port?); see smolcast --help"),
        (&["--listne=1"], "there is no option --listne (did you mean --listen?); see smolcast --help"),
        (&["--timeout"], "there is no option --timeout; see smolcast --help"),
        (&["--bar"], "there is no option --bar; see smolcast --help"),
        (&["--a\nb"], "there is no option --a\\nb; see smolcast --help"),
        (&["--port", "a\nb"], "--port takes a number from 0 to 65535, not \"a\\nb\"; see smolcast --help"),
        (&["help"], "\"help\" is not an option; see smolcast --help"),
        (&["-x"], "there is no option -x; see smolcast --help"),
        (&["stray"], "\"stray\" is not an option; see smolcast --help"),
        (&["--", "--port"], "\"--port\" is not an option; see smolcast --help"),
        (&["--port=1", "--port", "1"], "--port can be given once; see smolcast --help"),
        (&["--port"], "--port takes a number from 0 to 65535, and no value follows it; see smolcast --help"),
    ] {
        assert_eq!(serve(typed, &[]), Err(expected.to_owned()));
    }
    let alone = serve(&[], &[("SMOLCAST_HISTORY_SYNC", "always")]).expect_err("of which folder");
    assert!(alone.starts_with("SMOLCAST_HISTORY_SYNC needs a history on the disk: "), "{alone}");
}

#[cfg(unix)]
#[test]
fn values_that_are_not_utf8_are_rejected() {
    use std::os::unix::ffi::OsStringExt;

    let odd = OsString::from_vec(b"\xff".to_vec());
    let flags = ["--history-dir".into(), odd.clone()];
    let typed = parse_from(flags.into_iter(), |_| None).err().expect("no text");
    assert_eq!(typed, "\"\\xFF\" is not UTF-8; see smolcast --help");
    let set = parse_from([].into_iter(), |name| (name == "SMOLCAST_HISTORY_DIR").then(|| odd.clone()));
    let set = set.err().expect("no text");
    let secret = parse_from([].into_iter(), |name| (name == "SMOLCAST_PUBLISH_TOKEN").then(|| odd.clone()));
    let secret = secret.err().expect("no text");
    assert!(secret.starts_with("SMOLCAST_PUBLISH_TOKEN takes ") && !secret.contains("xFF"), "{secret}");
    assert_eq!(set, "SMOLCAST_HISTORY_DIR takes UTF-8 text, not \"\\xFF\"; see smolcast --help");
}

/// Covers defaults that are values; the others are words.
#[test]
fn documented_defaults_are_the_defaults() {
    let defaults = settings().filter_map(|flag| Some((flag.long, described(flag).1?)));
    let is_value = |default: &str| default.starts_with(|letter: char| letter.is_ascii_digit());
    // Permissions need a unix socket, and the default has none.
    let values = defaults.filter(|(flag, default)| is_value(default) && !flag.ends_with("-mode"));
    let typed: Vec<_> = values.map(|(flag, default)| format!("{flag}={default}")).collect();
    assert!(typed.len() >= 10, "{typed:?}");
    let typed: Vec<_> = typed.iter().map(String::as_str).collect();
    assert_eq!(serve(&typed, &[]), Ok(Config::default()));
    let unix = |typed: &[&str]| serve(typed, &[]).map(|config| config.listen);
    assert_eq!(unix(&["--unix", "s", "--unix-mode", "660"]), unix(&["--unix", "s"]));
    let admin = |typed: &[&str]| serve(typed, &[]).map(|config| config.admin);
    assert_eq!(admin(&["--admin", "unix:s", "--admin-mode", "660"]), admin(&["--admin", "unix:s"]));
    let dir = |typed: &[&str]| serve(typed, &[]).map(|config| config.history_dir);
    assert_eq!(dir(&["--history-dir", "d", "--history-sync", "interval"]), dir(&["--history-dir", "d"]));
}

/// Each row has the option's value and default.
#[test]
fn the_options_page_has_every_option_and_no_other() {
    let page = fs::read_to_string("docs/options.md").expect("it is there");
    let rows: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    for flag in settings() {
        let FlagInfoKind::Option { arg_name } = flag.kind else { panic!("{} takes a value", flag.long) };
        let start = format!("{} {arg_name}` | ", flag.long);
        let row = rows.iter().find_map(|row| row.strip_prefix(&start)).unwrap_or_else(|| panic!("no row {start:?}"));
        let (default, _) = row.split_once(" | ").expect("three cells");
        assert_eq!(Some(default.trim_matches('`')), described(flag).1, "the default of {}", flag.long);
    }
    let rows = rows.iter().filter(|row| row.starts_with("--")).count();
    assert_eq!(rows, settings().count(), "a row an option");
    let printing = PRINTING.iter().filter(|flag| page.contains(&format!("`{flag}")));
    assert_eq!(printing.count(), PRINTING.len(), "those that print are named");
    expect_options_in(&page);
}

#[test]
fn the_other_pages_name_only_existing_options() {
    for path in ["docs/http.md", "docs/limits.md", "docs/metrics.md"] {
        expect_options_in(&fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
}

/// Asserts that every flag that the prose names exists.
fn expect_options_in(page: &str) {
    // Code blocks hold commands of other programs, with flags of their own.
    let prose: String = page.split("```").step_by(2).collect();
    for named in prose.split("--").skip(1) {
        let flag = named.split(|letter: char| !letter.is_ascii_lowercase() && letter != '-').next().unwrap_or_default();
        // The rule below a table's head is dashes too.
        let is_rule = flag.chars().all(|letter| letter == '-');
        let is_flag = |row: &FlagInfo<'_>| row.long.strip_prefix("--") == Some(flag);
        assert!(is_rule || flags().iter().any(is_flag), "there is no --{flag}");
    }
}
