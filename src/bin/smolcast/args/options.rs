//! The table of options: a row for each, and whatever is done with an option or said of it comes from its row. Beside
//! it the secrets, which are told to the program and not typed.
//!
//! The rows of a group stand together, in the order in which they are told. An option more is a row more here, and
//! where no function of [`units`](super::units) understands its text, one more there.

use super::draft::{Draft, set};
use super::units;

/// One option.
pub(super) struct Opt {
    /// The heading it is told under.
    pub(super) group: &'static str,
    /// The flag without its dashes; the variable has the same name, in capitals.
    pub(super) name: &'static str,
    /// What stands for its value.
    pub(super) value: &'static str,
    pub(super) given: Given,
    /// What holds where it is not given, in words where that is no value.
    pub(super) default: &'static str,
    /// What it is for, in a sentence or two.
    pub(super) help: &'static str,
    /// What values are, to end "takes ..." with.
    pub(super) takes: &'static str,
    /// Fills a value in; says whether it was understood.
    pub(super) apply: fn(&mut Draft, &str) -> bool,
}

/// How often an option may stand on the command line.
#[derive(Clone, Copy)]
pub(super) enum Given {
    Once,
    /// Each time with one value, or several with commas between.
    Several,
}

impl Opt {
    pub(super) fn flag(&self) -> String {
        format!("--{}", self.name)
    }

    pub(super) fn variable(&self) -> String {
        format!("SMOLCAST_{}", self.name.replace('-', "_").to_ascii_uppercase())
    }
}

/// What stands in the environment alone, and in no message: everybody on a machine sees its command lines.
pub(super) struct Secret {
    pub(super) variable: &'static str,
    /// As for options.
    pub(super) help: &'static str,
    pub(super) takes: &'static str,
    pub(super) apply: fn(&mut Draft, &str) -> bool,
}

/// The rows by their headings.
pub(super) fn groups() -> impl Iterator<Item = (&'static str, &'static [Opt])> {
    OPTIONS.chunk_by(|one, next| one.group == next.group).map(|rows| (rows[0].group, rows))
}

const LISTENING: &str = "Listening";
const ACCESS: &str = "Access";
const MESSAGES: &str = "Messages and history";
const STREAMS: &str = "Streams";
const CONNECTIONS: &str = "Connections";
const PROCESS: &str = "Process";

const COUNT: &str = "a number from 1";
const SIZE: &str = "a number of bytes, such as 65536, 64k or 1m";
const TIME: &str = "a time, such as 500ms, 15s or 2m";
const SOME_TIME: &str = "a time above 0, such as 500ms, 15s or 2m";

pub(super) static OPTIONS: [Opt; 27] = [
    Opt {
        group: LISTENING,
        name: "host",
        value: "ADDR",
        given: Given::Once,
        default: "127.0.0.1",
        help: "The IP address to listen on. Whoever reaches it may publish, unless there are tokens.",
        takes: "an IP address, such as 127.0.0.1 or ::1",
        apply: |draft, text| set(&mut draft.host, text.parse().ok()),
    },
    Opt {
        group: LISTENING,
        name: "port",
        value: "N",
        given: Given::Once,
        default: "1942",
        help: "The TCP port to listen on, 0 for any free one.",
        takes: "a number from 0 to 65535",
        apply: |draft, text| set(&mut draft.port, text.parse().ok()),
    },
    Opt {
        group: LISTENING,
        name: "listen",
        value: "ADDR",
        given: Given::Several,
        default: "host and port",
        help: "The addresses to listen on, such as 127.0.0.1:1942, [::1]:1942 or unix:/run/smolcast.sock, in the place \
               of --host and --port.",
        takes: "addresses, such as 127.0.0.1:1942,[::1]:1942 or unix:/run/smolcast.sock",
        apply: |draft, text| set(&mut draft.listen, units::list(text)),
    },
    Opt {
        group: LISTENING,
        name: "unix",
        value: "PATH",
        given: Given::Once,
        default: "none",
        help: "The unix socket to listen on: instead of a TCP port, or beside it where --host, --port or --listen is \
               given. One that a killed server left is replaced, and it is removed at the end.",
        takes: "a path",
        apply: |draft, text| set(&mut draft.unix, units::path(text).map(Some)),
    },
    Opt {
        group: LISTENING,
        name: "unix-mode",
        value: "OCTAL",
        given: Given::Once,
        default: "660",
        help: "The permissions of the sockets of --unix and --listen, as for chmod(1): who may write may connect.",
        takes: "permissions in octal from 1 to 777, such as 660",
        apply: |draft, text| set(&mut draft.unix_mode, units::permissions(text).map(Some)),
    },
    Opt {
        group: LISTENING,
        name: "admin",
        value: "ADDR",
        given: Given::Once,
        default: "none",
        help: "The admin address, IP:PORT or unix:PATH: /metrics, /healthz, /readyz, and a live page at /. Whoever \
               reaches it may publish and disconnect streams.",
        takes: "an address, such as 127.0.0.1:9942 or unix:/run/smolcast/admin.sock",
        apply: |draft, text| set(&mut draft.config.admin, text.parse().ok().map(Some)),
    },
    Opt {
        group: LISTENING,
        name: "admin-mode",
        value: "OCTAL",
        given: Given::Once,
        default: "660",
        help: "The same permissions of the admin address, where that is a unix socket.",
        takes: "permissions in octal from 1 to 777, such as 600",
        apply: |draft, text| set(&mut draft.admin_mode, units::permissions(text).map(Some)),
    },
    Opt {
        group: ACCESS,
        name: "allow-host",
        value: "HOST",
        given: Given::Several,
        default: "any",
        help: "The hosts that requests may be for, such as example.com, [::1]:1942 or *.example.com; others get 421.",
        takes: "hosts, such as example.com,[::1]:1942,*.example.com",
        apply: |draft, text| set(&mut draft.config.access.hosts, units::list(text)),
    },
    Opt {
        group: ACCESS,
        name: "allow-host-file",
        value: "PATH",
        given: Given::Once,
        default: "none",
        help: "A file with more of these hosts, one a line, and at least one. Blank lines and lines that begin with # \
               are skipped. SIGHUP has it read anew.",
        takes: "a path",
        apply: |draft, text| set(&mut draft.files.hosts, units::path(text).map(Some)),
    },
    Opt {
        group: ACCESS,
        name: "allow-origin",
        value: "ORIGIN",
        given: Given::Several,
        default: "any",
        help: "The origins whose pages may publish and read, such as https://example.com or *.example.com; a publish \
               of others gets 403, and browsers keep answers from them.",
        takes: "origins, such as https://example.com,*.example.com",
        apply: |draft, text| set(&mut draft.config.access.origins, units::list(text)),
    },
    Opt {
        group: ACCESS,
        name: "allow-origin-file",
        value: "PATH",
        given: Given::Once,
        default: "none",
        help: "A file with more of these origins, as for hosts.",
        takes: "a path",
        apply: |draft, text| set(&mut draft.files.origins, units::path(text).map(Some)),
    },
    Opt {
        group: ACCESS,
        name: "publish-token-file",
        value: "PATH",
        given: Given::Once,
        default: "none",
        help: "A file with tokens, one a line, as for hosts. A publisher shows one (Authorization: Bearer TOKEN) or \
               gets 401. Pages may show one where their origin is listed with --allow-origin.",
        takes: "a path",
        apply: |draft, text| set(&mut draft.files.publish_tokens, units::path(text).map(Some)),
    },
    Opt {
        group: MESSAGES,
        name: "max-body",
        value: "SIZE",
        given: Given::Once,
        default: "1m",
        help: "The longest message; a longer one gets 413.",
        takes: SIZE,
        apply: |draft, text| set(&mut draft.config.limits.body_bytes, units::size(text)),
    },
    Opt {
        group: MESSAGES,
        name: "history",
        value: "N[,SIZE[,TIME]]",
        given: Given::Once,
        default: "none",
        help: "Give each event an id, and hold N of them for streams that come back: in at most SIZE of memory (64m \
               unless given), and none older than TIME (24h unless given).",
        takes: "events, bytes and age, such as 1000 or 1000,64m,24h",
        apply: |draft, text| set(&mut draft.config.history, units::retention(text).map(Some)),
    },
    Opt {
        group: MESSAGES,
        name: "history-file",
        value: "PATH",
        given: Given::Once,
        default: "none",
        help: "The file in which the history outlives the server. Without --history it holds 1000,64m,24h.",
        takes: "a path",
        apply: |draft, text| set(&mut draft.history_path, units::path(text).map(Some)),
    },
    Opt {
        group: MESSAGES,
        name: "history-sync",
        value: "WHEN",
        given: Given::Once,
        default: "interval",
        help: "When an event is on the disk: always, which is before its publisher is answered, or interval, a second \
               later.",
        takes: "always or interval",
        apply: |draft, text| set(&mut draft.history_sync, units::history_sync(text)),
    },
    Opt {
        group: STREAMS,
        name: "heartbeat",
        value: "TIME",
        given: Given::Once,
        default: "15s",
        help: "The silence after which a stream gets a comment, which keeps proxies from closing it; 0 for none.",
        takes: TIME,
        apply: |draft, text| set(&mut draft.config.heartbeat, units::time_or_never(text)),
    },
    Opt {
        group: STREAMS,
        name: "max-lag",
        value: "SIZE",
        given: Given::Once,
        default: "1m",
        help: "How many bytes a stream may fall behind before it is closed; one with topics 16m at most, which all of \
               a worker's share.",
        takes: SIZE,
        apply: |draft, text| set(&mut draft.config.limits.window_bytes, units::some_size(text)),
    },
    Opt {
        group: CONNECTIONS,
        name: "max-connections",
        value: "N",
        given: Given::Once,
        default: "what the limit of open files allows",
        help: "The most connections at one time; a browser's stream beyond them is told to come back.",
        takes: COUNT,
        apply: |draft, text| set(&mut draft.config.limits.connections, text.parse().ok().map(Some)),
    },
    Opt {
        group: CONNECTIONS,
        name: "max-connections-per-ip",
        value: "N",
        given: Given::Once,
        default: "no limit",
        help: "The most connections from one IPv4 address, or from one IPv6 /64.",
        takes: COUNT,
        apply: |draft, text| set(&mut draft.config.limits.connections_per_ip, text.parse().ok().map(Some)),
    },
    Opt {
        group: CONNECTIONS,
        name: "trusted-proxy",
        value: "CIDR",
        given: Given::Several,
        default: "none",
        help: "The networks of proxies whose Forwarded or X-Forwarded-For is believed, such as 10.0.0.0/8 or ::1, or \
               unix for all that connect to a unix socket: --max-connections-per-ip holds for each of their clients, \
               and not for them.",
        takes: "networks, such as 10.0.0.0/8,fd00::/8, or unix",
        apply: |draft, text| set(&mut draft.config.trusted_proxies, units::list(text)),
    },
    Opt {
        group: CONNECTIONS,
        name: "head-timeout",
        value: "TIME",
        given: Given::Once,
        default: "10s",
        help: "How long a request's head may take.",
        takes: SOME_TIME,
        apply: |draft, text| set(&mut draft.config.limits.head_timeout, units::some_time(text)),
    },
    Opt {
        group: CONNECTIONS,
        name: "body-timeout",
        value: "TIME",
        given: Given::Once,
        default: "30s",
        help: "How long a request's body may take.",
        takes: SOME_TIME,
        apply: |draft, text| set(&mut draft.config.limits.body_timeout, units::some_time(text)),
    },
    Opt {
        group: CONNECTIONS,
        name: "idle-timeout",
        value: "TIME",
        given: Given::Once,
        default: "60s",
        help: "How long a connection may stay idle between two requests.",
        takes: SOME_TIME,
        apply: |draft, text| set(&mut draft.config.limits.idle_timeout, units::some_time(text)),
    },
    Opt {
        group: CONNECTIONS,
        name: "write-timeout",
        value: "TIME",
        given: Given::Once,
        default: "30s",
        help: "How long a write may make no progress before its connection is closed.",
        takes: SOME_TIME,
        apply: |draft, text| set(&mut draft.config.limits.write_timeout, units::some_time(text)),
    },
    Opt {
        group: PROCESS,
        name: "workers",
        value: "N",
        given: Given::Once,
        default: "one a core",
        help: "The number of worker threads.",
        takes: "a number from 1 to 1024",
        apply: |draft, text| set(&mut draft.config.workers, units::worker_count(text).map(Some)),
    },
    Opt {
        group: PROCESS,
        name: "drain",
        value: "TIME",
        given: Given::Once,
        default: "10s",
        help: "How long ending in order may take; what is left then is closed as it is.",
        takes: TIME,
        apply: |draft, text| set(&mut draft.config.limits.drain_timeout, units::time(text)),
    },
];

pub(super) static SECRETS: [Secret; 1] = [Secret {
    variable: "SMOLCAST_PUBLISH_TOKEN",
    help: "The token that a publisher has to show, or several, with commas or line breaks between them; in place of \
           --publish-token-file. It has no flag, because everybody on a machine sees its command lines.",
    takes: "one token or more (letters, digits and -._~+/, with = at the end alone), by commas or line breaks",
    apply: |draft, text| set(&mut draft.config.access.publish_tokens, units::tokens(text)),
}];
