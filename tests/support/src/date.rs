//! The `Date` field: IMF-fixdate of RFC 9110, 5.6.7.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Longest distance of a date from the clock: servers format it once a second, and a test may read it late.
const SKEW_SECONDS: u64 = 20;

/// Holds that `value` is an IMF-fixdate of about now.
#[track_caller]
pub fn assert_date(value: &str) {
    let seconds = unix_seconds(value).unwrap_or_else(|| panic!("no IMF-fixdate: {value:?}"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970").as_secs();
    assert!(now.abs_diff(seconds) <= SKEW_SECONDS, "Date {value:?} is {seconds}, the clock says {now}");
}

/// Seconds since 1970 of a date like `Sun, 06 Nov 1994 08:49:37 GMT`; `None` for another form or a wrong weekday.
pub fn unix_seconds(value: &str) -> Option<u64> {
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
