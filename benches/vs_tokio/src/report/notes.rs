//! The notes of a scenario: failures and warnings.

use crate::figure::{Measured, Rounds};

/// The reasons to doubt the figures of a scenario: failures first, then warnings with their rounds.
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
    failures.chain(measured.servers.iter().flat_map(warnings)).collect()
}

/// Each warning once, with its rounds where it was not in all of them.
fn warnings(rounds: &Rounds) -> Vec<String> {
    let mut warnings: Vec<(&str, Vec<String>)> = Vec::new();
    for (index, sample) in rounds.samples.iter().enumerate() {
        for warning in &sample.warnings {
            let round = (index + 1).to_string();
            match warnings.iter_mut().find(|(known, _)| known == warning) {
                Some((_, rounds)) => rounds.push(round),
                None => warnings.push((warning, vec![round])),
            }
        }
    }
    let tell = |(warning, warned): (&str, Vec<String>)| {
        let which = match warned.len() {
            count if count == rounds.samples.len() => String::new(),
            1 => format!(", round {}", warned[0]),
            _ => format!(", rounds {}", warned.join(", ")),
        };
        format!("{}{which}: {warning}", rounds.server)
    };
    warnings.into_iter().map(tell).collect()
}
