//! Property: the server finds and reads a head by the grammar, in any pieces.

use smolcast::internals::{Head, parse_head, scan_head};

use super::{shown, status};
use crate::reference::{Reading, head};
use crate::steering::Steering;

/// Checks one input: the head, then limits and cuts.
pub fn hold(input: &[u8]) {
    let mut steering = Steering::new(input);
    let (cuts, limits) = (steering.cuts(), steering.head_limits());
    let octets = steering.rest();
    let found = scan_head([octets], &limits);
    assert_eq!(scan_head(cuts.prefixes(octets), &limits), found, "dripping and whole, {}", shown(octets));
    let read = match found {
        Ok(Some(length)) => parse_head(&octets[..length]).map(|head| Some((head, length))),
        Ok(None) => Ok(None),
        Err(refused) => Err(refused),
    };
    let read = read.map_err(status);
    let expected = head::read(octets, &limits);
    let is_good = match (&expected, &read) {
        (Reading::Whole(expected, length), Ok(Some((head, found)))) => found == length && is_same(expected, head),
        (Reading::Partial, Ok(None)) | (Reading::Open, _) => true,
        (Reading::Refused(refusals), Ok(None)) => !refusals.at_once,
        (Reading::Refused(refusals), Err(status)) => refusals.statuses.contains(status),
        _ => false,
    };
    assert!(is_good, "expected {expected:?}, read {read:?}, {}", shown(octets));
}

fn is_same(expected: &head::Head, head: &Head<'_>) -> bool {
    let Head { method, path, authority, origin, body, keeps_alive, expects_continue } = head;
    (expected.method.as_str(), expected.path.as_str()) == (*method, *path)
        && (expected.authority.as_deref(), expected.origin.as_deref()) == (*authority, *origin)
        && (expected.body, expected.keeps_alive) == (*body, *keeps_alive)
        && expected.expects_continue == *expects_continue
}
