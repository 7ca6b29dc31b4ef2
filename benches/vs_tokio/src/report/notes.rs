//! The notes of a scenario: failures and warnings.

use crate::figure::Measured;

/// The reasons to doubt the figures of a scenario: failures first, then each warning once.
pub(super) fn notes(measured: &Measured) -> Vec<String> {
    let failures = measured.servers.iter().filter_map(|rounds| {
        let failure = rounds.failure.as_ref()?;
        let after = match rounds.samples.len() {
            0 => "no result".to_owned(),
            1 => "only 1 round".to_owned(),
            count => format!("only {count} rounds"),
        };
        Some(format!("{}: {after}: {failure}", rounds.server))
    });
    let mut notes: Vec<String> = failures.collect();
    for (rounds, sample) in measured.servers.iter().flat_map(|rounds| rounds.samples.iter().map(move |it| (rounds, it)))
    {
        for warning in sample.warnings.iter().map(|warning| format!("{}: {warning}", rounds.server)) {
            if !notes.contains(&warning) {
                notes.push(warning);
            }
        }
    }
    notes
}
