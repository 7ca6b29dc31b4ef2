//! Property: the server finds and reads a head by the grammar, in any pieces.

use smolcast::Limits;
use smolcast::http::head::{RequestHead, Scanner};
use smolcast::http::{Persistence, RequestError};

use super::{shown, status};
use crate::reference::{Reading, head};
use crate::steering::Steering;

/// Checks one input: the head, then limits and cuts.
pub fn hold(input: &[u8]) {
    let mut steering = Steering::new(input);
    let (cuts, limits) = (steering.cuts(), steering.head_limits());
    let octets = steering.rest();
    let found = scan([octets], &limits);
    assert_eq!(scan(cuts.prefixes(octets), &limits), found, "dripping and whole, {}", shown(octets));
    let read = match found {
        Ok(Some(length)) => RequestHead::parse(&octets[..length]).map(|head| Some((head, length))),
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

/// The length of the head in octets that arrive in pieces: each item is all that has arrived so far.
fn scan<'o>(arrived: impl IntoIterator<Item = &'o [u8]>, limits: &Limits) -> Result<Option<usize>, RequestError> {
    let mut scanner = Scanner::default();
    for octets in arrived {
        if let Some(length) = scanner.scan(octets, limits)? {
            return Ok(Some(length));
        }
    }
    Ok(None)
}

fn is_same(expected: &head::Head, head: &RequestHead<'_>) -> bool {
    (expected.method.as_str(), expected.path.as_str()) == (head.method, head.path)
        && (expected.authority.as_deref(), expected.origin.as_deref()) == (head.authority, head.origin)
        && (expected.body, expected.keeps_alive) == (head.framing, head.persistence != Persistence::Close)
        && expected.expects_continue == head.expects_continue
}
