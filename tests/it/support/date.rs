//! The `Date` field: IMF-fixdate of RFC 9110, 5.6.7, and the time it names.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// How far a date may be from the clock: it is made once a second, and a test may be slow to look at it.
const SKEW_SECONDS: u64 = 20;

/// Holds `value` to be an IMF-fixdate of about now.
#[track_caller]
pub(crate) fn assert_date(value: &str) {
    let seconds = unix_seconds(value).unwrap_or_else(|| panic!("no IMF-fixdate: {value:?}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
    assert!(now.abs_diff(seconds) <= SKEW_SECONDS, "Date {value:?} is {seconds}, the clock says {now}");
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970, when it is exactly that form and the weekday is right.
fn unix_seconds(value: &str) -> Option<u64> {
    let shape: String = value
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '0'
            } else if c.is_ascii_alphabetic() {
                'a'
            } else {
                c
            }
        })
        .collect();
    if shape != "aaa, 00 aaa 0000 00:00:00 aaa" || !value.ends_with(" GMT") {
        return None;
    }
    let number = |from: usize, to: usize| value[from..to].parse::<u64>().ok();
    let month = MONTHS.iter().position(|name| *name == &value[8..11])? as u64 + 1;
    let days = days_since_1970(number(12, 16)?, month, number(5, 7)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    let right = WEEKDAYS[(days % 7) as usize] == &value[0..3] && hour < 24 && minute < 60 && second <= 60;
    right.then_some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar, by counting years from March.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[test]
fn the_date_reader_reads_the_standards_example_and_refuses_what_is_not_it() {
    assert_eq!(unix_seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
    assert_eq!(unix_seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
    assert_eq!(unix_seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
    for wrong in [
        "Mon, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "",
    ] {
        assert_eq!(unix_seconds(wrong), None, "{wrong:?}");
    }
}
