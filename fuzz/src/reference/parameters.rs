//! Names of parameters: the known ones, and those that are too near to a known one to be meant for another program.

use super::query;

const OF_PUBLISH: [&str; 4] = ["event", "id", "retry", "topic"];
const OF_STREAM: [&str; 6] = ["topic", "slow", "last_event_id", "lastEventId", "lastEventID", "evs_last_event_id"];
const OF_COUNT: [&str; 1] = ["topic"];

/// Checks that a publish has known parameters alone.
pub fn are_of_publish(query: &str) -> bool {
    query::names(query).iter().all(|name| is_one_of(name, &OF_PUBLISH))
}

/// Checks that no parameter of a stream is probably a typo.
pub fn are_of_stream(query: &str) -> bool {
    query::names(query).iter().all(|name| is_one_of(name, &OF_STREAM) || !is_near(name, &OF_STREAM))
}

/// The same for the number of streams.
pub fn are_of_count(query: &str) -> bool {
    query::names(query).iter().all(|name| is_one_of(name, &OF_COUNT) || !is_near(name, &OF_COUNT))
}

fn is_one_of(name: &[u8], known: &[&str]) -> bool {
    known.iter().any(|known| known.as_bytes() == name)
}

/// A typo has one edit for each five letters of the known name, and case and separators do not count.
fn is_near(name: &[u8], known: &[&str]) -> bool {
    let name = letters(name);
    known.iter().map(|known| letters(known.as_bytes())).any(|known| edits(&name, &known) <= known.len() / 5)
}

fn letters(name: &[u8]) -> Vec<u8> {
    let letters = name.iter().filter(|octet| !b"-_. []".contains(octet)).map(u8::to_ascii_lowercase);
    letters.take(32).collect()
}

/// The distance by Damerau and Levenshtein, in which no part is edited twice.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let mut table = vec![vec![0; to.len() + 1]; from.len() + 1];
    for row in 0..=from.len() {
        for column in 0..=to.len() {
            if row == 0 || column == 0 {
                table[row][column] = row + column;
                continue;
            }
            let (from, to) = (&from[..row], &to[..column]);
            let replaced = table[row - 1][column - 1] + usize::from(from.last() != to.last());
            let mut least = replaced.min(table[row - 1][column] + 1).min(table[row][column - 1] + 1);
            if matches!((from, to), ([.., a, b], [.., c, d]) if (a, b) == (d, c)) {
                least = least.min(table[row - 2][column - 2] + 1);
            }
            table[row][column] = least;
        }
    }
    table[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_near_or_far() {
        for (query, of_publish, of_stream, of_count) in [
            ("", true, true, true),
            ("&&topic=a&%74opic", true, true, true),
            ("event=a&id=b&retry=c", true, true, true),
            ("slow=latest", false, true, true),
            ("topics=a", false, false, false),
            ("Topic=a", false, false, false),
            ("topic[]=a", false, false, false),
            ("tpoic=a", false, false, false),
            ("last-event-id=a", false, false, true),
            ("lastEventID=a", false, true, true),
            ("_=1&t=2&ts=3&v=4&token=5&access_token=6&show=7", false, true, true),
            ("=x", false, true, true),
        ] {
            let found = (are_of_publish(query), are_of_stream(query), are_of_count(query));
            assert_eq!(found, (of_publish, of_stream, of_count), "{query}");
        }
    }
}
