//! Property: the server decodes a chunked body by the grammar, in any pieces.

use smolcast::Limits;
use smolcast::http::RequestError;
use smolcast::http::chunked::Decoder;

use super::{shown, status};
use crate::reference::{Reading, chunked};
use crate::steering::Steering;

/// Checks one input: the coded body and further octets, then limits and cuts.
pub fn hold(input: &[u8]) {
    let mut steering = Steering::new(input);
    let (cuts, limits) = (steering.cuts(), steering.body_limits(&Limits::default()));
    let octets = steering.rest();
    let decoded = |pieces: Vec<&[u8]>| {
        let mut body = Vec::new();
        let taken = decode(pieces, &mut body, &limits);
        (taken.map_err(status), body)
    };
    let whole = decoded(vec![octets]);
    assert_eq!(decoded(cuts.pieces(octets)), whole, "in pieces and whole, {}", shown(octets));
    let (taken, body) = whole;
    assert!(body.len() <= limits.body_bytes, "a body over its limit, {}", shown(octets));
    let expected = chunked::decode(octets, &limits);
    let is_good = match (&expected, taken) {
        (Reading::Whole(expected, length), Ok(Some(taken))) => taken == *length && body == *expected,
        (Reading::Partial, Ok(None)) => true,
        (Reading::Refused(refusals), Err(status)) => refusals.statuses.contains(&status),
        _ => false,
    };
    assert!(is_good, "expected {expected:?}, decoded {taken:?} to {}, {}", shown(&body), shown(octets));
}

/// Decodes a body that arrives in pieces; returns how many octets belonged to it, `None` if its end never came.
fn decode(pieces: Vec<&[u8]>, body: &mut Vec<u8>, limits: &Limits) -> Result<Option<usize>, RequestError> {
    let (mut decoder, mut taken) = (Decoder::new(limits), 0);
    for piece in pieces {
        taken += decoder.decode(piece, body)?;
        if decoder.is_done() {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}
