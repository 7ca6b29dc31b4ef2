//! The configuration in force, as rows for the live page: each number in the unit in which an operator would type it.
//!
//! It names options by the program's flags. It never holds a secret: it says how many tokens there are, and no token.

use std::num::NonZeroUsize;
use std::time::Duration;

use crate::auth::AccessSettings;
use crate::config::{Address, Config, HistorySync};
use crate::event::json::{self, Object};

/// All options with their values, as a JSON array.
pub(super) fn rows(config: &Config, access: &AccessSettings) -> String {
    let rows = listening(config).into_iter().chain(access_rules(access)).chain(messages(config));
    json::array(rows.chain(limits(config)).map(|(group, name, value, help)| {
        Object::default()
            .with_text("group", group)
            .with_text("name", name)
            .with_text("value", &value)
            .with_text("help", help)
            .end()
    }))
}

/// A group, the name of an option, its value, and its meaning.
type Row = (&'static str, &'static str, String, &'static str);

fn listening(config: &Config) -> Vec<Row> {
    let group = "Listening";
    let mode_of = |address: &Address| match address {
        Address::Unix { mode, .. } => Some(format!("{mode:o}")),
        Address::Tcp(_) => None,
    };
    let modes = config.listen.iter().filter_map(mode_of);
    let admin_mode = config.admin.as_ref().and_then(mode_of);
    vec![
        (group, "--listen", list(&config.listen, "none"), "the addresses to listen on"),
        (group, "--unix-mode", list(modes, "no unix socket"), "the file mode of the unix sockets"),
        (group, "--admin", optional(config.admin.as_ref(), "none"), "this address"),
        (group, "--admin-mode", optional(admin_mode, "no unix socket"), "the file mode of its unix socket"),
    ]
}

fn access_rules(access: &AccessSettings) -> Vec<Row> {
    let group = "Access";
    let tokens = match access.publish_tokens.len() {
        0 => "none: every client may publish".to_owned(),
        1 => "1 token".to_owned(),
        count => format!("{count} tokens"),
    };
    let (hosts, origins) = (list(&access.hosts, "any"), list(&access.origins, "any"));
    vec![
        (group, "--publish-token-file", tokens, "the tokens of publishers; a publish needs one"),
        (group, "--allow-host", hosts, "the hosts that requests may name"),
        (group, "--allow-origin", origins, "the origins whose pages may publish and read"),
    ]
}

fn messages(config: &Config) -> Vec<Row> {
    let group = "Messages and history";
    let history = config.retention();
    let history = history.map(|kept| format!("{}, {}, {}", kept.events, size(kept.bytes), time(kept.age)));
    let dir = config.history_dir.as_ref();
    let path = dir.map(|dir| dir.path.display().to_string());
    let sync = dir.map(|dir| match dir.sync {
        HistorySync::Always => "always",
        HistorySync::Interval => "interval",
    });
    vec![
        (group, "--max-body", size(config.limits.body_bytes), "the longest message"),
        (group, "--history", optional(history, "none"), "the events kept for clients that reconnect"),
        (group, "--history-dir", optional(path, "none"), "the folder in which the history outlives the server"),
        (group, "--history-sync", optional(sync, "-"), "the time at which an event is on the disk"),
    ]
}

fn limits(config: &Config) -> Vec<Row> {
    let (streams, connections, limits) = ("Streams", "Connections", &config.limits);
    let heartbeat = optional(config.heartbeat.map(time), "none");
    let count = |limit: Option<NonZeroUsize>, without: &str| optional(limit.map(NonZeroUsize::get), without);
    let open_files = count(limits.connections, "as many as the limit of open files allows");
    let per_ip = count(limits.connections_per_ip, "no limit");
    let (workers, proxies) = (count(config.workers, "one per core"), list(&config.trusted_proxies, "none"));
    vec![
        (streams, "--heartbeat", heartbeat, "the idle time after which a stream gets a comment"),
        (streams, "--max-lag", size(limits.window_bytes), "the most that a slow stream may lag, or else it ends"),
        (streams, "--write-timeout", time(limits.write_timeout), "the longest time in which a client takes nothing"),
        (connections, "--max-connections", open_files, "the most connections at one time"),
        (connections, "--max-connections-per-ip", per_ip, "the most connections from one address"),
        (connections, "--trusted-proxy", proxies, "the proxies that may say which client a connection is for"),
        (connections, "--head-timeout", time(limits.head_timeout), "the longest time for the head of a request"),
        (connections, "--body-timeout", time(limits.body_timeout), "the longest time for the body of a request"),
        (connections, "--idle-timeout", time(limits.idle_timeout), "the longest time between two requests"),
        ("Process", "--workers", workers, "the number of worker threads"),
        ("Process", "--drain-delay", time(limits.drain_delay), "the time between the signal and the shutdown"),
        ("Process", "--drain", time(limits.drain_timeout), "the grace period of a shutdown"),
    ]
}

fn optional(value: Option<impl ToString>, without: &str) -> String {
    value.map_or_else(|| without.to_owned(), |value| value.to_string())
}

fn list(items: impl IntoIterator<Item = impl ToString>, without: &str) -> String {
    let items: Vec<_> = items.into_iter().map(|item| item.to_string()).collect();
    if items.is_empty() { without.to_owned() } else { items.join(", ") }
}

/// A number of bytes, in the largest unit that needs no fraction.
fn size(bytes: usize) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.into_iter().find(|(unit, _)| bytes >= *unit && bytes % unit == 0);
    whole.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// A time, in the largest unit that needs no fraction.
fn time(time: Duration) -> String {
    let millis = time.as_millis();
    let units = [(3_600_000, "h"), (60_000, "min"), (1000, "s")];
    let whole = units.into_iter().find(|(unit, _)| millis >= *unit && millis % unit == 0);
    whole.map_or_else(|| format!("{millis} ms"), |(unit, name)| format!("{} {name}", millis / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_largest_whole_unit() {
        for (bytes, expected) in [(0, "0 B"), (1000, "1000 B"), (1024, "1 KiB"), (3 << 20, "3 MiB"), (5 << 30, "5 GiB")]
        {
            assert_eq!(size(bytes), expected);
        }
        for (millis, expected) in
            [(0, "0 ms"), (1500, "1500 ms"), (15_000, "15 s"), (120_000, "2 min"), (86_400_000, "24 h")]
        {
            assert_eq!(time(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn no_token_is_shown() {
        let tokens = vec!["secret1".parse().expect("a token"), "secret2".parse().expect("a token")];
        let access = AccessSettings { publish_tokens: tokens, ..AccessSettings::default() };
        let rows = rows(&Config::default(), &access);
        assert!(rows.contains(r#""name":"--publish-token-file","value":"2 tokens""#), "{rows}");
        assert!(!rows.contains("secret"), "{rows}");
    }
}
