//! What the texts of options mean: numbers, sizes, times, lists. `None` where a text means nothing.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use smolcast::{HistorySync, Retention, Token};

/// A year: what is longer is a slip.
const LONGEST_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pub(super) fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|item| item.trim().parse().ok()).collect()
}

/// One token or more: nothing at all would let everybody publish.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
    let tokens: Option<Vec<_>> = items.map(|item| item.parse().ok()).collect();
    tokens.filter(|tokens| !tokens.is_empty())
}

pub(super) fn worker_count(text: &str) -> Option<NonZeroUsize> {
    text.parse().ok().filter(|workers: &NonZeroUsize| workers.get() <= 1024)
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

/// Permissions of a file, in octal; those that let nobody do anything are a slip.
pub(super) fn permissions(text: &str) -> Option<u32> {
    let is_octal = text.bytes().all(|octet| matches!(octet, b'0'..=b'7'));
    let mode = is_octal.then(|| u32::from_str_radix(text, 8).ok())??;
    (1..=0o777).contains(&mode).then_some(mode)
}

/// A number of bytes, in units of 1024 with `k` and of 1024 x 1024 with `m`; no more than can be calculated with.
pub(super) fn size(text: &str) -> Option<usize> {
    let (digits, unit) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix(['m', 'M']).map_or((text, 1), |digits| (digits, 1024 * 1024)),
    };
    let number = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<usize>().ok())??;
    number.checked_mul(unit).filter(|bytes| *bytes <= usize::MAX / 16)
}

pub(super) fn some_size(text: &str) -> Option<usize> {
    size(text).filter(|size| *size > 0)
}

pub(super) fn history_sync(text: &str) -> Option<HistorySync> {
    match text {
        "always" => Some(HistorySync::Always),
        "interval" => Some(HistorySync::Interval),
        _ => None,
    }
}

/// Events, then perhaps bytes, then perhaps an age, all of them some.
pub(super) fn retention(text: &str) -> Option<Retention> {
    let mut parts = text.split(',').map(str::trim);
    let mut retention = Retention { events: parts.next()?.parse().ok()?, ..Retention::default() };
    if let Some(bytes) = parts.next() {
        retention.bytes = some_size(bytes)?;
    }
    if let Some(age) = parts.next() {
        retention.age = some_time(age)?;
    }
    (retention.events > 0 && parts.next().is_none()).then_some(retention)
}

/// A number of seconds, or of what its suffix says; no more than a year.
pub(super) fn time(text: &str) -> Option<Duration> {
    let units = [("ms", 1), ("s", 1000), ("m", 60 * 1000), ("h", 60 * 60 * 1000)];
    let with_unit = units.into_iter().find_map(|(suffix, millis)| Some((text.strip_suffix(suffix)?, millis)));
    let (digits, millis) = with_unit.unwrap_or((text, 1000));
    let number = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse::<u32>().ok())??;
    Duration::from_millis(millis).checked_mul(number).filter(|time| *time <= LONGEST_TIME)
}

pub(super) fn some_time(text: &str) -> Option<Duration> {
    time(text).filter(|time| !time.is_zero())
}

/// A time, or none at all for 0.
pub(super) fn time_or_never(text: &str) -> Option<Option<Duration>> {
    time(text).map(|time| Some(time).filter(|time| !time.is_zero()))
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
            assert_eq!(permissions(text), expected, "for {text:?}");
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
            ("1kb", None),
            ("1.5m", None),
            ("99999999999999999999", None),
            ("99999999999999999m", None),
        ] {
            assert_eq!(size(text), expected, "for {text:?}");
        }
    }

    #[test]
    fn tokens_stand_between_commas_or_line_breaks() {
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
            ("1d", None),
            ("8761h", None),
            ("9999999999", None),
            ("525601m", None),
        ] {
            assert_eq!(time(text).map(|time| time.as_millis()), milliseconds, "for {text:?}");
        }
    }
}
