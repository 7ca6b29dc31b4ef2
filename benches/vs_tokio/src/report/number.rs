//! Numbers as a person reads them, and what the rounds of a server come to as one.

use crate::figure::{grouped, median};

/// The median of the rounds, and how far apart they lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) middle: f64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

impl Spread {
    /// None where there is no round, or one without a result.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return None;
        }
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { middle: median(values), lowest, highest })
    }

    /// `7.31-7.70` with such a hyphen, or nothing where the two would be written alike.
    pub(super) fn range(&self, decimals: usize, hyphen: &str) -> Option<String> {
        let (lowest, highest) = (fixed(self.lowest, decimals), fixed(self.highest, decimals));
        (lowest != highest).then(|| format!("{lowest}{hyphen}{highest}"))
    }
}

/// With that many decimals, and thousands apart: `19 874`.
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let sign = if value < 0.0 && text.contains(|digit| ('1'..='9').contains(&digit)) { "-" } else { "" };
    format!("{sign}{}{rest}", grouped(whole))
}

/// As many decimals as it takes to tell the smallest of these from the next, which are as many as are usual for their
/// kind or up to two more. What is counted in wholes stays so.
pub(super) fn decimals(usual: usize, spreads: &[Option<Spread>]) -> usize {
    let sizes = spreads.iter().flatten().map(|spread| spread.middle.abs()).filter(|size| *size > 0.0);
    let smallest = sizes.fold(f64::INFINITY, f64::min);
    match usual {
        0 => 0,
        usual => {
            (usual..usual + 2).find(|&decimals| smallest * 10_f64.powi(decimals as i32) >= 9.5).unwrap_or(usual + 2)
        }
    }
}

/// With three digits that say something: `0.83`, `7.56`, `67.5`, `1 204`.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => fixed(value, 0),
        size if size >= 9.995 => fixed(value, 1),
        _ => fixed(value, 2),
    }
}

/// As short as it can be said: `0`, `0.5`, `1 500`.
pub(super) fn shortest(value: f64) -> String {
    let text = fixed(value, 3);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// In thousands or millions: `950`, `50 k`, `1.2 M`.
pub(super) fn rounded(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999_500.0 => (value / 1e6, " M"),
        size if size >= 1_000.0 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let places = match scaled.abs() {
        size if size >= 99.5 => 1.0,
        size if size >= 9.95 => 10.0,
        _ => 100.0,
    };
    format!("{}{unit}", shortest((scaled * places).round() / places))
}

/// Bytes, in the unit that makes them short: `15.6 GiB`.
pub(super) fn binary_bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|&(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

/// The first of a text, where it is longer.
pub(super) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Lines of no more than `width` characters, words whole.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
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
            (significant(0.834), "0.83"),
            (significant(67.46), "67.5"),
            (significant(1_204.0), "1 204"),
            (shortest(0.0), "0"),
            (shortest(0.05), "0.05"),
            (shortest(20_000.0), "20 000"),
            (rounded(950.0), "950"),
            (rounded(50_000.0), "50 k"),
            (rounded(999_900.0), "1 M"),
            (rounded(5_700_000.0), "5.7 M"),
            (rounded(12_340_000.0), "12.3 M"),
            (binary_bytes(16_777_216_000), "15.6 GiB"),
            (binary_bytes(12), "12 B"),
            (shortened("five letters", 5), "five…"),
            (shortened("five", 4), "five"),
            (wrapped("as many  words as fit", 8).join("|"), "as many|words as|fit"),
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
