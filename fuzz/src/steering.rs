//! Choices of an input besides the bytes that are sent: limits, the size of writes, and cuts.
//!
//! The last octets of an input are choices, taken from its end. Only the low half of each counts, so the digit `0` in a
//! seed written by hand chooses the server's default. An input that has run out of octets chooses it too.

use std::time::Duration;

use smolcast::Limits;
use support::with;

/// Sizes around those of the parts of a request.
const SIZES: [usize; 15] = [0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 32, 64, 100, 256, 1000];

/// An input whose last octets are choices.
#[derive(Clone, Copy, Debug)]
pub struct Steering<'i>(&'i [u8]);

impl<'i> Steering<'i> {
    /// An input of which no choice is taken yet.
    pub fn new(input: &'i [u8]) -> Self {
        Self(input)
    }

    /// The input without the taken choices.
    pub fn rest(self) -> &'i [u8] {
        self.0
    }

    fn octet(&mut self) -> u8 {
        let Some((last, rest)) = self.0.split_last() else { return 0 };
        self.0 = rest;
        *last
    }

    /// A number from 0 to 15.
    pub fn choice(&mut self) -> usize {
        usize::from(self.octet() & 15)
    }

    /// A size, or the default.
    pub fn size(&mut self, default: usize) -> usize {
        self.choice().checked_sub(1).map_or(default, |index| SIZES[index])
    }

    /// A size that is at least 1, or the default.
    pub fn positive(&mut self, default: usize) -> usize {
        self.size(default).max(1)
    }

    /// Limits of heads.
    pub fn head_limits(&mut self) -> Limits {
        let default = Limits::default();
        // A head is longer than its parts, so its sizes are eight times as large.
        let head_bytes = self.choice().checked_sub(1).map_or(default.head_bytes, |index| SIZES[index].max(1) * 8);
        let request_line_bytes = self.positive(default.request_line_bytes);
        with!(default, { head_bytes, request_line_bytes })
    }

    /// The limits with chosen ones for bodies.
    pub fn body_limits(&mut self, limits: &Limits) -> Limits {
        with!(limits.clone(), {
            body_bytes: self.size(limits.body_bytes),
            chunk_extension_bytes: self.size(limits.chunk_extension_bytes),
            trailer_bytes: self.size(limits.trailer_bytes),
        })
    }

    /// The limits with chosen ones for a connection's buffers, and without its only pause in real time.
    pub fn connection_limits(&mut self, limits: &Limits) -> Limits {
        with!(limits.clone(), {
            longest_rest: Duration::ZERO,
            stream_input_bytes: self.size(limits.stream_input_bytes),
            linger_bytes: self.size(limits.linger_bytes),
            answer_bytes: self.size(limits.answer_bytes),
            publish_queue: self.positive(limits.publish_queue),
            publish_queue_bytes: self.positive(limits.publish_queue_bytes),
            batch_bytes: self.positive(limits.batch_bytes),
            window_bytes: self.positive(limits.window_bytes),
        })
    }

    /// A way to cut bytes.
    pub fn cuts(&mut self) -> Cuts {
        let kind = self.choice();
        Cuts { most: SIZES[kind.min(SIZES.len() - 1)].max(1), is_even: kind < 4, state: u64::from(self.octet()) }
    }
}

/// A way to cut bytes into pieces.
#[derive(Clone, Copy, Debug)]
pub struct Cuts {
    /// The length of the longest piece.
    most: usize,
    /// Makes all pieces as long as that.
    is_even: bool,
    state: u64,
}

impl Cuts {
    /// The pieces, in order; together they are all of the bytes. Some may be empty.
    pub fn pieces(mut self, bytes: &[u8]) -> Vec<&[u8]> {
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(self.length().min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }

    /// The bytes that have arrived after each piece.
    pub fn prefixes(self, bytes: &[u8]) -> Vec<&[u8]> {
        let mut end = 0;
        let ends = self.pieces(bytes).into_iter().map(|piece| {
            end += piece.len();
            &bytes[..end]
        });
        ends.collect()
    }

    /// The next piece's length. Pseudo-random ones come from a linear congruence, the same for the same input.
    fn length(&mut self) -> usize {
        if self.is_even {
            return self.most;
        }
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % (self.most + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_a_choice_and_no_octet_is_the_default() {
        let mut steering = Steering::new(b"GET21");
        assert_eq!((steering.choice(), steering.choice(), steering.rest()), (1, 2, &b"GET"[..]));
        let mut zeros = Steering::new(b"000");
        assert_eq!(zeros.head_limits(), Limits::default());
        assert_eq!(zeros.body_limits(&Limits::default()), Limits::default());
        let limits = with!(Limits::default(), { longest_rest: Duration::ZERO });
        assert_eq!(zeros.connection_limits(&Limits::default()), limits);
        assert_eq!(Steering::new(b"1").size(7), 0);
        assert_eq!(Steering::new(b"1").positive(7), 1);
    }

    #[test]
    fn pieces_make_up_the_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for steer in 0..=255 {
            let cuts = Steering::new(&[7, steer]).cuts();
            assert_eq!(cuts.pieces(&bytes).concat(), bytes);
            assert_eq!(cuts.prefixes(&bytes).last(), Some(&&bytes[..]));
        }
        assert_eq!(Steering::new(b"2").cuts().pieces(b"abcde"), [b"ab", &b"cd"[..], b"e"]);
        assert_eq!(Steering::new(b"").cuts().pieces(b"abc").len(), 3, "octet by octet");
    }
}
