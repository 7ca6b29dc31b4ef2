//! Flags and environment to a [`Config`], by way of argh.
//!
//! [`Args`] is the one table of flags: the parser, the variables, the help, the manual page and the completions come
//! from it. A flag wins over its variable, and a variable over the default. A typed address wins over a host and a port
//! of the environment. An error is one line that names the flag or the variable and says the right values.

mod completions;
mod config;
mod env;
mod service_links;
mod units;

use std::ffi::OsString;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use argh::{ArgsInfo, FromArgs};
use smolcast::{Address, Config, HistorySync, HostPattern, OriginPattern, Retention, TrustedProxy};

use self::env::Given;
use crate::access_files::AccessFiles;
use crate::log::Format;

const NAME: &str = "smolcast";
const SUMMARY: &str = "one message to every open browser tab, now";

#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[OPTION]...",
    description = "A broadcast server: POST /broadcast publishes its body, GET /sse streams what is\n\
                   published as Server-Sent Events, GET /connections counts the open streams.",
    example = "smolcast &",
    example = "curl -N localhost:1942/sse &",
    example = "curl -d hello localhost:1942/broadcast",
    note = "SIZE is a number of bytes, or takes a suffix k, m or g (1024, 1024 x 1024 and\n\
            1024 x 1024 x 1024 bytes), also as kb or KiB. TIME is a number of seconds, or\n\
            takes a suffix ms, s, m, h or d, also as sec or seconds.\n",
    note = "Each option is also read from its variable of the environment, such as\n\
            SMOLCAST_MAX_BODY for --max-body. A flag wins over its variable, and a\n\
            variable over the default; --listen and --unix win over the variables of\n\
            --host and --port too. An empty variable is none, unless it is for tokens.\n",
    note = "SMOLCAST_PUBLISH_TOKEN has the token that a publisher has to show, or several\n\
            with commas or line breaks between them; in place of --publish-token-file. It\n\
            has no flag, because every user of a machine sees its command lines.",
    error_code(0, "Shut down gracefully, by SIGTERM or SIGINT."),
    error_code(1, "Could not listen, or failed."),
    error_code(2, "Cannot understand a flag, a variable, or a file of hosts, origins or tokens.")
)]
struct Args {
    /// IP address to listen on, or localhost. Anyone who can reach it may publish, unless there are tokens
    /// [default: 127.0.0.1]
    #[argh(option, arg_name = "ADDR", from_str_fn(units::ip))]
    host: Option<IpAddr>,
    /// TCP port to listen on, 0 for any free one [default: 1942]
    #[argh(option, arg_name = "N", from_str_fn(units::port))]
    port: Option<u16>,
    /// addresses to listen on instead of --host and --port, such as 127.0.0.1:1942, [::1]:1942 or
    /// unix:/run/smolcast.sock. A port alone is one of 127.0.0.1. Takes several, by commas or by giving it again
    /// [default: host and port]
    #[argh(option, arg_name = "ADDR", from_str_fn(units::addresses))]
    listen: Vec<Vec<Address>>,
    /// unix socket to listen on: instead of a TCP port, or beside it if --host, --port or --listen is given. A socket
    /// that a killed server left is replaced, and the server removes its own at the end [default: none]
    #[argh(option, arg_name = "PATH", from_str_fn(units::path))]
    unix: Option<PathBuf>,
    /// permissions of the sockets of --unix and --listen in octal, as for chmod(1): a client that may write may
    /// connect [default: 660]
    #[argh(option, arg_name = "OCTAL", from_str_fn(units::permissions))]
    unix_mode: Option<u32>,
    /// admin address, IP:PORT, a port of 127.0.0.1, or unix:PATH: /metrics, /healthz, /readyz, and a live page at /.
    /// Anyone who can reach it may publish and disconnect streams [default: none]
    #[argh(option, arg_name = "ADDR", from_str_fn(units::admin_address))]
    admin: Option<Address>,
    /// permissions of the admin address in octal, if that is a unix socket [default: 660]
    #[argh(option, arg_name = "OCTAL", from_str_fn(units::permissions))]
    admin_mode: Option<u32>,
    /// hosts that requests may name, such as example.com, [::1]:1942 or *.example.com; others get 421. Takes several,
    /// by commas or by giving it again [default: any]
    #[argh(option, arg_name = "HOST", from_str_fn(units::hosts))]
    allow_host: Vec<Vec<HostPattern>>,
    /// file with more of these hosts, one a line, and at least one. Blank lines and lines that begin with # are
    /// skipped. The server reads it again on SIGHUP [default: none]
    #[argh(option, arg_name = "PATH", from_str_fn(units::path))]
    allow_host_file: Option<PathBuf>,
    /// origins whose pages may publish and read, such as https://example.com or *.example.com. A publish from others
    /// gets 403, and browsers keep responses from them. Takes several, by commas or by giving it again [default: any]
    #[argh(option, arg_name = "ORIGIN", from_str_fn(units::origins))]
    allow_origin: Vec<Vec<OriginPattern>>,
    /// file with more of these origins, as for hosts [default: none]
    #[argh(option, arg_name = "PATH", from_str_fn(units::path))]
    allow_origin_file: Option<PathBuf>,
    /// file with tokens, one a line, as for hosts. A publisher shows one (Authorization: Bearer TOKEN) or gets 401.
    /// Pages may show one if their origin is listed with --allow-origin [default: none]
    #[argh(option, arg_name = "PATH", from_str_fn(units::path))]
    publish_token_file: Option<PathBuf>,
    /// SIZE of the longest message; a longer one gets 413 [default: 1m]
    #[argh(option, arg_name = "SIZE", from_str_fn(units::size))]
    max_body: Option<usize>,
    /// give each event an id, and keep the last N for clients that reconnect. They take at most SIZE of memory (64m
    /// unless given), topics and ids included, and none is older than TIME (24h unless given) [default: none]
    #[argh(option, arg_name = "N[,SIZE[,TIME]]", from_str_fn(units::retention))]
    history: Option<Retention>,
    /// folder that keeps the history over restarts, which is created if its parent exists. Without --history it holds
    /// 1000,64m,24h [default: none]
    #[argh(option, arg_name = "DIR", from_str_fn(units::path))]
    history_dir: Option<PathBuf>,
    /// time of the sync to disk: always syncs an event before its publisher gets 202, interval within a second
    /// [default: interval]
    #[argh(option, arg_name = "WHEN", from_str_fn(units::history_sync))]
    history_sync: Option<HistorySync>,
    /// TIME of silence before a stream gets a comment, which keeps proxies from closing it; 0 for none
    /// [default: 15s]
    #[argh(option, arg_name = "TIME", from_str_fn(units::time_or_never))]
    heartbeat: Option<Option<Duration>>,
    /// SIZE that a slow stream may lag before it is closed. The slow streams with topics of a worker share 16m
    /// [default: 1m]
    #[argh(option, arg_name = "SIZE", from_str_fn(units::positive_size))]
    max_lag: Option<usize>,
    /// most open connections; a browser's stream beyond them is told to reconnect later [default: what the limit of
    /// open files allows]
    #[argh(option, arg_name = "N", from_str_fn(units::count))]
    max_connections: Option<NonZeroUsize>,
    /// most connections from one IPv4 address, or from one IPv6 /64 [default: no limit]
    #[argh(option, arg_name = "N", from_str_fn(units::count))]
    max_connections_per_ip: Option<NonZeroUsize>,
    /// networks of proxies with a trusted Forwarded or X-Forwarded-For, such as 10.0.0.0/8 or ::1, or unix for all
    /// that connect to a unix socket. --max-connections-per-ip then limits each of their clients, and not the proxies.
    /// Takes several, by commas or by giving it again [default: none]
    #[argh(option, arg_name = "CIDR", from_str_fn(units::proxies))]
    trusted_proxy: Vec<Vec<TrustedProxy>>,
    /// TIME that a request's head may take [default: 10s]
    #[argh(option, arg_name = "TIME", from_str_fn(units::positive_time))]
    head_timeout: Option<Duration>,
    /// TIME that a request's body may take [default: 30s]
    #[argh(option, arg_name = "TIME", from_str_fn(units::positive_time))]
    body_timeout: Option<Duration>,
    /// TIME that a connection may stay idle between two requests [default: 75s]
    #[argh(option, arg_name = "TIME", from_str_fn(units::positive_time))]
    idle_timeout: Option<Duration>,
    /// TIME that a write may make no progress before its connection is closed [default: 30s]
    #[argh(option, arg_name = "TIME", from_str_fn(units::positive_time))]
    write_timeout: Option<Duration>,
    /// number of worker threads [default: one a core]
    #[argh(option, arg_name = "N", from_str_fn(units::worker_count))]
    workers: Option<NonZeroUsize>,
    /// TIME between SIGTERM and a graceful shutdown: /readyz is 503 and everything is served, so that a load balancer
    /// sends its clients elsewhere [default: 0]
    #[argh(option, arg_name = "TIME", from_str_fn(units::time))]
    drain_delay: Option<Duration>,
    /// TIME for a graceful shutdown; connections still open after it are closed [default: 10s]
    #[argh(option, arg_name = "TIME", from_str_fn(units::time))]
    drain: Option<Duration>,
    /// form of the lines on standard error: text, or json, an object a line with time, level and message
    /// [default: text]
    #[argh(option, arg_name = "FORMAT", from_str_fn(units::log_format))]
    log_format: Option<Format>,
    /// print the version
    #[argh(switch, short = 'V')]
    version: bool,
    /// print the manual page
    #[argh(switch)]
    man: bool,
    /// print the completions for a shell: bash, zsh, fish or nushell
    #[argh(option, arg_name = "SHELL", from_str_fn(completions::script))]
    completions: Option<String>,
}

/// The page in roff, which the tests make from [`Args`].
const MANUAL_PAGE: &str = include_str!("../../../../docs/smolcast.1");

/// Flags that print something instead of serving, so they have no variable and no default.
const PRINTING: [&str; 4] = ["--help", "--version", "--man", "--completions"];

/// The program's job.
pub(crate) enum Command {
    /// Print this text and end.
    Print(String),
    /// Serve.
    Serve(Box<Setup>),
}

/// The choices of the operator.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Files to read again on request.
    pub(crate) files: AccessFiles,
    pub(crate) log_format: Format,
    /// Lines about variables that nothing reads.
    pub(crate) warnings: Vec<String>,
}

/// Reads this process's arguments and environment, and the access files that they name.
pub(crate) fn parse() -> Result<Command, String> {
    let mut command = parse_from(std::env::args_os().skip(1), |variable| std::env::var_os(variable))?;
    if let Command::Serve(setup) = &mut command {
        setup.config.access = setup.files.read()?;
        setup.warnings = service_links::warnings(std::env::vars_os());
    }
    Ok(command)
}

fn parse_from(
    arguments: impl Iterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    command(arguments, variable).map_err(|error| format!("{error}; see {NAME} --help"))
}

fn command(
    arguments: impl Iterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, String> {
    let mut given = Given::typed(arguments)?;
    if given.name_of("--help").is_some() {
        return Ok(Command::Print(help()));
    }
    if let Some(text) = given.parse()?.printed() {
        return Ok(Command::Print(text));
    }
    given.add_variables(&variable)?;
    let tokens = env::publish_tokens(&variable)?;
    let args = given.parse()?;
    let log_format = args.log_format.unwrap_or_default();
    let (config, files) = args.into_config(&given, tokens)?;
    Ok(Command::Serve(Box::new(Setup { config, files, log_format, warnings: Vec::new() })))
}

impl Args {
    fn printed(self) -> Option<String> {
        match self {
            Self { version: true, .. } => Some(format!("{NAME} {}\n", env!("CARGO_PKG_VERSION"))),
            Self { man: true, .. } => Some(MANUAL_PAGE.to_owned()),
            Self { completions, .. } => completions,
        }
    }
}

/// argh's help text below a line with the version.
fn help() -> String {
    let help = Args::from_args(&[NAME], &["--help"]).map_or_else(|exit| exit.output, |_| String::new());
    // argh indents the empty lines of notes as well.
    let help = help.replace("\n  \n", "\n\n");
    format!("{NAME} {}: {SUMMARY}\n\n{help}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests;
