//! Parsers of flag values: numbers, sizes, times, lists. An error is a noun phrase that completes "takes ...".
//!
//! No flag takes an empty value.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use smolcast::{Address, HistorySync, HostPattern, OriginPattern, Retention, Token, TrustedProxy};

use crate::log::Format;

/// A year; a longer time is taken for a typo.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

fn value<T>(parsed: Option<T>, takes: &str) -> Result<T, String> {
    parsed.ok_or_else(|| takes.to_owned())
}

fn list<T: FromStr>(text: &str, takes: &str) -> Result<Vec<T>, String> {
    value(text.split(',').map(|item| item.trim().parse().ok()).collect(), takes)
}

pub(super) fn ip(text: &str) -> Result<IpAddr, String> {
    let address = match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().ok().or_else(|| bracketed(text)),
    };
    value(address, "an IP address, such as 127.0.0.1 or ::1")
}

/// An IPv6 address as in a URL.
fn bracketed(text: &str) -> Option<IpAddr> {
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6)
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    value(text.parse().ok(), "a number from 0 to 65535")
}

pub(super) fn addresses(text: &str) -> Result<Vec<Address>, String> {
    list(text, "addresses, such as 127.0.0.1:1942,[::1]:1942 or unix:/run/smolcast.sock")
}

pub(super) fn admin_address(text: &str) -> Result<Address, String> {
    value(text.parse().ok(), "an address, such as 127.0.0.1:9942 or unix:/run/smolcast/admin.sock")
}

pub(super) fn hosts(text: &str) -> Result<Vec<HostPattern>, String> {
    expect_no_dot(text)?;
    list(text, "hosts, such as example.com,[::1]:1942,*.example.com")
}

pub(super) fn origins(text: &str) -> Result<Vec<OriginPattern>, String> {
    expect_no_dot(text)?;
    list(text, "origins, such as https://example.com,*.example.com")
}

/// Rejects `.example.com`, with the pattern that is meant. Other programs read it so.
fn expect_no_dot(text: &str) -> Result<(), String> {
    let dotted = text.split(',').map(str::trim).find(|item| item.starts_with('.'));
    dotted.map_or(Ok(()), |item| Err(format!("*{item} for the hosts below that name")))
}

pub(super) fn proxies(text: &str) -> Result<Vec<TrustedProxy>, String> {
    list(text, "networks, such as 10.0.0.0/8,fd00::/8, or unix")
}

pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    value((!text.is_empty()).then(|| text.into()), "a path")
}

/// Permissions of a file. 0 is taken for a typo, because no client could connect.
pub(super) fn permissions(text: &str) -> Result<u32, String> {
    let is_octal = text.bytes().all(|octet| matches!(octet, b'0'..=b'7'));
    let mode = is_octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
    let mode = mode.filter(|mode| (1..=0o777).contains(mode));
    value(mode, "permissions in octal from 1 to 777, such as 660")
}

pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    value(text.parse().ok(), "a number from 1")
}

pub(super) fn worker_count(text: &str) -> Result<NonZeroUsize, String> {
    let count = text.parse().ok().filter(|count: &NonZeroUsize| count.get() <= 1024);
    value(count, "a number from 1 to 1024")
}

pub(super) fn size(text: &str) -> Result<usize, String> {
    value(bytes(text), "a number of bytes, such as 65536, 64k or 1m")
}

pub(super) fn positive_size(text: &str) -> Result<usize, String> {
    value(bytes(text).filter(|size| *size > 0), "a number of bytes, such as 65536, 64k or 1m")
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    value(duration(text), "a time, such as 500ms, 15s or 2m")
}

pub(super) fn positive_time(text: &str) -> Result<Duration, String> {
    let time = duration(text).filter(|time| !time.is_zero());
    value(time, "a time above 0, such as 500ms, 15s or 2m")
}

/// A time, or `None` for 0.
pub(super) fn time_or_never(text: &str) -> Result<Option<Duration>, String> {
    time(text).map(|time| Some(time).filter(|time| !time.is_zero()))
}

pub(super) fn history_sync(text: &str) -> Result<HistorySync, String> {
    match text {
        "always" => Ok(HistorySync::Always),
        "interval" => Ok(HistorySync::Interval),
        _ => Err("always or interval".to_owned()),
    }
}

pub(super) fn log_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("text or json".to_owned()),
    }
}

/// A number of events, optionally bytes, and optionally an age, all of them above 0.
pub(super) fn retention(text: &str) -> Result<Retention, String> {
    let parsed = || {
        let mut parts = text.split(',').map(str::trim);
        let mut retention = Retention::default();
        retention.events = parts.next()?.parse().ok()?;
        if let Some(bytes) = parts.next() {
            retention.bytes = positive_size(bytes).ok()?;
        }
        if let Some(age) = parts.next() {
            retention.age = positive_time(age).ok()?;
        }
        (retention.events > 0 && parts.next().is_none()).then_some(retention)
    };
    value(parsed(), "events, bytes and age, such as 1000 or 1000,64m,24h")
}

/// One token or more, because an empty list would let every client publish.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
    let tokens: Option<Vec<_>> = items.map(|item| item.parse().ok()).collect();
    tokens.filter(|tokens| !tokens.is_empty())
}

/// A number of bytes, in units of 1024 with `k`, `m` or `g`, or a longer name of these. The bound keeps later sums from
/// overflow.
fn bytes(text: &str) -> Option<usize> {
    let (digits, unit) = split_unit(text);
    let unit = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    number::<usize>(digits)?.checked_mul(unit).filter(|bytes| *bytes <= usize::MAX / 16)
}

/// A number of seconds, or of the unit behind it, up to a year.
fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = split_unit(text);
    let millis = match unit.as_str() {
        "ms" | "msec" | "millisecond" | "milliseconds" => 1,
        "" | "s" | "sec" | "secs" | "second" | "seconds" => 1000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * 1000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 60 * 60 * 1000,
        "d" | "day" | "days" => 24 * 60 * 60 * 1000,
        _ => return None,
    };
    Duration::from_millis(millis).checked_mul(number(digits)?).filter(|time| *time <= LONGEST_TIME)
}

/// The digits at the start, and the unit behind them in lower case.
fn split_unit(text: &str) -> (&str, String) {
    let text = text.trim();
    let end = text.bytes().position(|octet| !octet.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start().to_ascii_lowercase())
}

/// Reads digits alone: no sign.
fn number<N: FromStr>(digits: &str) -> Option<N> {
    digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal() {
        for (text, expected) in [
            ("660", Some(0o660)),
            ("0660", Some(0o660)),
            ("1", Some(1)),
            ("777", Some(0o777)),
            ("", None),
            ("0", None),
            ("1000", None),
            ("680", None),
            ("+660", None),
            ("0o660", None),
            ("rw-", None),
            ("77777777777777777777", None),
        ] {
            assert_eq!(permissions(text).ok(), expected, "for {text:?}");
        }
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
            ("1kb", Some(1024)),
            ("1mb", Some(1 << 20)),
            ("1MiB", Some(1 << 20)),
            ("1M", Some(1 << 20)),
            ("1g", Some(1 << 30)),
            ("2 GiB", Some(2 << 30)),
            ("7b", Some(7)),
            ("1.5m", None),
            ("1mm", None),
            ("1 k b", None),
            ("99999999999999999999", None),
            ("99999999999999999m", None),
        ] {
            assert_eq!(size(text).ok(), expected, "for {text:?}");
        }
    }

    #[test]
    fn commas_and_line_breaks_separate_tokens() {
        for (text, expected) in [
            ("a", Some(1)),
            ("a,b==\n c \r\n", Some(3)),
            ("\na,,", Some(1)),
            ("", None),
            (" , \n", None),
            ("a b", None),
            ("a,=", None),
            ("# a\nb", None),
        ] {
            assert_eq!(tokens(text).map(|tokens| tokens.len()), expected, "for {text:?}");
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
            ("5sec", Some(5000)),
            ("5 seconds", Some(5000)),
            ("1min", Some(60_000)),
            ("2hours", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("365d", Some(31_536_000_000)),
            ("366d", None),
            ("1w", None),
            ("8761h", None),
            ("9999999999", None),
            ("525601m", None),
        ] {
            assert_eq!(time(text).ok().map(|time| time.as_millis()), milliseconds, "for {text:?}");
        }
    }
}
