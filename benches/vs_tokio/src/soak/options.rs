//! The options of a soak.

use std::process;
use std::str::FromStr;

use anyhow::{Result, ensure};
use argh::FromArgs;

use crate::clock::now;
use crate::contender::Contender;
use crate::flags::cores;

/// More would need a descriptor limit, and a pace, that a soak is not about.
const MOST_STREAMS: usize = 4000;
/// A quarter of the messages have a connection each, whose ports rest for a minute.
const MOST_MESSAGES: u64 = 1000;

/// Runs everything at once against one server, and then holds it to what has to be true: no message was lost, doubled,
/// torn or swapped on a healthy stream, the count is exact, memory does not grow, all descriptors come back, nothing
/// was said on standard error, SIGTERM ends it in order. Ctrl-C ends the run early, with all checks done.
#[derive(FromArgs)]
#[argh(example = "{command_name} --time 3m", example = "{command_name} --server mine='/usr/bin/mine --port {{port}}'")]
pub(super) struct Options {
    /// how long, such as 30s or 15m, seconds without a unit; 15m where not given
    #[argh(option, default = "Time(900.0)")]
    pub(super) time: Time,

    /// another server than smolcast, as NAME=COMMAND; it prints `Listening on http://ADDRESS/`, or listens on the
    /// 127.0.0.1 port that `{port}` in its command stands for. Its streams are to end by close, without chunks
    #[argh(option)]
    pub(super) server: Option<Contender>,

    /// healthy streams, 200 where not given
    #[argh(option, default = "200")]
    pub(super) streams: usize,

    /// messages a second, of all publishers together; 200 where not given
    #[argh(option, default = "200")]
    pub(super) rate: u64,

    /// threads of the server; one a core where not given
    #[argh(option, default = "cores()")]
    pub(super) workers: usize,

    /// number that all choices follow from; another one each time where not given
    #[argh(option, default = "now() ^ u64::from(process::id())")]
    pub(super) seed: u64,

    /// folder of the report, target/vs_tokio where not given
    #[argh(option, default = "String::from(\"target/vs_tokio\")")]
    pub(super) out: String,
}

impl Options {
    pub(super) fn validate(&self) -> Result<()> {
        let in_bounds =
            (1..=MOST_STREAMS).contains(&self.streams) && (8..=MOST_MESSAGES).contains(&self.rate) && self.workers > 0;
        ensure!(
            in_bounds,
            "--streams must be between 1 and {MOST_STREAMS}, --rate between 8 and {MOST_MESSAGES}, --workers 1 or more"
        );
        Ok(())
    }
}

/// In seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Time(pub(super) f64);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let seconds = text.parse().ok().or_else(|| Some(humantime::parse_duration(text).ok()?.as_secs_f64()));
        let time = seconds.filter(|seconds| (1.0..=86_400.0).contains(seconds));
        time.map(Self).ok_or_else(|| "expected a time from 1s to 24h, such as 30s or 15m".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("15m", 900.0), ("30s", 30.0), ("3", 3.0), ("1500ms", 1.5), ("2h", 7200.0)] {
            assert_eq!(text.parse(), Ok(Time(seconds)), "{text}");
        }
        for text in ["", "m", "0", "1x", "-3s", "999h", "nan", "inf"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
