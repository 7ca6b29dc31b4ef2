//! Numbers as a person reads them, and the rounds of a server as one number.

use std::fmt::Display;

/// The median of the rounds, and how far apart they lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) middle: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    /// None where there is no round, or one without a result.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { middle: median(values), lowest, highest })
    }

    /// `7.31-7.70` with such a hyphen, or nothing where the two would be written alike.
    pub(crate) fn range(&self, decimals: usize, hyphen: &str) -> Option<String> {
        let (lowest, highest) = (fixed(self.lowest, decimals), fixed(self.highest, decimals));
        (lowest != highest).then(|| format!("{lowest}{hyphen}{highest}"))
    }
}

/// With that many decimals, and thousands apart: `19 874`.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if value < 0.0 && text.contains(|digit| ('1'..='9').contains(&digit)) { "-" } else { "" };
    format!("{sign}{}{rest}", grouped(whole))
}

/// The decimals that tell the smallest of these from the next: the usual number for their kind, or up to two more.
/// A figure that is counted in wholes has none.
pub(crate) fn decimals(usual: usize, spreads: &[Option<Spread>]) -> usize {
    let sizes = spreads.iter().flatten().map(|spread| spread.middle.abs()).filter(|size| *size > 0.0);
    let smallest = sizes.fold(f64::INFINITY, f64::min);
    match usual {
        0 => 0,
        usual => {
            (usual..usual + 2).find(|&decimals| smallest * 10_f64.powi(decimals as i32) >= 9.5).unwrap_or(usual + 2)
        }
    }
}

/// As short as it can be said, for a scale: `0`, `0.5`, `1 500`.
pub(crate) fn shortest(value: f64) -> String {
    fixed(value, 3).trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `10000` as `10 000`.
pub(crate) fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// The median; NaN where there is no value, or one that is none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        _ if sorted.iter().any(|value| value.is_nan()) => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_they_are_read() {
        let cases = [
            (fixed(19_873.6, 0), "19 874"),
            (fixed(3_272.0, 0), "3 272"),
            (fixed(-0.001, 2), "0.00"),
            (fixed(-1_234_567.25, 1), "-1 234 567.2"),
            (fixed(7.559, 2), "7.56"),
            (shortest(0.0), "0"),
            (shortest(0.1 + 0.2), "0.3"),
            (shortest(20_000.0), "20 000"),
        ];
        for (ours, expected) in cases {
            assert_eq!(ours, expected);
        }
    }

    #[test]
    fn small_numbers_get_more_decimals() {
        let of = |usual, values: &[f64]| {
            decimals(usual, &values.iter().map(|&value| Spread::of(&[value])).collect::<Vec<_>>())
        };
        assert_eq!([of(1, &[24.0, 50.0]), of(1, &[0.3, 50.0]), of(1, &[0.03]), of(1, &[0.0003])], [1, 2, 3, 3]);
        assert_eq!([of(0, &[0.4]), of(2, &[0.0, f64::NAN]), of(2, &[])], [0, 2, 2]);
    }

    #[test]
    fn a_spread_needs_a_result_of_every_round() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).expect("three results");
        assert_eq!(spread, Spread { middle: 2.0, lowest: 1.0, highest: 3.0 });
        assert_eq!(spread.range(1, "-").as_deref(), Some("1.0-3.0"));
        assert_eq!(Spread::of(&[1.001, 1.002]).and_then(|spread| spread.range(2, "-")), None);
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[1.0, f64::NAN]), None);
        assert_eq!(Spread::of(&[1.0, f64::INFINITY]), None);
    }
}
